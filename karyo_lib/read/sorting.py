"""A cell that was read becomes a karyogram: cut out, set upright, in slots with printed names; or joins a
bank."""

from pathlib import Path

import cv2
import numpy as np

from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.draw.styles import LabStyle
from karyo_lib.files.bank import Cutout, add_cell
from karyo_lib.iscn import NORMAL_FORMULAE
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.reading import Reading
from karyo_lib.shape.centreline import find_centreline


def cut_upright(reading: Reading, cell: str = "cell", case: str = "case") -> list[Cutout]:
    """Cut the named chromosomes of a cell out, each on white, its short arm up.

    ``cell``, ``case``: what a bank shall call the cell and its patient. In the order of
    `Reading.chromosomes`; objects that are no chromosome are left out.
    """
    copies = dict.fromkeys(CLASSES, 0)
    out = []
    for i, row in enumerate(reading.chromosomes.itertuples()):
        if row.chromosome not in copies:
            continue
        copies[row.chromosome] += 1
        image = _upright(reading.found.cutouts[i], reading.found.masks[i], bool(row.upside_down))
        out.append(Cutout(row.chromosome, copies[row.chromosome], image, cell, case))
    return out


def _upright(image: np.ndarray, mask: np.ndarray, upside_down: bool) -> np.ndarray:
    """Turn a cut-out so that its upper end lies straight above its lower one, or below if upside down."""
    line = find_centreline(mask)
    down, across = line[-1] - line[0]
    turn = np.arctan2(across, down) + (np.pi if upside_down else 0.0)  # from straight down
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]])
    high, wide = mask.shape
    size = np.ceil(np.abs(matrix) @ [wide, high]).astype(int) + 2
    matrix = np.c_[matrix, (size - 1) / 2 - matrix @ [(wide - 1) / 2, (high - 1) / 2]]
    turned = cv2.warpAffine(image, matrix, tuple(size.tolist()), flags=cv2.INTER_CUBIC, borderValue=255)
    own = cv2.warpAffine(mask.astype(np.uint8), matrix, tuple(size.tolist()), flags=cv2.INTER_NEAREST)
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    y0, x0 = max(0, rows[0] - 2), max(0, columns[0] - 2)
    return np.ascontiguousarray(turned[y0 : rows[-1] + 3, x0 : columns[-1] + 3])


def lay_out(reading: Reading, style: str | LabStyle = "digital") -> Page:
    """Lay the chromosomes of a cell out as a karyogram.

    ``style`` (str or LabStyle): one of `karyo_lib.draw.STYLES`. Raises ValueError if the reading names no
    chromosome.
    """
    cutouts = cut_upright(reading)
    if not cutouts:
        raise ValueError("Expected a cell that could be read. Received a reading without chromosomes.")
    return compose_karyogram(None, cutouts, style=style, size=None, annotate=(), rework=0.0)


def add_to_bank(reading: Reading, bank: Path, cell: str, case: str) -> None:
    """Add the chromosomes of a cell to a bank, which is made where there is none.

    They are named as they were read: look at them before anything is trained on them.
    """
    label = "normal" if reading.formula in NORMAL_FORMULAE else "abnormal"
    add_cell(bank, cut_upright(reading, cell, case), label, reading.formula)
