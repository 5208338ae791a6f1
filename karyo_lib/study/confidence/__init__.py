"""Notebook 06: how sure the answers are, and who is referred."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["judgement", "samples", "shifts"])
