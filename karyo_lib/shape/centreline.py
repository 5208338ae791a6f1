"""The centreline of a chromosome cut-out, bent or not.

It is the cheapest path between the two ends of the mask that lie farthest apart inside it, where staying
far from the outline is cheap: a medial axis without side branches. Its ends, which run into corners of the
outline, are replaced by straight extrapolations.
"""

import numpy as np
from scipy import ndimage
from scipy.interpolate import splev, splprep
from skimage.graph import MCP_Geometric, route_through_array

# Below this ratio of length to width the medial path mostly follows corners, and the principal axis is safer.
_SHORT = 2.4


def mask_width(mask: np.ndarray) -> float:
    """Width of an elongated object: four times the mean distance to its outline."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    return float(4 * distance[distance > 0].mean())


def chromosome_mask(image: np.ndarray) -> np.ndarray:
    """Find the chromosome on a cut-out.

    ``image`` (uint8, shape (H, W)): white background. Returns bool, shape (H, W); the largest inked object,
    its holes filled. Raises ValueError if there is no ink.
    """
    labels, n = ndimage.label(image < 250, structure=np.ones((3, 3)))
    if n == 0:
        raise ValueError("Expected a cut-out with a chromosome on white. Received an image without ink.")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def find_centreline(mask: np.ndarray) -> np.ndarray:
    """Find the smooth centreline of an elongated mask from its upper to its lower end.

    ``mask`` (bool, shape (H, W)): one object. Returns float64, shape (n, 2); (row, column), about two points
    a pixel.
    """
    padded = np.pad(mask, 2)
    distance = ndimage.distance_transform_edt(padded)
    points = np.argwhere(padded)
    width = max(float(4 * distance[padded].mean()), 2.0)
    if len(points) / width**2 < _SHORT:
        path = _principal_axis(points.astype(float), width)
    else:
        path = _medial_path(padded, distance)
        along = path_length(path)
        inner = (along > 0.55 * width) & (along < along[-1] - 0.55 * width)
        path = path[inner] if inner.sum() >= 5 else _principal_axis(points.astype(float), width)
    if path[0, 0] > path[-1, 0]:
        path = path[::-1]
    along = path_length(path)
    spline, _ = splprep(path.T, u=along, k=3, s=len(path) * (0.06 * width) ** 2)
    line = np.stack(splev(np.linspace(0, along[-1], max(int(along[-1] * 2), 8)), spline), 1)
    back = min(len(line) - 1, int(width))
    ends = []
    for end, towards in ((line[0], line[back]), (line[-1], line[-1 - back])):
        direction = (end - towards) / max(np.hypot(*(end - towards)), 1e-6)
        reach = _reach(padded, end, direction, 2.5 * width)
        ends.append(end + np.arange(0.5, max(reach, 0.6), 0.5)[:, None] * direction)
    return np.concatenate([ends[0][::-1], line, ends[1]]) - 2


def _principal_axis(points: np.ndarray, width: float) -> np.ndarray:
    centre = points.mean(0)
    values, vectors = np.linalg.eigh(np.cov((points - centre).T))
    # A nearly round object has no axis of its own: chromosomes stand upright on a page.
    axis = vectors[:, 1] if values[1] > 1.35 * values[0] else np.array([1.0, 0.0])
    along = (points - centre) @ axis
    return centre + np.linspace(along.min() + width / 3, along.max() - width / 3, 12)[:, None] * axis


def _medial_path(mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    first = _farthest(mask, tuple(np.argwhere(mask)[0]))
    second = _farthest(mask, first)
    cost = np.where(mask, 1.0 / np.maximum(distance, 0.5) ** 2, -1.0)
    return np.array(route_through_array(cost, first, second)[0], float)


def _farthest(mask: np.ndarray, start: tuple[int, int]) -> tuple[int, int]:
    costs, _ = MCP_Geometric(np.where(mask, 1.0, -1.0)).find_costs([start])
    costs[~np.isfinite(costs)] = -1
    return tuple(int(i) for i in np.unravel_index(costs.argmax(), costs.shape))


def path_length(path: np.ndarray) -> np.ndarray:
    """Return the distance covered at each point (n, 2) of a path, shape (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def _reach(mask: np.ndarray, origin: np.ndarray, direction: np.ndarray, limit: float) -> float:
    """How far the mask goes on from `origin` in `direction`."""
    steps = np.arange(0, limit, 0.5)
    points = origin + steps[:, None] * direction
    inside = ndimage.map_coordinates(mask.astype(np.float32), points.T, order=1, cval=0) > 0.5
    return float(steps[inside][-1]) if inside.any() else 0.0
