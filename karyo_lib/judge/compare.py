"""Two conditions on the same images, many runs of one condition, and groups of abnormality."""

import numpy as np
import pandas as pd
from scipy import stats

from karyo_lib.judge.intervals import bootstrap_interval, compute_effective_n, draw_bootstrap_weights, wilson
from karyo_lib.judge.metrics import check_predictions
from karyo_lib.judge.weighted import roc_auc


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
    weights = draw_bootstrap_weights(y.size, n_resamples, 0, groups)
    low, high = bootstrap_interval(lambda w: roc_auc(y, p_b, w) - roc_auc(y, p_a, w), weights)
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
            row["roc_auc"] = float(roc_auc(y_here, p_here, np.ones((1, y_here.size)))[0])
            row["roc_auc_low"], row["roc_auc_high"] = bootstrap_interval(
                lambda w, y=y_here, p=p_here: roc_auc(y, p, w), weights
            )
        rows.append(row)
    return pd.DataFrame(rows)
