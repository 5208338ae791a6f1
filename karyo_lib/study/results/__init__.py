"""Notebook 07: what the run found beside what the thesis printed; the try-it cells."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["tables", "try_it"])
