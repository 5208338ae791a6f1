"""Bands at the 400-, 550- and 850-band levels, in ISCN units: relative optical length from the tip of the
short arm (pter = 0). A chromosome is as long at every level: 15100 for chromosome 1, 3200 for 21."""

import csv
import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from karyo_lib.resources import data_file

LEVELS = (400, 550, 850)
AUTOSOMES = tuple(str(number) for number in range(1, 23))
CHROMOSOMES = (*AUTOSOMES, "X", "Y")
UNKNOWN = "?"  # material of unknown origin
ACROCENTRICS = ("13", "14", "15", "21", "22")

_BAND_NAME = re.compile(r"([pq])(\d+(?:\.\d+)?)")


class KaryotypeError(ValueError):
    """A formula, or a ``part`` of it, that cannot be, and the ``rule`` that it breaks, with the remedy."""

    def __init__(self, part: str, rule: str):
        super().__init__(f"{part!r}: {rule}")
        self.part = part
        self.rule = rule


def require(met: object, part: str, rule: str) -> None:
    """Raise a `KaryotypeError` where a rule is not met."""
    if not met:
        raise KaryotypeError(part, rule)


@dataclass(frozen=True)
class Band:
    chromosome: str
    arm: str  # 'p' or 'q'
    name: str  # with the arm: 'p36.3'
    iscn_start: float  # ISCN units from pter
    iscn_stop: float
    bp_start: int  # base pairs of GRCh38, both ends included, from 1
    bp_stop: int
    # 'gneg' (light), 'gpos' (dark), 'acen' (half of the centromere), 'gvar' (variable heterochromatin) or
    # 'stalk' (satellite stalk of an acrocentric chromosome).
    stain: str
    density: int  # percent: 25, 50, 75 or 100 for 'gpos', 0 for every other stain

    @property
    def length(self) -> float:
        """Length in ISCN units."""
        return self.iscn_stop - self.iscn_start


@dataclass(frozen=True)
class BandTable:
    """All bands of the 24 human chromosomes at one level. Made by `load_bands`."""

    level: int
    _bands: dict[str, tuple[Band, ...]] = field(repr=False, hash=False, compare=False)

    def bands(self, chromosome: str) -> tuple[Band, ...]:
        """Bands of a chromosome from pter to qter; they touch and cover it from 0 to `length`."""
        rule = "Expected a chromosome from 1 to 22, X or Y. Received another."
        require(chromosome in self._bands, str(chromosome), rule)
        return self._bands[chromosome]

    def length(self, chromosome: str) -> float:
        """Length of a chromosome in ISCN units; the same at every level."""
        return self.bands(chromosome)[-1].iscn_stop

    def centromere(self, chromosome: str) -> float:
        """Position where the arms meet (the boundary between the two 'acen' bands), in ISCN units."""
        return next(band.iscn_start for band in self.bands(chromosome) if band.arm == "q")

    def find(self, chromosome: str, name: str) -> tuple[float, float]:
        """Start and stop, in ISCN units, of a band ('q34', 'p11.2') or point ('p10', 'q10', 'cen', 'pter',
        'qter'), where they are equal. A band divided at this level gives the union of its parts; one that
        only finer levels show, the band that holds it here: this resolution cannot say where more closely."""
        point = self._points(chromosome).get(name)
        if point is not None:
            return point, point
        wanted = self._matching(chromosome, name)
        if not wanted and self.level != max(LEVELS) and load_bands(max(LEVELS))._matching(chromosome, name):
            wanted = [band for band in self.bands(chromosome) if _holds(band.name, name)]
        levels = ", ".join(map(str, LEVELS))
        rule = f"Chromosome {chromosome} has no band {name} at any of the levels {levels}."
        require(wanted, f"{chromosome}{name}", rule)
        return wanted[0].iscn_start, wanted[-1].iscn_stop

    def bp(self, chromosome: str, position: float) -> float:
        """Base pairs from pter at a position in ISCN units, linear within each band (GRCh38)."""
        units, base_pairs = self.edges[chromosome]
        return float(np.interp(position, units, base_pairs))

    def band_at(self, chromosome: str, position: float) -> Band:
        """The band at a position in ISCN units; at a boundary, the band that starts there."""
        bands = self.bands(chromosome)
        rule = f"Expected a position from 0 to {bands[-1].iscn_stop:g} on chromosome {chromosome}."
        require(0 <= position <= bands[-1].iscn_stop, f"{chromosome} at {position:g}", rule)
        return next((band for band in bands if position < band.iscn_stop), bands[-1])

    def _points(self, chromosome: str) -> dict[str, float]:
        centromere = self.centromere(chromosome)
        tips = {"pter": 0.0, "qter": self.length(chromosome)}
        return {"p10": centromere, "q10": centromere, "cen": centromere, **tips}

    def _matching(self, chromosome: str, name: str) -> list[Band]:
        return [band for band in self.bands(chromosome) if _holds(name, band.name)]

    @cached_property
    def edges(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Where bands begin and the last one ends, by chromosome: ISCN units, and base pairs of GRCh38."""
        return {
            chromosome: (
                np.array([0.0] + [band.iscn_stop for band in bands]),
                np.array([0.0] + [float(band.bp_stop) for band in bands]),
            )
            for chromosome, bands in self._bands.items()
        }


@lru_cache
def load_bands(level: int = 550) -> BandTable:
    """Band table of one level (400, 550 or 850), read once. Source: the NCBI ideogram data (ISCN), see
    ``data/cytobands/README.md``. At 550 bands it leaves eight gaps where sub-bands do not fill the band that
    they divide (18p11.3: 623 units, its two sub-bands 208): there they are stretched evenly over it, to whole
    units, so that sums of lengths are exact."""
    if level not in LEVELS:
        raise ValueError(f"Expected a band level of 400, 550 or 850. Received {level!r}.")
    return BandTable(level, {name: _close_gaps(bands) for name, bands in _read(level).items()})


@lru_cache
def _read(level: int) -> dict[str, tuple[Band, ...]]:
    bands: dict[str, list[Band]] = {chromosome: [] for chromosome in CHROMOSOMES}
    with data_file("cytobands", f"iscn_{level}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            name, arm, stain = row["chromosome"], row["arm"], row["stain"]
            units = float(row["iscn_start"]), float(row["iscn_stop"])
            pairs = int(row["bp_start"]), int(row["bp_stop"])
            bands[name].append(
                Band(name, arm, arm + row["band"], *units, *pairs, stain, int(row["density"] or 0))
            )
    return {chromosome: tuple(rows) for chromosome, rows in bands.items()}


def _close_gaps(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """Stretch the sub-bands of a coarser band over it, where they leave part of it uncovered."""
    if all(left.iscn_stop == right.iscn_start for left, right in pairwise(bands)):
        return bands
    closed: list[Band] = []
    for parent in _read(min(LEVELS))[bands[0].chromosome]:
        parts = [band for band in bands if _holds(parent.name, band.name)]
        units = np.array([parts[0].iscn_start, *(band.iscn_stop for band in parts)])
        stretched = np.interp(units, (units[0], units[-1]), (parent.iscn_start, parent.iscn_stop)).round()
        closed += [
            replace(band, iscn_start=float(start), iscn_stop=float(stop))
            for band, start, stop in zip(parts, stretched[:-1], stretched[1:], strict=True)
        ]
    return tuple(closed)


def _holds(outer: str, inner: str) -> bool:
    """Whether the band `inner` is `outer` or one of its sub-bands: q34 holds q34.1, q34.1 holds q34.11."""
    inside = _BAND_NAME.fullmatch(outer) and inner.startswith(outer)
    return outer == inner or bool(inside and ("." in outer or inner[len(outer)] == "."))
