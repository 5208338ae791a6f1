"""Occlusion by slot: each place of a page is covered in turn, to see what the answer rested on.

A convolutional map of 3 x 3 or 4 x 4 fields, as Grad-CAM has it here, cannot point at a pair of chromosomes;
covering the pair can (Zeiler and Fergus 2014, ECCV). It costs a forward pass a place, about 24 a page.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from karyo_lib.read.find import find_chromosomes
from karyo_lib.screening.heatmap import mark_boxes

_LEAST = 20  # chromosomes; where fewer are found the places are fields of a grid
_GRID = (4, 6)  # rows and columns
_RIM = 2  # pixels around a box, which the soft edges of chromosomes reach


def compute_occlusion(page: np.ndarray, score: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
    """Return where a page may not be covered without changing its score for the worse.

    ``page``: uint8, shape (H, W). ``score``: maps pages of that shape to a score each, shape (N,), such as a
    logit of abnormal. The label is its sign on the page as it is. Returns float32, shape (h, w); 0 to 1 over
    the page: 1 at the place whose covering takes most from the label, 0 where covering takes nothing from it.
    """
    slots = find_slots(page)
    scores = score([page, *(cover(page, box) for box in slots.itertuples())])
    lost = np.maximum((scores[0] - scores[1:]) * (1 if scores[0] >= 0 else -1), 0)
    return mark_boxes(page.shape, slots, lost / max(float(lost.max()), 1e-12))


def find_slots(page: np.ndarray) -> pd.DataFrame:
    """Return the places of a page: its pairs; single chromosomes that stand in no row; else a grid.

    Columns ``x0, y0, x1, y1`` in pixels, x1 and y1 exclusive, one row a place.
    """
    height, width = page.shape
    boxes = find_chromosomes(page).boxes
    if len(boxes) < _LEAST:
        y, x = (np.linspace(0, n, k + 1).astype(int) for n, k in zip((height, width), _GRID, strict=True))
        fields = [(x[j], y[i], x[j + 1], y[i + 1]) for i in range(_GRID[0]) for j in range(_GRID[1])]
        return pd.DataFrame(fields, columns=["x0", "y0", "x1", "y1"])
    alone = (boxes["slot"] < 0) | (boxes["row"] < 0)
    place = boxes["row"].astype(str) + "." + boxes["slot"].astype(str)
    place = place.where(~alone, "alone " + boxes.index.astype(str))
    slots = boxes.groupby(place, sort=False).agg(
        x0=("x0", "min"), y0=("y0", "min"), x1=("x1", "max"), y1=("y1", "max")
    )
    slots[["x0", "y0"]] = np.maximum(np.floor(slots[["x0", "y0"]]) - _RIM, 0)
    slots["x1"] = np.minimum(np.ceil(slots["x1"]) + _RIM, width)
    slots["y1"] = np.minimum(np.ceil(slots["y1"]) + _RIM, height)
    return slots.astype(int).reset_index(drop=True)


def cover(page: np.ndarray, box) -> np.ndarray:
    """Return a page with a box painted over in the grey of what lies around it."""
    out = page.copy()
    y0, x0 = max(0, box.y0 - 3), max(0, box.x0 - 3)
    around = page[y0 : box.y1 + 3, x0 : box.x1 + 3].astype(np.float32)
    around[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0] = np.nan
    out[box.y0 : box.y1, box.x0 : box.x1] = np.nanmedian(around) if np.isfinite(around).any() else 255
    return out
