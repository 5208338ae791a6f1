"""Band and width profiles of straightened chromosomes, aligned elastically, and what is usual for each class.

Condensation differs along a chromosome, so that bands of homologues stand at different places.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, Strips

_REACH = 10  # rows that a position may be shifted by alignment
_WARP_COST = 0.12


def band_profiles(images: np.ndarray) -> np.ndarray:
    """Mean ink across each strip, standardised along it; shape (n, STRIP_LENGTH)."""
    images = np.asarray(images, np.float32)
    inked = images > 0.03
    profile = (images * inked).sum(2) / np.maximum(inked.sum(2), 1)
    return standardise(ndimage.gaussian_filter1d(profile, 1.2, axis=1))


def standardise(profiles: np.ndarray) -> np.ndarray:
    """Profiles (n, STRIP_LENGTH) of mean 0 and deviation 1, their ends left out of account."""
    inner = profiles[:, 4:-4]
    return (profiles - inner.mean(1, keepdims=True)) / (inner.std(1, keepdims=True) + 0.02)


def width_profiles(images: np.ndarray) -> np.ndarray:
    """Inked columns in each row relative to the strip's mean; shape (n, STRIP_LENGTH)."""
    width = (np.asarray(images) > 0.08).sum(2).astype(np.float32)
    return ndimage.gaussian_filter1d(width, 1.5, axis=1) / np.maximum(width.mean(1, keepdims=True), 1)


def align(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elastic alignment of profiles.

    Parameters
    ----------
    first, second : ndarray, shape (n, L)

    Returns
    -------
    shift : ndarray of int, shape (n, L)
        Position i of the first corresponds to i + shift of the second.
    residual : ndarray, shape (n, L)
        First minus aligned second.
    """
    n, length = first.shape
    shifts, difference, cost = _shifted(first, second, _REACH)
    total = cost[:, 0] + _WARP_COST * np.abs(shifts)
    back = np.zeros((n, length, len(shifts)), np.int8)
    wall = np.full((n, 1), np.inf)
    for i in range(1, length):
        options = np.stack(
            [
                np.concatenate([wall, total[:, :-1]], 1) + _WARP_COST,
                total,
                np.concatenate([total[:, 1:], wall], 1) + _WARP_COST,
            ]
        )
        choice = options.argmin(0)
        back[:, i] = choice - 1
        total = np.take_along_axis(options, choice[None], 0)[0] + cost[:, i]
    state = np.empty((n, length), int)
    state[:, -1] = total.argmin(1)
    rows = np.arange(n)
    for i in range(length - 1, 0, -1):
        state[:, i - 1] = state[:, i] + back[rows, i, state[:, i]]
    residual = np.take_along_axis(difference, state[:, :, None], 2)[:, :, 0]
    return shifts[state], residual


def align_cost(first: np.ndarray, second: np.ndarray, reach: int = 3, warp_cost: float = 0.24) -> np.ndarray:
    """What the best elastic alignment of profiles (n, L) costs, shape (n,), without saying which it is."""
    shifts, _, cost = _shifted(first, second, reach)
    total = cost[:, 0] + warp_cost * np.abs(shifts)
    for i in range(1, first.shape[1]):
        best = total.copy()
        np.minimum(best[:, 1:], total[:, :-1] + warp_cost, out=best[:, 1:])
        np.minimum(best[:, :-1], total[:, 1:] + warp_cost, out=best[:, :-1])
        total = best + cost[:, i]
    return total.min(1)


def _shifted(first: np.ndarray, second: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shifts that are possible; differences and costs at every place and shift, (n, L, shifts)."""
    length = first.shape[1]
    shifts = np.arange(-reach, reach + 1)
    place = np.arange(length)[:, None] + shifts
    difference = first[:, :, None] - second[:, np.clip(place, 0, length - 1)]
    cost = np.minimum(difference**2, 4.0)
    # positions beyond the end of the other profile cannot be matched
    return shifts, difference, cost + 4.0 * ((place < 0) | (place >= length))


@dataclass(frozen=True)
class ClassReference:
    """What the chromosomes of each class look like: medians over normal cells.

    Attributes
    ----------
    profiles, widths : ndarray of float32, shape (24, STRIP_LENGTH)
        Band and width profiles.
    spread : ndarray of float32, shape (24, STRIP_LENGTH)
        Root mean square of the band residual after alignment.
    sizes, size_spread : ndarray of float32, shape (24, 2)
        Mean and standard deviation of log length and log area relative to the cell.
    """

    profiles: np.ndarray
    widths: np.ndarray
    spread: np.ndarray
    sizes: np.ndarray
    size_spread: np.ndarray

    @classmethod
    def fit(cls, strips: Strips, labels: np.ndarray, rounds: int = 2) -> "ClassReference":
        """Medians of each class, aligned to themselves ``rounds`` times; labels are positions in
        `CLASSES`."""
        bands, widths = band_profiles(strips.images), width_profiles(strips.images)
        shape = (len(CLASSES), STRIP_LENGTH)
        out = [np.zeros(shape, np.float32), np.ones(shape, np.float32), np.ones(shape, np.float32)]
        sizes = np.zeros((2, len(CLASSES), 2), np.float32)
        for k in range(len(CLASSES)):
            own = np.flatnonzero(labels == k)
            if len(own) == 0:
                sizes[1, k] = 1
                continue
            reference = np.median(bands[own], 0)
            for _ in range(rounds):
                shift, _ = align(np.repeat(reference[None], len(own), 0), bands[own])
                index = np.clip(np.arange(STRIP_LENGTH) + shift, 0, STRIP_LENGTH - 1)
                reference = np.median(np.take_along_axis(bands[own], index, 1), 0)
            _, residual = align(bands[own], np.repeat(reference[None], len(own), 0))
            out[0][k], out[1][k] = reference, np.median(widths[own], 0)
            out[2][k] = np.sqrt((residual**2).mean(0)) + 0.15
            sizes[0, k], sizes[1, k] = strips.sizes[own, :2].mean(0), strips.sizes[own, :2].std(0) + 0.02
        return cls(out[0], out[1], out[2], sizes[0], sizes[1])
