"""The complements that a cell may have, and how often each is met, by the catalogue."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from karyo_lib.iscn import AUTOSOMES, NORMAL_FORMULAE, count_formula, parse_karyotype
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.iscn.catalogue import NUMERICAL, formula_frequencies

#: Per 100 000: a gain or loss of one autosome beside what is known of it; an uncommon set of sex chromosomes.
RARE_CHANGE, RARE_SEX = 1.0, 0.02
SEXES = ("X", "XXX", "XXY", "XYY", "XXXX", "XXXY", "XXYY", "XYYY", "XXXXX", "XXXXY", "XXXYY")
PLOIDIES = ("XXX", "XXY", "XYY", "XXXX", "XXXY", "XXYY")
#: A second, independent change beside a first one.
SECOND_CHANGE = 0.004


@dataclass(frozen=True)
class Complement:
    """A candidate set of chromosomes: ``counts`` (24,) int in the order of `CLASSES`, and its prior."""

    counts: tuple[int, ...]
    prior: float

    @property
    def formula(self) -> str:
        """Its ISCN formula: '47,XY,+21'."""
        return count_formula(dict(zip(CLASSES, self.counts, strict=True)))

    @property
    def normal(self) -> bool:
        """Whether it is 46,XX or 46,XY."""
        return self.counts in NORMAL_COUNTS


def _counts(sex: str, changes: tuple[tuple[str, int], ...] = (), ploidy: int = 2) -> tuple[int, ...]:
    counts = dict.fromkeys(AUTOSOMES, ploidy) | {"X": sex.count("X"), "Y": sex.count("Y")}
    for name, change in changes:
        counts[name] += change
    return tuple(counts[name] for name in CLASSES)


#: The complements of `NORMAL_FORMULAE`.
NORMAL_COUNTS = tuple(_counts(formula.removeprefix("46,")) for formula in NORMAL_FORMULAE)


@cache
def _known_frequencies() -> dict[tuple[int, ...], float]:
    """Frequency of each complement that the catalogue has."""
    known: dict[tuple[int, ...], float] = defaultdict(float)
    for formula, frequency in formula_frequencies(NUMERICAL):
        counts = parse_karyotype(formula).counts
        known[tuple(counts[name] for name in CLASSES)] += frequency
    return dict(known)


def _weigh_complements() -> dict[tuple[int, ...], float]:
    """Relative frequency of every abnormal complement that is considered."""
    known = _known_frequencies()
    total = sum(known.values())
    weights = defaultdict(float, known)
    single = [
        ((name, change), sum(known.get(_counts(sex, ((name, change),)), 0.0) for sex in ("XX", "XY")))
        for change in (1, -1)
        for name in AUTOSOMES
    ]
    single = [(change, weight + RARE_CHANGE) for change, weight in single]
    for sex in ("XX", "XY"):
        for change, _ in single:
            weights[_counts(sex, (change,))] += RARE_CHANGE / 2
        for i, (first, weight) in enumerate(single):
            for second, other in single[i:]:
                if first[0] != second[0] or first[1] == second[1]:
                    weights[_counts(sex, (first, second))] += (
                        SECOND_CHANGE * weight * (other / total + 0.01) / 2
                    )
    for sex in SEXES:
        weight = known.get(_counts(sex), 0.0) + RARE_SEX
        weights[_counts(sex)] += RARE_SEX
        for change, other in single:
            weights[_counts(sex, (change,))] += SECOND_CHANGE * weight * (other / total + 0.01)
    for sex in PLOIDIES:
        weights[_counts(sex, (), len(sex))] += RARE_SEX
    return weights


@cache
def candidate_complements(p_abnormal: float) -> tuple[Complement, ...]:
    """All complements that are weighed, with priors that sum to 1: normal, the catalogue's, single gains and
    losses, sex-chromosome aneuploidies, pairs of changes, triploidy and tetraploidy."""
    if not 0 < p_abnormal < 1:
        raise ValueError(f"Expected p_abnormal between 0 and 1. Received {p_abnormal}.")
    changed = _weigh_complements()
    total = sum(changed.values())
    normal = dict.fromkeys(NORMAL_COUNTS, (1 - p_abnormal) / 2)
    priors = normal | {counts: weight / total * p_abnormal for counts, weight in changed.items()}
    return tuple(Complement(counts, prior) for counts, prior in priors.items())
