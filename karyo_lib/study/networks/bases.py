"""Newer base networks than the thesis's, frozen, for the question whether a newer one helps."""

import os
import time

import numpy as np
from PIL import Image

from karyo_lib.networks.backend import keras
from karyo_lib.networks.models import INPUT_SHAPE

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
