"""An image -> its reading, with the page under it: in a notebook, and for ``karyo read``."""

import json
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from karyo_lib.files import images
from karyo_lib.read.evidence import picture_of
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import NOTICE, Reading, summary
from karyo_lib.store import writing


@lru_cache(maxsize=1)
def _shipped() -> Reader:
    return Reader.load()


def read_image(image: str | os.PathLike | np.ndarray, reader: Reader | None = None) -> Reading:
    """Read the image of a cell: a karyogram, or a metaphase as it is under the microscope.

    Parameters
    ----------
    image : path or ndarray of uint8, shape (H, W)
        PNG, JPEG, BMP, TIFF, GIF or DICOM, of whose pages the first is read; or grey pixels.
    reader : Reader, optional
        The one that comes with karyo by default.

    Returns
    -------
    Reading
        A notebook shows it: the page with boxes and names, formula, probability, doubts.

    Raises
    ------
    karyo_lib.files.images.UnusableImage
        If the file is no image that can be read.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> page = karyo.draw_karyogram("47,XX,+21", style="digital", size=None)
    >>> reading = karyo.read_image(page.image)
    >>> reading.formula
    '47,XX,+21'
    """
    page = image if isinstance(image, np.ndarray) else images.read_image(image)
    return replace((reader or _shipped()).read(page), page=page)


def write_reading(reading: Reading, folder: Path) -> None:
    """Write ``reading.json`` (what was read, an entry an object) and ``reading.png`` (boxes and names)."""
    table = reading.chromosomes.drop(columns=["segments"])
    told = {
        "notice": NOTICE,
        **summary(reading),
        "chromosomes": json.loads(table.to_json(orient="records", double_precision=4)),
        "candidates": json.loads(reading.candidates.head(10).to_json(orient="records", double_precision=6)),
    }
    with writing(folder / "reading.json") as part:
        part.write_text(json.dumps(told, indent=1, default=float) + "\n", encoding="utf-8")
    with writing(folder / "reading.png") as part:
        part.write_bytes(picture_of(reading))
