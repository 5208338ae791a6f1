"""Per-pair augmentation and the compact layout of the thesis (section 5.3), on any page whose chromosomes
are known.

The chromosomes are lifted off their page by their label image, changed or moved, and laid on the page's own
background. Works on drawn, composed and scanned pages alike, dark on light or bright on dark.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from karyo_lib.draw.lift import Patch, lift_chromosomes
from karyo_lib.draw.styles import PLAIN_ROWS

_BOX = ["x0", "y0", "x1", "y1"]
_CHANGE = ["change_x0", "change_y0", "change_x1", "change_y1"]
_CENTROMERE = ["centromere_x", "centromere_y"]
_ROW_OF_SLOT = {name: number for number, row in enumerate(PLAIN_ROWS) for name in row} | {"mar": 3}


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
    """A page whose chromosomes were changed or moved."""

    image: np.ndarray  # uint8, shape (H, W)
    # The table given, with boxes (and centromeres, changed regions and angles, where it has them) brought up
    # to date.
    chromosomes: pd.DataFrame
    labels: np.ndarray  # int16, shape (H, W); 0 background, i + 1 for row i of `chromosomes`


def augment_pairs(
    image: np.ndarray,
    chromosomes: pd.DataFrame,
    labels: np.ndarray,
    rng: np.random.Generator,
    settings: PairSettings | None = None,
) -> PairPage:
    """Bend, rotate and mirror each chromosome where it stands; print and annotations stay.

    ``image``: uint8, shape (H, W); ``chromosomes``: one row a chromosome with `x0`, `y0`, `x1`, `y1` in
    pixels; ``labels`` (int, shape (H, W)): 0 background, i + 1 for row i of `chromosomes`. Returns of the
    same size.
    """
    _check(image, chromosomes, labels)
    settings = settings or PairSettings()
    ground, lifted = lift_chromosomes(image, labels, len(chromosomes), rng)
    drop = np.zeros(image.shape, np.float32)
    new_labels = np.zeros(labels.shape, np.int16)
    table = _Table(chromosomes)
    for number, patch in enumerate(lifted):
        if patch is None:
            continue
        move = _Move.draw(patch, settings, rng)
        occupied = (labels > number + 1) | (new_labels > 0)
        for _ in range(3):
            ink, mask, x, y = move.apply(patch)
            at = occupied[max(y, 0) : y + mask.shape[0], max(x, 0) : x + mask.shape[1]]
            inside = mask[max(-y, 0) : max(-y, 0) + at.shape[0], max(-x, 0) : max(-x, 0) + at.shape[1]]
            if (at & inside).sum() <= settings.overlap * mask.sum() and inside.sum() == mask.sum():
                break
            move = move.halved()
        else:
            move = _Move.none(patch)
            ink, mask, x, y = move.apply(patch)
        _lay(drop, new_labels, ink, mask, x, y, number)
        table.update(number, patch, mask, x, y, move)
    return PairPage(_expose(ground, drop), table.frame(), new_labels)


def compact_page(
    image: np.ndarray,
    chromosomes: pd.DataFrame,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    gap: int = 3,
    size: tuple[int, int] | None = None,
) -> PairPage:
    """Close the blank gaps between chromosomes and between rows; print and annotations are left out.

    ``image``, ``chromosomes``, ``labels``: as in :func:`augment_pairs`. A `slot` column tells the rows;
    without it they are found from the heights at which chromosomes stand. ``rng`` (numpy.random.Generator):
    only for the grain of the background. ``gap``: pixels left between chromosomes and between rows; gaps that
    are smaller stay as they are. ``size``: width and height to which the compact page is scaled, without
    distortion; its own size by default.
    """
    _check(image, chromosomes, labels)
    ground, lifted = lift_chromosomes(image, labels, len(chromosomes), rng)
    present = [i for i, patch in enumerate(lifted) if patch is not None]
    if not present:
        raise ValueError("Expected a label image with at least one chromosome. Received none.")
    corners, width, height = _pack(chromosomes, lifted, _rows(chromosomes, present), gap)
    drop = np.zeros((height, width), np.float32)
    new_labels = np.zeros((height, width), np.int16)
    table = _Table(chromosomes)
    for number, (x, y) in corners.items():
        patch = lifted[number]
        move = _Move.none(patch)
        ink, mask, _, _ = move.apply(patch)
        _lay(drop, new_labels, ink, mask, x, y, number)
        table.update(number, patch, mask, x, y, move)
    paper = float(np.median(ground))
    grain = (ground - cv2.blur(ground, (9, 9))).ravel()
    grain = grain[np.abs(grain) < 20]
    page = _expose(paper + rng.choice(grain, (height, width)).astype(np.float32), drop)
    if size is None:
        return PairPage(page, table.frame(), new_labels)
    return _fit(page, table.frame(), new_labels, size, round(paper))


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
        return cls(
            (columns / 2, rows / 2),
            float(rows),
            bool(rng.random() < settings.mirror),
            float(settings.bend * rng.standard_normal()),
            float(np.radians(settings.rotate) * rng.standard_normal()),
        )

    @classmethod
    def none(cls, patch: Patch) -> "_Move":
        rows, columns = patch.mask.shape
        return cls((columns / 2, rows / 2), float(rows), False, 0.0, 0.0)

    def halved(self) -> "_Move":
        return _Move(self.centre, self.height, self.mirror, self.bow / 2, self.turn / 2)

    def points(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points of the patch go, relative to its corner."""
        u, v = x - self.centre[0], y - self.centre[1]
        u = (-u if self.mirror else u) + self._bow_at(v)
        sin, cos = np.sin(self.turn), np.cos(self.turn)
        return u * cos - v * sin + self.centre[0], u * sin + v * cos + self.centre[1]

    def apply(self, patch: Patch) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Return the moved difference and mask, and the corner of both on the page."""
        if not (self.mirror or self.bow or self.turn):
            return patch.drop, patch.mask, patch.x, patch.y
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
        return drop, mask, patch.x - grow, patch.y - grow

    def _bow_at(self, v: np.ndarray) -> np.ndarray:
        return self.bow * self.height * (np.square(2 * v / self.height) - 1 / 3)


def _check(image: np.ndarray, chromosomes: pd.DataFrame, labels: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype != np.uint8 or image.shape != labels.shape:
        raise ValueError(
            "Expected a uint8 page (H, W) and a label image of the same shape. "
            f"Received {image.dtype} {image.shape} and {labels.shape}."
        )
    missing = set(_BOX) - set(chromosomes.columns)
    if missing:
        raise ValueError(
            f"Expected columns {_BOX} in the chromosomes table. Received none named {sorted(missing)}."
        )
    if labels.max(initial=0) > len(chromosomes):
        raise ValueError(
            f"Expected labels up to {len(chromosomes)}, one a row of the table. Received {int(labels.max())}."
        )


def _lay(
    drop: np.ndarray, labels: np.ndarray, ink: np.ndarray, mask: np.ndarray, x: int, y: int, number: int
) -> None:
    """Add a chromosome to a page of differences; where two lie on one another the stronger shows."""
    height, width = drop.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    ink, mask = ink[y0 - y : y1 - y, x0 - x : x1 - x], mask[y0 - y : y1 - y, x0 - x : x1 - x]
    target = drop[y0:y1, x0:x1]
    stronger = np.abs(ink) > np.abs(target)
    target[stronger] = ink[stronger]
    labels[y0:y1, x0:x1][mask] = number + 1


class _Table:
    """The numbers of a chromosome table that change when chromosomes move."""

    def __init__(self, chromosomes: pd.DataFrame):
        self._table = chromosomes
        names = [name for name in (*_BOX, *_CENTROMERE, *_CHANGE, "angle") if name in chromosomes.columns]
        self._values = {name: chromosomes[name].to_numpy(float).copy() for name in names}

    def frame(self) -> pd.DataFrame:
        return self._table.assign(**self._values)

    def update(self, number: int, patch: Patch, mask: np.ndarray, x: int, y: int, move: _Move) -> None:
        """Note that a patch was moved so that its mask now has its corner at x, y."""
        values = self._values
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        box = (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)
        for name, value in zip(_BOX, box, strict=True):
            values[name][number] = value
        # The patch has grown by the same margin on both sides.
        shift = np.array([x, y]) + (np.array(mask.shape[::-1]) - patch.mask.shape[::-1]) / 2
        if _CENTROMERE[0] in values and _CENTROMERE[1] in values:
            point = np.array([values[name][number] for name in _CENTROMERE]) - (patch.x, patch.y)
            for name, value in zip(_CENTROMERE, move.points(*point) + shift, strict=True):
                values[name][number] = value
        if all(name in values for name in _CHANGE):
            x0, y0, x1, y1 = (values[name][number] for name in _CHANGE)
            corners = np.array([[x0, x1, x0, x1], [y0, y0, y1, y1]]) - np.array([[patch.x], [patch.y]])
            moved = np.array(move.points(*corners)) + shift[:, None]
            for name, value in zip(_CHANGE, (*moved.min(1), *moved.max(1)), strict=True):
                values[name][number] = value
        if "angle" in values:
            values["angle"][number] *= -1 if move.mirror else 1
            values["angle"][number] += np.degrees(move.turn)


def _rows(chromosomes: pd.DataFrame, present: list[int]) -> list[list[int]]:
    """Chromosomes row by row, each from left to right."""
    x = (chromosomes["x0"] + chromosomes["x1"]).to_numpy(float) / 2
    if "slot" in chromosomes.columns:
        key = chromosomes["slot"].map(_ROW_OF_SLOT).fillna(3).to_numpy(int)
    else:
        y = (chromosomes["y0"] + chromosomes["y1"]).to_numpy(float) / 2
        order = np.argsort(y[present], kind="stable")
        jump = 0.5 * float(np.median((chromosomes["y1"] - chromosomes["y0"]).to_numpy(float)[present]))
        steps = np.concatenate([[0], np.cumsum(np.diff(y[present][order]) > jump)])
        key = np.zeros(len(chromosomes), int)
        key[np.array(present)[order]] = steps
    rows: dict[int, list[int]] = {}
    for i in sorted(present, key=lambda i: (key[i], x[i])):
        rows.setdefault(int(key[i]), []).append(i)
    return [rows[k] for k in sorted(rows)]


def _pack(
    chromosomes: pd.DataFrame, lifted: list[Patch | None], rows: list[list[int]], gap: int
) -> tuple[dict[int, tuple[int, int]], int, int]:
    """New corners of the patches, and the width and height of the compact page."""
    corners: dict[int, tuple[int, int]] = {}
    boxes = chromosomes[_BOX].to_numpy(float)
    top, widest = gap, 0
    for row in rows:
        first = min(boxes[i, 1] for i in row)
        x, before = float(gap), None
        for i in row:
            if before is not None:
                x += min(boxes[i, 0] - before, gap)
            corners[i] = (round(x - boxes[i, 0]) + lifted[i].x, round(top - first) + lifted[i].y)
            x, before = x + boxes[i, 2] - boxes[i, 0], boxes[i, 2]
        widest = max(widest, int(np.ceil(x)) + gap)
        top += int(np.ceil(max(boxes[i, 3] for i in row) - first)) + gap
    return corners, widest, top


def _fit(
    page: np.ndarray, table: pd.DataFrame, labels: np.ndarray, size: tuple[int, int], paper: int
) -> PairPage:
    """Scale a compact page into a page of `size`, in its middle."""
    height, width = page.shape
    zoom = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    image = np.full((size[1], size[0]), paper, np.uint8)
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    image[y : y + inner[1], x : x + inner[0]] = cv2.resize(page, inner, interpolation=method)
    new_labels = np.zeros(image.shape, np.int16)
    new_labels[y : y + inner[1], x : x + inner[0]] = cv2.resize(
        labels, inner, interpolation=cv2.INTER_NEAREST
    )
    for columns, scale, shift in (("x", inner[0] / width, x), ("y", inner[1] / height, y)):
        names = [
            n
            for n in (*_BOX, *_CENTROMERE, *_CHANGE)
            if n in table.columns and n.rstrip("01").endswith(columns)
        ]
        table[names] = table[names].astype(float) * scale + shift
    return PairPage(image, table, new_labels)


def _expose(ground: np.ndarray, drop: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(ground - drop), 0, 255).astype(np.uint8)
