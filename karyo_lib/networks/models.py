"""The networks of the thesis: a base and a small head as one flat functional graph (section 3.3).

base without top -> Dropout -> GlobalAveragePooling2D -> Dense(256, relu) -> BatchNormalization -> Dropout
-> Dense(1, sigmoid)

Its *cut* parts it into the trunk, which is frozen and runs once per image, and the tail, which is trained and
holds everything random: neither base has a dropout layer.
"""

import re

import numpy as np
import pandas as pd

from karyo_lib.networks.backend import keras
from karyo_lib.networks.weights import WeightsSource, load_base

INPUT = "input"
"""The cut before the first layer: nothing is frozen."""

CUTS = {
    "VGG16": {
        "head": "block5_pool",
        "last-block": "block4_pool",
        "last-two-blocks": "block3_pool",
        "all": INPUT,
    },
    "InceptionV3": {"head": "mixed10", "all": INPUT},
}
"""For each base: what is trained -> the last frozen layer."""

PUBLISHED_COUNTS = {"VGG16": (14_847_297, 14_846_785, 512), "InceptionV3": (22_328_609, 22_293_665, 34_944)}
"""Total, trainable and non-trainable parameters with every layer trainable (Figures 3.5 and 3.6)."""

INPUT_SHAPE = (150, 150, 3)
DROPOUT = 0.5
"""Rate of both dropout layers; the thesis does not state its own."""
MOMENTUM = 0.9
"""Of the moving averages of BatchNormalization layers that are trained; the thesis does not state its own.

An epoch has 28 steps here (6 on the original data). At Keras's 0.99 the averages still hold 75 % (94 %) of
their starting values after one epoch, and a network that trains well is at chance on the validation part for
many. After 30 epochs of a frozen base the choice makes no difference.
"""

FEATURES_DROPOUT, POOLING, HIDDEN, HIDDEN_NORMALIZATION, HIDDEN_DROPOUT, OUTPUT = HEAD_LAYERS = (
    "features_dropout", "pooling", "hidden", "hidden_normalization", "hidden_dropout", "p_abnormal",
)  # fmt: skip


def get_cut(base: str, trainable: str) -> str:
    """Name of the last frozen layer; InceptionV3, not sequential, has no blocks to train (section 4.3.4)."""
    if base not in CUTS:
        raise ValueError(f"Expected base to be one of {', '.join(CUTS)}. Received {base!r}.")
    if trainable not in CUTS[base]:
        raise ValueError(f"Expected {base} with {', '.join(CUTS[base])} trainable. Received {trainable!r}.")
    return CUTS[base][trainable]


def build_model(
    base: str,
    weights: WeightsSource,
    *,
    trainable: str = "head",
    dropout: float = DROPOUT,
    momentum: float = MOMENTUM,
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
    seed: int = 0,
) -> keras.Model:
    """Build the whole network of a condition: pretrained base, fresh head; preprocessed images -> probability
    of *abnormal* (N, 1). BatchNormalization layers of a frozen base stay in inference mode even while the
    head trains: Keras ties that to ``trainable=False``. Where InceptionV3 is trained in full they are trained
    too, as the thesis's count of 22,293,665 trainable parameters says."""
    cut = get_cut(base, trainable)
    if weights.base != base:
        raise ValueError(f"Expected weights of {base}. Received weights of {weights.base}.")
    for said, value in (("dropout rate", dropout), ("momentum", momentum)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"Expected a {said} in [0, 1). Received {value!r}.")
    network = load_base(weights, input_shape)
    layers = keras.layers
    x = layers.Dropout(dropout, name=FEATURES_DROPOUT)(network.output)
    x = layers.GlobalAveragePooling2D(name=POOLING)(x)
    x = layers.Dense(256, activation="relu", name=HIDDEN)(x)
    x = layers.BatchNormalization(name=HIDDEN_NORMALIZATION)(x)
    x = layers.Dropout(dropout, name=HIDDEN_DROPOUT)(x)
    # float32 whatever the precision policy: a 16-bit sigmoid cannot tell 0.998 from 1
    p = layers.Dense(1, activation="sigmoid", dtype="float32", name=OUTPUT)(x)
    model = keras.Model(network.input, p, name=f"{base.lower()}_{trainable.replace('-', '_')}")
    if count_parameters(model)["total"] != PUBLISHED_COUNTS[base][0]:
        raise RuntimeError(
            f"Expected {PUBLISHED_COUNTS[base][0]:,} parameters in the {base} network, as in the thesis. "
            f"Received {model.count_params():,}: this Keras builds another network."
        )
    _set_trainable(model, cut, momentum)
    seed_head(model, seed)
    return model


def _set_trainable(model: keras.Model, cut: str, momentum: float) -> None:
    frozen = cut != INPUT
    for layer in model.layers:
        layer.trainable = not frozen
        if isinstance(layer, keras.layers.BatchNormalization) and not frozen:
            layer.momentum = momentum
        if layer.name == cut:
            frozen = False


def split_model(model: keras.Model, cut: str) -> tuple[keras.Model | None, keras.Model]:
    """Trunk (None when everything is trained) and tail of a network; the tail has layers of its own."""
    if cut == INPUT:
        return None, model
    boundary = model.get_layer(cut).output
    trunk = keras.Model(model.input, boundary, name=f"{model.name}_trunk")
    return trunk, copy_model(keras.Model(boundary, model.output, name=f"{model.name}_tail"))


def copy_model(model: keras.Model) -> keras.Model:
    """Return a network of the same layers with the same weights, which shares nothing with `model`."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def seed_head(model: keras.Model, seed: int) -> None:
    """Give the head its starting weights, averages and dropout for a seed, drawn by numpy (uniform after
    Glorot and Bengio, 2010): the same on every backend, and no compiled model is traced again."""
    rng = np.random.default_rng(seed)
    for name in (HIDDEN, OUTPUT):
        layer = model.get_layer(name)
        limit = np.sqrt(6.0 / sum(layer.kernel.shape))
        layer.kernel.assign(rng.uniform(-limit, limit, layer.kernel.shape).astype("float32"))
        layer.bias.assign(np.zeros(layer.bias.shape, "float32"))
    normalization = model.get_layer(HIDDEN_NORMALIZATION)
    ones, zeros = (f(normalization.gamma.shape, "float32") for f in (np.ones, np.zeros))
    normalization.set_weights([ones, zeros, zeros, ones])
    seed_dropout(model, seed, epoch=0)


def seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the state of both dropout layers to the one that belongs to a seed and an epoch."""
    for position, name in enumerate((FEATURES_DROPOUT, HIDDEN_DROPOUT)):
        layer = model.get_layer(name)
        if layer.rate > 0:
            state = np.random.SeedSequence([seed, epoch, position]).generate_state(2)
            layer.seed_generator.state.assign((state % 2**31).astype(layer.seed_generator.state.dtype))


def count_parameters(model: keras.Model) -> dict[str, int]:
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return {
        "total": model.count_params(),
        "trainable": trainable,
        "non_trainable": model.count_params() - trainable,
    }


def summarize_layers(model: keras.Model, start: str | None = None) -> pd.DataFrame:
    """What Figures 3.5 and 3.6 print: one row a layer, from ``start`` on."""
    rows = []
    for layer, block in zip(model.layers, _blocks(model), strict=True):
        shape = " x ".join(str(size) for size in layer.output.shape[1:])
        trainable = bool(layer.trainable_weights)
        rows.append((layer.name, type(layer).__name__, shape, layer.count_params(), trainable, block))
    columns = ["layer", "type", "output_shape", "parameters", "trainable", "block"]
    table = pd.DataFrame(rows, columns=columns)
    if start is None:
        return table
    if start not in set(table["layer"]):
        raise ValueError(f"Expected a layer of {model.name}. Received {start!r}.")
    return table.loc[table.index[table["layer"] == start][0] :].reset_index(drop=True)


def describe_structure(model: keras.Model) -> pd.DataFrame:
    """The boxes of the structure diagrams (Figures 3.7 and 4.13): one row a block, in the order data flows;
    ``trainable`` is "yes", "no", or "" for a block without weights."""
    table = summarize_layers(model)
    rows = []
    for block, layers in table.groupby("block", sort=False):
        counts = layers["type"].value_counts(sort=False)
        weighted = layers[layers["parameters"] > 0]
        rows.append(
            {
                "block": block,
                "part": "head" if block in HEAD_LAYERS else "input" if block == INPUT else "base",
                "layers": len(layers),
                "layer_types": ", ".join(f"{n} x {t}" if n > 1 else t for t, n in counts.items()),
                "output_shape": layers["output_shape"].iloc[-1],
                "parameters": int(layers["parameters"].sum()),
                "trainable": "" if weighted.empty else "yes" if weighted["trainable"].any() else "no",
            }
        )
    return pd.DataFrame(rows)


def _blocks(model: keras.Model) -> list[str]:
    """Name the block of every layer: VGG16 says it in its names, InceptionV3's blocks end in ``mixed<n>``."""
    ends = {i: x.name for i, x in enumerate(model.layers) if re.fullmatch(r"mixed\d+", x.name)}
    before = model.layers[: min(ends, default=0)]
    ends |= {i: "stem" for i, x in enumerate(before) if isinstance(x, keras.layers.MaxPooling2D)}
    blocks = []
    for i, layer in enumerate(model.layers):
        following = min((end for end in ends if end >= i), default=None)
        block = layer.name.split("_")[0] if following is None else ends[following]
        own = layer.name if layer.name in HEAD_LAYERS else block
        blocks.append(INPUT if isinstance(layer, keras.layers.InputLayer) else own)
    return blocks
