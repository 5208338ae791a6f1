"""Boxes that were found, matched to boxes of the truth."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

BOX = ["x0", "y0", "x1", "y1"]


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4): shape (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (first, second)]
    return common / np.maximum(area[0][:, None] + area[1][None] - common, 1e-9)


def pair_boxes(first: np.ndarray, second: np.ndarray, least: float = 0.5) -> list[tuple[int, int]]:
    """Pair boxes (n, 4) and (m, 4) one to one; intersection over union at least `least`, most in all."""
    iou = overlap(first, second)
    rows, columns = linear_sum_assignment(-iou)
    return [(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if iou[i, j] >= least]


def match_boxes(found: pd.DataFrame, truth: pd.DataFrame, least: float = 0.5) -> pd.Series:
    """Row of the truth table (``x0, y0, x1, y1``) for each object found, -1 where there is none."""
    out = np.full(len(found), -1)
    for i, j in pair_boxes(found[BOX].to_numpy(float), truth[BOX].to_numpy(float), least):
        out[i] = j
    return pd.Series(out, index=found.index)
