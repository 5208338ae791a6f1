"""Where the data that comes with karyo lies: band tables, the formula catalogue, published numbers."""

from pathlib import Path

# A checkout (or editable install) keeps the data beside the package; a wheel carries a copy inside it.
_CANDIDATES = (Path(__file__).parent / "_data", Path(__file__).parent.parent / "data")

#: Said wherever a reading is shown.
NOTICE = "A research tool, not a medical device."


def data_file(*parts: str) -> Path:
    """Path of an embedded data file below ``data/``: ``"cytobands", "iscn_550.tsv"``."""
    for root in _CANDIDATES:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f"Expected the embedded data file {'/'.join(parts)!r} in this installation of karyo. Received none: "
        "reinstall karyo from a complete checkout."
    )
