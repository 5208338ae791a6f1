"""Many answers per image (T, N) -> label, confidence and other scores; calibrated, combined, and novelty."""

import numpy as np
import pandas as pd
from scipy import optimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.neighbors import NearestNeighbors

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
_EDGE = 1e-9


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


def _check(p: np.ndarray, y_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(p, dtype=float), np.asarray(y_true)
    if p.shape != y.shape or p.ndim != 1 or p.size == 0:
        raise ValueError(
            f"Expected p and y_true of one shape (N,), N >= 1. Received {p.shape} and {y.shape}."
        )
    return p, y.astype(float)


class TemperatureCalibrator:
    """Divide the logit by one number, ``temperature_`` (Guo et al. 2017, ICML), above 1 where the model was
    too sure: the order of the images stays. A weak prior holds it near 1 (log-normal, spread 1): where
    validation has no error, plain maximum likelihood would make every answer certain."""

    def fit(self, p: np.ndarray, y_true: np.ndarray) -> "TemperatureCalibrator":
        """Fit on validation probabilities ``p`` (N,) and labels ``y_true`` (N,) of 0 and 1."""
        p, y = _check(p, y_true)
        z = logit(np.clip(p, _EDGE, 1 - _EDGE))

        def loss(log_temperature: float) -> float:
            scaled = z / np.exp(log_temperature)
            return float(np.sum(np.logaddexp(0, scaled) - y * scaled) + log_temperature**2 / 2)

        self.temperature_ = float(np.exp(optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))
        return self

    def transform(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, same shape."""
        return expit(logit(np.clip(np.asarray(p, dtype=float), _EDGE, 1 - _EDGE)) / self.temperature_)


class IsotonicCalibrator:
    """Replace each probability by the observed share around it, never against the order (Zadrozny and Elkan
    2002, KDD). Shares stay 1 / (n + 2) away from 0 and 1: n validation images cannot show more than that."""

    def fit(self, p: np.ndarray, y_true: np.ndarray) -> "IsotonicCalibrator":
        """Fit on validation probabilities ``p`` (N,) and labels ``y_true`` (N,) of 0 and 1."""
        p, y = _check(p, y_true)
        edge = 1 / (p.size + 2)
        self.regression_ = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p, y)
        return self

    def transform(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, same shape."""
        return self.regression_.predict(np.asarray(p, dtype=float).ravel()).reshape(np.shape(p))


class CombinedScore:
    """Probability of error from all scores together: the better confidence score that section 5.3 asks for. A
    logistic model of "the label is wrong" on the uncertainties of `compute_uncertainties` and on the label
    itself, since abnormal and normal calls err at different rates. Two restraints keep it sane on a few dozen
    validation images: no uncertainty may lower the probability of error, and the weights (``weights_``, on
    standardised values) are drawn (ridge) towards equal ones. Without a single error to learn from
    (``n_errors_``) they stay equal."""

    SCALE_FLOOR = 0.02  # a score that hardly varies in validation must not explode elsewhere
    STRENGTH = 1.0  # of the ridge penalty on the distance to equal weights

    @staticmethod
    def _features(scores: pd.DataFrame) -> pd.DataFrame:
        return compute_uncertainties(scores).assign(called_abnormal=scores["label"].astype(float))

    def fit(self, scores: pd.DataFrame, y_true: np.ndarray) -> "CombinedScore":
        """Fit on validation data: scores of `compute_scores`, and labels."""
        y = np.asarray(y_true)
        if len(scores) != y.size or y.size == 0:
            raise ValueError(
                f"Expected scores and labels of the same validation images. Received {len(scores)} and "
                f"{y.size}."
            )
        features = self._features(scores)
        wrong = (scores["label"].to_numpy() != y).astype(float)
        self.mean_ = features.mean()
        self.scale_ = features.std(ddof=0).clip(lower=self.SCALE_FLOOR)
        self.n_errors_ = int(wrong.sum())
        k = features.shape[1] - 1
        prior = np.r_[np.full(k, 1 / k), 0.0]
        found = start = np.r_[logit((self.n_errors_ + 0.5) / (y.size + 1)), prior]
        if 0 < self.n_errors_ < y.size:
            x = ((features - self.mean_) / self.scale_).to_numpy()

            def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
                z = theta[0] + x @ theta[1:]
                away = theta[1:] - prior
                slope = expit(z) - wrong
                value = np.sum(np.logaddexp(0, z) - wrong * z) + self.STRENGTH / 2 * away @ away
                return float(value), np.r_[slope.sum(), x.T @ slope + self.STRENGTH * away]

            free, rising = (None, None), (0, None)
            bounds = [free, *[rising] * k, free]
            found = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
        self.intercept_ = float(found[0])
        self.weights_ = pd.Series(found[1:], index=features.columns)
        return self

    def transform(self, scores: pd.DataFrame) -> np.ndarray:
        """Return the probability that each label is wrong, shape (N,), larger is less sure."""
        x = (self._features(scores) - self.mean_) / self.scale_
        return expit(self.intercept_ + x.to_numpy() @ self.weights_.to_numpy())


class Novelty:
    """Distance to the nearest training images in the space of a base network's features; above ``threshold_``
    they are novel. A classifier is forced to answer, and may be sure of its answer to a page that is no
    karyogram at all; the distance knows nothing of classes (Sun, Ming, Zhu and Li 2022, ICML)."""

    NEIGHBOURS = 5  # the distance to so many nearest training images is averaged
    FALSE_ALARMS = 0.05  # share of known images that may be called novel

    @staticmethod
    def _directions(features: np.ndarray) -> np.ndarray:
        """Average over the picture, and keep the direction: its length grows with contrast."""
        features = np.asarray(features, dtype=float)
        pooled = features.mean(axis=tuple(range(1, features.ndim - 1))) if features.ndim > 2 else features
        return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)

    def fit(self, train: np.ndarray, validation: np.ndarray) -> "Novelty":
        """Remember the features (N, ..., C) of the training images and set the threshold on others: their
        conformal quantile, so that of new images of the same kind at most 5 % exceed it on average (Vovk et
        al. 2005); the largest distance where they are too few for that."""
        directions = self._directions(train)
        self.index_ = NearestNeighbors(n_neighbors=min(self.NEIGHBOURS, len(directions))).fit(directions)
        known = np.sort(self.transform(validation))
        rank = int(np.ceil((known.size + 1) * (1 - self.FALSE_ALARMS)))
        self.threshold_ = float(known[min(rank, known.size) - 1])
        return self

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return the mean distance of each image to its nearest training images, shape (N,)."""
        distances, _ = self.index_.kneighbors(self._directions(features))
        return distances.mean(axis=1)

    def is_novel(self, features: np.ndarray) -> np.ndarray:
        """Return which images are unlike the training images, bool, shape (N,)."""
        return self.transform(features) > self.threshold_
