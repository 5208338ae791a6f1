"""Measures of a binary classifier, weighted and vectorised over bootstrap samples. Every function takes
labels ``y`` (N,) of 0 and 1 (abnormal), probabilities ``p`` (N,) and weights ``w`` (B, N), one row a sample,
and returns (B,) values: NaN where a row lacks a class that the measure needs. A row of ones gives the plain
measure, so value and interval come from the same code."""

import numpy as np

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
