"""Notebooks 01 and 02: the karyograms of a run, their copies and splits, and pictures of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["clean", "collection", "pictures", "recipe", "unseen"]
)
