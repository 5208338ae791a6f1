"""From class probabilities of a page's objects to a posterior over the cell's complements.

Every candidate is matched to the objects at least cost, in which an object may be no chromosome and a
chromosome may have been missed, and weighed by its prior.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, gammaln, logsumexp

from karyo_lib.iscn import NORMAL_FORMULAE, Karyotype, count_formula, parse_karyotype
from karyo_lib.iscn.bands import ACROCENTRICS, load_bands
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.iscn.segments import Segments
from karyo_lib.read.complements import Complement, candidate_complements

#: Share of abnormal pages with one given set of three changes, and the factor of each further one: too many
#: to list (hyperdiploid leukaemias), they are built up, change by change, from the better normal one.
THIRD_CHANGE, FURTHER_CHANGE = 1e-6, 0.03
_MOST_CHANGES = 12
#: Objects that have less than this share of the median width are thin.
_THIN = 0.85
_CELL = 46
_SEEN_ARM = 0.85  # share of a long arm of two joined ones that is seen (composed ones: 0.89 and more)
_UNLIKELY = -12.0  # log-probability
_MATCHED = 150  # complements that are matched exactly
#: Share of each class among the chromosomes of normal cells, half of them male.
_CLASS_SHARE = np.array([*([2 / _CELL] * 22), 1.5 / _CELL, 0.5 / _CELL])


@dataclass(frozen=True)
class CountSettings:
    """What is believed before an image is seen, and how far what is seen is believed."""

    # Share of cells with an abnormal number: a laboratory's yield is 0.05 to 0.3, that of tumours a half.
    p_abnormal: float = 0.3
    # Probability that one chromosome was not found, in most images and in poor ones: chromosomes are missed
    # together, where an image is crowded or pale, and a single one that is missing is likely to be lost.
    p_missed: float = 0.0005
    p_missed_poor: float = 0.08
    poor: float = 0.05  # share of poor images
    # Log-odds that an object is no single chromosome: a constant, and the weights of the decoder's log-odds
    # that it is none, of the finder's that it is one, of the share of its box that a larger object's covers,
    # and of the share of the usual width that it lacks: the two last tell pieces of one chromosome, such as
    # chromatids that lie apart. Fitted on validation pages.
    false_bias: float = -2.5
    false_by_none: float = 0.3
    false_by_score: float = 1.0
    false_by_overlap: float = 5.0
    false_by_thin: float = 12.0
    strange: float = 0.01  # share of chromosomes (another lab, bent, overlapped) whose looks say nothing
    # Exponent of the looks' likelihood; below 1 where they err together. Fitted on validation patients.
    sharpness: float = 0.8


@dataclass(frozen=True)
class CountPosterior:
    """Result of `count_chromosomes`."""

    candidates: pd.DataFrame  # ``formula``, ``probability``, ``n`` (chromosomes), best first
    karyotype: Karyotype  # the most probable one
    probability: float  # of that karyotype; of all but 46,XX and 46,XY
    p_abnormal: float
    assigned: np.ndarray  # int (n,): class of each object under the best formula, -1 where it is none
    proba: np.ndarray  # float64 (n, 24): of each class once the counts of the best formula are respected
    missed: tuple[str, ...]  # classes of the best formula that no object was matched to

    @property
    def formula(self) -> str:
        return self.karyotype.formula


def _match(
    cost: np.ndarray, none_cost: np.ndarray, slots: np.ndarray, missed_cost: float
) -> tuple[float, np.ndarray]:
    """Match objects (n) to ``slots`` (m classes) at least cost, but for slots missed; their slots, or -1."""
    n, m = len(cost), len(slots)
    size = n + m
    full = np.zeros((size, size))
    full[:n, :m] = cost[:, slots]
    full[:n, m:] = none_cost[:, None]
    full[n:, :m] = missed_cost
    rows, columns = linear_sum_assignment(full)
    matched = columns[:n]
    return float(full[rows, columns][:n].sum()), np.where(matched < m, matched, -1)


def _log_missed(missed: int, present: int, settings: CountSettings) -> float:
    """Log-probability that so many given chromosomes were not found: in a good image, or in a poor one."""
    either = [
        np.log(share) + missed * np.log(p) + (present - missed) * np.log1p(-p)
        for share, p in ((1 - settings.poor, settings.p_missed), (settings.poor, settings.p_missed_poor))
    ]
    return float(logsumexp(either))


def overlap_with_larger(boxes: pd.DataFrame) -> np.ndarray:
    """Share of each box (``x0, y0, x1, y1, area`` of its object) that one of a larger object covers; (n,)."""
    x0, y0, x1, y1, area = boxes[["x0", "y0", "x1", "y1", "area"]].to_numpy(float).T
    wide = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    high = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    shared = np.maximum(wide, 0) * np.maximum(high, 0) * (area[:, None] < area)
    return shared.max(1, initial=0.0) / np.maximum((x1 - x0) * (y1 - y0), 1e-9)


def thinness(boxes: pd.DataFrame) -> np.ndarray:
    """Share of the median width (``area`` by length, ``rows`` of its strip) that each object lacks; (n,)."""
    width = boxes["area"].to_numpy(float) / np.maximum(boxes["rows"].to_numpy(float), 1)
    return np.maximum(0.0, _THIN - width / np.median(width))


def log_odds_false(log_none: np.ndarray, boxes: pd.DataFrame | None, settings: CountSettings) -> np.ndarray:
    """Log-odds that each object is no single chromosome."""
    p = np.clip(np.exp(log_none), 1e-6, 1 - 1e-6)
    odds = settings.false_bias + settings.false_by_none * np.log(p / (1 - p))
    if boxes is None:
        return odds
    p = np.clip(boxes["score"].to_numpy(float), 1e-6, 1 - 1e-6)
    odds = odds - settings.false_by_score * np.log(p / (1 - p))
    odds = odds + settings.false_by_overlap * overlap_with_larger(boxes)
    return odds + settings.false_by_thin * thinness(boxes)


def _soft_assignment(log_likelihood: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Class probabilities with column sums held to the counts (Sinkhorn scaling)."""
    present = counts > 0
    p = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))[:, present] + 1e-9
    target = counts[present] * (len(p) / counts.sum())
    for _ in range(100):
        p *= target / p.sum(0)
        p /= p.sum(1, keepdims=True)
    out = np.zeros_like(log_likelihood, dtype=float)
    out[:, present] = p
    return out


def _build_up(
    start: Complement, weigh: Callable[[Complement], tuple[float, np.ndarray]], p_abnormal: float
) -> Iterator[Complement]:
    """Complements of three changes or more, on the way from a normal one to one that leaves nothing over."""
    counts = np.array(start.counts)
    fit = weigh(start)[0] - np.log(start.prior)
    for _ in range(_MOST_CHANGES):
        matched = weigh(Complement(tuple(counts), 1.0))[1]
        over = (matched < 0).sum() - (counts.sum() - (matched >= 0).sum())
        options = [counts + np.sign(over) * one for one in np.eye(len(CLASSES), dtype=int)]
        options = [Complement(tuple(o.tolist()), 1.0) for o in options if min(o) >= 0 and o[22]]
        fits = [weigh(option)[0] for option in options]
        if over == 0 or max(fits) <= fit:
            return
        fit, counts = max(fits), np.array(options[int(np.argmax(fits))].counts)
        changes = int(np.abs(counts[:22] - 2).sum() + abs(counts[22:].sum() - 2))
        if changes >= 3:
            prior = p_abnormal * THIRD_CHANGE * FURTHER_CHANGE ** (changes - 3)
            yield Complement(tuple(counts.tolist()), prior)


def _screen(
    real: np.ndarray, log_likelihood: np.ndarray, complements: tuple[Complement, ...]
) -> list[Complement]:
    """Complements worth an exact match: near the expected class counts and number of chromosomes; ``real``
    (n,): probability that each object is one."""
    p = np.exp(log_likelihood - logsumexp(log_likelihood, axis=1, keepdims=True))
    counts = np.array([c.counts for c in complements])
    # with few chromosomes many objects are false; on a poor page many that look false are chromosomes
    off = [
        3.0 * np.abs(counts - weight @ p).sum(1) + 4.0 * np.abs(counts.sum(1) - weight.sum())
        for weight in (real, np.ones_like(real))
    ]
    score = np.log([c.prior for c in complements]) - np.minimum(*off)
    best = set(np.argsort(-score)[:_MATCHED].tolist()) | {0, 1}
    return [complements[i] for i in sorted(best)]


def count_chromosomes(
    log_proba: np.ndarray,
    log_none: np.ndarray | None = None,
    settings: CountSettings | None = None,
    boxes: pd.DataFrame | None = None,
    log_prior: np.ndarray | None = None,
) -> CountPosterior:
    """Posterior over complements. ``log_proba`` (n, 24): of each class; ``log_none`` (n,): of being no single
    chromosome (by default none can be discarded); ``boxes``: of `FoundPage`, with ``rows`` of each strip;
    ``log_prior`` (n, 24): what each place says, against even odds. ValueError without objects."""
    settings = settings or CountSettings()
    log_proba = np.asarray(log_proba, float)
    if log_proba.ndim != 2 or log_proba.shape[1] != len(CLASSES) or len(log_proba) == 0:
        raise ValueError(
            f"Expected log-probabilities of shape (n > 0, {len(CLASSES)}). Received {log_proba.shape}."
        )
    n = len(log_proba)
    looks = log_proba - logsumexp(log_proba, axis=1, keepdims=True)
    looks = np.logaddexp(np.log1p(-settings.strange) + looks, np.log(settings.strange / len(CLASSES)))
    likelihood = settings.sharpness * looks - np.log(_CLASS_SHARE)
    if log_prior is not None:
        likelihood = likelihood + log_prior
    none, real = np.full(n, 100.0), np.ones(n)
    if log_none is not None:
        odds = log_odds_false(np.asarray(log_none, float), boxes, settings)
        likelihood = likelihood - np.logaddexp(0, odds)[:, None]
        # in a cell of 46, of which so many are false on the average, one false object more
        none, real = np.logaddexp(0, -odds) - np.log(_CELL), expit(-odds)
    costs = [-np.log(p) for p in (settings.p_missed, settings.p_missed_poor)]

    def weigh(complement: Complement) -> tuple[float, np.ndarray]:
        slots = np.repeat(np.arange(len(CLASSES)), complement.counts)
        best = (-np.inf, np.zeros(0, int))
        for missed_cost in costs:
            cost, matched = _match(-likelihood, none, slots, missed_cost)
            classes = np.where(matched >= 0, slots[matched], -1)
            found = int((matched >= 0).sum())
            # slots of one class can be exchanged: the best match stands for all of these permutations
            counts = np.array(complement.counts)
            unmatched = counts - np.bincount(classes[classes >= 0], minlength=len(CLASSES))
            ways = (gammaln(counts + 1) - gammaln(unmatched + 1)).sum()
            missed = _log_missed(len(slots) - found, len(slots), settings)
            best = max(best, (np.log(complement.prior) - cost + missed + ways, classes), key=lambda b: b[0])
            # where no object is better left out and its chromosome missed, a cheaper miss changes nothing
            if found == n and (-likelihood[np.arange(n), classes] <= none + costs[1]).all():
                break
        return best

    complements = _screen(real, likelihood, candidate_complements(settings.p_abnormal))
    weighed = [weigh(complement) for complement in complements]
    normal = max((i for i, c in enumerate(complements) if c.normal), key=lambda i: weighed[i][0])
    known = {complement.counts for complement in complements}
    for further in _build_up(complements[normal], weigh, settings.p_abnormal):
        if further.counts not in known:
            complements.append(further)
            weighed.append(weigh(further))
    scores, matches = zip(*weighed, strict=True)
    log_posterior = np.array(scores) - logsumexp(scores)
    order = np.argsort(-log_posterior)
    probability = np.exp(log_posterior[order])
    candidates = pd.DataFrame(
        {
            "formula": [complements[i].formula for i in order],
            "probability": probability,
            "n": [sum(complements[i].counts) for i in order],
        }
    )
    best, assigned = complements[order[0]], matches[order[0]]
    found = Counter(assigned[assigned >= 0].tolist())
    missed = tuple(name for i, name in enumerate(CLASSES) for _ in range(best.counts[i] - found[i]))
    normal = np.array([complements[i].normal for i in order])
    proba = np.zeros_like(log_proba)
    real = assigned >= 0
    if real.any():
        proba[real] = _soft_assignment(likelihood[real], np.array(best.counts))
    return CountPosterior(
        candidates,
        Karyotype.from_counts(dict(zip(CLASSES, best.counts, strict=True))),
        float(probability[0]),
        min(1.0, float(probability[~normal].sum())),  # sums of many shares may round to a little more
        assigned,
        proba,
        missed,
    )


def find_fusion(segments: Segments) -> tuple[str, str] | None:
    """The two acrocentric classes that an object joins by their short arms, in order; None where it does not,
    or where less than most of either long arm is seen."""
    pair = [segment.chromosome for segment in segments]
    if len(set(pair)) != 2 or len(pair) != 2 or not set(pair) <= set(ACROCENTRICS):
        return None
    if not segments[0].reversed or segments[1].reversed:  # short arms at the outer ends
        return None
    table = load_bands(850)
    for one in segments:
        arm = table.length(one.chromosome) - table.centromere(one.chromosome)
        if one.stop - max(one.start, table.centromere(one.chromosome)) < _SEEN_ARM * arm:
            return None
    return tuple(sorted(pair, key=CLASSES.index))


def count_spread(
    segments: Sequence[Segments],
    log_proba: np.ndarray,
    log_none: np.ndarray,
    settings: CountSettings,
    boxes: pd.DataFrame,
) -> CountPosterior:
    """`count_chromosomes` where an object may be two chromosomes by its ``segments`` (`find_fusion`): as both
    while the cell is weighed, then as the first: 45,XX,-14 stands for 45,XX,rob(13;14)."""
    fusions = {i: pair for i, own in enumerate(segments) if (pair := find_fusion(own))}
    if not fusions:
        return count_chromosomes(log_proba, log_none, settings, boxes)
    n, rows = len(log_proba), list(fusions)
    log_proba = np.concatenate([log_proba, log_proba[rows]]).astype(float)
    log_none, boxes = np.concatenate([log_none, log_none[rows]]), pd.concat([boxes, boxes.iloc[rows]])
    boxes, both = boxes.reset_index(drop=True), [*rows, *range(n, len(log_proba))]
    log_proba[both], log_none[both] = _UNLIKELY, _UNLIKELY
    boxes.loc[both, "score"] = 1.0
    first, second = zip(*fusions.values(), strict=True)
    log_proba[both, [CLASSES.index(name) for name in (*first, *second)]] = 0.0
    count = count_chromosomes(log_proba, log_none, settings, boxes)
    cells = [parse_karyotype(formula) for formula in count.candidates["formula"]]
    counts = [{c: cell.counts[c] - second.count(c) for c in CLASSES} for cell in cells]
    candidates = count.candidates.assign(
        formula=[count_formula(c) for c in counts], n=count.candidates["n"] - len(rows)
    )
    normal = candidates["formula"].isin(NORMAL_FORMULAE)
    return replace(
        count,
        candidates=candidates,
        karyotype=Karyotype.from_counts(counts[0]),
        p_abnormal=min(1.0, float(candidates.loc[~normal, "probability"].sum())),
        assigned=count.assigned[:n],
        proba=count.proba[:n],
    )
