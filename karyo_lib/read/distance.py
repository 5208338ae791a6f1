"""How far apart two homologues are: a distance learned from normal pairs, and from the same pairs with one
homologue cut and joined.

A small network reads both homologues from end to end as profiles that are aligned to each other and to what
is usual for their class; it gives the log-odds that one of them is changed.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.read.network import TrainedNetwork
from karyo_lib.read.network_files import read_record, read_weights, write_network
from karyo_lib.read.profiles import ClassReference, align, band_profiles, width_profiles
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, Strips

#: What `AlignedPairs.maps` tells of each place along a pair.
MAPS = (
    "bands",
    "pair_residual",
    "pair_stretch",
    "first_residual",
    "first_stretch",
    "first_width",
    "second_residual",
    "second_stretch",
    "second_width",
    "usual_bands",
)
_FIRST, _SECOND = slice(3, 6), slice(6, 9)
_AT_ONCE = 1024  # pairs that are judged together
_LIMIT = 8.0  # maps are cut off here: an object that is no chromosome differs without limit


@dataclass(frozen=True)
class AlignedPairs:
    """Pairs aligned to each other and to what is usual for their class.

    Attributes
    ----------
    pair : (shift, residual)
        Of `karyo_lib.read.profiles.align`: the second homologue aligned to the first.
    own : ((shift, residual), (shift, residual))
        The class's usual profile aligned to the first and to the second.
    scaled : tuple of ndarray of float32, shape (p, STRIP_LENGTH)
        Residuals of ``own``, relative to what is usual for the class.
    widths : tuple of ndarray of float32, shape (p, STRIP_LENGTH)
        Width profiles of the first and the second, less that of the class.
    maps : ndarray of float32, shape (p, STRIP_LENGTH, len(MAPS))
        What the network sees.
    """

    pair: tuple[np.ndarray, np.ndarray]
    own: tuple[tuple[np.ndarray, np.ndarray], ...]
    scaled: tuple[np.ndarray, ...]
    widths: tuple[np.ndarray, ...]
    maps: np.ndarray


def align_pairs(
    strips: Strips, pairs: np.ndarray, labels: np.ndarray, reference: ClassReference
) -> AlignedPairs:
    """Align pairs, given as positions (p, 2) among the strips, of the classes ``labels`` (p,)."""

    def stretch(shift: np.ndarray) -> np.ndarray:
        return np.gradient(shift.astype(np.float32), axis=1)

    bands, outlines = band_profiles(strips.images), width_profiles(strips.images)
    sides = (pairs[:, 0], pairs[:, 1])
    pair = align(bands[sides[0]], bands[sides[1]])
    own = tuple(align(bands[side], reference.profiles[labels]) for side in sides)
    scaled = tuple(residual / reference.spread[labels] for _, residual in own)
    widths = tuple(outlines[side] - reference.widths[labels] for side in sides)
    columns = [bands[sides[0]], pair[1], stretch(pair[0])]
    for (shift, _), residual, width in zip(own, scaled, widths, strict=True):
        columns += [residual, stretch(shift), width]
    columns.append(reference.profiles[labels])
    maps = np.clip(np.stack(columns, -1), -_LIMIT, _LIMIT).astype(np.float32)
    return AlignedPairs(pair, own, scaled, widths, maps)


def exchange_homologues(maps: np.ndarray) -> np.ndarray:
    """The same pairs with the second homologue first, its differences left at the places of the first."""
    out = maps.copy()
    out[..., 0] = maps[..., 0] - maps[..., 1]
    out[..., 1], out[..., 2] = -maps[..., 1], -maps[..., 2]
    out[..., _FIRST], out[..., _SECOND] = maps[..., _SECOND], maps[..., _FIRST]
    return out


@dataclass(frozen=True)
class DistanceSettings:
    """How the network is built and trained; as in Keras, the learning rate decays along a cosine."""

    channels: tuple[int, ...] = (24, 32, 48, 64)
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 2e-3
    dropout: float = 0.3
    seed: int = 2020


def build_distance_model(settings: DistanceSettings) -> keras.Model:
    """Build the network: inputs ``maps`` (STRIP_LENGTH, len(MAPS)) and ``label`` (24,), output ``logit``."""
    layers = keras.layers
    maps = keras.Input((STRIP_LENGTH, len(MAPS)), name="maps")
    label = keras.Input((len(CLASSES),), name="label")
    x = layers.BatchNormalization()(maps)
    for block, channels in enumerate(settings.channels):
        x = layers.Conv1D(channels, 5 if block < 2 else 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling1D(2)(layers.ReLU()(layers.BatchNormalization()(x)))
    pooled = [layers.GlobalMaxPooling1D()(x), layers.GlobalAveragePooling1D()(x), layers.Dense(8)(label)]
    x = layers.Dropout(settings.dropout, seed=settings.seed)(layers.Concatenate()(pooled))
    x = layers.Dense(32, activation="relu")(x)
    return keras.Model([maps, label], layers.Dense(1, name="logit")(x), name="distance")


class PairDistance(TrainedNetwork):
    """Learned distance of homologues.

    Parameters
    ----------
    settings : DistanceSettings, optional

    Attributes
    ----------
    model : keras.Model
        Built by `fit` or `load`.
    """

    def __init__(self, settings: DistanceSettings | None = None):
        self.settings = settings or DistanceSettings()

    def fit(self, maps: np.ndarray, labels: np.ndarray, altered: np.ndarray) -> "PairDistance":
        """Train on normal (``altered`` 0) and cut-and-joined (1) pairs; both weigh the same.

        Parameters
        ----------
        maps : ndarray of float32, shape (p, STRIP_LENGTH, len(MAPS))
            Of `align_pairs`.
        labels, altered : ndarray of int, shape (p,)
        """
        if len(np.unique(altered)) != 2:
            raise ValueError(
                f"Expected normal and changed pairs (0 and 1). Received only {np.unique(altered).tolist()}."
            )
        s = self.settings
        keras.utils.set_random_seed(s.seed)
        self.model = build_distance_model(s)
        x = np.concatenate([maps, exchange_homologues(maps)])
        y = np.concatenate([altered] * 2).astype(np.float32)
        weight = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean())).astype(np.float32)
        rate = keras.optimizers.schedules.CosineDecay(
            s.learning_rate, max(1, s.epochs * -(-len(y) // s.batch_size))
        )
        self.model.compile(
            keras.optimizers.AdamW(rate, weight_decay=1e-3),
            keras.losses.BinaryCrossentropy(from_logits=True),
            **compile_options(),
        )
        self.model.fit(
            [x, _one_hot(np.concatenate([labels] * 2))],
            y,
            sample_weight=weight,
            batch_size=s.batch_size,
            epochs=s.epochs,
            verbose=0,
        )
        return self

    def predict(self, maps: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Log-odds that a homologue is changed, float32 (p,): the mean of both orders."""
        model = self._built()
        if len(maps) == 0:
            return np.zeros(0, np.float32)
        both = np.concatenate([maps, exchange_homologues(maps)])
        classes = _one_hot(np.concatenate([labels] * 2))
        # called directly: a page has few pairs, and `predict` takes longer to start than they take
        logits = [
            keras.ops.convert_to_numpy(model([both[i : i + _AT_ONCE], classes[i : i + _AT_ONCE]]))
            for i in range(0, len(both), _AT_ONCE)
        ]
        return np.concatenate(logits).reshape(2, -1).mean(0)

    def save(self, folder: Path) -> None:
        """Write ``distance.npz`` and ``distance.json``."""
        write_network(folder, "distance", self._built(), {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, folder: Path) -> "PairDistance":
        """Read what `save` wrote; raises `ValueError` where arrays do not fit the network."""
        values = read_record(folder, "distance")["settings"]
        distance = cls(DistanceSettings(**(values | {"channels": tuple(values["channels"])})))
        distance.model = read_weights(folder, "distance", build_distance_model(distance.settings))
        return distance


def _one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[labels]
