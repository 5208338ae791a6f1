"""Two conditions on the same images, many runs of one condition, groups of abnormality, and sample size."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from karyo_lib.judge import weighted
from karyo_lib.judge.intervals import bootstrap_interval, compute_effective_n, draw_bootstrap_weights, wilson
from karyo_lib.judge.metrics import CURVE_METRICS, check_predictions


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test of two classifiers on the same images."""

    only_a_right: int  # discordant images
    only_b_right: int
    p_value: float  # two-sided, exact binomial; 1.0 where no image is discordant


def compute_mcnemar(y_true: np.ndarray, predicted_a: np.ndarray, predicted_b: np.ndarray) -> McNemar:
    """Compare the labels of two conditions on the same images (McNemar 1947, exact form).

    Raises ValueError if shapes differ or a label is not 0 or 1.
    """
    y, a, _ = check_predictions(y_true, predicted_a)
    _, b, _ = check_predictions(y_true, predicted_b)
    a_right, b_right = a == y, b == y
    only_a, only_b = int(np.sum(a_right & ~b_right)), int(np.sum(b_right & ~a_right))
    p_value = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(only_a, only_b, float(p_value))


def compare_conditions(
    y_true: np.ndarray,
    p_a: np.ndarray,
    p_b: np.ndarray,
    *,
    names: tuple[str, str] = ("the first", "the second"),
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
) -> pd.DataFrame:
    """Differences b - a of every metric, with paired bootstrap intervals on the same images.

    Parameters
    ----------
    y_true : array_like of int, shape (N,)
    p_a, p_b : array_like of float, shape (N,)
        Probabilities of abnormal under the two conditions, image by image.
    names : (str, str)
        What the conditions are called in ``note``.
    groups, n_resamples
        As in :func:`karyo_lib.judge.compute_metrics`.

    Returns
    -------
    DataFrame
        Columns ``metric, title, a, b, difference, low, high, excludes_zero, note``. The accuracy row carries
        the exact McNemar test in ``note``.
    """
    y, p_a, groups = check_predictions(y_true, p_a, groups)
    _, p_b, _ = check_predictions(y_true, p_b)
    everything, abnormal = np.ones(y.size, dtype=bool), y == 1

    def of_labels(success_is_abnormal: bool | None):
        def measure(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
            called = p >= 0.5
            if success_is_abnormal is None:
                return weighted.proportion(called == abnormal, everything, w)
            return weighted.proportion(
                called == success_is_abnormal, abnormal if success_is_abnormal else ~abnormal, w
            )

        return measure

    measures = {
        "sensitivity": ("Sensitivity (recall)", of_labels(True)),
        "specificity": ("Specificity", of_labels(False)),
        "accuracy": ("Accuracy", of_labels(None)),
        **CURVE_METRICS,
    }
    weights = draw_bootstrap_weights(y.size, n_resamples, 0, groups)
    test = compute_mcnemar(y, p_a >= 0.5, p_b >= 0.5)
    rows = []
    for metric, (title, measure) in measures.items():
        one = np.ones((1, y.size))
        a, b = (float(measure(y, p, one)[0]) if y.size else float("nan") for p in (p_a, p_b))
        low = high = float("nan")
        if np.isfinite(a) and np.isfinite(b):
            low, high, _ = bootstrap_interval(lambda w, of=measure: of(y, p_b, w) - of(y, p_a, w), weights)
        note = "" if np.isfinite(b - a) else "needs both a normal and an abnormal image"
        if metric == "accuracy":
            note = (
                f"McNemar exact p = {test.p_value:.3g} ({test.only_a_right} images right only with "
                f"{names[0]}, {test.only_b_right} only with {names[1]})"
            )
        rows.append({
            "metric": metric, "title": title, "a": a, "b": b, "difference": b - a, "low": low, "high": high,
            "excludes_zero": bool(low > 0 or high < 0), "note": note,
        })  # fmt: skip
    return pd.DataFrame(rows)


def summarise_runs(
    runs: pd.DataFrame,
    by: list[str],
    value: str = "value",
    *,
    test_share: float | None = None,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> pd.DataFrame:
    """Mean and spread of repeated runs: what luck with the split alone does.

    Parameters
    ----------
    runs : DataFrame
        One row a run, with the columns ``by`` and ``value``. NaN values are left out and counted.
    by : list of str
        For example ``["condition", "protocol", "metric"]``.
    value : str
        Column to summarise.
    test_share : float, optional
        Share of the images in the test part, in (0, 1). Runs on random splits of one data set share images,
        so the plain standard error is too small; with it the variance is corrected as Nadeau and Bengio
        (2003), Machine Learning 52:239, propose. No interval is given without it, nor where all runs are
        equal.
    within : (float, float)
        What limits can be at all, (0, 1) of an AUC.

    Returns
    -------
    DataFrame
        ``by`` columns and ``mean, sd, min, max, runs, undefined, low, high``.
    """
    missing = [column for column in [*by, value] if column not in runs.columns]
    if missing:
        raise ValueError(f"Expected the columns {[*by, value]} in runs. Received none named {missing}.")
    if test_share is not None and not 0 < test_share < 1:
        raise ValueError(f"Expected test_share between 0 and 1, exclusive. Received {test_share}.")
    rows = []
    for key, part in runs.groupby(by, sort=False, dropna=False):
        values = part[value].dropna().to_numpy(dtype=float)
        n, undefined = values.size, int(part[value].isna().sum())
        mean = float(values.mean()) if n else float("nan")
        sd = float(values.std(ddof=1)) if n > 1 else float("nan")
        half = float("nan")
        if test_share is not None and n > 1 and sd > 0:  # equal runs say nothing of their spread
            error = sd * np.sqrt(1 / n + test_share / (1 - test_share))
            half = float(stats.t.ppf(0.975, n - 1) * error)
        rows.append({
            **dict(zip(by, key, strict=True)), "mean": mean, "sd": sd,
            "min": float(values.min()) if n else float("nan"),
            "max": float(values.max()) if n else float("nan"),
            "runs": n, "undefined": undefined,
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
    """What a pooled number hides: each group of abnormality (trisomy ... inversion) on its own.

    Parameters
    ----------
    y_true, p, groups, n_resamples
        As in :func:`karyo_lib.judge.compute_metrics`.
    kinds : array_like of str, shape (N,)
        Group of abnormality of each image; normal images may carry any name, they form the group ``normal``.

    Returns
    -------
    DataFrame
        Columns ``group, n, called_abnormal, share_right, low, high, roc_auc, roc_auc_low, roc_auc_high,
        note``. ``share_right`` is the sensitivity of an abnormal group, the specificity of ``normal``; the
        AUC sets the group against all normal images. Groups in falling order of size, ``normal`` last.
    """
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
        effective = compute_effective_n(right, None if groups is None else groups[mine])
        low, high = wilson(right.mean() * effective, effective)
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
            weights = draw_bootstrap_weights(y_here.size, n_resamples, 0, patients)
            row["roc_auc"] = float(weighted.roc_auc(y_here, p_here, np.ones((1, y_here.size)))[0])
            row["roc_auc_low"], row["roc_auc_high"], _ = bootstrap_interval(
                lambda w, y=y_here, p=p_here: weighted.roc_auc(y, p, w), weights
            )
        rows.append(row)
    return pd.DataFrame(rows)
