"""Strips of the lone chromosomes of real metaphase spreads, which no one has turned upright."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from karyo_lib.iscn.bands import CHROMOSOMES, load_bands
from karyo_lib.read.train.pieces import cut_pieces, prepare_spread
from karyo_lib.shape.scaled import ROW_UNITS, ScaledStrips
from karyo_lib.shape.scaling import scale_strips

_ROWS = np.array([load_bands(850).length(c) / ROW_UNITS for c in CHROMOSOMES])
_LEAST_LONE = 8  # with fewer on a spread its scale is not known well
_PROFILE, _INNER = 60, slice(4, 20)  # rows and columns that two strips are compared on
_TURNS = 8


def spread_part(case: str, abnormal: bool = False) -> str:
    """'test', 'validation' or 'training' for a patient; those with an abnormal cell are in the test."""
    bucket = int(hashlib.sha256(case.encode()).hexdigest(), 16) % 10
    return "test" if abnormal or bucket == 0 else "validation" if bucket == 1 else "training"


def list_spreads(folder: Path, part: str) -> pd.DataFrame:
    """``cell, case, kind`` of one part's cells with boxes. ``folder``: ``cells.csv``, ``boxes.csv.gz`` (cell,
    class, x0, y0, x1, y1) and ``cells.zip`` of ``<cell>.webp``."""
    cells = pd.read_csv(folder / "cells.csv", dtype=str)
    abnormal = set(cells.loc[cells["kind"] != "normal", "case"])
    cells = cells[[spread_part(case, case in abnormal) == part for case in cells["case"]]]
    boxes = pd.read_csv(folder / "boxes.csv.gz", dtype=str, usecols=["cell"])
    return cells[cells["cell"].isin(boxes["cell"])]


def open_spreads(folder: Path, cells: Iterable[str]) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    """Name, image and boxes (``class, x0, y0, x1, y1``) of cells."""
    table = pd.read_csv(folder / "boxes.csv.gz", dtype={"cell": str, "class": str})
    boxes = {cell: own.reset_index(drop=True) for cell, own in table.groupby("cell")}
    with zipfile.ZipFile(folder / "cells.zip") as archive:
        for cell in cells:
            image = cv2.imdecode(np.frombuffer(archive.read(f"{cell}.webp"), np.uint8), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise ValueError(
                    f"Expected {cell}.webp to be an image. Received a damaged one: copy it again."
                )
            yield cell, image, boxes[cell]


def read_spreads(folder: Path, part: str, each: int = 2) -> Iterator[tuple[ScaledStrips, list[str]]]:
    """Strips, either way up, and classes of lone chromosomes: of ``each`` spreads a patient of one part."""
    cells = list_spreads(folder, part).groupby("case").head(each)["cell"]
    for _, image, boxes in open_spreads(folder, cells):
        found = _lone(image, boxes)
        if found is not None:
            yield found


def _lone(image: np.ndarray, boxes: pd.DataFrame) -> tuple[ScaledStrips, list[str]] | None:
    labels = boxes["class"].map(CHROMOSOMES.index).to_numpy()
    spread = prepare_spread(image, boxes[["x0", "y0", "x1", "y1"]].to_numpy(float), labels, 1.0)
    exact = spread.exact
    layer = np.where(np.isin(spread.layer, np.flatnonzero(exact) + 1), spread.layer, 0)
    pieces = cut_pieces(spread.light, layer, spread.boxes, spread.labels)
    if len(pieces) < _LEAST_LONE:
        return None
    images = [(255 * (1 - piece.ink)).astype(np.uint8) for piece in pieces]
    classes = [piece.label for piece in pieces]
    strips = scale_strips(images, [piece.mask for piece in pieces], expected_rows=_ROWS[classes])
    return strips, [CHROMOSOMES[c] for c in classes]


def orient(
    strips: ScaledStrips, classes: np.ndarray, upright: ScaledStrips, of_class: np.ndarray
) -> ScaledStrips:
    """Turn strips to be more like the mean of their class, made anew each time; upright ones start it."""
    back = np.zeros(len(strips), bool)
    for c in np.unique(classes):
        own = np.flatnonzero(classes == c)
        there = np.stack([_profile(strips, i) for i in own])
        mean = np.mean([_profile(upright, i) for i in np.flatnonzero(of_class == c)], axis=0)
        for _ in range(_TURNS):
            turned = ((there[:, ::-1] - there) * mean).sum((1, 2)) > 0
            mean = np.where(turned[:, None, None], there[:, ::-1], there).mean(0)
        back[own] = turned
    return strips.turned(back)


def _profile(strips: ScaledStrips, i: int) -> np.ndarray:
    image = strips.images[i, : strips.rows[i], _INNER].astype(np.float32)
    image = cv2.resize(image, (_INNER.stop - _INNER.start, _PROFILE), interpolation=cv2.INTER_AREA)
    image -= image.mean()
    return image / max(float(np.sqrt((image**2).sum())), 1e-6)
