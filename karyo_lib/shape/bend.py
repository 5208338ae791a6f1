"""The bent axis of a chromosome, and the map from a page patch back to the straight chromosome."""

from dataclasses import dataclass

import cv2
import numpy as np

# The inverse map is smooth wherever there is ink, so it is found on a coarse grid and enlarged.
_COARSE = 3
# Radians between any two places of a chromosome; one that is bent further is not used in a karyogram.
_LARGEST_TURN = 2.1


@dataclass(frozen=True)
class Axis:
    """Medial axis of a chromosome, one point a pixel of length."""

    x: np.ndarray  # float32, shape (length + 1,); points from the p end to the q end, in pixels
    y: np.ndarray
    heading: np.ndarray  # float32 (length + 1,): direction of travel in radians; 0 points down the page
    closed: bool = False  # True for the axis of a ring

    @property
    def length(self) -> int:
        return len(self.x) - 1

    def point(self, along: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the x and y of positions along the axis, in pixels from its p end."""
        steps = np.arange(len(self.x))
        return np.interp(along, steps, self.x), np.interp(along, steps, self.y)


def blur_profile(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a 1-D profile with its ends continued, float32."""
    column = np.ascontiguousarray(values, np.float32)[:, None]
    return cv2.GaussianBlur(column, (1, 0), sigmaX=0.1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)[:, 0]


def bend_axis(length: int, width: float, bend: float, hinges: np.ndarray, rng: np.random.Generator) -> Axis:
    """Draw a random axis, upright on the whole.

    ``length``, ``width``: of the chromosome in pixels; ``bend``: standard deviation of a bend in degrees;
    ``hinges``: where bends are likelier (centromeres), in pixels.
    """
    steps = np.arange(length + 1, dtype=np.float32)
    heading = np.zeros(length + 1, np.float32)
    slenderness = length / max(width, 1.0)
    if bend > 0:
        # Heavy tails: most chromosomes bend a little, a few by a right angle.
        count = rng.poisson(min(0.45 * slenderness**0.75, 4))
        for _ in range(count):
            if len(hinges) and rng.random() < 0.4:
                place = rng.choice(hinges) + rng.normal(0, 0.3 * width)
            else:
                place = rng.uniform(0.12, 0.88) * length
            angle = np.radians(bend) * rng.standard_t(3) * min(1.0, slenderness / 5)
            angle = float(np.clip(angle, -1.75, 1.75))
            # A tight bend has an inner radius of about a tenth of the width.
            reach = max(abs(angle) * 0.7 * width, rng.uniform(0.5, 2.2) * width)
            heading += angle / (1 + np.exp(-(steps - place) / (reach / 4)))
        heading += np.radians(bend) * 0.35 * rng.standard_normal() * (steps / max(length, 1) - 0.5)
        knots = max(4, int(slenderness * 0.8) + 2)
        wiggle = np.interp(steps, np.linspace(0, length, knots), rng.standard_normal(knots))
        heading += np.radians(bend) * 0.22 * blur_profile(wiggle, 0.6 * width)
        heading *= min(1.0, _LARGEST_TURN / max(float(np.ptp(heading)), 1e-6))
    x, y = np.cumsum(np.sin(heading)), np.cumsum(np.cos(heading))
    lean = np.arctan2(x[-1] - x[0], y[-1] - y[0]) if length > 1 else 0.0
    # The long straight part of a chromosome is what the hand sets upright, rather than the chord.
    upright = (
        0.6 * lean + 0.4 * float(np.median(heading)) + np.radians(min(bend, 15) * 0.2) * rng.standard_normal()
    )
    heading = heading - np.float32(upright)
    x, y = np.cumsum(np.sin(heading)), np.cumsum(np.cos(heading))
    return Axis((x - x[0]).astype(np.float32), (y - y[0]).astype(np.float32), heading.astype(np.float32))


def ring_axis(length: int, rng: np.random.Generator) -> Axis:
    """Draw the axis of a ring chromosome: a slightly squashed circle, closed at a random place."""
    angle = np.linspace(0, 2 * np.pi, length + 1) + rng.uniform(0, 2 * np.pi)
    radius = length / (2 * np.pi) * (1 + 0.06 * np.cos(2 * angle) * rng.standard_normal())
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    heading = np.unwrap(np.arctan2(np.gradient(x), np.gradient(y)))
    return Axis(x.astype(np.float32), y.astype(np.float32), heading.astype(np.float32), closed=True)


def ring_width(length: float, width: float) -> float:
    """Return the width at which a chromosome of that length can still close around a hole."""
    return min(width, 1.3 * length / (2 * np.pi))


def turn_axis(axis: Axis, angle: float) -> Axis:
    """Turn an axis about its p end, counter-clockwise on the page, by `angle` in radians."""
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    x, y = axis.x * cos + axis.y * sin, axis.y * cos - axis.x * sin
    return Axis(x, y, axis.heading + np.float32(angle), axis.closed)


def bend_image(straight: np.ndarray, axis: Axis, pad: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Lay a straight chromosome along an axis.

    ``straight`` (float32, shape (axis.length + 2 * pad, across)): ink, the axis in the middle column;
    ``pad``: blank rows at either end. Returns the ink on the page, and where the axis's (0, 0) lies in it, as
    x, y.
    """
    half = straight.shape[1] / 2
    reach = half + 2
    x0, y0 = float(axis.x.min()) - reach, float(axis.y.min()) - reach
    width, height = float(axis.x.max()) + reach - x0, float(axis.y.max()) + reach - y0
    # A ring's map jumps where it closes, so it is not enlarged from a coarse one.
    step = 1 if axis.closed else _COARSE
    columns, rows = int(np.ceil(width / step)) + 1, int(np.ceil(height / step)) + 1
    # Pixel centres of the coarse cells, as cv2.resize places them.
    cells = np.empty((rows, columns, 2), np.float32)
    cells[..., 0] = (np.arange(columns, dtype=np.float32) + 0.5) * step - 0.5 + np.float32(x0)
    cells[..., 1] = ((np.arange(rows, dtype=np.float32) + 0.5) * step - 0.5 + np.float32(y0))[:, None]
    if axis.closed:
        straight, pad = _close_ends(straight, half)
        along, across, distance = _place_on_ring(cells.reshape(-1, 2), axis)
    else:
        along, across, distance = _place_on_axis(cells.reshape(-1, 2), axis)
    maps = np.stack([across + half - 0.5, along + pad - 0.5, distance], axis=1).astype(np.float32)
    maps = maps.reshape(rows, columns, 3)
    if step > 1:
        maps = cv2.resize(maps, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    map_u, map_v, distance = cv2.split(maps)
    # Between the arms of a bent chromosome the map jumps from one to the other; no ink is that far away.
    map_u[distance > reach] = -9
    patch = cv2.remap(straight, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return patch, (-x0, -y0)


def _place_on_axis(cells: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position along and across an open axis of every cell, and its distance from it."""
    points = np.append(np.arange(0, axis.length, 2), axis.length)
    px, py = axis.x[points], axis.y[points]
    # |p - c|^2 as one matrix product.
    squared = cells @ np.stack([-2 * px, -2 * py]) + (px * px + py * py)
    best = np.argmin(squared, axis=1)
    own = np.einsum("ij,ij->i", cells, cells)
    distance = np.sqrt(np.maximum(squared[np.arange(len(best)), best] + own, 0))
    nearest = points[best]
    dx, dy = cells[:, 0] - axis.x[nearest], cells[:, 1] - axis.y[nearest]
    sin, cos = np.sin(axis.heading[nearest]), np.cos(axis.heading[nearest])
    return nearest + dx * sin + dy * cos, dx * cos - dy * sin, distance


def _place_on_ring(cells: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position along and across a closed axis, by angle and radius about its middle."""
    middle_x, middle_y = axis.x[:-1].mean(), axis.y[:-1].mean()
    turn = np.unwrap(np.arctan2(axis.y - middle_y, axis.x - middle_x))
    radius = np.hypot(axis.x - middle_x, axis.y - middle_y)
    dx, dy = cells[:, 0] - middle_x, cells[:, 1] - middle_y
    steps = np.arange(axis.length + 1)
    angle = turn[0] + np.mod(np.arctan2(dy, dx) - turn[0], 2 * np.pi)
    along = np.interp(angle, turn, steps)
    across = np.hypot(dx, dy) - np.interp(along, steps, radius)
    return along, across, np.abs(across)


def _close_ends(straight: np.ndarray, half: float) -> tuple[np.ndarray, int]:
    """Make the first and last rows of a ring's ink meet, and repeat one of each beyond the other."""
    reach = min(max(2, round(0.5 * half)), len(straight) // 4)
    fade = (np.arange(reach, dtype=np.float32) / reach)[:, None]
    seam = (straight[:reach].mean(0) + straight[-reach:].mean(0)) / 2
    closed = straight.copy()
    closed[:reach] = straight[:reach] * fade + seam * (1 - fade)
    closed[-reach:] = straight[-reach:] * fade[::-1] + seam * (1 - fade[::-1])
    return np.concatenate([closed[-1:], closed, closed[:1]]), 1
