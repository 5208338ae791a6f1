"""Which deletion, duplication or inversion makes one homologue of a pair look as it does.

Every change on a grid of places is tried: the band profile of the other homologue, and the one usual for the
class, are cut and joined accordingly and aligned to the homologue in question; the lengths must fit as well.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from karyo_lib.iscn.bands import load_bands
from karyo_lib.read.profiles import ClassReference, align_cost, band_profiles, standardise
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, Strips

_ABBREVIATIONS = {"deletion": "del", "duplication": "dup", "inversion": "inv"}
#: The kinds of change that are tried.
CHANGES = tuple(_ABBREVIATIONS)
_PLACES = 28  # a change starts and ends at multiples of this share of the length
_LARGEST = 0.5
_EVERY = 2  # rows of the profiles that are compared
# How much each counts, chosen on cut-and-joined pairs of validation patients; costs are those of an alignment
_OTHER, _USUAL = 0.5, 0.25  # bands of the other homologue, of the class
_LENGTH, _USUAL_LENGTH = 0.06, 0.1  # standard deviations of log lengths: of homologues, and within a class
_MOST_FOR_LENGTH = 30.0
_INVERSION = 1.0  # ends of an inversion may be anywhere, and it changes no length
_LESS_ODD = 3.0  # the change is in the homologue that is nearer its class


@dataclass(frozen=True)
class Change:
    """A change that would explain how two homologues differ.

    Attributes
    ----------
    chromosome : str
    kind : {'deletion', 'duplication', 'inversion'}
    start, stop : float
        The changed part of a normal chromosome, as shares of its length from the p end.
    odd : int
        Which homologue is changed: 0 or 1; 0 for a chromosome without one.
    """

    chromosome: str
    kind: str
    start: float
    stop: float
    odd: int

    def __post_init__(self):
        if self.kind not in CHANGES or not 0 <= self.start < self.stop <= 1:
            raise ValueError(
                f"Expected a change of kind {', '.join(CHANGES)}, from a place to a later one of 0 to 1. "
                f"Received {self.kind!r} from {self.start} to {self.stop}."
            )

    @property
    def iscn(self) -> str:
        """The change in ISCN, such as ``'del(5)(q22q31)'``; bands of level 550 (ISCN 2020, chapter 9)."""
        table, name = load_bands(550), self.chromosome
        length, centromere = table.length(name), table.centromere(name)
        nudge = 0.02 * (self.stop - self.start) * length  # an end on a boundary belongs to the part inside
        ends = [self.start * length + nudge, self.stop * length - nudge]
        bands = [table.band_at(name, end).name for end in ends]
        if self.kind == "deletion" and self.start <= 0:
            bands = bands[1:]
        elif self.kind == "deletion" and self.stop >= 1:
            bands = bands[:1]
        elif ends[1] < centromere:  # in one arm the band nearer the centromere comes first
            bands = bands[::-1]
        return f"{_ABBREVIATIONS[self.kind]}({name})({''.join(bands)})"

    def rows(self) -> np.ndarray:
        """Rows of a normal strip that follow each other in the changed one, shape (STRIP_LENGTH,)."""
        return rearranged_rows(self.kind, self.start, self.stop)


def rearranged_rows(kind: str, start: float, stop: float) -> np.ndarray:
    """Rows of a strip, as fractions of rows, that stand in a strip of the same length once a part is cut out,
    doubled or turned; shape (STRIP_LENGTH,)."""
    last = STRIP_LENGTH - 1
    rows = np.arange(0, last, 0.5)
    before, after = rows[rows < start * last], rows[rows >= stop * last]
    inside = rows[(rows >= start * last) & (rows < stop * last)]
    middle = {"deletion": [], "duplication": [inside, inside], "inversion": [inside[::-1]]}[kind]
    path = np.concatenate([before, *middle, after])
    return np.interp(np.linspace(0, len(path) - 1, STRIP_LENGTH), np.arange(len(path)), path)


def resample(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values (STRIP_LENGTH, ...) at fractional rows, of any shape; the result has the shape of ``rows``
    first."""
    low = np.clip(np.floor(rows).astype(int), 0, len(values) - 2)
    part = np.clip(rows - low, 0, 1).astype(np.float32)
    part = part.reshape(part.shape + (1,) * (values.ndim - 1))
    return values[low] * (1 - part) + values[low + 1] * part


@dataclass(frozen=True)
class _Possible:
    """Every change that is tried: its kind, ends, rows, and logarithm of the length it leaves."""

    kinds: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    rows: np.ndarray
    log_lengths: np.ndarray


@lru_cache(maxsize=1)
def _possible() -> _Possible:
    tried = [
        (kind, i / _PLACES, j / _PLACES)
        for kind in CHANGES
        for i in range(_PLACES)
        for j in range(i + 1, _PLACES + 1)
        if (j - i) / _PLACES <= _LARGEST
    ]
    kinds, starts, stops = (np.array(column) for column in zip(*tried, strict=True))
    gained = np.select([kinds == "deletion", kinds == "duplication"], [starts - stops, stops - starts], 0.0)
    return _Possible(
        kinds, starts, stops, np.array([rearranged_rows(*one) for one in tried]), np.log1p(gained)
    )


def explain_pair(
    strips: Strips, pair: tuple[int, int], label: int, reference: ClassReference, odd: int
) -> Change:
    """Find the change that explains best how two homologues differ.

    Parameters
    ----------
    strips : Strips
        Upright.
    pair : (int, int)
        Positions of the homologues; the same twice for a chromosome without one.
    label : int
        Class of the pair, a position in `CLASSES`.
    reference : ClassReference
    odd : int
        Which homologue is farther from its class (0 or 1): evidence, not proof, that it is the changed one.

    Returns
    -------
    Change
        The best there is, for pairs that do not differ as well. Nothing but an inversion spans the
        centromere: no chromosome is without one or has two.
    """
    possible, rows = _possible(), list(pair)
    profiles, sizes = band_profiles(strips.images[rows]), strips.sizes[rows, 0]
    usual, alone = _changed(reference.profiles[label]), pair[0] == pair[1]
    table, name = load_bands(550), CLASSES[label]
    centromere = table.centromere(name) / table.length(name)
    spans = (possible.starts < centromere) & (centromere < possible.stops) & (possible.kinds != "inversion")
    costs = []
    for side in (0,) if alone else (0, 1):
        cost = (_USUAL + _OTHER * alone) * _fit(profiles[side], usual)
        cost += _length_cost(sizes[side] - reference.sizes[label, 0], _USUAL_LENGTH)
        if not alone:
            cost += _OTHER * _fit(profiles[side], _changed(profiles[1 - side]))
            cost += _length_cost(sizes[side] - sizes[1 - side], _LENGTH)
        cost += _INVERSION * (possible.kinds == "inversion") + _LESS_ODD * (side != odd)
        costs.append(np.where(spans, np.inf, cost))
    side, best = np.unravel_index(np.argmin(costs), np.shape(costs))
    return Change(
        name, str(possible.kinds[best]), float(possible.starts[best]), float(possible.stops[best]), int(side)
    )


def _changed(profile: np.ndarray) -> np.ndarray:
    """A normal profile after each possible change, every row that is compared."""
    return standardise(resample(profile, _possible().rows))[:, ::_EVERY]


def _fit(profile: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """Cost of aligning each changed profile to the one that is there."""
    return align_cost(np.broadcast_to(profile[::_EVERY], tried.shape), tried)


def _length_cost(log_ratio: float, deviation: float) -> np.ndarray:
    off = (log_ratio - _possible().log_lengths) / deviation
    return np.minimum(off**2 / 2, _MOST_FOR_LENGTH)
