"""Boxes of objects, and the ink and paper of a page."""

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
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


def measure_ink(image: np.ndarray) -> np.ndarray:
    """Darkness relative to the background, float32 (H, W), 0 (paper) to about 1; negatives are turned."""
    grey = image.astype(np.float32)
    if np.median(grey) < 110:
        grey = 255 - grey
    block = max(4, round(min(grey.shape) / 60))
    small = cv2.resize(
        grey, (max(1, grey.shape[1] // block), max(1, grey.shape[0] // block)), interpolation=cv2.INTER_AREA
    )
    paper = ndimage.percentile_filter(small, 75, size=min(11, *small.shape), mode="nearest")
    paper = cv2.resize(ndimage.gaussian_filter(paper, 2), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    black = float(np.percentile(grey, 0.5))
    return np.clip((paper - grey) / max(float(np.median(paper)) - black, 30.0), 0, 1.2)


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image: areas are averaged where it shrinks, cubic interpolation where it grows."""
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def smooth_paper(page: np.ndarray, clear: np.ndarray, typical: float) -> np.ndarray:
    """Even background under a whole page, float32 (H, W), told from where it is `clear`, else `typical`."""
    weight = clear.astype(np.float32)
    sigma = max(4.0, max(page.shape) / 40)
    smooth = cv2.GaussianBlur(page * weight, (0, 0), sigma) + 1e-3 * typical
    return smooth / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3)
