"""A linear probe: logistic regression on a frozen base's pooled features.

It stands where many fits are needed. It sees what the thesis's head sees, the globally averaged features, and
takes hundredths of a second, so that luck with a split, shortcuts and changes of the input are measured over
many splits instead of one.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.models import CUTS, INPUT_SHAPE
from karyo_lib.study.networks.fits import resolve_run_weights
from karyo_lib.study.runs import Run

STRENGTH = 0.1  # inverse of the penalty; fixed beforehand, so that no split chooses it


def compute_pooled(run: Run, base: str, images: list[np.ndarray], side: int = INPUT_SHAPE[0]) -> np.ndarray:
    """Return globally averaged features of pages, float32 (N, channels), at an input of `side` pixels."""
    features = compute_features(
        base,
        resolve_run_weights(run, base),
        images,
        CUTS[base]["head"],
        FeatureCache(),
        input_shape=(side, side, 3),
    )
    return features.mean(axis=(1, 2))


def predict_probe(
    train: np.ndarray, y_train: np.ndarray, test: np.ndarray, *, balanced: bool = False
) -> np.ndarray:
    """Fit the probe on training features and return the probability of abnormal of the test features.

    Returns float64, shape (N,).
    """
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=STRENGTH, max_iter=2000, class_weight="balanced" if balanced else None),
    )
    return model.fit(train, y_train).predict_proba(test)[:, 1]
