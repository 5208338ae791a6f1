"""Many stochastic answers per image (T, N) -> label, the thesis's confidence score, and scores from the
values: by Monte Carlo dropout, a deep ensemble or test-time augmentation."""

import numpy as np
import pandas as pd

PREDICTION_COLUMNS = (
    "condition", "protocol", "repeat", "image_id", "part", "y_true", "p_mean", "p_std", "votes",
    "entropy", "mutual_information", "label", "confidence", "referred",
)  # fmt: skip
REFERRAL_THRESHOLD = 80.0  # percent of passes that agree, thesis section 3.4

# Every score turned the same way: 0 is as sure, 1 as unsure as the score can be.
UNCERTAINTIES = {
    "vote_share": "Vote share (thesis)",
    "probability": "Mean probability",
    "entropy": "Predictive entropy",
    "expected_entropy": "Expected entropy",
    "mutual_information": "Mutual information",
    "deviation": "Standard deviation",
    "combined": "Combined (section 5.3)",
}


def _entropy_bits(p: np.ndarray) -> np.ndarray:
    q = np.stack([p, 1 - p])
    return -np.sum(q * np.log2(q, out=np.zeros_like(q), where=q > 0), axis=0)


def compute_scores(
    passes: np.ndarray, *, threshold: float = 0.5, referral_threshold: float = REFERRAL_THRESHOLD
) -> pd.DataFrame:
    """Reduce stochastic passes, probabilities (T, N), to one row an image. A pass votes abnormal from
    ``threshold`` on.

    - ``p_mean, p_std, variance``: over the passes; ``votes``: passes that vote abnormal, 0..T;
    - ``label``: majority, 1 abnormal, 0 normal; a tie counts as abnormal, the safe side;
    - ``confidence``: share of the passes that voted for the label, in percent (thesis section 3.4);
    - ``entropy``: of the mean probability, in bits (total uncertainty); ``expected_entropy``: mean entropy of
      the single passes (what more passes cannot remove); ``mutual_information``: their difference
      (disagreement of the passes; Gal and Ghahramani 2016; Houlsby et al. 2011);
    - ``referred``: whether ``confidence`` is below ``referral_threshold`` percent.
    """
    passes = np.asarray(passes, dtype=float)
    if passes.ndim != 2 or passes.shape[0] == 0:
        raise ValueError(f"Expected passes of shape (T, N) with T >= 1. Received shape {passes.shape}.")
    outside = ~((passes >= 0) & (passes <= 1))
    if outside.any():
        t, i = np.argwhere(outside)[0]
        raise ValueError(f"Expected probabilities in [0, 1]. Received {passes[t, i]} in pass {t}, image {i}.")
    n_passes = passes.shape[0]
    mean = passes.mean(axis=0)
    votes = (passes >= threshold).sum(axis=0)
    label = (2 * votes >= n_passes).astype(int)
    confidence = 100 * np.maximum(votes, n_passes - votes) / n_passes
    entropy, expected = _entropy_bits(mean), _entropy_bits(passes).mean(axis=0)
    return pd.DataFrame(
        {
            "p_mean": mean,
            "p_std": passes.std(axis=0),
            "variance": passes.var(axis=0),
            "votes": votes,
            "label": label,
            "confidence": confidence,
            "entropy": entropy,
            "expected_entropy": expected,
            "mutual_information": np.maximum(entropy - expected, 0),
            "referred": confidence < referral_threshold,
        }
    )


def compute_uncertainties(scores: pd.DataFrame) -> pd.DataFrame:
    """Turn the scores so that each of `UNCERTAINTIES` rises from 0 (sure) to 1 (unsure)."""
    return pd.DataFrame(
        {
            "vote_share": 2 * (1 - scores["confidence"] / 100),
            "probability": 1 - np.abs(2 * scores["p_mean"] - 1),
            "entropy": scores["entropy"],
            "expected_entropy": scores["expected_entropy"],
            "mutual_information": scores["mutual_information"],
            "deviation": 2 * scores["p_std"],
        }
    )
