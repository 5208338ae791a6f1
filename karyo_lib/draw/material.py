"""Real chromosomes as material: straightened, cut at ISCN positions, joined; and how real drawn ones look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from karyo_lib.draw.karyogram import draw_chromosome
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import CHROMOSOMES, load_bands
from karyo_lib.iscn.bands import BandTable
from karyo_lib.shape.bend import Axis, blur_profile
from karyo_lib.shape.centreline import chromosome_mask, find_centreline

# Ink below this share is a blurred fringe.
_FRINGE = 0.05
# A constriction is looked for within this share of the length round the expected centromere; it counts when
# the width falls by this share.
_SEARCH = 0.06
_CONSTRICTED = 0.12
# The seam is cross-faded over this many chromosome widths to either side.
_FADE = 0.12
# Widths at a seam are brought together within this many chromosome widths, by at most this factor.
_TAPER = 1.2
_LARGEST_STRETCH = 1.4
PROFILE_POINTS = 128
# The first and last few percent of a profile show the rounding of the ends, not bands.
_TRIM = 4
REALISM_COLUMNS = ("chromosome", "correlation", "correlation_whole", "real", "drawn")


@dataclass(frozen=True, eq=False)
class RealChromosome:
    """A cut-out at the size that the page wants."""

    ink: np.ndarray  # float32, shape (H, W); 0 background to 1 black
    axis: Axis  # centreline from the upper end to the lower, in pixels of `ink`
    centromere: float  # where its constriction lies along the axis, as a fraction of its length
    chromosome: str  # class, and the cell that it comes from
    source: str

    @property
    def width(self) -> float:
        return float((self.ink > _FRINGE).sum() / max(self.axis.length, 1))

    def row_of(self, position: float | np.ndarray, table: BandTable) -> np.ndarray:
        """Return where an ISCN position lies on the axis, in pixels from its upper end; each arm to scale."""
        whole, middle = table.length(self.chromosome), table.centromere(self.chromosome)
        return self.axis.length * np.interp(position, [0, middle, whole], [0, self.centromere, 1])


def trace_chromosome(
    image: np.ndarray, zoom: float, gain: float, chromosome: str, source: str, table: BandTable
) -> RealChromosome:
    """Enlarge a cut-out (uint8, white background, p arm up) by ``zoom``, its ink by ``gain``, and find its
    axis, and its constriction near where the centromere ought to be."""
    mask = chromosome_mask(image)
    line = find_centreline(mask)
    ink = np.where(mask, 1 - image.astype(np.float32) / 255, 0).astype(np.float32)
    ink = np.pad(np.minimum(ink * np.float32(gain), 1), 3)
    size = (max(1, round(ink.shape[1] * zoom)), max(1, round(ink.shape[0] * zoom)))
    method = cv2.INTER_AREA if zoom < 0.8 else cv2.INTER_CUBIC
    ink = np.clip(cv2.resize(ink, size, interpolation=method), 0, 1)
    points = (line[:, ::-1] + 3.5) * (size[0] / (image.shape[1] + 6), size[1] / (image.shape[0] + 6)) - 0.5
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    steps = np.linspace(0, along[-1], max(2, round(float(along[-1]))) + 1)
    x, y = (blur_profile(np.interp(steps, along, points[:, i]), 2.0) for i in (0, 1))
    heading = np.unwrap(np.arctan2(np.gradient(x), np.gradient(y))).astype(np.float32)
    axis = Axis(x, y, heading)
    centromere = table.centromere(chromosome) / table.length(chromosome)
    return RealChromosome(ink, axis, _find_constriction(ink, axis, centromere), chromosome, source)


def _find_constriction(ink: np.ndarray, axis: Axis, expected: float) -> float:
    """Look for the narrowest place near the expected centromere; keep `expected` where none stands out."""
    mean_width = float((ink > _FRINGE).sum() / max(axis.length, 1))
    straight = straighten_ink(ink, axis, 0, 2 * int(np.ceil(mean_width)))
    widths = blur_profile((straight > _FRINGE).sum(1), 0.1 * mean_width)
    reach = max(_SEARCH * axis.length, 0.35 * mean_width)
    begin, end = (int(np.clip(expected * axis.length + side * reach, 0, axis.length)) for side in (-1, 1))
    # The ends of a chromosome are narrow too.
    begin, end = max(begin, round(0.4 * mean_width)), min(end, axis.length - round(0.4 * mean_width))
    if end - begin < 2:
        return expected
    row = begin + int(np.argmin(widths[begin:end]))
    deep = widths[row] < (1 - _CONSTRICTED) * np.median(widths)
    return (row + 0.5) / axis.length if deep and begin < row < end - 1 else expected


def straighten_ink(ink: np.ndarray, axis: Axis, pad: int, across: int) -> np.ndarray:
    """Read a chromosome along its axis, the middle column of ``across``, ``pad`` rows before and after."""
    rows = np.arange(axis.length + 2 * pad, dtype=np.float32) + 0.5 - pad
    inside = np.clip(rows, 0, axis.length)
    x, y = axis.point(inside)
    heading = np.interp(inside, np.arange(axis.length + 1), axis.heading)
    sin, cos = np.sin(heading), np.cos(heading)
    x, y = x + (rows - inside) * sin, y + (rows - inside) * cos
    v = np.arange(across) + 0.5 - across / 2
    map_x = (x[:, None] + v * cos[:, None]).astype(np.float32)
    map_y = (y[:, None] - v * sin[:, None]).astype(np.float32)
    straight = cv2.remap(ink, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.clip(straight, 0, 1)


@dataclass(frozen=True, eq=False)
class Cut:
    """A stretch of a straight chromosome."""

    # Float32, shape (rows, across); the whole chromosome, with padding; turned upside down where the stretch
    # is reversed.
    ink: np.ndarray
    start: float  # rows of the stretch, start < stop
    stop: float
    natural_start: bool  # True where the stretch begins or ends at a telomere of its own
    natural_stop: bool


def join_cuts(
    cuts: list[Cut], width: float, pad: int, *, ring: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Join stretches of straight chromosomes end to end: widths made equal at each seam and the two sides
    cross-faded, ends that are no telomeres rounded off. Returns ink, float32, of (length + 2 * pad, across),
    and the rows, from the first stretch's start, where stretches begin and end; the last one is the length.
    """
    ends = np.concatenate([[0.0], np.cumsum([cut.stop - cut.start for cut in cuts])])
    length = max(3, round(float(ends[-1])))
    ends *= length / ends[-1]
    rows = np.arange(length + 2 * pad) + 0.5 - pad
    across = cuts[0].ink.shape[1]
    fade = max(1.0, _FADE * width)
    total = np.zeros((len(rows), across), np.float32)
    weights = np.zeros(len(rows), np.float32)
    for number, cut in enumerate(cuts):
        first, last = number == 0 and not ring, number == len(cuts) - 1 and not ring
        before = None if first else cuts[number - 1]
        after = None if last else cuts[(number + 1) % len(cuts)]
        begin, end = ends[number], ends[number + 1]
        stretch = _taper(cut, before, after, rows - begin, end - begin, width)
        v = np.arange(across, dtype=np.float32) + 0.5 - across / 2
        map_x = (v[None, :] / stretch[:, None] + across / 2 - 0.5).astype(np.float32)
        map_y = np.repeat((cut.start + rows - begin - 0.5).astype(np.float32)[:, None], across, axis=1)
        ink = cv2.remap(
            cut.ink, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
        weight = np.ones(len(rows))
        if before is not None:
            weight *= np.clip((rows - begin) / (2 * fade) + 0.5, 0, 1)
        elif not cut.natural_start:
            ink *= _cap(rows - begin, v, width)
        if after is not None:
            weight *= np.clip((end - rows) / (2 * fade) + 0.5, 0, 1)
        elif not cut.natural_stop:
            ink *= _cap(end - rows, v, width)
        total += ink * weight[:, None].astype(np.float32)
        weights += weight.astype(np.float32)
    return total / np.maximum(weights, 1e-3)[:, None], ends


def _taper(
    cut: Cut, before: Cut | None, after: Cut | None, rows: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Factor on the width of every row, so that both sides of a seam are as wide as their mean."""
    stretch = np.ones(len(rows))
    for other, mine, theirs, distance in (
        (before, cut.start, before and before.stop, rows),
        (after, cut.stop, after and after.start, length - rows),
    ):
        if other is None:
            continue
        own = width_at(cut.ink, mine, width)
        wanted = (own + width_at(other.ink, theirs, width)) / 2
        factor = np.clip(wanted / max(own, 1e-3), 1 / _LARGEST_STRETCH, _LARGEST_STRETCH)
        stretch *= 1 + (factor - 1) * np.exp(-np.square(np.maximum(distance, 0) / (_TAPER * width)))
    return stretch


def width_at(ink: np.ndarray, row: float, width: float) -> float:
    """Width of a straight chromosome in pixels: mean over a fifth of that width to either side of a row."""
    reach = max(1, round(0.2 * width))
    begin, end = max(0, round(row) - reach), min(len(ink), round(row) + reach + 1)
    return float((ink[begin:end] > _FRINGE).sum(1).mean()) if end > begin else 0.0


def _cap(inward: np.ndarray, v: np.ndarray, width: float) -> np.ndarray:
    """Outline of a rounded end: a healed break looks like a telomere."""
    depth = 0.4 * width
    gone = np.clip(1 - inward / depth, 0, 1)
    half = 0.5 * width * np.sqrt(np.clip(1 - gone**2.2, 0, 1))
    outline = np.clip((half[:, None] - np.abs(v)[None, :]) / (0.12 * width) + 0.5, 0, 1)
    outline[inward <= 0] = 0
    outline[inward >= depth] = 1
    return outline.astype(np.float32)


def band_profile(image: np.ndarray, chromosome: str) -> np.ndarray:
    """Band profile of a cut-out, bent or not (white background, p arm up): mean ink across the middle half of
    the chromosome at `PROFILE_POINTS` places from pter, standardised to mean 0 and deviation 1."""
    real = trace_chromosome(image, 1.0, 1.0, chromosome, "", load_bands(550))
    straight = straighten_ink(real.ink, real.axis, 0, max(4, 2 * round(real.width / 4)))
    profile = straight.mean(1)
    places = (np.arange(PROFILE_POINTS) + 0.5) / PROFILE_POINTS * len(profile) - 0.5
    profile = np.interp(places, np.arange(len(profile)), profile)
    inner = profile[_TRIM:-_TRIM]
    return (profile - inner.mean()) / max(float(inner.std()), 1e-6)


def mean_profile(images: Iterable[np.ndarray], chromosome: str) -> tuple[np.ndarray, int]:
    """Average the profiles of cut-outs of one class; return the mean and how many there were."""
    profiles = [band_profile(image, chromosome) for image in images]
    if not profiles:
        raise ValueError(f"Expected cut-outs of chromosome {chromosome}. Received none.")
    return np.mean(profiles, axis=0), len(profiles)


def compute_realism(
    bank: ChromosomeBank,
    *,
    cells: Sequence[str] | None = None,
    drawn: int = 60,
    style: str = "mottled",
    progress: bool = True,
) -> pd.DataFrame:
    """Correlate drawn with real band profiles for each of the 24 classes, both found, straightened and
    measured the same way; one real cell of each patient by default. `correlation` is of the mean profiles
    without their ends (3 % each), `correlation_whole` with them; `real` and `drawn` are the numbers averaged.
    """
    cells = bank.cells.drop_duplicates("case")["cell"].tolist() if cells is None else list(cells)
    images: dict[str, list[np.ndarray]] = {name: [] for name in CHROMOSOMES}
    for cell in cells:
        for cutout in bank.cutouts(cell):
            images[cutout.chromosome].append(cutout.image)
    # Pixels per ISCN unit of the bank, so that both are measured at one resolution.
    lengths = [image.shape[0] for image in images["1"]]
    rows, length, inner = [], float(np.median(lengths)), slice(_TRIM, -_TRIM)
    for name in tqdm(images, desc="realism", disable=not progress, leave=False):
        real, real_count = mean_profile(images[name], name)
        pictures = (draw_chromosome(name, style=style, seed=i, length=length) for i in range(drawn))
        mine, drawn_count = mean_profile(pictures, name)
        r = [float(np.corrcoef(real[part], mine[part])[0, 1]) for part in (inner, slice(None))]
        rows.append((name, *r, real_count, drawn_count))
    return pd.DataFrame(rows, columns=list(REALISM_COLUMNS))
