"""Probabilities that mean what they say, and one score out of many: both fitted on validation data only."""

import numpy as np
import pandas as pd
from scipy import optimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from karyo_lib.judge.scores import compute_uncertainties

_EDGE = 1e-9


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
