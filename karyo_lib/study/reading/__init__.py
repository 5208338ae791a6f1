"""Notebooks 04 and 06: what the reader finds in the karyograms of a run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["confidence", "figures", "spreads", "tables"]
)
