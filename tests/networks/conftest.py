"""A task and a base small enough to train in seconds: abnormal pages are dark in one corner."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.networks import models, weights
from karyo_lib.networks.backend import keras
from karyo_lib.networks.fitting import TrainSettings
from karyo_lib.networks.weights import resolve_weights

SHAPE = (32, 32, 3)
PARTS = ["train"] * 20 + ["val"] * 8 + ["test"] * 6


def build_miniature(include_top, weights, input_shape):
    """VGG16 with one convolution a block and few channels, under the same layer names."""
    x = inputs = keras.Input(input_shape)
    for block, filters in enumerate((4, 8, 8, 16, 24), start=1):
        convolution = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=f"block{block}_conv1"
        )
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(convolution(x))
    return keras.Model(inputs, x)


@pytest.fixture(scope="session")
def miniature():
    """Weights of the miniature base, which stands in for VGG16 while a test asks for this fixture."""
    return replace(resolve_weights("VGG16", explicit="random"), digest="miniature")


@pytest.fixture
def as_miniature(miniature, monkeypatch):
    monkeypatch.setitem(weights.ARCHITECTURES, "VGG16", build_miniature)
    base = sum(9 * a * b + b for a, b in ((3, 4), (4, 8), (8, 8), (8, 16), (16, 24)))
    head = 24 * 256 + 256 + 4 * 256 + 256 + 1
    monkeypatch.setitem(models.PUBLISHED_COUNTS, "VGG16", (base + head, 0, 0))
    return miniature


@pytest.fixture(scope="session")
def random_vgg16():
    return resolve_weights("VGG16", explicit="random")


@pytest.fixture(scope="session")
def pages():
    rng = np.random.default_rng(7)
    images = {}
    for i in range(len(PARTS)):
        page = rng.integers(200, 256, (40, 40))
        if i % 2:
            page[:30, :30] -= 200
        images[f"page{i:02}"] = page.astype(np.uint8)
    return images


@pytest.fixture(scope="session")
def split(pages):
    labels = ["abnormal" if i % 2 else "normal" for i in range(len(pages))]
    return pd.DataFrame({"image_id": list(pages), "label": labels, "part": PARTS})


@pytest.fixture(scope="session")
def quick():
    return TrainSettings(epochs=3, batch_size=8, learning_rate=1e-2, seed=1, input_shape=SHAPE)
