"""The network that says of every row of a strip which place of the genome it shows."""

from dataclasses import dataclass

import numpy as np

from karyo_lib.networks.backend import keras
from karyo_lib.read.places import BINS, CLASS_OF_BIN, FIRST, NONE, STOP
from karyo_lib.shape.scaling import COLUMNS

ops, layers = keras.ops, keras.layers
#: Width, in bins, of the soft target around a row's true place.
_SOFT = 0.7


@dataclass(frozen=True)
class NetworkSettings:
    stem: tuple[int, int, int] = (32, 48, 64)  # of the three 2-D convolutions; the last two halve the columns
    channels: int = 256  # of the rows' features
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8)  # of the 1-D convolutions
    attention: int = 3  # attention layers, and heads of each
    heads: int = 8
    dropout: float = 0.1


def build_decoding_model(settings: NetworkSettings = NetworkSettings()) -> keras.Model:
    """Build the network: ``ink`` (T, COLUMNS), uint8, any T, and ``rows`` (1,), how many of T are the
    chromosome's -> logits (T, 2 * BINS + 1) over places, the last one 'none'."""
    ink = keras.Input((None, COLUMNS), name="ink", dtype="uint8")
    rows = keras.Input((1,), name="rows")
    x = layers.Rescaling(1 / 255)(ink)
    number = ops.cumsum(ops.ones_like(x[:, :, 0]), axis=1)
    valid = ops.cast(number <= rows, number.dtype)
    x = layers.Reshape((-1, COLUMNS, 1))(x)
    for i, filters in enumerate(settings.stem):
        x = layers.Conv2D(filters, 3 if i else 5, strides=(1, 2 if i else 1), padding="same", use_bias=False)(
            x
        )
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.Reshape((-1, COLUMNS // 4 * settings.stem[-1]))(x)
    along = ops.stack([number / 64, (rows - number) / 64], axis=-1)
    shown = ops.expand_dims(valid, -1)
    x = layers.Dense(settings.channels)(layers.Concatenate()([x, along])) * shown
    for i, dilation in enumerate(settings.dilations):
        if i == len(settings.dilations) // 2:
            x = _attend(x, valid, settings)
        y = layers.ReLU()(layers.LayerNormalization()(x)) * shown
        y = layers.Conv1D(settings.channels, 3, padding="same", dilation_rate=dilation)(y)
        x = x + layers.Dropout(settings.dropout)(y) * shown
    for _ in range(settings.attention - 1):
        x = _attend(x, valid, settings)
    x = layers.LayerNormalization()(x)
    return keras.Model([ink, rows], layers.Dense(NONE + 1, name="places")(x), name="decoding")


def _attend(x: keras.KerasTensor, valid: keras.KerasTensor, settings: NetworkSettings) -> keras.KerasTensor:
    """An attention layer among the rows of a strip, and the usual two dense layers."""
    width, heads = settings.channels, settings.heads
    y = layers.LayerNormalization()(x)
    q, k, v = (layers.Reshape((-1, heads, width // heads))(layers.Dense(width)(y)) for _ in range(3))
    scores = ops.einsum("bthd,bshd->bhts", q, k) * (heads / width) ** 0.5
    scores = ops.cast(scores, "float32") + (ops.cast(valid, "float32")[:, None, None, :] - 1) * 1e4
    weights = ops.cast(ops.softmax(scores, axis=-1), v.dtype)
    y = layers.Reshape((-1, width))(ops.einsum("bhts,bshd->bthd", weights, v))
    x = x + layers.Dropout(settings.dropout)(layers.Dense(width)(y))
    y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dropout(settings.dropout)(layers.Dense(width)(y))


_BIN = np.arange(NONE + 1) % BINS
_LOW = np.where(np.arange(NONE + 1) == NONE, NONE, FIRST[CLASS_OF_BIN[_BIN]])
_HIGH = np.where(np.arange(NONE + 1) == NONE, NONE, STOP[CLASS_OF_BIN[_BIN]] - 1)
_LOW[BINS:NONE] += BINS
_HIGH[BINS:NONE] += BINS


def place_loss(places: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy by strip with a soft target over three bins. ``places`` (batch, T): of each row in bins,
    BINS more where read backwards, NONE where it is not to be read, -1 beyond the chromosome's end."""
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    places = ops.cast(places, "float32")
    inside = ops.cast(places >= 0, "float32")
    nearest = ops.clip(ops.cast(ops.floor(places), "int32"), 0, NONE)
    off = places - ops.cast(nearest, "float32") - 0.5
    low, high = (ops.take(ops.convert_to_tensor(t.astype("int32")), nearest) for t in (_LOW, _HIGH))
    weights = [ops.exp(-0.5 * ((step - off) / _SOFT) ** 2) for step in (-1.0, 0.0, 1.0)]
    index = ops.stack([ops.clip(nearest + step, low, high) for step in (-1, 0, 1)], axis=-1)
    weights = ops.stack(weights, axis=-1)
    weights = weights / ops.sum(weights, axis=-1, keepdims=True)
    loss = -ops.sum(ops.take_along_axis(log_p, index, axis=-1) * weights, axis=-1)
    return ops.sum(loss * inside, axis=-1) / ops.maximum(ops.sum(inside, axis=-1), 1.0)


def build_aligning_model(model: keras.Model) -> keras.Model:
    """Where a network places rows of strips of known class (``klass`` (1,), an index): ``mean``, in bins, and
    ``upright``, ``turned``, the probability either way."""
    klass = keras.Input((1,), name="klass", dtype="int32")
    log_p = ops.log_softmax(ops.cast(model.output, "float32"), axis=-1)
    own = ops.cast(ops.equal(ops.convert_to_tensor(CLASS_OF_BIN.astype("int32")[None]), klass), "float32")[
        :, None
    ]
    upright, turned = (ops.exp(log_p[:, :, part]) * own for part in (slice(0, BINS), slice(BINS, NONE)))
    mass = ops.sum(upright, axis=-1)
    centres = ops.convert_to_tensor((np.arange(BINS) + 0.5).astype("float32"))
    mean = ops.sum(upright * centres, axis=-1) / ops.maximum(mass, 1e-9)
    return keras.Model(
        [*model.inputs, klass], {"mean": mean, "upright": mass, "turned": ops.sum(turned, axis=-1)}
    )
