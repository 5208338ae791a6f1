"""Predictions -> metrics, each with the interval that its sample size allows; conditions and groups compared.

The first functions are vectorised over bootstrap samples: labels ``y`` (N,) of 0 and 1 (abnormal),
probabilities ``p`` (N,) and weights ``w`` (B, N), one row a sample, give (B,) values, NaN where a row lacks a
class that is needed. A row of ones gives the plain measure, so value and interval come from the same code.
"""

import numpy as np
import pandas as pd
from scipy import stats

from karyo_lib.judge import intervals

N_BINS = 10


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(
        numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator > 0
    )


def _cumulative_counts(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted true and false positives (B, K + 1) as the threshold falls past the K distinct values."""
    order = np.argsort(-p, kind="stable")
    last_of_value = np.r_[np.flatnonzero(np.diff(p[order])), p.size - 1]
    true_positives = np.cumsum(w[:, order] * y[order], axis=1)[:, last_of_value]
    false_positives = np.cumsum(w[:, order] * (1 - y[order]), axis=1)[:, last_of_value]
    start = np.zeros((len(w), 1))
    return np.hstack([start, true_positives]), np.hstack([start, false_positives])


def roc_auc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counted half."""
    tp, fp = _cumulative_counts(y, p, w)
    area = np.sum(np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]) / 2, axis=1)
    return _divide(area, tp[:, -1] * fp[:, -1])


def average_precision(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve, as scikit-learn's ``average_precision_score``."""
    tp, fp = _cumulative_counts(y, p, w)
    precision = np.nan_to_num(_divide(tp[:, 1:], tp[:, 1:] + fp[:, 1:]))
    return _divide(np.sum(np.diff(tp, axis=1) * precision, axis=1), tp[:, -1])


def brier(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean squared difference between probability and outcome."""
    return _divide(w @ (p - y) ** 2, w.sum(axis=1))


def expected_calibration_error(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean distance between the predicted and the observed share of abnormal, ten equally wide bins (Naeini,
    Cooper and Hauskrecht 2015, AAAI). Biased upwards on small sets: even a perfect model shows some."""
    bins = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
    in_bin = np.eye(N_BINS)[bins]
    return _divide(np.abs((w * (y - p)) @ in_bin).sum(axis=1), w.sum(axis=1))


def sensitivity_at_specificity(
    y: np.ndarray, p: np.ndarray, w: np.ndarray, specificity: float = 0.95
) -> np.ndarray:
    """Highest sensitivity among the thresholds that keep at least this specificity on the same images."""
    tp, fp = _cumulative_counts(y, p, w)
    allowed = fp <= (1 - specificity) * fp[:, -1:] + 1e-9
    return np.where(fp[:, -1] > 0, _divide(np.max(np.where(allowed, tp, 0), axis=1), tp[:, -1]), np.nan)


def normal_cleared_at_sensitivity(
    y: np.ndarray, p: np.ndarray, w: np.ndarray, sensitivity: float = 0.99
) -> np.ndarray:
    """Share of normal pages below the highest threshold that keeps this sensitivity: the screening yield."""
    tp, fp = _cumulative_counts(y, p, w)
    enough = tp >= sensitivity * tp[:, -1:] - 1e-9
    first = np.argmax(enough, axis=1)
    flagged = np.take_along_axis(fp, first[:, None], axis=1)[:, 0]
    return np.where(tp[:, -1] > 0, 1 - _divide(flagged, fp[:, -1]), np.nan)


METRIC_COLUMNS = ["metric", "title", "value", "low", "high", "n", "method", "note"]
PREVALENCES = (0.10, 0.01)  # "less than 10%" (thesis section 5.1), and a screening population
CURVE_METRICS = {
    "roc_auc": ("ROC-AUC", roc_auc),
    "pr_auc": ("PR-AUC (average precision)", average_precision),
    "brier": ("Brier score", brier),
    "ece": ("Expected calibration error", expected_calibration_error),
    "sensitivity_at_95_specificity": ("Sensitivity at 95 % specificity", sensitivity_at_specificity),
    "normal_cleared_at_99_sensitivity": (
        "Normal pages cleared at 99 % sensitivity",
        normal_cleared_at_sensitivity,
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


def compute_mcnemar(y_true: np.ndarray, called_a: np.ndarray, called_b: np.ndarray) -> tuple[int, int, float]:
    """Compare the labels of two conditions on the same images (McNemar 1947, exact form): images that only
    the first and only the second has right, and the two-sided exact binomial p-value, 1 where there are none.
    """
    y, a, b = (np.asarray(values).astype(int) for values in (y_true, called_a, called_b))
    only_a, only_b = int(np.sum((a == y) & (b != y))), int(np.sum((a != y) & (b == y)))
    return only_a, only_b, stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0


def compare_conditions(
    y_true: np.ndarray,
    p_a: np.ndarray,
    p_b: np.ndarray,
    *,
    names: tuple[str, str] = ("the first", "the second"),
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
) -> pd.Series:
    """Set the AUC of two conditions against each other on the same images, with a paired bootstrap interval:
    ``a, b, difference`` (b less a), ``low, high, excludes_zero``, and ``mcnemar``, the exact test of their
    labels in words. NaN where the images do not hold both labels."""
    y, p_a, groups = check_predictions(y_true, p_a, groups)
    _, p_b, _ = check_predictions(y_true, p_b)
    a, b = (float(roc_auc(y, p, np.ones((1, y.size)))[0]) for p in (p_a, p_b))
    weights = intervals.draw_bootstrap_weights(y.size, n_resamples, 0, groups)
    low, high = intervals.bootstrap_interval(lambda w: roc_auc(y, p_b, w) - roc_auc(y, p_a, w), weights)
    only_a, only_b, p_value = compute_mcnemar(y, p_a >= 0.5, p_b >= 0.5)
    mcnemar = (
        f"McNemar exact p = {p_value:.3g} ({only_a} images right only with {names[0]}, {only_b} only with "
        f"{names[1]})"
    )
    return pd.Series({
        "a": a, "b": b, "difference": b - a, "low": low, "high": high,
        "excludes_zero": bool(low > 0 or high < 0), "mcnemar": mcnemar,
    })  # fmt: skip


def summarise_runs(
    runs: pd.DataFrame,
    by: list[str],
    value: str = "value",
    *,
    test_share: float,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> pd.DataFrame:
    """Mean and spread of repeated runs, one row a run: what luck with the split alone does. Runs on random
    splits of one data set share images, so the plain standard error is too small; the variance is corrected
    for the ``test_share`` as Nadeau and Bengio (2003), Machine Learning 52:239, propose. NaN values are left
    out and counted. No interval is given where all runs are equal; ``within``: what limits can be at all."""
    rows = []
    for key, part in runs.groupby(by, sort=False, dropna=False):
        values, half = part[value].dropna().astype(float), np.nan
        n, mean, sd = len(values), values.mean(), values.std()
        if n > 1 and sd > 0:  # equal runs say nothing of their spread
            error = sd * np.sqrt(1 / n + test_share / (1 - test_share))
            half = float(stats.t.ppf(0.975, n - 1) * error)
        rows.append({
            **dict(zip(by, key, strict=True)), "mean": mean, "sd": sd, "min": values.min(),
            "max": values.max(), "runs": n, "undefined": len(part) - n,
            "low": np.clip(mean - half, within[0], None), "high": np.clip(mean + half, None, within[1]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def compute_metrics_by_group(
    y_true: np.ndarray,
    p: np.ndarray,
    kinds: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_resamples: int = 1000,
) -> pd.DataFrame:
    """What a pooled number hides: each group of abnormality on its own, in falling order of size, ``normal``
    last. ``share_right`` is the sensitivity of an abnormal group, the specificity of ``normal``; the AUC sets
    the group against all normal images."""
    y, p, groups = check_predictions(y_true, p, groups)
    kinds = np.asarray(kinds, dtype=object)
    if kinds.shape != y.shape:
        raise ValueError(f"Expected kinds of shape {y.shape}, one group an image. Received {kinds.shape}.")
    called = p >= 0.5
    names = pd.Series(np.where(y == 1, kinds, "normal")).value_counts().index.tolist()
    rows = []
    for name in sorted(names, key=lambda kind: kind == "normal"):
        mine = (y == 0) if name == "normal" else (y == 1) & (kinds == name)
        right = called[mine] == (name != "normal")
        effective = intervals.compute_effective_n(right, None if groups is None else groups[mine])
        low, high = intervals.wilson(right.mean() * effective, effective)
        row = {
            "group": name, "n": int(mine.sum()), "called_abnormal": int(called[mine].sum()),
            "share_right": float(right.mean()), "low": low, "high": high,
            "roc_auc": float("nan"), "roc_auc_low": float("nan"), "roc_auc_high": float("nan"), "note": "",
        }  # fmt: skip
        both = mine | (y == 0)
        if name == "normal":
            row["note"] = "share right is the specificity"
        elif not (y == 0).any():
            row["note"] = "no normal image to compare with"
        else:
            y_here, p_here = y[both], p[both]
            patients = None if groups is None else groups[both]
            weights = intervals.draw_bootstrap_weights(y_here.size, n_resamples, 0, patients)
            row["roc_auc"] = float(roc_auc(y_here, p_here, np.ones((1, y_here.size)))[0])
            row["roc_auc_low"], row["roc_auc_high"] = intervals.bootstrap_interval(
                lambda w, y=y_here, p=p_here: roc_auc(y, p, w), weights
            )
        rows.append(row)
    return pd.DataFrame(rows)
