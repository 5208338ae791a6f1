"""A trained package and a folder of karyograms -> a worklist: what is cleared, what a specialist must see."""

import lazy_loader

ALPHA, DELTA = 0.05, 0.10
"""Share of misses that is promised, and probability that the promise fails, where the user chooses none."""

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "folder": ["ScreenOptions", "Screened", "screen_folder"],
        "journal": ["Result"],
        "package": ["Package", "PackageError", "load_package", "save_package"],
        "packing": ["PackSettings", "train_package"],
        "screener": ["Screener"],
        "widget": ["ReviewWidget"],
        "worklist": ["Worklist"],
    },
)
