"""Notebooks 03 to 05: search, trained conditions, luck, leak and source, shortcuts, what helps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["figures", "fits", "helps", "luck", "search", "shortcut"]
)
