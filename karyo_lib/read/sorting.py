"""A cell that was read becomes a karyogram, its chromosomes upright in named slots; or joins a bank."""

from pathlib import Path

import cv2
import numpy as np

from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.draw.styles import LabStyle
from karyo_lib.files.bank import Cutout, add_cell
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.reading import Reading
from karyo_lib.shape.centreline import find_centreline


def cut_upright(reading: Reading, cell: str = "cell", case: str = "case") -> list[Cutout]:
    """Cut the named chromosomes out, each on white, short arm up, in the order of `Reading.chromosomes`;
    ``cell``, ``case``: their names in a bank."""
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
    """Lay a cell's chromosomes out in one of `karyo_lib.draw.STYLES`; ValueError if none is named."""
    cutouts = cut_upright(reading)
    if not cutouts:
        raise ValueError("Expected a cell that could be read. Received a reading without chromosomes.")
    return compose_karyogram(None, cutouts, style=style, size=None, annotate=(), rework=0.0)


def add_to_bank(reading: Reading, bank: Path, cell: str, case: str) -> None:
    """Add a cell's chromosomes, as they were read, to a bank, made if there is none: look before training."""
    add_cell(bank, cut_upright(reading, cell, case), reading.formula)
