"""A score is judged by its use: refer the least sure images, and count the errors that go with them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights

REFERRAL_RATES = (0.05, 0.10, 0.20)
REFERENCE = "vote_share"  # the thesis's score, which the others are set against


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
