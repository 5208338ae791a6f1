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
    """Medial axis of a chromosome, one point a pixel of length.

    Parameters
    ----------
    x, y : ndarray of float32, shape (length + 1,)
        Points from the p end to the q end, in pixels.
    heading : ndarray of float32, shape (length + 1,)
        Direction of travel in radians; 0 points down the page.
    closed : bool
        True for the axis of a ring.
    """

    x: np.ndarray
    y: np.ndarray
    heading: np.ndarray
    closed: bool = False

    @property
    def length(self) -> int:
        return len(self.x) - 1

    def point(self, along: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the x and y of positions along the axis, in pixels from its p end."""
        steps = np.arange(len(self.x))
        return np.interp(along, steps, self.x), np.interp(along, steps, self.y)


def bend_axis(length: int, width: float, bend: float, hinges: np.ndarray, rng: np.random.Generator) -> Axis:
    """Draw a random axis.

    Parameters
    ----------
    length : int
        Length in pixels.
    width : float
        Width of the chromosome in pixels; curvature stays below what this width allows.
    bend : float
        Standard deviation of a bend in degrees.
    hinges : ndarray
        Positions where bends are likelier (centromeres), in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    Axis
        Upright on the whole: the line from end to end leans by a small random angle.
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
        heading += (
            np.radians(bend)
            * 0.22
            * cv2.GaussianBlur(
                wiggle.astype(np.float32)[:, None],
                (1, 0),
                sigmaX=0.1,
                sigmaY=0.6 * width,
                borderType=cv2.BORDER_REPLICATE,
            )[:, 0]
        )
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
    """Draw the axis of a ring chromosome: a slightly squashed circle that starts and ends at the top."""
    turn = np.linspace(0, 2 * np.pi, length + 1)
    wobble = 1 + 0.08 * rng.standard_normal() * np.cos(2 * turn + rng.uniform(0, 6.28))
    heading = turn + np.pi / 2 + 0.1 * rng.standard_normal()
    step = wobble - wobble.mean() + 1
    x, y = np.cumsum(np.sin(heading) * step), np.cumsum(np.cos(heading) * step)
    drift = np.linspace(0, 1, length + 1)
    x, y = x - drift * (x[-1] - x[0]), y - drift * (y[-1] - y[0])
    return Axis(
        (x - x[0]).astype(np.float32), (y - y[0]).astype(np.float32), heading.astype(np.float32), closed=True
    )


def turn_axis(axis: Axis, angle: float) -> Axis:
    """Turn an axis about its p end, counter-clockwise on the page, by `angle` in radians."""
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    x, y = axis.x * cos + axis.y * sin, axis.y * cos - axis.x * sin
    return Axis(x, y, axis.heading + np.float32(angle), axis.closed)


def bend_image(straight: np.ndarray, axis: Axis, pad: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Lay a straight chromosome along an axis.

    Parameters
    ----------
    straight : ndarray of float32, shape (axis.length + 2 * pad, across)
        Ink; rows run along the chromosome, the axis is the middle column.
    axis : Axis
    pad : int
        Blank rows before the p end and after the q end.

    Returns
    -------
    patch : ndarray of float32
        Ink on the page.
    origin : (float, float)
        Where the axis's (0, 0) lies in the patch, as x, y.
    """
    half = straight.shape[1] / 2
    reach = half + 2
    # A ring's map jumps where it closes, so it is not enlarged from a coarse one.
    step = 1 if axis.closed else _COARSE
    x0, y0 = float(axis.x.min()) - reach, float(axis.y.min()) - reach
    columns = int(np.ceil((float(axis.x.max()) - x0 + reach) / step)) + 1
    rows = int(np.ceil((float(axis.y.max()) - y0 + reach) / step)) + 1
    # Pixel centres of the coarse cells, as cv2.resize places them.
    cells = np.empty((rows, columns, 2), np.float32)
    cells[..., 0] = (np.arange(columns, dtype=np.float32) + 0.5) * step - 0.5 + np.float32(x0)
    cells[..., 1] = ((np.arange(rows, dtype=np.float32) + 0.5) * step - 0.5 + np.float32(y0))[:, None]
    cells = cells.reshape(-1, 2)
    points = np.append(np.arange(0, axis.length, 2), axis.length)
    px, py = axis.x[points], axis.y[points]
    # |p - c|^2 as one matrix product.
    squared = cells @ np.stack([-2 * px, -2 * py]) + (px * px + py * py)
    best = np.argmin(squared, axis=1)
    distance = np.sqrt(
        np.maximum(squared[np.arange(len(best)), best] + np.einsum("ij,ij->i", cells, cells), 0)
    )
    nearest = points[best]
    dx, dy = cells[:, 0] - axis.x[nearest], cells[:, 1] - axis.y[nearest]
    sin, cos = np.sin(axis.heading[nearest]), np.cos(axis.heading[nearest])
    along = nearest + dx * sin + dy * cos
    if axis.closed:
        along = np.clip(along, 0.5, axis.length - 0.5)
    across = dx * cos - dy * sin
    maps = np.stack([across + half - 0.5, along + pad - 0.5, distance], axis=1).astype(np.float32)
    maps = maps.reshape(rows, columns, 3)
    if step > 1:
        maps = cv2.resize(maps, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    map_u, map_v, distance = cv2.split(maps)
    # Between the arms of a bent chromosome the map jumps from one to the other; no ink is that far from the
    # axis.
    map_u[distance > reach] = -9
    patch = cv2.remap(straight, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return patch, (-x0, -y0)
