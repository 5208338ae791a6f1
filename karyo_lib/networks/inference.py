"""Forward passes of frozen networks, and passes of a head with dropout kept on."""

from functools import lru_cache
from typing import Protocol

import numpy as np

from karyo_lib.networks.backend import compile_options, inference_engine, keras
from karyo_lib.networks.models import FEATURES_DROPOUT, HIDDEN, HIDDEN_DROPOUT, HIDDEN_NORMALIZATION, OUTPUT

_BATCH = 16
_BLOCK_BYTES = 128 * 2**20  # pooled feature maps held at a time


class Forward(Protocol):
    def predict(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name, float32, each of shape (N, ...), for inputs of shape (N, ...)."""
        ...


def prepare_forward(model: keras.Model, one_at_a_time: bool = False) -> Forward:
    """Make a functional network with one input and named outputs ready to run forward. With OpenVINO every
    image is computed on its own, so that it has the same values to the bit in any company, by all cores where
    it is always given ``one_at_a_time``; the engines agree within 1e-4 of the largest value of an output."""
    if inference_engine() == "openvino":
        from karyo_lib.networks.openvino_forward import OpenVINOForward

        return OpenVINOForward(model, one_at_a_time)
    return KerasForward(model)


class KerasForward:
    def __init__(self, model: keras.Model):
        self._model = model
        model.compile(**compile_options())

    def predict(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        computed = self._model.predict(inputs, batch_size=_BATCH, verbose=0)
        return {name: array.astype("float32") for name, array in computed.items()}


def sample_dropout(model: keras.Model, features: np.ndarray, passes: int = 100, seed: int = 0) -> np.ndarray:
    """Monte Carlo dropout (Gal and Ghahramani 2016; section 3.4), in the head alone: probability of
    *abnormal* in stochastic passes, float32 (T, N); more passes with the same seed begin with the same ones.
    A pass is one thinned network, applied to every image. BatchNormalization stays in inference mode:
    ``model(x, training=True)`` would normalise with the statistics of the batch, so that a page's score
    depended on its neighbours, and overwrite the learned averages."""
    if passes < 1:
        raise ValueError(f"Expected at least 1 pass. Received {passes}.")
    expected = tuple(model.input.shape[1:])
    if features.ndim != len(expected) + 1 or features.shape[1:] != expected:
        raise ValueError(
            f"Expected features of shape (N, {', '.join(map(str, expected))}). Received {features.shape}."
        )
    maps = _run_up_to_dropout(model, features)
    map_masks, hidden_masks = draw_masks(model, passes, seed)
    images_a_block = max(1, min(len(maps), 64))
    passes_a_block = max(1, _BLOCK_BYTES // (images_a_block * map_masks[0, 0, 0].nbytes))
    out = np.empty((passes, len(maps)), "float32")
    for t in range(0, passes, passes_a_block):
        some = slice(t, t + passes_a_block)
        for n in range(0, len(maps), images_a_block):
            block = maps[n : n + images_a_block]
            out[some, n : n + images_a_block] = _run_head(model, block, map_masks[some], hidden_masks[some])
    return out


def draw_masks(model: keras.Model, passes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of both dropout layers, (T, height, width, channels) and (T, units): 0, or 1 / (1 - rate)."""
    layers = [model.get_layer(name) for name in (FEATURES_DROPOUT, HIDDEN_DROPOUT)]
    shapes = tuple(tuple(layer.input.shape[1:]) for layer in layers)
    return _draw(shapes, tuple(layer.rate for layer in layers), passes, seed)


@lru_cache(maxsize=1)  # the next batch of the same network
def _draw(
    shapes: tuple[tuple[int, ...], ...], rates: tuple[float, ...], passes: int, seed: int
) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    masks = tuple(np.empty((passes, *shape), "float32") for shape in shapes)
    for t in range(passes):
        for rate, mask in zip(rates, masks, strict=True):
            mask[t] = (rng.random(mask.shape[1:], dtype="float32") >= rate) / (1.0 - rate)
    for mask in masks:
        mask.flags.writeable = False
    return masks


def _run_up_to_dropout(model: keras.Model, features: np.ndarray) -> np.ndarray:
    inlet = model.get_layer(FEATURES_DROPOUT).input
    if inlet is model.input:
        return features
    certain = keras.Model(model.input, inlet)
    certain.compile(**compile_options())
    return certain.predict(features, batch_size=16, verbose=0)


def _run_head(
    model: keras.Model, maps: np.ndarray, map_masks: np.ndarray, hidden_masks: np.ndarray
) -> np.ndarray:
    """Send n feature maps through k thinned heads; returns probabilities of shape (k, n)."""
    ops = keras.ops
    k, n = len(map_masks), len(maps)
    # Dropout and average pooling as one sum: the masked maps, k times as large as the maps, are never made.
    pooled = np.einsum("nhwc,khwc->knc", maps, map_masks)
    pooled /= np.float32(maps.shape[1] * maps.shape[2])
    x = model.get_layer(HIDDEN)(pooled.reshape(k * n, -1))
    x = model.get_layer(HIDDEN_NORMALIZATION)(x, training=False)
    x = ops.reshape(ops.multiply(ops.reshape(x, (k, n, -1)), hidden_masks[:, None]), (k * n, -1))
    return ops.convert_to_numpy(ops.reshape(model.get_layer(OUTPUT)(x), (k, n)))
