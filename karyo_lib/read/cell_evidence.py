"""What one cell says of its line: a chromosome may lack, be too many or misnamed, or all fail."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise, repeat

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, gammaln, logsumexp, xlogy

from karyo_lib.iscn import CHROMOSOMES, KaryotypeError, parse_karyotype
from karyo_lib.read.cell import FURTHER_CHANGE, THIRD_CHANGE
from karyo_lib.read.complements import candidate_complements
from karyo_lib.read.pooling import find_breaks

Counts = tuple[int, ...]  # chromosome numbers, in the order of CHROMOSOMES

_LEAST_PROBABLE = 1e-7
_PLAIN = 3.0  # log-ratio
#: Probability that a change is what normal cells show as well, of these one in so many.
_ARTEFACT, _ARTEFACT_CELLS = 5e-4, 8
_MISTAKEN = 0.5  # share of the cells in which an abnormal chromosome is named as another class, if it is
#: How often each class is lost, for each that is there, and how often it is one too many (debris is small):
#: as in the spreads of `CellErrors`, and half a case more for every class.
_LOST = 0.5 + np.array([{"7": 1, "22": 6, "X": 3, "Y": 1}.get(name, 0) for name in CHROMOSOMES])
_GAINED = 0.5 + np.array([{"21": 3, "Y": 2}.get(name, 0) for name in CHROMOSOMES])
#: What the reader says too much for each Y, as a small piece looks like one: the most probable, by these
#: spreads and by 68 of them with an X or a Y taken out (45,X) or put in (47,XXY).
_Y_OVERSTATED = 1.3  # log-ratio


@dataclass(frozen=True)
class CellErrors:
    """How what is read of a cell differs from its line: random loss and gain, errors of reading.

    The values: of number (`fit`), from 160 completely labelled metaphases of validation cases; of a change,
    from changing chromosomes of 40 cut-out cells of another lab (10 to 40 Mb: 27 of 51 seen where it was);
    what one of those cells, or of 68 spreads, seemed to show, 10 of 2,400 others show as well.
    """

    # Probability that a chromosome is lost or missed, too many, taken for another; the same for each further.
    lost: float = 0.0485
    gained: float = 0.0153
    exchanged: float = 0.007
    failed: float = 0.0077  # probability that the reading says nothing of the cell
    # Probability that a structural change is not seen where it is, and that it is seen where it is not.
    change_missed: float = 0.47
    change_false: float = 0.004
    cells: int = 160  # cells that they were measured on; 0 for assumed values

    def __post_init__(self):
        for name, value in vars(self).items():
            if name != "cells" and not 0 < value < 1:
                raise ValueError(f"Expected {name} between 0 and 1. Received {value}.")

    @property
    def sensitivity(self) -> float:
        """Probability that a cell with one gain or loss is read with it."""
        return (1 - self.failed) * (1 - self.exchanged) * (1 - max(self.lost, self.gained))

    @classmethod
    def fit(cls, cells: Iterable["CellEvidence"], truths: Iterable[str], **changes: float) -> "CellErrors":
        """Fit the errors of numbers to cells with their formulae (only numbers count): the most probable,
        each believed to be about 1 in 50 before; ``**changes``: other attributes."""
        known: dict[Counts, list[CellEvidence]] = defaultdict(list)
        for cell, truth in zip(cells, truths, strict=True):
            known[read_counts(truth)].append(cell)
        names = ("lost", "gained", "exchanged", "failed")

        def loss(logits: np.ndarray) -> float:
            rates = np.clip(expit(logits), 1e-6, 0.5)
            errors = cls(**dict(zip(names, rates.tolist(), strict=True)))
            fits = sum(weigh_cells(own, [Line(counts)], errors)[0].sum() for counts, own in known.items())
            return -fits - float((np.log(rates) + 50 * np.log1p(-rates)).sum())

        rates = expit(minimize(loss, np.full(4, -4.0), method="Nelder-Mead", options={"maxiter": 200}).x)
        return cls(
            **dict(zip(names, rates.round(4).tolist(), strict=True)),
            **changes,
            cells=sum(map(len, known.values())),
        )


@dataclass(frozen=True, eq=False)
class CellEvidence:
    name: str  # of the picture
    # Int, shape (m, 24); chromosome numbers that it may show, in the order of `karyo_lib.iscn.CHROMOSOMES`.
    complements: np.ndarray
    log_likelihood: np.ndarray  # (m,), relative to that of any cell: 0 of a reading that says nothing
    # Structural changes (ISCN) that could be judged, with log-ratios to the likelihood of a cell without.
    changes: Mapping[str, float] = field(default_factory=dict)
    excluded: str = ""  # why the cell takes no part; '' where it does
    analysed: bool = False  # whether bands were read, chromosome by chromosome, and not only numbers
    doubts: str = ""  # why a specialist must look at this cell; '' where nothing speaks for it

    @classmethod
    def from_candidates(
        cls,
        name: str,
        candidates: pd.DataFrame,
        p_abnormal: float,
        changes: Mapping[str, float] | None = None,
        excluded: str = "",
        analysed: bool = False,
        doubts: str = "",
    ) -> "CellEvidence":
        """Take the reader's own prior ``p_abnormal``, and what it overstates, out of its ``candidates``."""
        likely = candidates[candidates["probability"] > _LEAST_PROBABLE]
        counts, values = [], []
        for formula, probability in zip(likely["formula"], likely["probability"], strict=True):
            try:
                counts.append(read_counts(formula))
            except KaryotypeError:
                continue
            values.append(np.log(probability) - _Y_OVERSTATED * counts[-1][-1])
        priors = np.array([complement_log_prior(own, p_abnormal) for own in counts])
        values = np.array(values) - logsumexp([*values, -np.inf]) - priors
        if not counts and not excluded:
            excluded = "no chromosomes were read"
        complements = np.array(counts, int).reshape(len(counts), len(CHROMOSOMES))
        return cls(name, complements, values, changes or {}, excluded, analysed, doubts)

    @cached_property
    def best(self) -> Counts:
        """The numbers that fit best, each as frequent as among single cells."""
        weights = self.log_likelihood + [
            complement_log_prior(tuple(c), 0.3) for c in self.complements.tolist()
        ]
        return tuple(self.complements[int(np.argmax(weights))].tolist())

    def read_in(self, counts: Counts, errors: CellErrors) -> Counts:
        """The numbers that fit best if the cell is of a line with these, and not misread more than others."""
        fits = self.log_likelihood + log_misread(self.complements, counts, errors)
        return tuple(self.complements[int(np.argmax(fits))].tolist())

    def shown(self, errors: CellErrors) -> frozenset[str]:
        """Structural changes that this cell by itself speaks for as plainly as single cells can."""
        return frozenset(c for c, value in self.changes.items() if change_log_ratio(value, errors) > _PLAIN)


@dataclass(frozen=True)
class Line:
    """A cell line: its chromosome numbers in the order of `CHROMOSOMES`, and its structural changes."""

    counts: Counts
    changes: frozenset[str] = frozenset()


@cache
def read_counts(formula: str) -> Counts:
    """Chromosome numbers of a formula, in the order of `CHROMOSOMES`; markers are left out."""
    counts = parse_karyotype(formula).counts
    return tuple(counts[name] for name in CHROMOSOMES)


@cache
def _complement_priors(p_abnormal: float) -> dict[Counts, float]:
    return {c.counts: float(np.log(c.prior)) for c in candidate_complements(p_abnormal)}


@cache
def complement_log_prior(counts: Counts, p_abnormal: float) -> float:
    """Log-probability of a complement before any cell is seen; rare ones by the number of their changes."""
    known = _complement_priors(p_abnormal).get(counts)
    if known is not None:
        return known
    changes = sum(abs(n - 2) for n in counts[:22]) + abs(sum(counts[22:]) - 2)
    return float(np.log(p_abnormal * THIRD_CHANGE) + max(0, changes - 3) * np.log(FURTHER_CHANGE))


def log_misread(
    read: np.ndarray, counts: Counts, errors: CellErrors, changed: Iterable[str] = ()
) -> np.ndarray:
    """Log-probability, (m,), that a cell of ``counts`` is read as ``read`` (m, 24), not as a failure;
    ``changed``: classes of abnormal chromosomes, one of which may be taken for any other class."""
    off = read - np.array(counts)
    lost, gained = np.maximum(-off, 0), np.maximum(off, 0)
    n_lost, n_gained = lost.sum(1), gained.sum(1)
    # which ones: of those that are there, and what debris is taken for
    there = _LOST * counts
    ways = _log_ways(lost, there / max(1.0, there.sum())) + _log_ways(gained, _GAINED / _GAINED.sum())
    swapped = np.arange(3)[:, None]
    terms = (
        _log_geometric(swapped, errors.exchanged)
        + _log_geometric(np.maximum(n_lost - swapped, 0), errors.lost)
        + _log_geometric(np.maximum(n_gained - swapped, 0), errors.gained)
    )
    possible = swapped <= np.minimum(n_lost, n_gained)
    plain = np.logaddexp.reduce(np.where(possible, terms, -np.inf), axis=0) + ways
    one, classes = np.eye(len(counts), dtype=int), [CHROMOSOMES.index(name) for name in changed]
    mistaken = [
        np.where(gained[:, other] > 0, log_misread(read + one[own] - one[other], counts, errors), -np.inf)
        for own in classes
        for other in np.flatnonzero(gained.any(0))
        if other != own
    ]
    # of a line it is the same one in every cell: which one is chosen once, and either way by what fits
    return np.maximum.reduce([plain, *(way + np.log(_MISTAKEN) for way in mistaken)])


def _log_geometric(number: np.ndarray, rate: float) -> np.ndarray:
    return np.log1p(-rate) + number * np.log(rate)


def _log_ways(taken: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Log-probability that these are the ones, if each is drawn by its share."""
    return xlogy(taken, share).sum(1) + gammaln(taken.sum(1) + 1) - gammaln(taken + 1).sum(1)


def change_log_ratio(value: float, errors: CellErrors) -> float:
    """Log-ratio of a structural change in one cell, bounded by how often one is missed or false."""
    missed, false = errors.change_missed, errors.change_false
    seen = np.logaddexp(np.log1p(-missed) + value, np.log(missed))
    return float(seen - np.logaddexp(np.log1p(-false), np.log(false) + value))


def log_artefact(values: Sequence[float], errors: CellErrors, prior: float, p_mosaic: float) -> float:
    """What a change's log-prior loses as it may be what a share of normal cells shows at that place, by its
    log-ratio in each cell: a true one, unless in a share of them, is in those too that do not show it."""
    shares = (np.arange(50) + 0.5) / 50
    ratios = np.clip(np.array(values), -50.0, 50.0)[:, None]

    def fit(share: float | np.ndarray) -> np.ndarray:
        return np.logaddexp(np.log(share) + ratios, np.log1p(-share)).sum(0)

    seen = 1 - errors.change_missed
    true = np.logaddexp(fit(seen)[0], logsumexp(fit(seen * shares), b=p_mosaic / 50))
    false = logsumexp(fit(shares), b=_ARTEFACT * _ARTEFACT_CELLS / 50 * (1 - shares) ** (_ARTEFACT_CELLS - 1))
    return float(np.logaddexp(0.0, false - prior - true))


def weigh_cells(
    cells: Sequence[CellEvidence], lines: Sequence[Line], errors: CellErrors
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood (n, c) of every cell given every line, and whether it is read, not failed."""
    complements, rows = np.unique(
        np.concatenate([cell.complements for cell in cells]), axis=0, return_inverse=True
    )
    bounds = np.cumsum([0, *(len(cell.complements) for cell in cells)])
    rows = [rows.ravel()[start:stop] for start, stop in pairwise(bounds)]
    changed = [{name for change in line.changes for name in find_breaks(change)[1]} for line in lines]
    misreads = map(log_misread, repeat(complements), (line.counts for line in lines), repeat(errors), changed)
    numbers = np.array([
        [np.logaddexp.reduce(c.log_likelihood + misread[row]) for c, row in zip(cells, rows, strict=True)]
        for misread in misreads
    ]).T + np.log1p(-errors.failed)  # fmt: skip
    structure = np.array([
        [sum(change_log_ratio(cell.changes.get(c, 0.0), errors) for c in line.changes) for line in lines]
        for cell in cells
    ])  # fmt: skip
    return np.logaddexp(numbers, np.log(errors.failed)) + structure, numbers > np.log(errors.failed)
