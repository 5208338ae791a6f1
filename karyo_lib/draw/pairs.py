"""Per-pair augmentation and the compact layout of the thesis (section 5.3), on any page whose chromosomes are
known: lifted off by their label image, changed or moved, and laid on the page's own background. Works on
drawn, composed and scanned pages alike, dark on light or bright on dark."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from karyo_lib.shape.boxes import BOX, smooth_paper

# Pixels by which a chromosome's mask grows when it is lifted, so that its blurred rim comes with it.
_RIM = 2
# Share of the page's longer side by which a mask may be too small: a finder's masks often are, and ink left
# standing shows as the ghost of a chromosome that was moved.
_REACH = 0.008
_SQUARE = np.ones((3, 3), np.uint8)


class Patch(NamedTuple):
    drop: np.ndarray  # float32 (h, w): difference to the background, in grey levels; 0 outside
    mask: np.ndarray  # bool, shape (h, w)
    x: int  # corner of both on the page, in pixels
    y: int


def lift_chromosomes(
    image: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[Patch | None]]:
    """Part a page into its background, with grain where chromosomes stood, and a patch for every chromosome
    of ``labels`` (i + 1 for chromosome i), None where it has no pixel. A mask brings its blurred rim with it,
    and ink that joins it where it is drawn too small."""
    page = image.astype(np.float32)
    reach = max(_RIM, round(_REACH * max(image.shape)))
    smooth, grain = _background(page, _grow(labels > 0, reach))
    owner, covered = _own_ink(np.abs(page - smooth), labels, reach, grain)
    noise = rng.choice(grain, page.shape) if len(grain) else 0
    ground = np.where(covered, smooth + noise, page).astype(np.float32)
    margin = reach + 1
    patches: list[Patch | None] = []
    for number, place in enumerate(ndimage.find_objects(labels.astype(np.int32), max_label=count)):
        if place is None:
            patches.append(None)
            continue
        top, left = (max(side.start - margin, 0) for side in place)
        bottom, right = (min(side.stop + margin, end) for side, end in zip(place, labels.shape, strict=True))
        window = np.s_[top:bottom, left:right]
        drop = np.where(covered[window] & (owner[window] == number + 1), smooth[window] - page[window], 0)
        patches.append(Patch(drop.astype(np.float32), labels[window] == number + 1, left, top))
    return ground, patches


def _background(page: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the even background under the whole page, and the grain that lies on it."""
    typical = float(np.median(page[~covered])) if (~covered).any() else 255.0
    # Print and dust differ from the paper as chromosomes do: they stay, but tell nothing about the
    # background.
    clear = ~covered & (np.abs(page - typical) < 40)
    smooth = smooth_paper(page, clear, typical)
    return smooth, (page - smooth)[clear]


def _own_ink(
    contrast: np.ndarray, labels: np.ndarray, reach: int, grain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest chromosome of every pixel, and which pixels are lifted."""
    spread = 1.4826 * float(np.median(np.abs(grain))) if len(grain) else 0.0
    ink = contrast > max(10.0, 3 * spread)
    grown = labels > 0
    for _ in range(reach):
        grown |= _grow(grown, 1) & ink
    # One pixel more: the softest edge of the ink is fainter than any threshold.
    covered = _grow(labels > 0, _RIM) | _grow(grown, 1)
    rows, columns = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return labels[rows, columns], covered


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), _SQUARE, iterations=pixels) > 0


_GAP = 3  # pixels left between chromosomes and rows of a compact page; smaller gaps stay as they are


@dataclass(frozen=True)
class PairSettings:
    """How strongly homologues are changed within their slots."""

    bend: float = 0.05  # standard deviation of the bow, as a share of the chromosome's length
    rotate: float = 6.0  # standard deviation of the rotation in degrees
    mirror: float = 0.5  # share of chromosomes that are mirrored left to right
    # Share of a chromosome that may come to lie on another one; a change that needs more is halved, then
    # dropped.
    overlap: float = 0.03


@dataclass(frozen=True, eq=False)
class PairPage:
    image: np.ndarray  # uint8, shape (H, W)
    chromosomes: pd.DataFrame  # the table given, its boxes brought up to date
    labels: np.ndarray  # int16, shape (H, W); 0 background, i + 1 for row i of `chromosomes`


def augment_pairs(
    image: np.ndarray,
    chromosomes: pd.DataFrame,
    labels: np.ndarray,
    rng: np.random.Generator,
    settings: PairSettings | None = None,
) -> PairPage:
    """Bend, rotate and mirror each chromosome (a row with `x0`, `y0`, `x1`, `y1`; i + 1 in ``labels``) where
    it stands; print and annotations stay."""
    _check(image, chromosomes, labels)
    settings = settings or PairSettings()
    ground, lifted = lift_chromosomes(image, labels, len(chromosomes), rng)
    drop = np.zeros(image.shape, np.float32)
    new_labels = np.zeros(labels.shape, np.int16)
    boxes = chromosomes[BOX].to_numpy(float, copy=True)
    for number, patch in enumerate(lifted):
        if patch is None:
            continue
        move = _Move.draw(patch, settings, rng)
        occupied = (labels > number + 1) | (new_labels > 0)
        for _ in range(3):
            moved = move.apply(patch)
            _, mask, x, y = moved
            at = occupied[max(y, 0) : y + mask.shape[0], max(x, 0) : x + mask.shape[1]]
            inside = mask[max(-y, 0) : max(-y, 0) + at.shape[0], max(-x, 0) : max(-x, 0) + at.shape[1]]
            if (at & inside).sum() <= settings.overlap * mask.sum() and inside.sum() == mask.sum():
                break
            move = move.halved()
        else:
            moved = patch
        boxes[number] = _lay(drop, new_labels, moved, number)
    return PairPage(_expose(ground, drop), _with_boxes(chromosomes, boxes), new_labels)


def compact_page(
    image: np.ndarray,
    chromosomes: pd.DataFrame,
    labels: np.ndarray,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> PairPage:
    """Close the blank gaps between chromosomes and between rows, and scale the page to ``size``, without
    distortion; print and annotations are left out."""
    _check(image, chromosomes, labels)
    ground, lifted = lift_chromosomes(image, labels, len(chromosomes), rng)
    present = [i for i, patch in enumerate(lifted) if patch is not None]
    if not present:
        raise ValueError("Expected a label image with at least one chromosome. Received none.")
    boxes = chromosomes[BOX].to_numpy(float, copy=True)
    corners, width, height = _pack(boxes, lifted, _rows(boxes, present))
    drop = np.zeros((height, width), np.float32)
    new_labels = np.zeros((height, width), np.int16)
    for number, (x, y) in corners.items():
        boxes[number] = _lay(drop, new_labels, lifted[number]._replace(x=x, y=y), number)
    paper = float(np.median(ground))
    grain = (ground - cv2.blur(ground, (9, 9))).ravel()
    grain = grain[np.abs(grain) < 20]
    page = _expose(paper + rng.choice(grain, (height, width)).astype(np.float32), drop)
    page, new_labels, boxes = _fit(page, new_labels, boxes, size, round(paper))
    return PairPage(page, _with_boxes(chromosomes, boxes), new_labels)


@dataclass(frozen=True)
class _Move:
    """Mirror, bow and rotation about the middle of a patch."""

    centre: tuple[float, float]
    height: float
    mirror: bool
    bow: float
    turn: float

    @classmethod
    def draw(cls, patch: Patch, settings: PairSettings, rng: np.random.Generator) -> "_Move":
        rows, columns = patch.mask.shape
        mirror = bool(rng.random() < settings.mirror)
        bow, turn = float(settings.bend * rng.standard_normal()), float(rng.standard_normal())
        return cls(
            (columns / 2, rows / 2), float(rows), mirror, bow, float(np.radians(settings.rotate) * turn)
        )

    def halved(self) -> "_Move":
        return replace(self, bow=self.bow / 2, turn=self.turn / 2)

    def apply(self, patch: Patch) -> Patch:
        if not (self.mirror or self.bow or self.turn):
            return patch
        rows, columns = patch.mask.shape
        grow = int(np.ceil(abs(self.bow) * rows + abs(np.sin(self.turn)) * max(rows, columns) / 2)) + 1
        x = np.arange(columns + 2 * grow)[None, :] + 0.5 - grow - self.centre[0]
        y = np.arange(rows + 2 * grow)[:, None] + 0.5 - grow - self.centre[1]
        sin, cos = np.sin(-self.turn), np.cos(-self.turn)
        u, v = x * cos - y * sin, x * sin + y * cos
        u = u - self._bow_at(v)
        map_x = ((-u if self.mirror else u) + self.centre[0] - 0.5).astype(np.float32)
        map_y = (v + self.centre[1] - 0.5).astype(np.float32)
        drop = cv2.remap(patch.drop, map_x, map_y, cv2.INTER_LINEAR)
        mask = cv2.remap(patch.mask.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR) > 0.5
        return Patch(drop, mask, patch.x - grow, patch.y - grow)

    def _bow_at(self, v: np.ndarray) -> np.ndarray:
        return self.bow * self.height * (np.square(2 * v / self.height) - 1 / 3)


def _check(image: np.ndarray, chromosomes: pd.DataFrame, labels: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype != np.uint8 or image.shape != labels.shape:
        told = f"{image.dtype} {image.shape} and {labels.shape}"
        raise ValueError(
            f"Expected a uint8 page (H, W) and a label image of the same shape. Received {told}."
        )
    if missing := set(BOX) - set(chromosomes.columns):
        raise ValueError(f"Expected columns {BOX} of chromosomes. Received none named {sorted(missing)}.")
    if (most := labels.max(initial=0)) > len(chromosomes):
        rows = len(chromosomes)
        raise ValueError(f"Expected labels up to {rows}, one a row of the table. Received {most}.")


def _lay(drop: np.ndarray, labels: np.ndarray, patch: Patch, number: int) -> tuple[int, int, int, int]:
    """Add a chromosome to a page of differences, the stronger one shows where two lie; return its box."""
    ink, mask, x, y = patch
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    box = (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)
    height, width = drop.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    ink, mask = ink[y0 - y : y1 - y, x0 - x : x1 - x], mask[y0 - y : y1 - y, x0 - x : x1 - x]
    target = drop[y0:y1, x0:x1]
    stronger = np.abs(ink) > np.abs(target)
    target[stronger] = ink[stronger]
    labels[y0:y1, x0:x1][mask] = number + 1
    return box


def _with_boxes(chromosomes: pd.DataFrame, boxes: np.ndarray) -> pd.DataFrame:
    return chromosomes.assign(**dict(zip(BOX, boxes.T, strict=True)))


def _rows(boxes: np.ndarray, present: list[int]) -> list[list[int]]:
    """Chromosomes row by row, each from left to right."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    order = np.argsort(y[present], kind="stable")
    jump = 0.5 * float(np.median((boxes[:, 3] - boxes[:, 1])[present]))
    steps = np.concatenate([[0], np.cumsum(np.diff(y[present][order]) > jump)])
    rows: dict[int, list[int]] = {}
    for i, row in zip(np.array(present)[order].tolist(), steps.tolist(), strict=True):
        rows.setdefault(row, []).append(i)
    return [sorted(row, key=lambda i: x[i]) for row in rows.values()]


def _pack(
    boxes: np.ndarray, lifted: list[Patch | None], rows: list[list[int]]
) -> tuple[dict[int, tuple[int, int]], int, int]:
    """New corners of the patches, and the width and height of the compact page."""
    corners: dict[int, tuple[int, int]] = {}
    top, widest = _GAP, 0
    for row in rows:
        first = min(boxes[i, 1] for i in row)
        x, before = float(_GAP), None
        for i in row:
            if before is not None:
                x += min(boxes[i, 0] - before, _GAP)
            corners[i] = (round(x - boxes[i, 0]) + lifted[i].x, round(top - first) + lifted[i].y)
            x, before = x + boxes[i, 2] - boxes[i, 0], boxes[i, 2]
        widest = max(widest, int(np.ceil(x)) + _GAP)
        top += int(np.ceil(max(boxes[i, 3] for i in row) - first)) + _GAP
    return corners, widest, top


def _fit(
    page: np.ndarray, labels: np.ndarray, boxes: np.ndarray, size: tuple[int, int], paper: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale a compact page into a page of `size`, in its middle."""
    height, width = page.shape
    zoom = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    place = np.s_[y : y + inner[1], x : x + inner[0]]
    image, new_labels = np.full(size[::-1], paper, np.uint8), np.zeros(size[::-1], np.int16)
    image[place] = cv2.resize(page, inner, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    new_labels[place] = cv2.resize(labels, inner, interpolation=cv2.INTER_NEAREST)
    scale = np.array([inner[0] / width, inner[1] / height] * 2)
    return image, new_labels, boxes * scale + [x, y, x, y]


def _expose(ground: np.ndarray, drop: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(ground - drop), 0, 255).astype(np.uint8)
