"""Band profile of a chromosome, and the straight upright chromosome painted from it."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace

import cv2
import numpy as np

from karyo_lib.iscn.bands import Band, load_bands
from karyo_lib.iscn.segments import UNKNOWN, Chromosome
from karyo_lib.shape.bend import blur_profile

# Band tables give stain classes; these numbers were tuned so that drawn chromosomes agree with the mean
# profile of real ones (`compute_realism`). The two band tables were measured on different specimens and
# disagree by some percent of a chromosome's length about where a band lies; their mean agrees better than
# either, so each drawn chromosome mixes them.
_POSITIVE = {25: 0.06, 50: 0.65, 75: 0.87, 100: 1.0}
_NEGATIVE = 0.25
# Centromeres are of medium darkness; some stain more, some less.
_CENTROMERE = {
    "1": 0.3, "2": 0.25, "3": 0.65, "5": 0.6, "6": 0.25, "7": 1.0, "8": 0.4, "9": 1.0, "10": 1.0, "11": 0.95,
    "12": 0.55, "13": 0.9, "14": 0.8, "15": 1.0, "16": 0.5, "17": 0.9, "18": 0.45, "19": 1.0, "20": 1.1,
    "21": 0.65, "22": 1.15, "Y": 0.35,
}  # fmt: skip
_CENTROMERE_ELSEWHERE = 0.7
# Variable heterochromatin: dark on 1, 16, 19 and Y, pale on 9.
_VARIABLE = {"1": 0.9, "3": 0.9, "9": 0.15, "16": 1.2, "19": 1.15, "Y": 0.75}
_SATELLITE = 0.3
# T-bands, the gene-rich light bands that stain palest of all (Dutrillaux 1973; Holmquist 1992).
_PALEST = {
    "1": ("p36.1", "p36.3"), "2": ("q37",), "3": ("p21",), "4": ("p16",), "5": ("q31.3", "q35.3"),
    "6": ("p21",), "7": ("p22", "q22"), "8": ("q24.3",), "9": ("q34",), "10": ("q26.3",),
    "11": ("p15.5", "q13"), "12": ("q24.3",), "14": ("q32",), "16": ("p13.3", "q24"), "17": ("p13", "q25"),
    "19": ("p13", "q13"), "20": ("q13.3",), "21": ("q22.3",), "22": ("q13",), "X": ("q28",),
}  # fmt: skip
_PARTNER = {400: 550, 550: 850, 850: 550}
# Darkness that stays as it is when the contrast of the stain changes.
_MIDDLE = 0.5

# Sister chromatids of a banded chromosome hardly ever come further apart, in chromosome widths between
# their axes.
_WIDEST_SPLIT = 0.54


def darkness_of(band: Band) -> float:
    """Return how dark a band stains, 0 (the palest) to 1 (dark); heterochromatin may pass 1."""
    if band.stain == "gpos":
        return _POSITIVE[band.density]
    if band.stain == "acen":
        return _CENTROMERE.get(band.chromosome, _CENTROMERE_ELSEWHERE)
    if band.stain == "gvar":
        return _VARIABLE.get(band.chromosome, _SATELLITE)
    if band.stain == "stalk":
        return 0.0
    return 0.0 if band.name.startswith(_PALEST.get(band.chromosome, ("?",))) else _NEGATIVE


@lru_cache(maxsize=128)
def stain_profile(chromosome: str, level: int) -> tuple[np.ndarray, np.ndarray]:
    """How dark a normal chromosome stains: edges (n + 1,), ISCN units from pter, and darkness (n, 2) between
    them, by the level's own table and by its neighbour's."""
    tables = [load_bands(level).bands(chromosome), load_bands(_PARTNER[level]).bands(chromosome)]
    edges = np.unique([0.0, *(band.iscn_stop for bands in tables for band in bands)])
    middles = (edges[:-1] + edges[1:]) / 2
    darkness = np.empty((len(middles), len(tables)))
    for column, bands in enumerate(tables):
        stops = np.array([band.iscn_stop for band in bands])
        darkness[:, column] = np.array([darkness_of(band) for band in bands])[np.searchsorted(stops, middles)]
    edges.setflags(write=False)
    darkness.setflags(write=False)
    return edges, darkness


@dataclass(frozen=True)
class BandPlan:
    """The bands of one chromosome from pter to qter, in ISCN units along that chromosome."""

    edges: np.ndarray  # float64 (bands + 1,): where bands begin and end, from 0 to the chromosome's length
    # Stain class, chromosome that the material comes from ('?' unknown), band name with arm ('q34.1').
    stain: tuple[str, ...]
    source: tuple[str, ...]
    band: tuple[str, ...]
    # Float64, shapes (tones + 1,) and (tones, 2); how dark it stains by two band tables: constant between
    # edges, 0 pale to 1 dark.
    tone_edges: np.ndarray
    tone: np.ndarray
    centromeres: tuple[float, ...]  # positions along the chromosome

    @property
    def length(self) -> float:
        return float(self.edges[-1])

    @cached_property
    def stalk(self) -> np.ndarray:
        """Which bands are stalks of satellites."""
        return np.array(self.stain) == "stalk"

    @cached_property
    def variable(self) -> np.ndarray:
        """Which bands differ in length from person to person: heterochromatin and stalks."""
        return np.isin(self.stain, ("stalk", "gvar"))

    @cached_property
    def satellite(self) -> np.ndarray:
        """Which bands are satellites of acrocentric chromosomes."""
        return (np.array(self.stain) == "gvar") & np.char.startswith(self.band, "p13")


@dataclass(frozen=True)
class StraightChromosome:
    """A chromosome painted straight, p arm up."""

    ink: np.ndarray  # float32 (length + 2 * pad, across): 0 paper to 1 black; the axis is the middle column
    length: int  # rows of chromosome, and blank rows before and after it
    pad: int
    edges: np.ndarray  # shape (bands + 1,); where the bands of the plan begin and end, in rows from the p end
    plan: BandPlan

    def row_of(self, position: float | np.ndarray) -> np.ndarray:
        return np.interp(position, self.plan.edges, self.edges)


@lru_cache(maxsize=1024)
def plan_bands(chromosome: Chromosome, level: int, seed: int = 0) -> BandPlan:
    """List the bands along a chromosome, cutting them where its segments cut them; ``seed`` is of the
    invented pattern of material of unknown origin."""
    bands: list[tuple[float, str, str, str]] = []
    tones: list[tuple[float, np.ndarray]] = []
    for number, segment in enumerate(chromosome.segments):
        if segment.chromosome == UNKNOWN:
            pieces, shades = _invent(segment.stop - segment.start, np.random.default_rng((seed, number)))
        else:
            pieces = []
            for band in load_bands(level).bands(segment.chromosome):
                length = min(band.iscn_stop, segment.stop) - max(band.iscn_start, segment.start)
                if length > 0:
                    pieces.append((length, band.stain, segment.chromosome, band.name))
            edges, darkness = stain_profile(segment.chromosome, level)
            cut = np.clip(edges, segment.start, segment.stop)
            shades = [(step, dark) for step, dark in zip(np.diff(cut), darkness, strict=True) if step > 0]
        bands += reversed(pieces) if segment.reversed else pieces
        tones += reversed(shades) if segment.reversed else shades
    lengths, stain, source, band = zip(*bands, strict=True)
    steps, tone = zip(*tones, strict=True)
    edges, tone_edges = (np.concatenate([[0.0], np.cumsum(each)]) for each in (lengths, steps))
    return BandPlan(edges, stain, source, band, tone_edges, np.array(tone), tuple(chromosome.centromeres))


def _invent(
    length: float, rng: np.random.Generator
) -> tuple[list[tuple[float, str, str, str]], list[tuple[float, np.ndarray]]]:
    """Alternate pale and dark bands of plausible lengths: material whose origin nobody knows."""
    shades, left, pale = [], length, bool(rng.random() < 0.6)
    while left > 1e-9:
        step = min(left, float(rng.uniform(120, 420)))
        step = left if left - step < 80 else step
        shades.append((step, np.full(2, rng.uniform(0.0, 0.25) if pale else rng.uniform(0.5, 1.0))))
        left, pale = left - step, not pale
    return [(step, "unknown", UNKNOWN, UNKNOWN) for step, _ in shades], shades


def paint_straight(
    plan: BandPlan,
    look: SimpleNamespace,
    units: float,
    width: float,
    rng: np.random.Generator,
    *,
    ring: bool = False,
) -> StraightChromosome:
    """Paint a chromosome upright; ``units``: pixels per ISCN unit; ``ring``: to be closed on itself."""
    edges = _band_edges(plan, look, units, rng)
    length = max(3, round(float(edges[-1])))
    edges = edges * (length / edges[-1])
    pad = 0 if ring else int(np.ceil(0.35 * width)) + 1
    rows = length + 2 * pad
    across = 2 * int(np.ceil(0.5 * width * 1.15 + 1.5))
    u = np.arange(rows, dtype=np.float32) + 0.5 - pad
    v = np.arange(across, dtype=np.float32) + 0.5 - across / 2

    profile, thickness, presence = _profiles(plan, edges, u, look, width, rng, ring)
    side = np.tanh(v / (0.12 * width))[None, :]
    offset, half, envelope = _chromatids(u, v, length, width, thickness, look, rng, ring)

    # Bands lean, bow and shift a little between the sister chromatids.
    lean = _smooth(rng, rows, 2.5 * width) * 0.05
    bow = _smooth(rng, rows, 2.0 * width) * 0.05 + 0.03
    shift = _smooth(rng, rows, 1.2 * width) * 0.1 * look.split * width
    relative = (v / (0.5 * width))[None, :]
    sample = u[:, None] + lean[:, None] * v + bow[:, None] * width * (relative * relative - 0.4)
    sample = sample + shift[:, None] * side
    darkness = np.interp(sample, u, profile).astype(np.float32)

    grain = look.grain * width
    mottle = _field(rng, rows, across, grain, grain) + _field(rng, rows, across, 0.5 * grain, 0.6 * grain)
    darkness += 0.7 * look.mottle * mottle
    ink = look.light + (look.dark - look.light) * np.clip(darkness, -0.25, 1.12)
    # A chromatid is round: it is thickest in its middle.
    roundness = 1 - np.square(np.minimum(np.abs(np.abs(v)[None, :] - offset[:, None]) / half[:, None], 1.0))
    ink *= 1 - look.relief * (1 - roundness)
    middle = np.exp(-np.square(v / (0.11 * width)))[None, :]
    ink *= 1 - look.cleft * middle * (0.6 + 0.6 * np.clip(_smooth(rng, rows, 0.8 * width), -1, 1))[:, None]
    ink = np.clip(ink * envelope * presence[:, None], 0, 1)
    return StraightChromosome(ink.astype(np.float32), length, pad, edges, plan)


def _band_edges(plan: BandPlan, look: SimpleNamespace, units: float, rng: np.random.Generator) -> np.ndarray:
    """Lay the bands out in pixels: polymorphic heterochromatin, local stretch, condensation of the whole."""
    lengths = np.diff(plan.edges)
    if plan.variable.any():
        lengths[plan.variable] *= np.exp(0.2 * rng.standard_normal())
        lengths[plan.stalk | plan.satellite] *= np.clip(0.9 * np.exp(0.35 * rng.standard_normal()), 0.2, 1.6)
    total = lengths.sum() * units * np.exp(look.condensation * rng.standard_normal())
    stretch = cv2.resize(rng.standard_normal((6, 1)), (1, len(lengths)), interpolation=cv2.INTER_LINEAR)[:, 0]
    lengths *= np.exp(0.09 * stretch + 0.06 * rng.standard_normal(len(lengths)))
    return np.concatenate([[0.0], np.cumsum(lengths * (total / lengths.sum()))])


def _profiles(
    plan: BandPlan,
    edges: np.ndarray,
    u: np.ndarray,
    look: SimpleNamespace,
    width: float,
    rng: np.random.Generator,
    ring: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Darkness, relative width and presence of material at every row."""
    share = rng.uniform(0.15, 0.85)
    strength = plan.tone @ (share, 1 - share) + 0.07 * rng.standard_normal(len(plan.tone))
    if look.stain == "R":
        strength = 0.9 - 0.85 * strength
    borders = np.concatenate([u - 0.5, [u[-1] + 0.5]])
    tones = np.interp(plan.tone_edges, plan.edges, edges)
    total = np.concatenate([[0.0], np.cumsum(strength * np.diff(tones))])
    profile = np.diff(np.interp(borders, tones, total))
    inside = (u > 0) & (u < edges[-1])
    profile[~inside] = np.where(u[~inside] <= 0, strength[0], strength[-1])
    sigma = max(look.softness * width, 0.3)
    # An S-shaped response: bands differ most around the middle, the palest and the darkest saturate.
    profile = _MIDDLE + 0.55 * np.tanh(look.contrast / 0.55 * (blur_profile(profile, sigma) - _MIDDLE))

    uneven = (0.03 + 0.15 * look.mottle) * _smooth(rng, len(u), (1.2 - 2.5 * look.mottle) * width)
    thickness = 1 + 0.05 * (profile - 0.5) + uneven
    presence = np.ones_like(u)
    for centromere in plan.centromeres:
        at = np.interp(centromere, plan.edges, edges)
        depth = look.constriction * np.clip(1 + 0.35 * rng.standard_normal(), 0.3, 1.6)
        reach = rng.uniform(0.26, 0.4) * width
        thickness *= 1 - min(depth, 0.6) * np.exp(-np.square((u - at) / reach))
    # Telomeres lie a little out of focus, some more than others.
    for tip in (u, edges[-1] - u) if not ring else ():
        presence *= 1 - rng.uniform(0, 0.5) * np.exp(-np.maximum(tip, 0) / (0.3 * width))
    if plan.stalk.any():
        amount = 1 - np.clip(look.fade * np.exp(0.3 * rng.standard_normal()), 0.03, 0.8)
        narrow = _rows_between(u, edges, plan.stalk)
        faint = rng.uniform(0.1, 0.6) * _rows_between(u + 0.5 * width, edges, plan.satellite)
        thickness *= 1 - rng.uniform(0.3, 0.5) * blur_profile(narrow, 0.12 * width)
        presence *= 1 - np.clip(blur_profile(amount * narrow + faint, 0.15 * width), 0, 0.97)
    return profile.astype(np.float32), thickness.astype(np.float32), presence.astype(np.float32)


def _rows_between(u: np.ndarray, edges: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """1 at the rows of the chosen bands, else 0."""
    starts, stops = edges[:-1][chosen, None], edges[1:][chosen, None]
    return ((u > starts) & (u < stops)).any(0).astype(u.dtype)


def _chromatids(
    u: np.ndarray,
    v: np.ndarray,
    length: int,
    width: float,
    thickness: np.ndarray,
    look: SimpleNamespace,
    rng: np.random.Generator,
    ring: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two capsules side by side: their distance from the axis, half width, and the outline that they make."""
    apart = look.split * (1 + 0.12 * rng.standard_normal() + 0.08 * _smooth(rng, len(u), 1.5 * width))
    apart = np.clip(apart, 0.1, _WIDEST_SPLIT)
    offset = 0.5 * width * apart * thickness
    half = 0.5 * width * thickness - offset
    # Where the chromatids hold together (centromere) they lie closer.
    soft = look.edge * width
    envelope = np.zeros((len(u), len(v)), np.float32)
    for sign in (-1.0, 1.0):
        reach = half
        if not ring:
            start, stop = rng.uniform(-0.04, 0.12, 2) * width
            cap = 0.42 * width * rng.uniform(0.7, 1.1)
            inward = np.minimum(u - start, length - stop - u) / cap
            inward = np.clip(1 - np.clip(inward, 0, 1), 0, 1)
            outside = (u < start) | (u > length - stop)
            reach = half * np.sqrt(np.clip(1 - inward**2.4, 0, 1)) - 2 * soft * outside
        distance = np.abs(v[None, :] - (sign * offset)[:, None])
        edge = np.clip((reach[:, None] - distance) / soft + 0.5, 0, 1)
        envelope = np.maximum(envelope, edge * edge * (3 - 2 * edge))
    return offset.astype(np.float32), half.astype(np.float32), envelope


def _smooth(rng: np.random.Generator, count: int, scale: float) -> np.ndarray:
    """Smooth unit noise along one dimension, with a correlation length of about `scale`."""
    knots = rng.standard_normal((max(4, int(count / max(scale, 1)) + 3), 1), dtype=np.float32)
    return cv2.resize(knots, (1, count), interpolation=cv2.INTER_LINEAR)[:, 0]


def _field(rng: np.random.Generator, rows: int, columns: int, along: float, across: float) -> np.ndarray:
    """Smooth unit noise over a plane, with correlation lengths `along` and `across`."""
    size = max(2, round(rows / max(along, 1))), max(2, round(columns / max(across, 1)))
    coarse = rng.standard_normal(size)
    return cv2.resize(coarse.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
