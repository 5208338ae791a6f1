"""A score is judged by its use: refer the least sure images, and count the errors that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights

REFERRAL_RATES = (0.05, 0.10, 0.20)
REFERENCE = "vote_share"  # the thesis's score, which the others are set against


@dataclass(frozen=True)
class RiskCoverage:
    """Error rate among the images kept, as more of the least sure are referred.

    Attributes
    ----------
    coverage : ndarray, shape (N,)
        Share of images kept, 1/N .. 1.
    risk : ndarray, shape (N,)
        Share of wrong labels among them; equal scores count with their mean over all orders.
    aurc : float
        Mean of ``risk`` (Geifman and El-Yaniv 2017): smaller is better.
    excess_aurc : float
        ``aurc`` less that of a perfect order (Geifman, Uziel and El-Yaniv 2019).
    """

    coverage: np.ndarray
    risk: np.ndarray
    aurc: float
    excess_aurc: float
    n: int
    n_errors: int


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


def _best_aurc(n: int, n_errors: int) -> float:
    k = np.arange(1, n + 1)
    return float(np.mean(np.maximum(k - (n - n_errors), 0) / k))


def compute_risk_coverage(wrong: np.ndarray, uncertainty: np.ndarray) -> RiskCoverage:
    """Risk-coverage curve of a score.

    Parameters
    ----------
    wrong : array_like of bool, shape (N,)
        Whether the label of the image is wrong.
    uncertainty : array_like of float, shape (N,)
        Larger is less sure; those go first to the specialist.
    """
    wrong, uncertainty = _check(wrong, uncertainty)
    n, n_errors = wrong.size, int(wrong.sum())
    risk = _Order(uncertainty).risks(wrong, np.ones(n))
    aurc = float(risk.mean())
    return RiskCoverage(np.arange(1, n + 1) / n, risk, aurc, aurc - _best_aurc(n, n_errors), n, n_errors)


def _n_referred(n: float, rate: float) -> int:
    return int(np.floor(n * rate + 1e-9))


def compute_referral(
    y_true: np.ndarray, label: np.ndarray, uncertainty: np.ndarray, rates: Sequence[float] = REFERRAL_RATES
) -> pd.DataFrame:
    """What is gained by referring the least sure images.

    Parameters
    ----------
    y_true, label : array_like of int, shape (N,)
        True and predicted, 1 abnormal.
    uncertainty : array_like of float, shape (N,)
    rates : sequence of float
        Shares of the images that are referred, each in [0, 1); at most that many whole images are.

    Returns
    -------
    DataFrame
        Columns ``rate, referred, errors, caught, caught_share, error_rate_kept, sensitivity_kept,
        sensitivity_with_specialist``. ``sensitivity_kept`` counts the images that were kept;
        ``sensitivity_with_specialist`` counts referred abnormal images as found. NaN where nothing is to be
        counted. Equal scores count with their mean over all orders, so counts may be fractional.
    """
    y, label = np.asarray(y_true), np.asarray(label)
    wrong, uncertainty = _check(y != label, uncertainty)
    order, n, one = _Order(uncertainty), wrong.size, np.ones(wrong.size)
    abnormal, missed = (y == 1).astype(float), ((y == 1) & (label == 0)).astype(float)
    rows = []
    for rate in rates:
        if not 0 <= rate < 1:
            raise ValueError(f"Expected referral rates in [0, 1). Received {rate}.")
        referred = _n_referred(n, rate)
        k = n - referred
        kept_wrong, kept_abnormal, kept_missed = (
            float(order.kept(f, one, k)) for f in (wrong, abnormal, missed)
        )
        caught = wrong.sum() - kept_wrong
        rows.append({
            "rate": rate, "referred": referred, "errors": int(wrong.sum()), "caught": caught,
            "caught_share": caught / wrong.sum() if wrong.any() else float("nan"),
            "error_rate_kept": kept_wrong / k if k else float("nan"),
            "sensitivity_kept": 1 - kept_missed / kept_abnormal if kept_abnormal > 0 else float("nan"),
            "sensitivity_with_specialist": (
                1 - kept_missed / abnormal.sum() if abnormal.any() else float("nan")
            ),
        })  # fmt: skip
    return pd.DataFrame(rows)


_MEASURES = ("aurc", "excess_aurc", *(f"caught_{round(100 * rate)}" for rate in REFERRAL_RATES))


def _measure(order: _Order, wrong: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape (B, len(_MEASURES)): AURC, excess AURC and the share of errors caught at each rate."""
    values = np.full((len(weights), len(_MEASURES)), np.nan)
    for b, w in enumerate(weights):
        n, n_errors = round(w.sum()), round(float(w @ wrong))
        risks = order.risks(wrong, w)
        values[b, :2] = risks.mean(), risks.mean() - _best_aurc(n, n_errors)
        if n_errors:
            k = n - np.array([_n_referred(n, rate) for rate in REFERRAL_RATES])
            values[b, 2:] = 1 - order.kept(wrong, w, k) / n_errors
    return values


def judge_scores(
    wrong: np.ndarray, uncertainties: pd.DataFrame, *, groups: np.ndarray | None = None,
    n_resamples: int = 1000,
) -> pd.DataFrame:  # fmt: skip
    """Compare scores on the same images: area under risk-coverage and errors caught, at ``REFERRAL_RATES``.

    Parameters
    ----------
    wrong : array_like of bool, shape (N,)
        Whether the label of the image is wrong.
    uncertainties : DataFrame, N rows
        One column a score, larger is less sure; all are set against the thesis's, ``vote_share``.
    groups : array_like, shape (N,), optional
        Patient of each image: the bootstrap draws patients.
    n_resamples : int
        Of the bootstrap; the same samples serve all scores, so differences are paired.

    Returns
    -------
    DataFrame
        One row a score and measure (``aurc, excess_aurc, caught_5, ...``): ``score, measure, value, low,
        high, difference, difference_low, difference_high, excludes_zero``, the difference being score less
        reference. Measures that need an error are NaN where there is none.
    """
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
            low, high, _ = bootstrap_interval(lambda _, s=samples[name][:, j]: s, weights)
            apart = samples[name][:, j] - samples[REFERENCE][:, j]
            apart_low, apart_high, _ = bootstrap_interval(lambda _, s=apart: s, weights)
            rows.append({
                "score": name, "measure": measure, "value": values[name][j], "low": low, "high": high,
                "difference": values[name][j] - values[REFERENCE][j],
                "difference_low": apart_low, "difference_high": apart_high,
                "excludes_zero": bool(apart_low > 0 or apart_high < 0),
            })  # fmt: skip
    return pd.DataFrame(rows)
