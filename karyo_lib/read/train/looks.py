"""How strips look elsewhere: random geometry, sharpness, stain, dirt; and what is no chromosome."""

from dataclasses import dataclass

import cv2
import numpy as np

from karyo_lib.read.places import BINS, NONE
from karyo_lib.read.train.rearrange import Example, Rearranger
from karyo_lib.shape.scaling import COLUMNS, MOST_ROWS

_COLUMN = np.arange(COLUMNS, dtype=np.float32) - (COLUMNS - 1) / 2
_GLYPHS = "0123456789XYpqABMT+-.:"


@dataclass(frozen=True)
class LookSettings:
    stretch: float = 0.12  # standard deviation of local stretch, of a chromosome's length, of its width
    scale: float = 0.08
    width: float = 0.1
    strength: float = 1.0  # of changes of stain and sharpness; 0 leaves ink as it is
    # Shares turned, no chromosome, cut and joined without a change, and whole; the rest is changed.
    upside_down: float = 0.5
    none: float = 0.08
    sham: float = 0.13
    unchanged: float = 0.27


def _smooth(rng: np.random.Generator, n: int, knots: int) -> np.ndarray:
    values = rng.standard_normal((knots, 1)).astype(np.float32)
    return cv2.resize(values, (1, n), interpolation=cv2.INTER_CUBIC)[:, 0]


def warp(example: Example, rng: np.random.Generator, s: LookSettings) -> tuple[np.ndarray, np.ndarray]:
    """Stretch, scale, widen, bend and lean a strip: its ink and places."""
    n = len(example.ink)
    count = int(np.clip(round(n * np.exp(rng.normal(0, s.scale))), 4, MOST_ROWS))
    speed = np.exp(s.stretch * _smooth(rng, count, max(4, count // 12)))
    at = np.cumsum(speed) - speed / 2
    at = (at * n / speed.sum() - 0.5).astype(np.float32)
    lean = np.float32(rng.normal(0, 0.05)) + 0.05 * _smooth(rng, count, 5)
    wave = _smooth(rng, count, max(4, count // 14)) * abs(rng.normal(0, 0.8))
    width = np.exp(-s.width * rng.standard_normal() - 0.04 * _smooth(rng, count, 6))
    x = ((COLUMNS - 1) / 2 + _COLUMN[None] * width[:, None] + wave[:, None]).astype(np.float32)
    y = (at[:, None] + lean[:, None] * _COLUMN[None]).astype(np.float32)
    ink = cv2.remap(example.ink, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    nearest = np.clip(np.round(at).astype(int), 0, n - 1)
    places = example.places[nearest]
    slope = np.where(places >= BINS, -1.0, 1.0) * (places < NONE)
    places = places + slope * np.clip(at - nearest, -0.5, 0.5)
    # A bin's fraction must not cross into the next class or direction.
    base = np.floor(example.places[nearest])
    places = np.where(np.abs(np.floor(places) - base) > 1, example.places[nearest], places)
    return ink, np.where(example.places[nearest] >= NONE, NONE + 0.5, np.clip(places, 0, None)).astype(
        np.float32
    )


def _resample(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor = float(rng.uniform(1.2, 2.8))
    rows, columns = ink.shape
    small = cv2.resize(
        ink, (max(3, round(columns / factor)), max(3, round(rows / factor))), interpolation=cv2.INTER_AREA
    )
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return cv2.resize(small, (columns, rows), interpolation=way)


def sharpness(ink: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Vary the resolution and sharpness of a strip's ink."""
    turn = rng.random()
    if turn < 0.4 * strength:
        ink = cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(0.3, 1.7)))
    elif turn < 0.7 * strength:
        ink = _resample(ink, rng)
    if rng.random() < 0.4 * strength:
        blurred = cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(0.7, 3.5)))
        amount = float(rng.uniform(0.2, 2.0))
        ink = cv2.addWeighted(ink, 1 + amount, blurred, -amount, 0)
    return ink


def stain(ink: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Vary stain, noise and dirt of a batch of strips, float32 (n, rows, COLUMNS), 0 to 255."""
    n, rows = ink.shape[:2]

    def some(share: float, values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(n) < share * strength, values, 0).astype(np.float32)[:, None, None]

    def spread(deviation: float) -> np.ndarray:
        return (strength * deviation * rng.standard_normal(n)).astype(np.float32)[:, None, None]

    inside = ink > 6
    ink = np.clip(ink * np.float32(1 / 255), 0, 1.3)
    mean = ink.sum((1, 2), keepdims=True) / np.maximum(inside.sum((1, 2), keepdims=True), 1).astype(
        np.float32
    )
    ink = mean + (ink - mean) * np.exp(spread(0.3))
    knots = rng.standard_normal((n, 6)).astype(np.float32)
    ink *= 1 + 0.15 * strength * cv2.resize(knots, (rows, n), interpolation=cv2.INTER_LINEAR)[:, :, None]
    # Chromatids lie apart; bands hardly reach the edge, or only it.
    apart = rng.uniform(1.0, 2.5, n).astype(np.float32)[:, None, None]
    ink *= 1 - some(0.25, rng.uniform(0.1, 0.7, n)) * np.exp(-((_COLUMN / apart) ** 2))
    ink *= 1 + some(0.25, rng.uniform(-0.4, 0.3, n)) * (_COLUMN / 7) ** 2
    np.clip(ink, 1e-4, 1, out=ink)
    ink = np.exp(np.log(ink) * np.exp(spread(0.3)))
    noise = rng.standard_normal(ink.shape, dtype=np.float32)
    ink += noise * np.abs(spread(0.05))
    coarse = cv2.resize(noise[:, ::2, ::2].reshape(-1, COLUMNS // 2), (COLUMNS, n * rows)).reshape(ink.shape)
    ink += coarse * some(0.4, np.abs(rng.normal(0, 0.12, n)))
    ink *= np.exp(spread(0.12)) * inside
    for i in np.flatnonzero(rng.random(n) < 0.1 * strength):  # a speck of dirt
        size = rng.uniform(1, 4, 2)
        y = (np.arange(rows) - rng.uniform(0, 0.7 * rows)) / size[0]
        x = (np.arange(COLUMNS) - rng.uniform(0, COLUMNS)) / size[1]
        ink[i] = np.maximum(ink[i], np.exp(-(y**2)[:, None] - (x**2)[None]) * rng.uniform(0.5, 1.0))
    # The outline is cut by a threshold.
    ink *= ink > some(0.3, rng.uniform(0.03, 0.25, n))
    return np.clip(ink, 0, 1) * 255


def cross(example: Example, maker: Rearranger, rng: np.random.Generator) -> Example:
    """Another chromosome lies across some rows, which then cannot be read."""
    n = len(example.ink)
    other = maker.pick()
    m = int(maker.strips.rows[other])
    patch = maker.strips.images[other, :m].T.astype(np.float32)  # its length runs across this one
    from_ = int(rng.integers(0, max(1, m - COLUMNS)))
    patch = patch[4:20, from_ : from_ + COLUMNS]
    at = int(rng.integers(0, max(1, n - 12)))
    rows = min(len(patch), n - at)
    ink, places = example.ink.copy(), example.places.copy()
    ink[at : at + rows, : patch.shape[1]] = np.minimum(
        ink[at : at + rows, : patch.shape[1]] + patch[:rows] * rng.uniform(0.7, 1), 255
    )
    places[at + 2 : at + max(rows - 2, 3)] = NONE + 0.5
    return Example(ink, places, "crossed")


def nothing(maker: Rearranger, rng: np.random.Generator) -> Example:
    """What is no chromosome that can be read: two side by side, folded, a glyph, a blot."""
    turn, s = rng.random(), maker.strips
    first, second = maker.pick(), maker.pick()
    n, m = int(s.rows[first]), int(s.rows[second])
    if turn < 0.3:  # two side by side
        rows = int(max(n, m))
        half = COLUMNS // 2
        left, right = (
            cv2.resize(
                s.images[i, :k].astype(np.float32), (COLUMNS * 2 // 3, k), interpolation=cv2.INTER_AREA
            )
            for i, k in ((first, n), (second, m))
        )
        ink = np.zeros((rows, COLUMNS), np.float32)
        edge = left.shape[1] - 2
        ink[:n, :half] = left[:, edge - half : edge]
        off = int(rng.integers(0, rows - m + 1))
        part = right[::-1] if rng.random() < 0.5 else right
        ink[off : off + m, half:] = np.maximum(ink[off : off + m, half:], part[:, 2 : 2 + COLUMNS - half])
    elif turn < 0.55:  # folded upon itself
        fold = int(n * rng.uniform(0.25, 0.5))
        own = s.images[first, :n].astype(np.float32)
        ink = own[fold:].copy()
        shift = int(rng.integers(-4, 5))
        ink[:fold] = np.minimum(ink[:fold] + np.roll(own[:fold][::-1], shift, 1)[: len(ink)], 255)
    elif turn < 0.75:  # print
        rows = int(rng.integers(10, 45))
        ink = np.zeros((rows, COLUMNS), np.uint8)
        text = "".join(rng.choice(list(_GLYPHS), int(rng.integers(1, 3))))
        size = rows / 26 * rng.uniform(0.7, 1.1)
        cv2.putText(
            ink, text, (int(rng.integers(0, 8)), rows - 3), int(rng.integers(0, 4)), size, 255,
            int(rng.integers(1, 4)), cv2.LINE_AA,
        )  # fmt: skip
    else:  # a blot: ink without order
        rows = int(rng.integers(6, 110))
        field = cv2.resize(
            rng.standard_normal((max(2, rows // int(rng.integers(3, 12))), 3)).astype(np.float32),
            (COLUMNS, rows),
        )
        outline = np.abs(_COLUMN)[None] < rng.uniform(3, 10) * (1 + 0.3 * _smooth(rng, rows, 5))[:, None]
        ink = np.clip(140 + 60 * field, 0, 255) * outline
    ink = ink.astype(np.float32)
    return Example(ink, np.full(len(ink), NONE + 0.5, np.float32), "none")


def turn_places(places: np.ndarray) -> np.ndarray:
    """Places of the rows of a strip that is turned end to end."""
    turned = places[::-1]
    return np.where(turned >= NONE, turned, np.where(turned >= BINS, turned - BINS, turned + BINS))


def make_batch(
    maker: Rearranger, size: int, rng: np.random.Generator, settings: LookSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A batch to train on: ink uint8 (size, MOST_ROWS, COLUMNS), rows (size, 1), places (size, MOST_ROWS)."""
    s = settings
    images = np.zeros((size, MOST_ROWS, COLUMNS), np.float32)
    rows = np.zeros((size, 1), np.float32)
    places = np.full((size, MOST_ROWS), -1, np.float32)
    for i in range(size):
        turn = rng.random()
        if turn < s.none:
            example = nothing(maker, rng)
        elif turn < s.none + s.unchanged:
            example = maker.unchanged(maker.pick())
        elif turn < s.none + s.unchanged + s.sham:
            example = maker.sham(maker.pick())
        else:
            example = maker.changed()
        if turn > s.none and rng.random() < 0.04:
            example = cross(example, maker, rng)
        ink, at = warp(example, rng, s)
        ink = sharpness(ink, rng, s.strength)
        if rng.random() < 0.5:
            ink = ink[:, ::-1]
        if rng.random() < s.upside_down:
            ink, at = ink[::-1], turn_places(at)
        n = len(ink)
        images[i, :n], rows[i], places[i, :n] = ink, n, at
    images = stain(images, rng, s.strength)
    images *= np.arange(MOST_ROWS)[None, :, None] < rows[:, :, None]
    return images.astype(np.uint8), rows, places
