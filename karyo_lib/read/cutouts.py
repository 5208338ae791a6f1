"""From what the detector saw to cut-outs: masks on the page's own ink, and the ink that belongs to none."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.graph import MCP

from karyo_lib.read.detector import MASK_CELL, Detections
from karyo_lib.shape.centreline import find_centreline, path_length

_EIGHT = np.ones((3, 3))
#: Probability of a pixel that belongs to an object; of one that belongs to it if it is inked and nobody's.
_SURE, _MAYBE = 0.5, 0.2
#: Ink, as a share of black: of paper less, of what is visible more.
_PAPER, _VISIBLE = 0.06, 0.15
#: Pieces smaller than this share of the largest are left.
_CRUMB = 0.08
#: Two chromosomes side by side: least share of the area and of the height of either, thickness of either in
#: widths (a chromatid's is less, a bent one's more), ink on a way between them, as a share of theirs (of four
#: pairs that were taken for one 0 to 0.08).
_LEAST_SHARE, _LEAST_HIGH, _THICK, _PALE = 0.22, 0.7, (0.5, 1.2), 0.2
#: Pixels around a cut-out.
_MARGIN = 3
REJECTED = ["kind", "x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Cut:
    """An object at the working scale: its window of the page, and its mask there."""

    where: tuple[slice, slice]
    mask: np.ndarray


def cut_objects(found: Detections, ink: np.ndarray, ratio: float) -> list[Cut]:
    """Masks at the working scale, each of one piece, empty where no pixel is. ``ink`` (float (H, W)): at the
    working scale; ``ratio``: its pixels a pixel of the detector's picture."""
    high, wide = ink.shape
    best = np.zeros(ink.shape, np.float32)
    soft = []
    for x, y, proba in found.masks:
        x0, y0 = x * MASK_CELL * ratio, y * MASK_CELL * ratio
        step = MASK_CELL * ratio
        left, top = max(0, int(x0)), max(0, int(y0))
        right = min(wide, int(np.ceil(x0 + proba.shape[1] * step)))
        bottom = min(high, int(np.ceil(y0 + proba.shape[0] * step)))
        where = slice(top, max(bottom, top)), slice(left, max(right, left))
        if right <= left or bottom <= top:
            soft.append((where, np.zeros((max(bottom - top, 0), max(right - left, 0)), np.float32)))
            continue
        # pixel centres of the working scale in cells of the mask
        matrix = np.array(
            [[1 / step, 0, (left + 0.5 - x0) / step - 0.5], [0, 1 / step, (top + 0.5 - y0) / step - 0.5]]
        )
        own = cv2.warpAffine(
            proba.astype(np.float32),
            matrix,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        soft.append((where, own))
        best[where] = np.maximum(best[where], own)
    out = []
    for where, own in soft:
        dark = ink[where]
        mask = (own > _SURE) & (dark > _PAPER)
        mask |= (own > _MAYBE) & (own >= best[where]) & (dark > _VISIBLE)
        mask = _joined(mask, max(1, round(3 * step)))
        mask = ndimage.binary_fill_holes(mask) & ((own > _MAYBE) | mask)
        out.append(Cut(where, mask))
    return out


def _joined(mask: np.ndarray, thick: int) -> np.ndarray:
    """The largest piece and those that are not crumbs, joined to it the shortest way."""
    labels, n = ndimage.label(mask, _EIGHT)
    if n < 2:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    order = np.argsort(-sizes)
    whole = (labels == order[0] + 1).astype(np.uint8)
    for piece in order[1:]:
        if sizes[piece] < _CRUMB * sizes[order[0]]:
            break
        own = labels == piece + 1
        away, nearest = ndimage.distance_transform_edt(whole == 0, return_indices=True)
        row, column = np.unravel_index(np.where(own, away, np.inf).argmin(), own.shape)
        end = nearest[:, row, column]
        cv2.line(whole, (int(column), int(row)), (int(end[1]), int(end[0])), 1, thick)
        whole |= own
    return whole > 0


def tighten(cut: Cut) -> Cut:
    """The same in the smallest window."""
    down, across = np.flatnonzero(cut.mask.any(1)), np.flatnonzero(cut.mask.any(0))
    tight = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    rows, columns = (
        slice(w.start + t.start, w.start + t.stop) for w, t in zip(cut.where, tight, strict=True)
    )
    return Cut((rows, columns), cut.mask[tight])


def part_cut(cut: Cut, share: float) -> list[Cut]:
    """The two parts of an object, of which the upper has a given share of its length."""
    line = find_centreline(cut.mask)
    along = path_length(line)
    nearest = KDTree(line).query(np.argwhere(cut.mask))[1]
    upper = np.zeros_like(cut.mask)
    upper[cut.mask] = along[nearest] < share * along[-1]
    return [tighten(Cut(cut.where, half)) for half in (upper, cut.mask & ~upper) if half.any()]


def cut_out(cut: Cut, paper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The object alone on white, and its mask."""
    image = np.where(cut.mask, paper[cut.where], 255).astype(np.uint8)
    return np.pad(image, _MARGIN, constant_values=255), np.pad(cut.mask, _MARGIN)


def uncut(mask: np.ndarray) -> np.ndarray:
    """The mask of a cut-out without its margin."""
    return mask[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def side_by_side(image: np.ndarray, mask: np.ndarray, width: float) -> bool:
    """Whether a cut-out, upright, may be two chromosomes: a way from its top to its foot is pale."""
    ink, mask = 255.0 - uncut(image), uncut(mask)
    share = np.cumsum(mask.sum(0)) / mask.sum()
    first, last = np.searchsorted(share, (_LEAST_SHARE, 1 - _LEAST_SHARE))
    ways = MCP(ink[:, first : last + 1], offsets=[(1, -1), (1, 0), (1, 1)])
    crossed = ways.find_costs([(0, column) for column in range(last + 1 - first)])[0][-1]
    way = np.array(ways.traceback((len(mask) - 1, int(crossed.argmin()))))[:, 1:]
    left = np.arange(mask.shape[1]) < first + way
    for side in (mask & left, mask & ~left):
        high = side.any(1).sum()
        thick = side.sum() / max(high * width, 1)
        if high < _LEAST_HIGH * len(mask) or not _THICK[0] < thick < _THICK[1]:
            return False
    return bool(crossed.min() < _PALE * len(mask) * ink[mask].mean())


def label_page(cuts: list[Cut], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's object (int16, 0 none, the smallest of several), and each one's share on others."""
    labels, layers = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    for number in sorted(range(len(cuts)), key=lambda i: -int(cuts[i].mask.sum())):
        cut = cuts[number]
        labels[cut.where][cut.mask] = number + 1
        layers[cut.where][cut.mask] += 1
    shared = [float((layers[c.where][c.mask] > 1).mean()) if c.mask.any() else 0.0 for c in cuts]
    return labels, np.array(shared)


def reject_rest(ink: np.ndarray, labels: np.ndarray, width: float, scale: float) -> pd.DataFrame:
    """Inked objects that are no chromosome, by size and shape: boxes, rules, dust, print, nuclei ('blob')."""
    near = ndimage.binary_dilation(labels > 0, iterations=max(1, round(0.2 * width)))
    clutter, _ = ndimage.label((ink > _VISIBLE) & ~near, _EIGHT)
    rows = []
    for i, where in enumerate(ndimage.find_objects(clutter)):
        high, wide = (s.stop - s.start for s in where)
        long, thin = max(high, wide), min(high, wide)
        if thin > 3 * width and (clutter[where] == i + 1).mean() > 0.4:
            kind = "blob"
        elif long > 2.5 * width and thin > width and (clutter[where] == i + 1).mean() < 0.3:
            kind = "box"
        elif long > 8 * thin and long > width:
            kind = "rule"
        else:
            kind = "dust" if long < 0.5 * width else "print"
        rows.append((kind, *box_of(where, scale)))
    return pd.DataFrame(rows, columns=REJECTED)


def box_of(where: tuple[slice, slice], scale: float) -> tuple[float, float, float, float]:
    """``x0, y0, x1, y1`` in page pixels of a window at the working scale."""
    rows, columns = where
    return columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale


def window_of(box: Sequence[float], scale: float) -> tuple[slice, slice]:
    """The window at the working scale of ``x0, y0, x1, y1`` in page pixels."""
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return slice(y0, y1), slice(x0, x1)
