"""A chromosome cut-out, bent or not, becomes a straight strip of fixed size.

Grey values are read along perpendiculars to the centreline that :mod:`karyo_lib.shape.centreline` finds.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from karyo_lib.shape.centreline import chromosome_mask, find_centreline, path_length

STRIP_LENGTH = 112
STRIP_WIDTH = 20
#: Width of an average chromosome, in pixels, to which cells are scaled before they are straightened.
CHROMOSOME_WIDTH = 14.0
#: Distance of neighbouring strip columns in pixels of the scaled cell: a strip is 22 pixels wide.
COLUMN_SPACING = 1.1


@dataclass(frozen=True)
class Strip:
    """A straightened chromosome."""

    # Float32, shape (STRIP_LENGTH, STRIP_WIDTH); ink: 0 where there is background, growing with darkness up
    # to 1; first row is the upper end.
    image: np.ndarray
    length: float  # length of the centreline, mean width, and mask area in pixels of the cut-out given
    width: float
    area: float
    # Float32, shape (n, 2); (row, column) in the cut-out, from the upper end to the lower end.
    centreline: np.ndarray

    @property
    def profile(self) -> np.ndarray:
        """Mean ink across the chromosome, shape (STRIP_LENGTH,), where there is any."""
        inked = self.image > 0.02
        return (self.image * inked).sum(1) / np.maximum(inked.sum(1), 1)


def mask_width(mask: np.ndarray) -> float:
    """Width of an elongated object: four times the mean distance to its outline."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    return float(4 * distance[distance > 0].mean())


def straighten(image: np.ndarray, mask: np.ndarray | None = None, scale: float = 1.0) -> Strip:
    """Straighten a chromosome along its centreline.

    ``image`` (uint8, shape (H, W)): cut-out on a white background (255); ``mask`` (bool, shape (H, W)): where
    the chromosome is; the largest inked object by default; ``scale``: pixels of the cut-out that make a pixel
    of a cell with chromosomes ``CHROMOSOME_WIDTH`` wide: the strip keeps thickness relative to the cell,
    while length is normalised (and returned).
    """
    mask = chromosome_mask(image) if mask is None else np.asarray(mask, bool)
    zoom = float(np.clip(3.0 / scale, 1.0, 4.0)) if scale < 0.8 else 1.0
    if zoom > 1:  # a chromosome a few pixels wide has no usable medial axis on its own grid
        mask = ndimage.zoom(mask.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest") > 0.5
        image = np.clip(
            ndimage.zoom(image.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest"), 0, 255
        )
        scale = scale * zoom
    if not mask.any():
        raise ValueError("Expected a mask with at least one pixel. Received an empty mask.")
    line = find_centreline(mask)
    along = path_length(line)
    rows = np.linspace(0, along[-1], STRIP_LENGTH)
    centres = np.stack([np.interp(rows, along, line[:, i]) for i in (0, 1)], 1)
    tangent = np.gradient(ndimage.gaussian_filter1d(centres, 2.0, axis=0, mode="nearest"), axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T)[:, None], 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    offsets = (np.arange(STRIP_WIDTH) - (STRIP_WIDTH - 1) / 2) * COLUMN_SPACING * scale
    points = centres[:, None] + offsets[None, :, None] * normal[:, None]
    ink = np.where(ndimage.binary_dilation(mask), 1 - image.astype(np.float32) / 255, 0.0)
    if scale > 1.5:
        ink = ndimage.gaussian_filter(ink, 0.4 * scale)
    strip = ndimage.map_coordinates(ink, points.reshape(-1, 2).T, order=1, cval=0.0).reshape(len(rows), -1)
    area = float(mask.sum())
    return Strip(
        image=strip.astype(np.float32),
        length=float(along[-1]) / zoom,
        width=area / max(float(along[-1]), 1.0) / zoom,
        area=area / zoom**2,
        centreline=(line / zoom).astype(np.float32),
    )
