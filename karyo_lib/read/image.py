"""An image -> its reading, with the page under it: in a notebook, and for ``karyo read``."""

import json
import os
import reprlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from karyo_lib.files import images
from karyo_lib.iscn import CHROMOSOMES
from karyo_lib.read.evidence import picture_of
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading, summary
from karyo_lib.resources import NOTICE
from karyo_lib.store import write_whole, writing

#: Share of a chromosome that crosses others from which this is said.
_CROSSED = 0.1


@lru_cache(maxsize=1)
def _shipped() -> Reader:
    return Reader.load()


def read_image(image: str | os.PathLike | np.ndarray, reader: Reader | None = None) -> Reading:
    """Read the image of a cell: a karyogram, or a metaphase as it is under the microscope.

    Parameters
    ----------
    image : path or ndarray of uint8, shape (H, W)
        PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM, of whose pages the first is read; or grey pixels.
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
    if not isinstance(image, str | os.PathLike | np.ndarray):
        raise TypeError(
            f"Expected the path of an image, or its grey pixels (H, W). Received {reprlib.repr(image)}."
        )
    if not isinstance(reader, Reader | None):
        raise TypeError(f"Expected a Reader, as of Reader.load(folder). Received {reprlib.repr(reader)}.")
    page = image if isinstance(image, np.ndarray) else images.read_image(image)
    return replace((reader or _shipped()).read(page), page=page)


def write_reading(reading: Reading, folder: Path, style: str = "digital") -> None:
    """Write ``reading.json`` (an entry an object) and ``reading.png`` (boxes, names); of a metaphase also
    ``karyogram.png`` and ``.pdf``, its chromosomes laid out in a lab's ``style``."""
    table = reading.chromosomes.drop(columns=["segments", "normal"])
    told = {
        "notice": NOTICE,
        **summary(reading),
        # without a change that is marked it is what was believed before, and no measurement
        "p_structural": reading.p_structural if len(reading.structure) else None,
        "chromosomes": json.loads(table.to_json(orient="records", double_precision=4)),
        "candidates": json.loads(reading.candidates.head(10).to_json(orient="records", double_precision=6)),
    }
    write_whole(folder / "reading.json", json.dumps(told, indent=1, default=float) + "\n")
    write_whole(folder / "reading.png", picture_of(reading))
    for kind in ("png", "pdf"):  # of a cell that was read into this folder before
        (folder / f"karyogram.{kind}").unlink(missing_ok=True)
    if reading.kind == "metaphase":
        _write_karyogram(reading, folder, style)


def _write_karyogram(reading: Reading, folder: Path, style: str) -> None:
    from karyo_lib.read.sorting import lay_out  # who reads a karyogram draws none

    page = lay_out(reading, style).image
    doubtful = reading.chromosomes[reading.chromosomes["doubtful"]]
    crossed = reading.chromosomes[reading.chromosomes["hidden"] > _CROSSED]
    lines = [
        f"{reading.formula} ({reading.formula_probability:.0%})",
        *[f"Doubtful: {_names(doubtful)}."] * bool(len(doubtful)),
        *[f"Crossing others, part of the bands hidden: {_names(crossed)}."] * bool(len(crossed)),
        *[f"A specialist must look: {reading.refer_reason}."] * bool(reading.refer_reason),
        NOTICE,
    ]
    tall = 8.27 * page.shape[0] / page.shape[1] + 0.25 * len(lines) + 0.3
    figure = Figure(figsize=(8.27, tall), layout="constrained")
    axes = figure.subplots()
    axes.imshow(page, cmap="gray", vmin=0, vmax=255)
    axes.axis("off")
    figure.supxlabel("\n".join(lines), fontsize=8, x=0.04, ha="left", wrap=True)
    for kind in ("png", "pdf"):
        with writing(folder / f"karyogram.{kind}") as part:
            figure.savefig(part, format=kind, dpi=200, metadata={"Software": None} if kind == "png" else None)


def _names(rows: pd.DataFrame) -> str:
    names = rows["chromosome"]
    left_out = int((names == "").sum())
    told = [f"{left_out} object{'s' * (left_out > 1)} left out"] * bool(left_out)
    return ", ".join([*sorted(names[names != ""], key=CHROMOSOMES.index), *told])
