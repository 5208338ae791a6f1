"""What the notebooks do, a room a subject: each function takes a run or a result and does one step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["data", "networks", "reading", "confidence", "results", "thesis"]
)
