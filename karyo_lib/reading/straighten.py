"""A chromosome cut-out, bent or not, becomes a straight strip of fixed size.

The centreline is the minimum-cost path between the two ends of the mask that are farthest apart inside it,
where
staying far from the outline is cheap (a medial axis without side branches). Its ends, which run into
corners of the
outline, are replaced by straight extrapolations. Grey values are then read along perpendiculars to it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import splev, splprep
from skimage.graph import MCP_Geometric

STRIP_LENGTH = 112
STRIP_WIDTH = 20
#: Width of an average chromosome, in pixels, to which cells are scaled before they are straightened.
CHROMOSOME_WIDTH = 14.0
#: Distance of neighbouring strip columns in pixels of the scaled cell: a strip is 22 pixels wide.
_COLUMN_SPACING = 1.1
#: Below this ratio of length to width the medial path mostly follows corners, and the principal axis is
#: safer.
_SHORT = 2.4


@dataclass(frozen=True)
class Strip:
    """A straightened chromosome.

    Attributes
    ----------
    image : ndarray of float32, shape (STRIP_LENGTH, STRIP_WIDTH)
        Ink: 0 where there is background, growing with darkness up to 1; first row is the upper end.
    length, width, area : float
        Length of the centreline, mean width, and mask area in pixels of the cut-out given.
    centreline : ndarray of float32, shape (n, 2)
        (row, column) in the cut-out, from the upper end to the lower end.
    """

    image: np.ndarray
    length: float
    width: float
    area: float
    centreline: np.ndarray

    @property
    def profile(self) -> np.ndarray:
        """Mean ink across the chromosome, shape (STRIP_LENGTH,), where there is any."""
        inked = self.image > 0.02
        return (self.image * inked).sum(1) / np.maximum(inked.sum(1), 1)


def chromosome_mask(image: np.ndarray) -> np.ndarray:
    """Mask, shape (H, W) bool, of the largest inked object of a cut-out on white."""
    labels, n = ndimage.label(image < 250, structure=np.ones((3, 3)))
    if n == 0:
        raise ValueError("Expected a cut-out with a chromosome on white. Received an image without ink.")
    if n > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        labels = labels == sizes.argmax()
    return ndimage.binary_fill_holes(labels)


def mask_width(mask: np.ndarray) -> float:
    """Width of an elongated object: four times the mean distance to its outline."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    return float(4 * distance[distance > 0].mean())


def _principal_axis(points: np.ndarray, width: float) -> np.ndarray:
    centre = points.mean(0)
    values, vectors = np.linalg.eigh(np.cov((points - centre).T))
    # A nearly round object has no axis of its own: chromosomes stand upright on a page.
    axis = vectors[:, 1] if values[1] > 1.35 * values[0] else np.array([1.0, 0.0])
    along = (points - centre) @ axis
    return centre + np.linspace(along.min() + width / 3, along.max() - width / 3, 12)[:, None] * axis


def _farthest(mask: np.ndarray, start: tuple[int, int]) -> tuple[int, int]:
    costs, _ = MCP_Geometric(np.where(mask, 1.0, -1.0)).find_costs([start])
    costs[~np.isfinite(costs)] = -1
    return tuple(int(i) for i in np.unravel_index(costs.argmax(), costs.shape))


def _medial_path(mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    start = tuple(np.argwhere(mask)[0])
    first = _farthest(mask, start)
    second = _farthest(mask, first)
    cost = np.where(mask, 1.0 / np.maximum(distance, 0.5) ** 2, -1.0)
    paths = MCP_Geometric(cost)
    paths.find_costs([first], [second])
    return np.array(paths.traceback(second), float)


def _path_length(path: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def _reach(mask: np.ndarray, origin: np.ndarray, direction: np.ndarray, limit: float) -> float:
    """How far the mask goes on from ``origin`` in ``direction``."""
    steps = np.arange(0, limit, 0.5)
    points = origin + steps[:, None] * direction
    inside = ndimage.map_coordinates(mask.astype(np.float32), points.T, order=1, cval=0) > 0.5
    return float(steps[inside][-1]) if inside.any() else 0.0


def find_centreline(mask: np.ndarray) -> np.ndarray:
    """Smooth centreline of an elongated mask from its upper to its lower end.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    ndarray of float64, shape (n, 2)
        (row, column), about two points a pixel.
    """
    padded = np.pad(mask, 2)
    distance = ndimage.distance_transform_edt(padded)
    points = np.argwhere(padded)
    width = max(float(4 * distance[padded].mean()), 2.0)
    if len(points) / width**2 < _SHORT:
        path = _principal_axis(points.astype(float), width)
    else:
        path = _medial_path(padded, distance)
        along = _path_length(path)
        inner = (along > 0.55 * width) & (along < along[-1] - 0.55 * width)
        path = path[inner] if inner.sum() >= 5 else _principal_axis(points.astype(float), width)
    if path[0, 0] > path[-1, 0]:
        path = path[::-1]
    along = _path_length(path)
    smooth, _ = splprep(path.T, u=along, k=3, s=len(path) * (0.06 * width) ** 2)
    inner = np.linspace(0, along[-1], max(int(along[-1] * 2), 8))
    line = np.stack(splev(inner, smooth), 1)
    ends = []
    for end, towards in (
        (line[0], line[min(len(line) - 1, int(width))]),
        (line[-1], line[-1 - min(len(line) - 1, int(width))]),
    ):
        direction = (end - towards) / max(np.hypot(*(end - towards)), 1e-6)
        reach = _reach(padded, end, direction, 2.5 * width)
        ends.append(end + np.arange(0.5, max(reach, 0.6), 0.5)[:, None] * direction)
    return np.concatenate([ends[0][::-1], line, ends[1]]) - 2


def straighten(image: np.ndarray, mask: np.ndarray | None = None, scale: float = 1.0) -> Strip:
    """Straighten a chromosome along its centreline.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        Cut-out on a white background (255).
    mask : ndarray of bool, shape (H, W), optional
        Where the chromosome is; the largest inked object by default.
    scale : float, default 1
        Pixels of the cut-out that make a pixel of a cell with chromosomes ``CHROMOSOME_WIDTH`` wide: the
        strip
        keeps thickness relative to the cell, while length is normalised (and returned).

    Returns
    -------
    Strip
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
    along = _path_length(line)
    rows = np.linspace(0, along[-1], STRIP_LENGTH)
    centres = np.stack([np.interp(rows, along, line[:, i]) for i in (0, 1)], 1)
    tangent = np.gradient(ndimage.gaussian_filter1d(centres, 2.0, axis=0, mode="nearest"), axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T)[:, None], 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    offsets = (np.arange(STRIP_WIDTH) - (STRIP_WIDTH - 1) / 2) * _COLUMN_SPACING * scale
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
