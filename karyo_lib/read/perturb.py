"""Training variety for the naming network: altered strips, and things on a page that are no chromosome."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage

from karyo_lib.shape.straighten import STRIP_LENGTH, STRIP_WIDTH
from karyo_lib.shape.strips import Strips, straighten_cell

_ROWS = np.arange(STRIP_LENGTH, dtype=np.float32)
_COLUMNS = np.arange(STRIP_WIDTH, dtype=np.float32)


@dataclass(frozen=True)
class StripVariety:
    """How far training strips are altered; standard deviations unless said otherwise.

    Attributes
    ----------
    stretch : float
        Local stretching along the chromosome, in rows of 112.
    end : float
        Shift of each end, in rows: telomeres fade and centrelines overshoot.
    bend : float
        Residual bend of the centreline, in columns.
    width : float
        Log of the width factor.
    contrast : float
        Log of the contrast factor and of the gamma exponent.
    noise : float
        Grey noise, in units of ink.
    mottle : float
        Blotches a few rows long, in units of ink.
    bands : float
        Log of the darkness of stretches about a tenth of the length: bands stain unequally.
    patch : float
        Probability of a dark or pale patch, as where another chromosome crossed.
    size : float
        Noise of the relative sizes (logarithms).
    upside_down : float
        Probability that a chromosome is turned upside down (and labelled so).
    none : float
        Fraction of objects that are no single chromosome.
    """

    stretch: float = 1.6
    end: float = 2.0
    bend: float = 0.7
    width: float = 0.1
    contrast: float = 0.18
    noise: float = 0.03
    mottle: float = 0.0
    bands: float = 0.0
    patch: float = 0.12
    size: float = 0.05
    upside_down: float = 0.1
    none: float = 0.06


def sample_strips(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear reading of strips (B, L, W) at row positions (B, L) and column positions (B, L, W)."""
    rows = np.clip(rows, -1, STRIP_LENGTH)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    r = rows[:, :, None] + 2
    c = np.clip(columns, -1, STRIP_WIDTH) + 2
    r0, c0 = np.floor(r).astype(int), np.floor(c).astype(int)
    fr, fc = (r - r0).astype(np.float32), (c - c0).astype(np.float32)
    b = np.arange(len(images))[:, None, None]
    top = padded[b, r0, c0] * (1 - fc) + padded[b, r0, c0 + 1] * fc
    bottom = padded[b, r0 + 1, c0] * (1 - fc) + padded[b, r0 + 1, c0 + 1] * fc
    return top * (1 - fr) + bottom * fr


def _waves(rng: np.random.Generator, n: int, orders: int = 4) -> np.ndarray:
    """Smooth random curves of unit standard deviation, shape (n, STRIP_LENGTH), zero at both ends."""
    basis = np.stack([np.sin(np.pi * k * (_ROWS + 0.5) / STRIP_LENGTH) / k for k in range(1, orders + 1)])
    return (rng.normal(size=(n, orders)) @ basis).astype(np.float32)


def alter_strips(
    images: np.ndarray, sizes: np.ndarray, rng: np.random.Generator, variety: StripVariety
) -> tuple[np.ndarray, np.ndarray]:
    """Alter strips as another preparation, microscope or print would have.

    Parameters
    ----------
    images : ndarray of float32, shape (B, STRIP_LENGTH, STRIP_WIDTH)
    sizes : ndarray of float32, shape (B, 4)
    rng : numpy.random.Generator
    variety : StripVariety

    Returns
    -------
    images, sizes : ndarray of float32
    """
    n = len(images)
    first = rng.normal(0, variety.end, n)
    last = STRIP_LENGTH - 1 + rng.normal(0, variety.end, n)
    rows = (
        first[:, None]
        + (last - first)[:, None] * _ROWS / (STRIP_LENGTH - 1)
        + variety.stretch * _waves(rng, n)
    )
    middle = (STRIP_WIDTH - 1) / 2
    factor = np.exp(rng.normal(0, variety.width, n))[:, None, None]
    mirror = np.where(rng.random(n) < 0.5, -1, 1)[:, None, None]
    shift = variety.bend * (_waves(rng, n) + rng.normal(0, 0.4, (n, 1)))
    out = sample_strips(images, rows, middle + mirror * factor * (_COLUMNS - middle) + shift[:, :, None])
    if variety.bands:
        stretches = ndimage.gaussian_filter1d(rng.normal(size=(n, STRIP_LENGTH)), 4.0, axis=1) * np.sqrt(
            8 * np.sqrt(np.pi)
        )
        out = out * np.exp(variety.bands * rng.uniform(0, 2, (n, 1)) * stretches)[:, :, None].astype(
            np.float32
        )
    contrast = np.exp(rng.normal(0, variety.contrast, (2, n, 1, 1))).astype(np.float32)
    out = contrast[0] * np.maximum(out, 0) ** contrast[1]
    soft = ndimage.gaussian_filter1d(out, 2.0, axis=1)
    out = out + rng.uniform(-0.5, 1.0, (n, 1, 1)).astype(np.float32) * (soft - out)
    for i in np.flatnonzero(rng.random(n) < variety.patch):
        row, column = rng.uniform(0, STRIP_LENGTH), rng.uniform(2, STRIP_WIDTH - 2)
        reach = ((_ROWS - row) / rng.uniform(4, 14))[:, None] ** 2 + (
            (_COLUMNS - column) / rng.uniform(2, 7)
        ) ** 2
        out[i] += rng.uniform(-0.4, 0.5) * np.exp(-reach) * (out[i] > 0.05)
    inked = out > 0.03
    grain = rng.normal(0, variety.noise, out.shape).astype(np.float32)
    if variety.mottle:
        blotches = ndimage.gaussian_filter(rng.normal(size=out.shape).astype(np.float32), (0, 2.0, 1.2))
        grain += variety.mottle * rng.uniform(0, 2, (n, 1, 1)).astype(np.float32) * blotches / blotches.std()
    out = out + grain * inked
    return np.maximum(out, 0).astype(np.float32), (sizes + rng.normal(0, variety.size, sizes.shape)).astype(
        np.float32
    )


def vary_strips(strips: Strips, variety: StripVariety, seed: int) -> Strips:
    """Strips as `alter_strips` would have them, each altered once; none is turned upside down."""
    images, sizes = strips.images.copy(), strips.sizes.copy()
    rng = np.random.default_rng([seed, 23])
    for start in range(0, len(images), 256):
        part = slice(start, start + 256)
        images[part], sizes[part] = alter_strips(images[part], sizes[part], rng, variety)
    return replace(strips, images=images, sizes=sizes)


def make_merged(
    images: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbours taken for one: side by side, or one below the other."""
    n = len(images)
    other = rng.permutation(n)
    half = STRIP_WIDTH // 2
    side = np.concatenate([images[:, :, ::2], images[other][:, :, ::2]], axis=2)
    gap = rng.integers(0, 3, n)
    for i in range(n):
        side[i] = np.roll(side[i], gap[i], axis=1) if gap[i] else side[i]
        side[i, :, half:] = np.roll(side[i, :, half:], rng.integers(-12, 13), axis=0)
    below = np.concatenate([images[:, ::2], images[other][:, ::2]], axis=1)
    stacked = rng.random(n) < 0.4
    merged = np.where(stacked[:, None, None], below, side)
    extra = np.where(stacked[:, None], [[0.69, 0.69, 0.0, 0.0]], [[0.0, 0.69, 0.69, 0.0]])
    return merged.astype(np.float32), (sizes + extra).astype(np.float32)


def make_fragments(
    images: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A third or less of a chromosome, as an outline broken in two leaves behind."""
    share = rng.uniform(0.12, 0.35, len(images))
    start = rng.uniform(0, 1 - share)
    rows = (start[:, None] + share[:, None] * _ROWS / (STRIP_LENGTH - 1)) * (STRIP_LENGTH - 1)
    columns = np.broadcast_to(_COLUMNS, (len(images), STRIP_LENGTH, STRIP_WIDTH))
    change = np.log(share)[:, None] * np.array([[1.0, 1.0, 0.0, 0.0]])
    return sample_strips(images, rows, columns), (sizes + change).astype(np.float32)


def _clutter_image(rng: np.random.Generator) -> np.ndarray:
    image = np.full((90, 110), 255, np.uint8)
    ink = int(rng.integers(0, 140))
    kind = rng.integers(0, 4)
    if kind == 0:
        text = "".join(rng.choice(list("0123456789XYpqdert()+;.ABC")) for _ in range(rng.integers(1, 4)))
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]))
        cv2.putText(
            image, text, (25, 60), font, rng.uniform(0.4, 1.4), ink, int(rng.integers(1, 4)), cv2.LINE_AA
        )
    elif kind == 1:
        tip = (int(rng.integers(10, 100)), int(rng.integers(10, 80)))
        cv2.arrowedLine(
            image, (55, 45), tip, ink, int(rng.integers(1, 4)), cv2.LINE_AA, tipLength=rng.uniform(0.2, 0.5)
        )
    elif kind == 2:
        length, thick = int(rng.integers(8, 50)), int(rng.integers(1, 4))
        step = (length, 0) if rng.random() < 0.6 else (0, length)
        cv2.line(
            image,
            (50 - step[0], 45 - step[1] // 2),
            (50 + step[0], 45 + step[1] // 2),
            ink,
            thick,
            cv2.LINE_AA,
        )
    else:
        axes = (int(rng.integers(2, 9)), int(rng.integers(2, 12)))
        cv2.ellipse(image, (55, 45), axes, rng.uniform(0, 180), 0, 360, ink, -1, cv2.LINE_AA)
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2.5))
    return image


def make_clutter(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Strips (n, STRIP_LENGTH, STRIP_WIDTH) and sizes (n, 4) of letters, arrows, rules and stains."""
    bar = np.full((80, 26), 255, np.uint8)
    bar[8:72, 6:20] = 128  # a plain chromosome of median size, for scale
    strips, sizes = [], []
    while len(strips) < n:
        image = _clutter_image(rng)
        if not (image < 245).any():
            continue
        one = straighten_cell([bar, image], reference=[0])
        strips.append(one.images[1])
        sizes.append(one.sizes[1])
    return np.stack(strips), np.stack(sizes)
