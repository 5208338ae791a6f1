"""A trained package and a folder of karyograms -> a worklist: what is cleared, what a specialist must see.

Names are imported when they are first used, so that ``karyo --help`` does not wait for the network's engine.
"""

from importlib import import_module
from typing import Any

ALPHA, DELTA = 0.05, 0.10
"""Share of misses that is promised, and probability that the promise fails, where the user chooses none."""

_PLACES = {
    "Package": "package",
    "PackageError": "package",
    "PackSettings": "packing",
    "Result": "screener",
    "Screened": "folder",
    "Screener": "screener",
    "Worklist": "worklist",
    "load_package": "package",
    "save_package": "package",
    "ScreenOptions": "folder",
    "screen_folder": "folder",
    "train_package": "packing",
}
__all__ = sorted((*_PLACES, "ALPHA", "DELTA"))


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
