"""Where the data that comes with karyo lies: band tables, the formula catalogue, published numbers."""

from pathlib import Path

# A checkout (or editable install) keeps the data beside the package; a wheel carries a copy inside it.
_CANDIDATES = (Path(__file__).parent / "_data", Path(__file__).parent.parent / "data")


def data_file(*parts: str) -> Path:
    """Return the path of an embedded data file.

    ``*parts``: Path components below ``data/``, for example ``"cytobands", "iscn_550.tsv"``. Raises
    FileNotFoundError if the file is not part of this installation.
    """
    for root in _CANDIDATES:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f"Expected the embedded data file {'/'.join(parts)!r} in this installation of karyo. Received none: "
        "reinstall karyo from a complete checkout."
    )
