"""A score is judged by its use: refer the least sure images, count the errors, and promise no more misses.

Promises are Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052): each
candidate is a hypothesis "its miss rate is above alpha", tested with an exact binomial p-value, in an order
fixed beforehand so that no correction for many tests is due. MAPIE does it for the miss rate among abnormal
cases. Among cleared cases its fixed sequence does not fit: it takes its order from the observed risks, and
starts where nobody is cleared, so that no threshold passes. There the sequence is our own.
"""

import warnings
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Literal

import numpy as np
import pandas as pd
from mapie.risk_control import BinaryClassificationController, control_fwer, recall
from scipy import stats

from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights

REFERRAL_RATES = (0.05, 0.10, 0.20)
REFERENCE = "vote_share"  # the thesis's score, which the others are set against
Risk = Literal["cleared", "abnormal"]
_AMONG = {"cleared": "among the cases cleared", "abnormal": "among the abnormal cases"}


@dataclass(frozen=True)
class RiskCoverage:
    """Error rate among the images kept, as more of the least sure are referred."""

    coverage: np.ndarray  # share of images kept, 1/N .. 1
    risk: np.ndarray  # share of wrong labels among them; equal scores count with their mean over all orders
    aurc: float  # mean of the risk (Geifman and El-Yaniv 2017): smaller is better


def _check(flags: np.ndarray, uncertainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flags, uncertainty = np.asarray(flags, dtype=float), np.asarray(uncertainty, dtype=float)
    if flags.ndim != 1 or flags.shape != uncertainty.shape or flags.size == 0:
        raise ValueError(
            f"Expected one flag and one uncertainty for each of N >= 1 images. Received {flags.shape} and "
            f"{uncertainty.shape}."
        )
    if not np.isfinite(uncertainty).all():
        raise ValueError(
            f"Expected finite uncertainties. Received {uncertainty[~np.isfinite(uncertainty)][0]}."
        )
    return flags, uncertainty


class _Order:
    """Images sorted from sure to unsure; counts among the first k, in expectation over the order of ties."""

    def __init__(self, uncertainty: np.ndarray):
        self.order = np.argsort(uncertainty, kind="stable")
        self.ends = np.r_[np.flatnonzero(np.diff(uncertainty[self.order])), uncertainty.size - 1]

    def kept(self, flags: np.ndarray, w: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Weighted number of flagged images among the ``k`` surest, for one row of weights ``w`` (N,)."""
        size = np.r_[0.0, np.cumsum(w[self.order])[self.ends]]
        flagged = np.r_[0.0, np.cumsum((w * flags)[self.order])[self.ends]]
        return np.interp(k, size, flagged)

    def risks(self, flags: np.ndarray, w: np.ndarray) -> np.ndarray:
        k = np.arange(1, round(w.sum()) + 1)
        return self.kept(flags, w, k) / k


def compute_risk_coverage(wrong: np.ndarray, uncertainty: np.ndarray) -> RiskCoverage:
    """Risk-coverage curve of an uncertainty, larger is less sure: those go first to the specialist."""
    wrong, uncertainty = _check(wrong, uncertainty)
    risk = _Order(uncertainty).risks(wrong, np.ones(wrong.size))
    return RiskCoverage(np.arange(1, risk.size + 1) / risk.size, risk, float(risk.mean()))


def _n_referred(n: float, rate: float) -> int:
    return int(np.floor(n * rate + 1e-9))


def compute_referral(
    y_true: np.ndarray, label: np.ndarray, uncertainty: np.ndarray, rate: float
) -> tuple[float, float]:
    """Sensitivity once at most a share ``rate`` of the images, the least sure, is referred: of the images
    kept, and with the referred abnormal ones counted as found. NaN where nothing is to be counted. Equal
    scores count with their mean over all orders."""
    if not 0 <= rate < 1:
        raise ValueError(f"Expected a referral rate in [0, 1). Received {rate}.")
    y, label = np.asarray(y_true), np.asarray(label)
    missed, uncertainty = _check((y == 1) & (label == 0), uncertainty)
    order, abnormal, one = _Order(uncertainty), (y == 1).astype(float), np.ones(y.size)
    k = y.size - _n_referred(y.size, rate)
    kept_missed, kept_abnormal = (float(order.kept(flags, one, k)) for flags in (missed, abnormal))
    kept = 1 - kept_missed / kept_abnormal if kept_abnormal > 0 else float("nan")
    return kept, 1 - kept_missed / abnormal.sum() if abnormal.any() else float("nan")


_MEASURES = ("aurc", *(f"caught_{round(100 * rate)}" for rate in REFERRAL_RATES))


def _measure(order: _Order, wrong: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape (B, len(_MEASURES)): AURC, and the share of errors caught at each rate."""
    values = np.full((len(weights), len(_MEASURES)), np.nan)
    for b, w in enumerate(weights):
        n, n_errors = round(w.sum()), round(float(w @ wrong))
        values[b, 0] = order.risks(wrong, w).mean()
        if n_errors:
            k = n - np.array([_n_referred(n, rate) for rate in REFERRAL_RATES])
            values[b, 1:] = 1 - order.kept(wrong, w, k) / n_errors
    return values


def judge_scores(
    wrong: np.ndarray, uncertainties: pd.DataFrame, *, groups: np.ndarray | None = None,
    n_resamples: int = 1000,
) -> pd.DataFrame:  # fmt: skip
    """Compare scores on the same images (one column a score, larger is less sure) with the thesis's,
    ``vote_share``: area under risk-coverage and errors caught at `REFERRAL_RATES`, one row a score and
    measure, ``difference`` being score less reference. The bootstrap draws patients; the same samples serve
    all scores. Measures that need an error are NaN where there is none."""
    if REFERENCE not in uncertainties.columns:
        raise ValueError(f"Expected the score {REFERENCE!r}. Received {list(uncertainties.columns)}.")
    wrong, _ = _check(wrong, uncertainties[REFERENCE])
    weights = draw_bootstrap_weights(wrong.size, n_resamples, 0, groups)
    one = np.ones((1, wrong.size))
    values, samples = {}, {}
    for name in uncertainties.columns:
        order = _Order(_check(wrong, uncertainties[name])[1])
        values[name] = _measure(order, wrong, one)[0]
        samples[name] = _measure(order, wrong, weights)
    rows = []
    for name in uncertainties.columns:
        for j, measure in enumerate(_MEASURES):
            low, high = bootstrap_interval(lambda _, s=samples[name][:, j]: s, weights)
            apart = samples[name][:, j] - samples[REFERENCE][:, j]
            apart_low, apart_high = bootstrap_interval(lambda _, s=apart: s, weights)
            rows.append({
                "score": name, "measure": measure, "value": values[name][j], "low": low, "high": high,
                "difference": values[name][j] - values[REFERENCE][j],
                "difference_low": apart_low, "difference_high": apart_high,
                "excludes_zero": bool(apart_low > 0 or apart_high < 0),
            })  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Promise:
    """An operating point and what is promised of it."""

    risk: Risk  # whether misses are counted among the cleared or among the abnormal cases
    alpha: float  # the miss rate is at most this, with probability 1 - delta over calibration parts
    delta: float
    threshold: float | None  # cases whose score is below it are cleared; None: none can promise this
    n: int  # independent calibration cases, and the abnormal ones among them
    n_abnormal: int
    n_cleared: int  # of the calibration part at the threshold
    misses: int
    bound: float  # upper limit of the miss rate at level 1 - delta (Clopper-Pearson); NaN without threshold
    yield_share: float  # share of the normal calibration cases that are cleared
    sentence: str  # all of it in words

    def clear(self, score: np.ndarray) -> np.ndarray:
        """Return which cases are cleared, bool, shape of ``score``; none without a threshold."""
        score = np.asarray(score, dtype=float)
        return np.zeros(score.shape, dtype=bool) if self.threshold is None else score < self.threshold


def compute_smallest_n(alpha: float, delta: float, misses: int = 0) -> int:
    """Fewest cases that, with so many misses among them, show at level delta a miss rate of at most alpha:
    for 0.05, 0.1 and no miss 45, the first n with (1 - alpha)^n <= delta."""
    # P(at most m misses among n) <= delta where the (m + 1)th miss comes after n with probability <= delta.
    return int(stats.nbinom.ppf(1 - delta, misses + 1, alpha)) + misses + 1


def _one_case_a_patient(groups: np.ndarray, seed: int) -> np.ndarray:
    shuffled = np.random.default_rng(seed).permutation(groups.size)
    _, first = np.unique(groups[shuffled], return_index=True)
    return np.sort(shuffled[first])


def _threshold_among_cleared(score: np.ndarray, y: np.ndarray, alpha: float, delta: float) -> float | None:
    """Walk up the sorted scores; stop where one more miss would be needed than is allowed. Candidates clear
    the k lowest scores, k = fewest cases that allow 0, 1, 2 ... misses, and at last all: fixed by alpha,
    delta and n. Given the next higher score, the k cases below are independent draws, so misses are binomial.
    """
    if score.size < compute_smallest_n(alpha, delta):
        return None
    ordered = np.sort(score)
    sizes = (compute_smallest_n(alpha, delta, allowed) for allowed in count())
    thresholds = [*(ordered[k] for k in takewhile(lambda k: k < score.size, sizes)), np.inf]
    cleared = [score < threshold for threshold in thresholds]
    p_values = np.array([stats.binom.cdf(y[c].sum(), c.sum(), alpha) for c in cleared])
    passed = control_fwer(p_values, delta, fwer_method="fixed_sequence")
    return float(thresholds[passed[-1]]) if passed.size else None


def _threshold_among_abnormal(score: np.ndarray, y: np.ndarray, alpha: float, delta: float) -> float | None:
    if not (y == 1).any() or (1 - alpha) ** int(y.sum()) > delta:
        return None
    candidates = np.unique(score)
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
        risk=recall,
        target_level=1 - alpha,
        confidence_level=1 - delta,
        list_predict_params=candidates,
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():  # it warns where no threshold passes; the result says so in words
        warnings.simplefilter("ignore", UserWarning)
        controller.calibrate(score[:, None], y)
    passed = controller.valid_predict_params
    return float(passed.max()) if len(passed) and passed.max() > candidates[0] else None


def choose_threshold(
    score: np.ndarray,
    y_true: np.ndarray,
    *,
    alpha: float = 0.05,
    delta: float = 0.10,
    risk: Risk = "cleared",
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Promise:
    """Choose the highest threshold below which cases may be cleared, with a promise about the misses, on a
    calibration part that neither trained nor tuned anything. ``alpha``: highest miss rate; ``delta``:
    probability with which the promise may fail. ``risk`` 'cleared' is the share of abnormal cases among those
    cleared: it depends on how common they are, and the promise assumes that their share does not fall as the
    score rises; 'abnormal' the share of the abnormal cases (scores in [0, 1]) that are cleared, without that
    assumption. The bound needs independent cases, so one image a patient (``groups``) is drawn.

    Where the part is too small or too often wrong the promise has no threshold and a sentence that says why:
    an honest outcome, not an error. The probability is over calibration parts, and those that give no
    threshold count as kept. On a small part a threshold is found only by luck: look at ``n_cleared`` and at
    how often such parts give one.
    """
    score, y = np.asarray(score, dtype=float), np.asarray(y_true)
    if score.ndim != 1 or score.shape != y.shape or score.size == 0:
        raise ValueError(
            f"Expected score and y_true of one shape (N,), N >= 1. Received {score.shape}, {y.shape}."
        )
    if not np.isin(y, [0, 1]).all() or not np.isfinite(score).all():
        raise ValueError("Expected labels 0 and 1 and finite scores. Received others.")
    if not (0 < alpha < 1 and 0 < delta < 1):
        raise ValueError(f"Expected alpha and delta in (0, 1). Received alpha={alpha}, delta={delta}.")
    if risk not in _AMONG:
        raise ValueError(f"Expected risk 'cleared' or 'abnormal'. Received {risk!r}.")
    y = y.astype(int)
    if groups is not None:
        drawn = _one_case_a_patient(np.asarray(groups), seed)
        score, y = score[drawn], y[drawn]
    find = _threshold_among_cleared if risk == "cleared" else _threshold_among_abnormal
    threshold = find(score, y, alpha, delta)
    n, n_abnormal = y.size, int(y.sum())
    level = (
        f"{100 * alpha:g} % {_AMONG[risk]} with probability {100 * (1 - delta):g} % over calibration parts"
    )
    rests_on = f"{n} calibration cases, {n_abnormal} of them abnormal"
    if threshold is None:
        needed = compute_smallest_n(alpha, delta)
        have, what = (n, "cases") if risk == "cleared" else (n_abnormal, "abnormal cases")
        why = (
            f"at least {needed} {what} are needed even if none is missed"
            if have < needed
            else "too many abnormal cases stand among the lowest scores"
        )
        sentence = f"No threshold can promise a miss rate of at most {level} with n = {have} {what}: {why}."
        return Promise(risk, alpha, delta, None, n, n_abnormal, 0, 0, float("nan"), 0.0, sentence)
    cleared = score < threshold
    n_cleared, misses = int(cleared.sum()), int(y[cleared].sum())
    out_of = n_cleared if risk == "cleared" else n_abnormal
    bound = float(stats.beta.ppf(1 - delta, misses + 1, out_of - misses)) if misses < out_of else 1.0
    normal = y == 0
    share = float(cleared[normal].mean()) if normal.any() else float("nan")
    sentence = (
        f"Cases with a score below {threshold:.4g} are cleared. The miss rate is at most {level}, as long "
        f"as new cases come from where the calibration cases came from: {rests_on}; {misses} of {n_cleared} "
        f"cleared were abnormal, and {100 * share:.0f} % of the normal ones are cleared."
    )
    return Promise(risk, alpha, delta, threshold, n, n_abnormal, n_cleared, misses, bound, share, sentence)


@dataclass(frozen=True)
class PromiseCheck:
    n_cleared: int
    misses: int
    rate: float  # the miss rate, counted as the promise counts it, with 95 % Clopper-Pearson limits
    low: float
    high: float
    # {'kept', 'broken', 'not decided', 'nothing cleared'}; broken where even the lower limit is above alpha,
    # kept where the upper limit is not.
    verdict: str


def check_promise(promise: Promise, score: np.ndarray, y_true: np.ndarray) -> PromiseCheck:
    """Count misses under the promised threshold on independent cases that did not choose it."""
    y, cleared = np.asarray(y_true), promise.clear(score)
    n_cleared, misses = int(cleared.sum()), int(y[cleared].sum())
    out_of = n_cleared if promise.risk == "cleared" else int(y.sum())
    if n_cleared == 0 or out_of == 0:
        nan = float("nan")
        return PromiseCheck(n_cleared, misses, nan, nan, nan, "nothing cleared")
    limits = stats.binomtest(misses, out_of).proportion_ci(0.95, method="exact")
    verdict = (
        "broken" if limits.low > promise.alpha else "kept" if limits.high <= promise.alpha else "not decided"
    )
    return PromiseCheck(n_cleared, misses, misses / out_of, float(limits.low), float(limits.high), verdict)
