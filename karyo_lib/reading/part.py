"""Parting chromosomes that touch: a mask that is no single chromosome is cut along pale valleys and necks.

A single chromosome is as wide as its neighbours on the page everywhere along its medial axis, so the area
is close to
length times width and the tube around the axis covers it. A mask that fails this is cut into pieces by
watershed
from the cores of its distance map; pieces are then joined again wherever their union passes the test.
"""

from itertools import combinations

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from karyo_lib.draw.centreline import find_centreline


def singleness(mask: np.ndarray, width: float) -> float:
    """How well a mask agrees with one chromosome of a page, from 0 to 1.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    width : float
        Width of an average chromosome of the page, in pixels.
    """
    area = float(mask.sum())
    if area < 0.5 * width**2:
        return 0.2
    line = find_centreline(mask)
    steps = np.hypot(*np.diff(line, axis=0).T)
    length = max(float(steps.sum()), 1.0)
    mean_width = area / length
    near = np.ones(mask.shape, bool)
    points = np.clip(np.round(line).astype(int), 0, np.array(mask.shape) - 1)
    near[points[:, 0], points[:, 1]] = False
    covered = float((ndimage.distance_transform_edt(near)[mask] < 0.85 * width).mean())
    too_wide = max(0.0, mean_width / width - 1.18)
    too_thin = max(0.0, 0.6 - mean_width / width)
    # sums of turning beyond a half circle by far are seldom one chromosome, mostly two joined at their ends
    heading = np.unwrap(
        np.arctan2(*np.diff(ndimage.gaussian_filter1d(line, width / 2, axis=0, mode="nearest"), axis=0).T)
    )
    turn = max(0.0, float(np.ptp(heading)) - 3.4)
    # chromosomes stand upright: a short object that lies flat is mostly two short ones side by side
    flat = 0.5 * (mask.shape[1] > 1.1 * mask.shape[0] and 2.2 < area / width**2 < 5.5)
    block = max(0.0, _solidity(mask) - 0.75) * max(0.0, _breadth(mask) / width - 1.35)
    return float(
        np.exp(-3.5 * too_wide - 3 * too_thin - 8 * max(0.0, 0.985 - covered) - turn - flat - 8 * block)
    )


def _outline(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.concatenate(contours)


def _solidity(mask: np.ndarray) -> float:
    """Share of the convex hull that is filled: low for one bent chromosome, high for two straight
    neighbours."""
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(_outline(mask)), 1)
    return float(mask.sum() / max(int(hull.sum()), 1))


def _breadth(mask: np.ndarray) -> float:
    """Shorter side of the smallest rectangle around a mask."""
    return min(cv2.minAreaRect(_outline(mask))[1]) + 1


def _pieces(mask: np.ndarray, ink: np.ndarray, width: float) -> np.ndarray:
    """Label image of an over-fine division along necks and pale valleys."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(np.where(mask, ink, 0), width / 8)
    height = distance / width + 1.2 * smooth / max(float(smooth.max()), 1e-6)
    markers = np.zeros(mask.shape, int)
    best = 0
    for level in np.linspace(0.15, 0.9, 16):
        span = float(height[mask].min()), float(height[mask].max())
        labels, n = ndimage.label(mask & (height > span[0] + level * (span[1] - span[0])))
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        keep = np.flatnonzero(sizes[1:] >= 0.15 * width**2) + 1
        if len(keep) > best:
            best = len(keep)
            markers = np.where(np.isin(labels, keep), labels, 0)
        if best >= 10:
            break
    return watershed(-height, markers, mask=mask) if best > 1 else mask.astype(int)


def _crop(mask: np.ndarray) -> np.ndarray:
    rows, columns = ndimage.find_objects(mask.astype(int))[0]
    return mask[rows, columns]


def _seams(mask: np.ndarray, ink: np.ndarray, width: float, most: int = 4) -> list[np.ndarray]:
    """Cuts from top to bottom along the palest way between neighbours: masks of what lies left of each.

    Dynamic programming over rows gives, for every pixel, the least ink on a way from the top through it to
    the
    bottom; ways through the best pixels of some rows are the candidates.
    """
    rows, columns = mask.shape
    smooth = ndimage.gaussian_filter(np.where(mask, ink, 0), (width / 5, width / 10))
    around = ndimage.gaussian_filter(smooth, (width / 5, 0.45 * width))
    valley = (smooth - around) / max(float(around[mask].mean()), 1e-6)
    cost = np.where(mask, np.clip(0.5 + valley, 0.06, 2.0), 0.03)

    def sweep(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, step = cost.copy(), np.zeros(cost.shape, int)
        for r in range(1, rows):
            before = np.pad(total[r - 1], 2, constant_values=np.inf)
            options = np.stack([before[2 + d : 2 + d + columns] + 0.03 * abs(d) for d in (-2, -1, 0, 1, 2)])
            step[r] = options.argmin(0) - 2
            total[r] += options.min(0)
        return total, step

    down, down_step = sweep(cost)
    up, up_step = sweep(cost[::-1])
    through = down + up[::-1] - cost
    share = np.cumsum(mask.sum(0)) / mask.sum()
    candidates = []
    for r in np.unique(np.linspace(0.2, 0.8, 4) * (rows - 1)).astype(int):
        line = through[r]
        lowest = np.flatnonzero(
            (line <= np.roll(line, 1)) & (line <= np.roll(line, -1)) & (share > 0.12) & (share < 0.88)
        )
        candidates += [(float(line[c]), r, c) for c in lowest]
    cuts, seen = [], set()
    for _, r, c in sorted(candidates)[: 4 * most]:
        path = np.zeros(rows, int)
        path[r] = c
        for i in range(r, 0, -1):
            path[i - 1] = path[i] + down_step[i, path[i]]
        for i in range(r, rows - 1):
            path[i + 1] = path[i] + up_step[rows - 1 - i, path[i]]
        left = mask & (np.arange(columns)[None] <= path[:, None])
        key = tuple(path[:: max(1, rows // 6)] // max(1, int(width / 3)))
        if key not in seen and min(left.sum(), (mask & ~left).sum()) > 0.7 * width**2:
            seen.add(key)
            cuts.append(left)
    return cuts[:most]


def _straight_cuts(mask: np.ndarray, ink: np.ndarray, width: float, most: int = 3) -> list[np.ndarray]:
    """Straight, nearly upright cuts with the shortest and palest way through the mask: what lies left of
    each.

    Where neighbours overlap along their whole length there is no pale valley to follow.
    """
    rows, columns = np.nonzero(mask)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    wide, options = right - left, []
    at = np.arange(mask.shape[0])
    smooth = ndimage.gaussian_filter(np.where(mask, ink, 0), width / 10)
    for upper in np.linspace(0.2, 0.8, 9):
        for lower in np.linspace(0.2, 0.8, 9):
            line = left + wide * np.interp(at, [top, bottom], [upper, lower])
            part = mask & (np.arange(mask.shape[1])[None] <= line[:, None])
            share = part.sum() / len(rows)
            if not 0.25 < share < 0.75:
                continue
            column = np.clip(np.round(line).astype(int), 0, mask.shape[1] - 1)
            way = mask[at, column]
            dark = (smooth[at, column] * way).sum() / max(float(smooth[mask].mean()), 1e-6) + 0.5 * way.sum()
            options.append((float(dark) * (1 + abs(share - 0.5)), part))
    options.sort(key=lambda option: option[0])
    return [part for _, part in options[:most]]


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    return mask if n < 2 else labels == np.bincount(labels.ravel())[1:].argmax() + 1


def _agglomerate(mask: np.ndarray, ink: np.ndarray, width: float, enough: float) -> list[np.ndarray]:
    """Watershed pieces, joined again wherever their union may be one chromosome."""
    labels = _pieces(mask, ink, width)
    masks = {frozenset([int(i)]): labels == i for i in np.unique(labels[labels > 0])}
    members = list(masks)
    scores: dict[frozenset[int], float] = {}

    def score(group: frozenset[int]) -> float:
        if group not in scores:
            scores[group] = singleness(_crop(masks[group]), width)
        return scores[group]

    while len(members) > 1:
        options = []
        for a, b in combinations(members, 2):
            union = a | b
            if union not in masks:
                joined = masks[a] | masks[b]
                if ndimage.label(joined, np.ones((3, 3)))[1] > 1:
                    continue
                masks[union] = joined
            small = min(masks[a].sum(), masks[b].sum()) < 1.1 * width**2
            if small or score(union) >= enough:
                options.append((score(union) - min(score(a), score(b)) + 0.35 * small, a, b))
        if not options:
            break
        _, a, b = max(options, key=lambda option: option[0])
        members = [m for m in members if m not in (a, b)] + [a | b]
    return [masks[m] for m in members]


def part_touching(
    mask: np.ndarray, ink: np.ndarray, width: float, enough: float = 0.75, depth: int = 3
) -> list[np.ndarray]:
    """Divide a mask into chromosomes.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        One connected object.
    ink : ndarray of float, shape (H, W)
        Darkness, 0 to 1.
    width : float
        Width of an average chromosome of the page, in pixels.
    enough : float
        A mask whose `singleness` is at least this is left whole.
    depth : int
        How often the parts may be divided again.

    Returns
    -------
    list of ndarray of bool, shape (H, W)
        One mask a chromosome; the mask itself where it cannot be divided better.
    """
    whole = singleness(_crop(mask), width)
    if whole >= enough or depth == 0:
        return [mask]
    cuts = [*_seams(mask, ink, width), *_straight_cuts(mask, ink, width)]
    options = [[_largest(left), _largest(mask & ~left)] for left in cuts]
    options.append(_agglomerate(mask, ink, width, enough))
    scored = [
        (min(singleness(_crop(m), width) for m in parts) + 0.05 * (len(parts) == 2), parts)
        for parts in options
    ]
    best, parts = max(scored, key=lambda option: option[0])
    if len(parts) < 2 or best <= whole + 0.05:
        return [mask]
    return [piece for part in parts for piece in part_touching(part, ink, width, 0.6 * enough, depth - 1)]
