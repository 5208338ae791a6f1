"""Objects of a cell become straight strips at one scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from karyo_lib.shape.centreline import chromosome_mask, find_centreline, mask_width, path_length

#: ISCN units (relative optical length) in one row of a strip.
ROW_UNITS = 125.0
#: Length of an average cell's median chromosome in rows: 7950 ISCN units.
MEDIAN_ROWS = 7950 / ROW_UNITS
#: Longest strip in rows, columns of a strip, and the columns that a cell's median chromosome is wide.
MOST_ROWS, COLUMNS, WIDTH_COLUMNS = 160, 24, 14.0
_MEAN_INK = 0.5


@dataclass(frozen=True)
class ScaledStrips:
    """Straightened chromosomes of one cell, or of several."""

    # Uint8, shape (n, MOST_ROWS, COLUMNS); ink, 128 on average inside the chromosomes of a cell, upper end in
    # the first row; rows beyond a chromosome's end are 0.
    images: np.ndarray
    rows: np.ndarray  # int, shape (n,); how many rows each chromosome has

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Sequence[int] | np.ndarray) -> "ScaledStrips":
        """The chromosomes with these positions."""
        chosen = np.asarray(chosen, int)
        return ScaledStrips(self.images[chosen], self.rows[chosen])

    def turned(self, upside_down: np.ndarray) -> "ScaledStrips":
        """The same with some, bool (n,), turned end to end."""
        images = self.images.copy()
        for i in np.flatnonzero(upside_down):
            images[i, : self.rows[i]] = images[i, : self.rows[i]][::-1]
        return ScaledStrips(images, self.rows)

    @classmethod
    def join(cls, parts: Sequence["ScaledStrips"]) -> "ScaledStrips":
        """Chromosomes of several cells."""
        return cls(np.concatenate([p.images for p in parts]), np.concatenate([p.rows for p in parts]))


@dataclass(frozen=True)
class Line:
    """An object's centreline, with its image and mask on the grid that it was found on."""

    ink: np.ndarray
    points: np.ndarray
    zoom: float
    width: float

    @property
    def length(self) -> float:
        """In pixels of the cut-out."""
        return float(path_length(self.points)[-1]) / self.zoom


def trace(image: np.ndarray, mask: np.ndarray) -> Line:
    """Find the centreline of an object; one that is only a few pixels wide is enlarged for it."""
    width = mask_width(mask)
    zoom = float(np.clip(12.0 / max(width, 1.0), 1.0, 4.0)) if width < 10 else 1.0
    image = image.astype(np.float32)
    if zoom > 1:
        mask = ndimage.zoom(mask.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest") > 0.5
        image = ndimage.zoom(image, zoom, order=1, grid_mode=True, mode="nearest")
    if not mask.any():
        raise ValueError("Expected a mask with at least one pixel. Received an empty mask.")
    ink = np.where(ndimage.binary_dilation(mask), 1 - np.clip(image, 0, 255) / 255, 0).astype(np.float32)
    return Line(ink, find_centreline(mask), zoom, width)


def _sample(line: Line, row: float, column: float) -> np.ndarray:
    """Ink along the perpendiculars, float32 (rows, COLUMNS); row and column in pixels of the cut-out."""
    along = path_length(line.points)
    count = int(np.clip(round(along[-1] / line.zoom / row), 4, MOST_ROWS))
    places = (np.arange(count) + 0.5) * along[-1] / count
    centres = np.stack([np.interp(places, along, line.points[:, i]) for i in (0, 1)], 1)
    smooth = ndimage.gaussian_filter1d(centres, max(1.0, 0.15 * WIDTH_COLUMNS), axis=0, mode="nearest")
    tangent = np.gradient(smooth, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T)[:, None], 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    offsets = (np.arange(COLUMNS) - (COLUMNS - 1) / 2) * column * line.zoom
    points = (centres[:, None] + offsets[None, :, None] * normal[:, None]).astype(np.float32)
    ink = line.ink
    if min(row, column) * line.zoom > 1.5:
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 * min(row, column) * line.zoom)
    return cv2.remap(ink, points[..., 1], points[..., 0], cv2.INTER_LINEAR)


def scale_strips(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None = None,
    reference: Sequence[int] | np.ndarray | None = None,
    expected_rows: np.ndarray | None = None,
) -> ScaledStrips:
    """Straighten the chromosomes of one cell at one scale.

    ``images`` (sequence of ndarray of uint8, each of shape (H, W)): cut-outs on white, all of one scale;
    ``masks`` (sequence of ndarray of bool): where each chromosome is; by default the largest inked object of
    each cut-out; ``reference`` (sequence of int): positions of the objects that set the cell's scale and mean
    ink; all by default; ``expected_rows`` (shape (n,)): rows that each chromosome has in an average cell,
    where classes are known (an incomplete cell): they set the scale, instead of the cell's median chromosome.
    """
    if len(images) == 0:
        return ScaledStrips(np.zeros((0, MOST_ROWS, COLUMNS), np.uint8), np.zeros(0, int))
    masks = [chromosome_mask(image) for image in images] if masks is None else masks
    chosen = np.arange(len(images)) if reference is None else np.asarray(reference, int)
    lines = [trace(image, np.asarray(mask, bool)) for image, mask in zip(images, masks, strict=True)]
    lengths = np.array([line.length for line in lines])
    if expected_rows is None:
        row = float(np.median(lengths[chosen])) / MEDIAN_ROWS
    else:
        row = float(np.median(lengths[chosen] / expected_rows[chosen]))
    column = float(np.median([lines[i].width for i in chosen])) / WIDTH_COLUMNS
    strips = [_sample(line, max(row, 1e-3), max(column, 1e-3)) for line in lines]
    ink = np.array([s[s > 0.02].mean() if (s > 0.02).any() else 0.02 for s in strips])
    level = 255 * _MEAN_INK / float(np.median(ink[chosen]))
    out = np.zeros((len(strips), MOST_ROWS, COLUMNS), np.uint8)
    for image, strip in zip(out, strips, strict=True):
        image[: len(strip)] = np.clip(strip * level, 0, 255).round()
    return ScaledStrips(out, np.array([len(s) for s in strips]))
