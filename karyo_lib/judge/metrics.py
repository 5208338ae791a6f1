"""Predictions -> metrics, each with the interval that its sample size allows."""

import numpy as np
import pandas as pd

from karyo_lib.judge import intervals, weighted

METRIC_COLUMNS = ["metric", "title", "value", "low", "high", "n", "method", "note"]
PREVALENCES = (0.10, 0.01)  # "less than 10%" (thesis section 5.1), and a screening population
CURVE_METRICS = {
    "roc_auc": ("ROC-AUC", weighted.roc_auc),
    "pr_auc": ("PR-AUC (average precision)", weighted.average_precision),
    "brier": ("Brier score", weighted.brier),
    "ece": ("Expected calibration error", weighted.expected_calibration_error),
    "sensitivity_at_95_specificity": ("Sensitivity at 95 % specificity", weighted.sensitivity_at_specificity),
    "normal_cleared_at_99_sensitivity": (
        "Normal pages cleared at 99 % sensitivity",
        weighted.normal_cleared_at_sensitivity,
    ),
}
CHOSEN_HERE = "threshold chosen on these same images: optimistic"
NO_ABNORMAL, NO_NORMAL, NO_IMAGES = "no abnormal image", "no normal image", "no image"


def check_predictions(
    y_true: np.ndarray, p: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Labels as int, probabilities as float64 and groups as arrays of one length."""
    y, p = np.asarray(y_true), np.asarray(p, dtype=float)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"Expected y_true and p of one shape (N,). Received {y.shape} and {p.shape}.")
    if not np.isin(y, [0, 1]).all():
        odd = sorted(set(np.unique(y).tolist()) - {0, 1}, key=str)[:3]
        raise ValueError(f"Expected labels 0 (normal) and 1 (abnormal). Received {odd}.")
    if not ((p >= 0) & (p <= 1)).all():
        odd = p[~((p >= 0) & (p <= 1))][0]
        raise ValueError(f"Expected probabilities of abnormal in [0, 1]. Received {odd}.")
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != y.shape:
            raise ValueError(
                f"Expected groups of shape {y.shape}, one patient an image. Received {groups.shape}."
            )
    return y.astype(int), p, groups


def _proportion_row(metric: str, title: str, success: np.ndarray, groups, why_empty: str) -> dict:
    n = success.size
    value = float(success.mean()) if n else float("nan")
    effective = intervals.compute_effective_n(success, groups)
    low, high = intervals.wilson(value * effective, effective) if n else (float("nan"), float("nan"))
    method = "Wilson" if effective == n else f"Wilson, {n} images of repeated patients worth {effective:.0f}"
    return {
        "metric": metric, "title": title, "value": value, "low": low, "high": high, "n": n,
        "method": method if n else "", "note": "" if n else why_empty,
    }  # fmt: skip


def compute_ppv_at_prevalence(
    sensitivity: float, n_abnormal: float, specificity: float, n_normal: float, prevalence: float
) -> tuple[float, float, float]:
    """Positive predictive value (value, low, high) where a share ``prevalence`` of the karyograms is abnormal
    (Bayes' rule). Its interval is put together from the two Wilson intervals by MOVER-R (Donner and Zou 2012,
    Statistical Methods in Medical Research 21:347), which holds its level where specificity is near 1."""
    if not 0 < prevalence < 1:
        raise ValueError(f"Expected a prevalence between 0 and 1, exclusive. Received {prevalence}.")
    nan = float("nan")
    if not (n_abnormal > 0 and n_normal > 0):
        return nan, nan, nan
    a, b = sensitivity, 1 - specificity
    a_low, a_high = intervals.wilson(min(a * n_abnormal, n_abnormal), n_abnormal)
    b_low, b_high = intervals.wilson(min(b * n_normal, n_normal), n_normal)
    root_low = np.sqrt(max(0.0, (a * b) ** 2 - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)))
    root_high = np.sqrt(max(0.0, (a * b) ** 2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)))
    odds = prevalence / (1 - prevalence)

    def at_ratio(numerator: float, denominator: float) -> float:
        share = numerator * odds + denominator
        return float(numerator * odds / share) if share > 0 else nan

    # The closed form divides by b_high (2 b - b_high), which may be negative; its twin, equal in value,
    # divides by a sum of positive terms.
    low = at_ratio(a_low * (2 * a - a_low), a * b + root_low)
    high = at_ratio(a * b + root_high, b_low * (2 * b - b_low)) if b_low > 1e-12 else 1.0
    return at_ratio(a, b), low, high


def _curve_note(metric: str, value: float, low: float, y: np.ndarray) -> str:
    if not np.isfinite(value):
        return NO_IMAGES if not y.size else NO_ABNORMAL if not y.any() else NO_NORMAL
    if metric in ("roc_auc", "pr_auc") and value == 1:
        return "no error of order in the sample: the bootstrap cannot see below it"
    if not np.isfinite(low):
        return f"the interval {intervals.NO_INTERVAL}"
    return CHOSEN_HERE if "_at_" in metric else ""


def compute_metrics(
    y_true: np.ndarray, p: np.ndarray, *, groups: np.ndarray | None = None, n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Every metric of a binary classifier (1 is abnormal, called so from one half) with a 95 % interval, a
    row a metric: ``metric, title, value, low, high, n, method, note``; predictive values at each of
    `PREVALENCES`. With ``groups`` (patients) proportions count the effective number of independent images,
    and the bootstrap draws patients. What the images do not define is NaN, with the reason in ``note``."""
    y, p, groups = check_predictions(y_true, p, groups)
    called, abnormal = p >= 0.5, y == 1

    def pick(mask: np.ndarray) -> np.ndarray | None:
        return None if groups is None else groups[mask]

    def row(metric: str, title: str, success: np.ndarray, among: np.ndarray, why_empty: str) -> dict:
        return _proportion_row(metric, title, success[among], pick(among), why_empty)

    everything = np.ones(y.size, dtype=bool)
    rows = [
        row("sensitivity", "Sensitivity (recall)", called, abnormal, NO_ABNORMAL),
        row("specificity", "Specificity", ~called, ~abnormal, NO_NORMAL),
        row("ppv", "Precision (PPV) in these images", abnormal, called, "no image called abnormal"),
        row("npv", "NPV in these images", ~abnormal, ~called, "no image called normal"),
        row("accuracy", "Accuracy", called == abnormal, everything, NO_IMAGES),
    ]
    sensitivity, specificity = rows[0]["value"], rows[1]["value"]
    n_abnormal = intervals.compute_effective_n(called[abnormal], pick(abnormal))
    n_normal = intervals.compute_effective_n(called[~abnormal], pick(~abnormal))
    for prevalence in PREVALENCES:
        value, low, high = compute_ppv_at_prevalence(
            sensitivity, n_abnormal, specificity, n_normal, prevalence
        )
        note = "" if np.isfinite(value) else NO_ABNORMAL if not abnormal.any() else NO_NORMAL
        if abnormal.any() and not abnormal.all() and not np.isfinite(value):
            note = "no image called abnormal"
        rows.append({
            "metric": f"ppv_at_{prevalence:g}", "title": f"PPV at a prevalence of {100 * prevalence:g} %",
            "value": value, "low": low, "high": high, "n": y.size, "method": "MOVER-R", "note": note,
        })  # fmt: skip
    weights = intervals.draw_bootstrap_weights(y.size, n_resamples, seed, groups)
    of_what = "images" if groups is None else "patients"
    for metric, (title, measure) in CURVE_METRICS.items():
        value = float(measure(y, p, np.ones((1, y.size)))[0]) if y.size else float("nan")
        low, high = float("nan"), float("nan")
        if np.isfinite(value):
            low, high = intervals.bootstrap_interval(lambda w, of=measure: of(y, p, w), weights)
        rows.append({
            "metric": metric, "title": title, "value": value, "low": low, "high": high, "n": y.size,
            "method": f"bootstrap of {of_what}", "note": _curve_note(metric, value, low, y),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)
