"""A linear probe: logistic regression on a frozen base's pooled features.

It stands where many fits are needed. It sees what the thesis's head sees, the globally averaged features, and
takes hundredths of a second, so that luck with a split, shortcuts and changes of the input are measured over
many splits instead of one. Newer bases than the thesis's, too, are only looked at with it.
"""

import os
import time

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from karyo_lib.networks.backend import keras
from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.models import CUTS, INPUT_SHAPE
from karyo_lib.study.networks.fits import resolve_run_weights
from karyo_lib.study.runs import Run

# Name in keras.applications -> its module, which preprocesses.
BASES = {"ResNet50V2": "resnet_v2", "EfficientNetV2B0": "efficientnet_v2", "ConvNeXtTiny": "convnext"}
_SEED = 2020


def compute_newer(name: str, images: list[np.ndarray]) -> tuple[np.ndarray, float, str]:
    """Return globally averaged features of a newer base (N, channels), seconds a page, and its weights.

    Weights come from Keras (``imagenet``); where they cannot be reached, or ``KARYO_OFFLINE`` is set, the
    network starts from ``random`` ones.
    """
    if name not in BASES:
        raise ValueError(f"Expected a base among {', '.join(BASES)}. Received {name!r}.")
    network, purity = _build(getattr(keras.applications, name))
    size = INPUT_SHAPE[:2]
    pages = [np.asarray(Image.fromarray(page).resize(size, Image.Resampling.BILINEAR)) for page in images]
    x = np.repeat(np.stack(pages)[..., None], 3, axis=-1).astype("float32")
    x = getattr(keras.applications, BASES[name]).preprocess_input(x)
    network.predict(x[:1], verbose=0)  # traced before the clock starts
    began = time.perf_counter()
    features = network.predict(x, batch_size=16, verbose=0)
    return features, (time.perf_counter() - began) / len(images), purity


def _build(build) -> tuple[keras.Model, str]:
    said = {"include_top": False, "pooling": "avg", "input_shape": INPUT_SHAPE}
    if os.environ.get("KARYO_OFFLINE", "0") in ("", "0"):
        try:
            return build(weights="imagenet", **said), "imagenet"
        except Exception:  # Keras wraps whatever the network did in a bare Exception
            pass
    keras.utils.set_random_seed(_SEED)
    return build(weights=None, **said), "random"


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
