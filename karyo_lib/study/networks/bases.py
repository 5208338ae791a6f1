"""Newer base networks than the thesis's, frozen, for the question whether a newer one helps."""

import os
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from karyo_lib.networks.backend import keras
from karyo_lib.networks.models import INPUT_SHAPE

BASES = {
    "ResNet50V2": (keras.applications.ResNet50V2, keras.applications.resnet_v2.preprocess_input),
    "EfficientNetV2B0": (
        keras.applications.EfficientNetV2B0,
        keras.applications.efficientnet_v2.preprocess_input,
    ),
    "ConvNeXtTiny": (keras.applications.ConvNeXtTiny, keras.applications.convnext.preprocess_input),
}
_SEED = 2020


@dataclass(frozen=True, eq=False)
class NewerFeatures:
    """Pooled features of pages, shape (N, channels); seconds a page; ``imagenet`` or ``random`` weights."""

    features: np.ndarray
    seconds: float
    purity: str


def compute_newer(name: str, images: list[np.ndarray]) -> NewerFeatures:
    """Compute globally averaged features of a newer base.

    Weights come from Keras; where they cannot be reached, or ``KARYO_OFFLINE`` is set, the network starts
    from random ones and says so.
    """
    if name not in BASES:
        raise ValueError(f"Expected a base among {', '.join(BASES)}. Received {name!r}.")
    build, preprocess = BASES[name]
    network, purity = _build(build)
    size = INPUT_SHAPE[:2]
    pages = np.stack(
        [np.asarray(Image.fromarray(page).resize(size, Image.Resampling.BILINEAR)) for page in images]
    )
    x = preprocess(np.repeat(pages[..., None], 3, axis=-1).astype("float32"))
    network.predict(x[:1], verbose=0)  # traced before the clock starts
    began = time.perf_counter()
    features = network.predict(x, batch_size=16, verbose=0)
    return NewerFeatures(features, (time.perf_counter() - began) / len(images), purity)


def _build(build) -> tuple[keras.Model, str]:
    said = {"include_top": False, "pooling": "avg", "input_shape": INPUT_SHAPE}
    if os.environ.get("KARYO_OFFLINE", "0") in ("", "0"):
        try:
            return build(weights="imagenet", **said), "imagenet"
        except Exception:  # Keras wraps whatever the network did in a bare Exception
            pass
    keras.utils.set_random_seed(_SEED)
    return build(weights=None, **said), "random"
