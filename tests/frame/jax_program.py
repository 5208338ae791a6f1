"""Features, training of the head and Monte Carlo passes, on whatever backend KERAS_BACKEND names."""

import json
import sys

import numpy as np

from karyo_lib.networks.backend import backend_facts
from karyo_lib.networks.features import compute_features
from karyo_lib.networks.fitting import Examples, Trainer, TrainSettings
from karyo_lib.networks.inference import sample_dropout
from karyo_lib.networks.models import build_model, split_model
from karyo_lib.networks.weights import resolve_weights

SHAPE = (64, 64, 3)
CUT = "block5_pool"


def compute_all():
    weights = resolve_weights("VGG16", explicit="random")
    pages = np.random.default_rng(0).integers(0, 256, (16, 80, 80), dtype=np.uint8)
    features = compute_features("VGG16", weights, pages, CUT, progress=False, input_shape=SHAPE)
    _, tail = split_model(build_model("VGG16", weights, dropout=0.0, input_shape=SHAPE), CUT)
    y = np.arange(16) % 2
    settings = TrainSettings(epochs=2, batch_size=4, input_shape=SHAPE, learning_rate=1e-2)
    trained = Trainer(tail, "sgd").fit(
        Examples(features[:12], y[:12]), Examples(features[12:], y[12:]), settings
    )
    tail.get_layer("features_dropout").rate = tail.get_layer("hidden_dropout").rate = 0.5
    passes = sample_dropout(tail, features, passes=20, seed=3)
    return {
        "features": features,
        "passes": passes,
        "losses": trained.history[["loss", "val_loss"]].to_numpy(),
    }


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute_all())
    print(json.dumps(backend_facts()))
