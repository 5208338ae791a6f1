"""Which chromosome is it, which way up, or is it one at all: a small network on straightened strips.

One softmax over 49 outcomes: 24 classes with the p arm up, the same 24 upside down, and 'no single
chromosome'.
The share of upside-down chromosomes in training is not that on pages, so predictions are corrected for the
prior.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.read.network import TrainedNetwork, warm_cosine
from karyo_lib.read.network_files import read_record, read_weights, write_network
from karyo_lib.read.perturb import StripVariety, alter_strips, make_clutter, make_fragments, make_merged
from karyo_lib.shape.straighten import STRIP_LENGTH, STRIP_WIDTH
from karyo_lib.shape.strips import CLASSES, NOT_SINGLE, SIZE_COLUMNS, Strips

_N = len(CLASSES)
NONE = 2 * _N


@dataclass(frozen=True)
class NamingSettings:
    """How the naming network is built and trained.

    Attributes
    ----------
    channels : tuple of int
        Filters of the four convolution blocks.
    epochs, batch_size, learning_rate, label_smoothing, dropout, seed
        As in Keras; the learning rate decays along a cosine.
    variety : StripVariety
    """

    channels: tuple[int, ...] = (16, 32, 64, 96)
    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 2e-3
    label_smoothing: float = 0.05
    dropout: float = 0.4
    seed: int = 2020
    variety: StripVariety = field(default_factory=StripVariety)


@dataclass(frozen=True)
class Names:
    """What the network says of n objects.

    Attributes
    ----------
    log_proba : ndarray of float32, shape (n, 24)
        Log-probability of each class, either way up.
    log_none : ndarray of float32, shape (n,)
        Log-probability that it is no single chromosome.
    p_upside_down : ndarray of float32, shape (n,)
    """

    log_proba: np.ndarray
    log_none: np.ndarray
    p_upside_down: np.ndarray

    def take(self, rows: np.ndarray) -> "Names":
        """The objects with these positions."""
        return Names(self.log_proba[rows], self.log_none[rows], self.p_upside_down[rows])

    def join(self, others: "Names") -> "Names":
        """These objects and others."""
        return Names(
            np.concatenate([self.log_proba, others.log_proba]),
            np.concatenate([self.log_none, others.log_none]),
            np.concatenate([self.p_upside_down, others.p_upside_down]),
        )


def build_naming_model(settings: NamingSettings) -> keras.Model:
    """Build the network: inputs ``strip`` (L, W, 1) and ``size`` (4,), output ``logits`` (49,)."""
    strip = keras.Input((STRIP_LENGTH, STRIP_WIDTH, 1), name="strip")
    size = keras.Input((len(SIZE_COLUMNS),), name="size")
    x = strip
    for block, channels in enumerate(settings.channels):
        for _ in range(2 if block else 1):
            x = keras.layers.Conv2D(channels, 3 if block else 5, padding="same", use_bias=False)(x)
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    s = keras.layers.Dense(32, activation="relu", name="size_hidden")(size)
    x = keras.layers.Concatenate(name="features")([x, s])
    x = keras.layers.Dropout(settings.dropout, seed=settings.seed)(x)
    x = keras.layers.Dense(128, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(settings.dropout / 2, seed=settings.seed + 1)(x)
    return keras.Model([strip, size], keras.layers.Dense(NONE + 1, name="logits")(x), name="naming")


class _StripSequence(keras.utils.PyDataset):
    """Batches of altered strips with their labels, new in every epoch; ``not_single`` are such objects."""

    def __init__(self, strips: Strips, labels: np.ndarray, not_single: Strips, settings: NamingSettings):
        super().__init__()
        self.images, self.sizes, self.labels, self.settings = strips.images, strips.sizes, labels, settings
        self.not_single = not_single
        self.rng = np.random.default_rng(settings.seed)
        self.clutter = make_clutter(min(800, max(40, len(labels) // 10)), self.rng)
        self.on_epoch_end()

    def __len__(self) -> int:
        return max(1, len(self.images) // self.settings.batch_size)

    def on_epoch_end(self) -> None:
        self.order = self.rng.permutation(len(self.images))

    def __getitem__(self, index: int) -> tuple:
        rng, variety = self.rng, self.settings.variety
        rows = self.order[index * self.settings.batch_size : (index + 1) * self.settings.batch_size]
        x, s, y = self.images[rows].astype(np.float32), self.sizes[rows].copy(), self.labels[rows].copy()
        none = np.flatnonzero(rng.random(len(rows)) < variety.none)
        makers = [make_merged, make_fragments, self._pick_clutter]
        makers += [self._pick_not_single] if len(self.not_single) else []
        for part, make in zip(np.array_split(none, len(makers)), makers, strict=True):
            if len(part):
                x[part], s[part] = make(x[part], s[part], rng)
                y[part] = NONE
        x, s = alter_strips(x, s, rng, variety)
        turned = rng.random(len(rows)) < variety.upside_down
        x[turned] = x[turned, ::-1]
        y = np.where(turned & (y < _N), y + _N, y)
        smooth = self.settings.label_smoothing
        target = np.full((len(y), NONE + 1), smooth / (NONE + 1), np.float32)
        target[np.arange(len(y)), y] += 1 - smooth
        return (x[..., None], s), target

    def _pick_clutter(self, images: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> tuple:
        rows = rng.integers(0, len(self.clutter[0]), len(images))
        return self.clutter[0][rows], self.clutter[1][rows]

    def _pick_not_single(self, images: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> tuple:
        rows = rng.integers(0, len(self.not_single), len(images))
        return self.not_single.images[rows], self.not_single.sizes[rows]


class Namer(TrainedNetwork):
    """Names straightened chromosomes.

    Parameters
    ----------
    settings : NamingSettings, optional

    Attributes
    ----------
    model : keras.Model
        Built by `fit` or `load`.
    temperature : float
        Divides the logits; fitted on validation chromosomes, 1 before.
    """

    def __init__(self, settings: NamingSettings | None = None):
        self.settings = settings or NamingSettings()
        self.temperature = 1.0

    def fit(
        self,
        strips: Strips,
        names: np.ndarray,
        validation: tuple[Strips, np.ndarray] | None = None,
        *,
        start: "Namer | None" = None,
        on_epoch: Callable[[int, dict], None] | None = None,
    ) -> "Namer":
        """Train on strips of known class.

        Parameters
        ----------
        strips : Strips
            Upright, p arm up; n chromosomes of any number of cells.
        names : array of str, shape (n,)
            Members of `CLASSES`, or `NOT_SINGLE`.
        validation : (Strips, names), optional
            Chromosomes of other patients, for the temperature alone.
        start : Namer, optional
            Continue from its weights (fine-tuning).
        on_epoch : callable, optional
            Called with the epoch's number and its logs.

        Returns
        -------
        Namer
            Itself.
        """
        names = np.asarray(names)
        if len(names) != len(strips) or len(strips) < 24:
            raise ValueError(
                f"Expected a name for each of at least 24 strips. "
                f"Received {len(names)} names, {len(strips)} strips."
            )
        single = np.flatnonzero(names != NOT_SINGLE)
        not_single = strips.take(np.flatnonzero(names == NOT_SINGLE))
        keras.utils.set_random_seed(self.settings.seed)
        self.model = build_naming_model(self.settings)
        if start is not None:
            self.model.set_weights(start._built().get_weights())
        labels = class_indices(names[single])
        data = _StripSequence(strips.take(single), labels, not_single, self.settings)
        rate = warm_cosine(self.settings.learning_rate, len(data) * self.settings.epochs)
        self.model.compile(
            keras.optimizers.AdamW(rate, weight_decay=1e-2, clipnorm=1.0),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            **compile_options(),
        )
        callbacks = [] if on_epoch is None else [keras.callbacks.LambdaCallback(on_epoch_end=on_epoch)]
        self.model.fit(data, epochs=self.settings.epochs, verbose=0, callbacks=callbacks, shuffle=False)
        if validation is not None:
            self.temperature = self._fit_temperature(*validation)
        return self

    def _fit_temperature(self, strips: Strips, names: np.ndarray) -> float:
        labels, logits = class_indices(names), self._logits(strips)

        def loss(log_t: float) -> float:
            proba = self._interpret(logits, float(np.exp(log_t))).log_proba
            return -float(proba[np.arange(len(labels)), labels].mean())

        return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))

    def _logits(self, strips: Strips) -> np.ndarray:
        """Mean over the strip and its mirror image."""
        x = strips.images.astype(np.float32)[..., None]
        both = self._built().predict(
            [np.concatenate([x, x[:, :, ::-1]]), np.concatenate([strips.sizes] * 2)],
            batch_size=256,
            verbose=0,
        )
        return both.reshape(2, len(x), -1).mean(0)

    def _interpret(self, logits: np.ndarray, temperature: float, p_upside_down: float = 0.01) -> Names:
        trained = self.settings.variety.upside_down
        log_p = log_softmax(logits / temperature, axis=-1)
        log_p[..., :_N] += np.log((1 - p_upside_down) / max(1 - trained, 1e-3))
        log_p[..., _N:NONE] += np.log(p_upside_down / max(trained, 1e-3))
        log_p = log_softmax(log_p, axis=-1)
        either = np.logaddexp(log_p[..., :_N], log_p[..., _N:NONE])
        turned = np.exp(logsumexp(log_p[..., _N:NONE], axis=-1) - logsumexp(either, axis=-1))
        return Names(
            either.astype(np.float32), log_p[..., NONE].astype(np.float32), turned.astype(np.float32)
        )

    def predict(self, strips: Strips) -> Names:
        """Name each chromosome on its own."""
        if len(strips) == 0:
            return Names(np.zeros((0, _N), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32))
        return self._interpret(self._logits(strips), self.temperature)

    def sample(self, strips: Strips, passes: int = 30, seed: int = 0) -> Names:
        """Monte Carlo dropout: `Names` whose arrays have a leading axis of ``passes``.

        The convolutions hold no dropout, so they run once and the head is sampled on their features.
        """
        model = self._built()
        trunk = keras.Model(model.inputs, model.get_layer("features").output)
        x = strips.images.astype(np.float32)[..., None]
        features = trunk.predict([x, strips.sizes], batch_size=256, verbose=0)
        (w1, b1), (w2, b2) = (model.get_layer(name).get_weights() for name in ("hidden", "logits"))
        rng = np.random.default_rng(seed)
        keep = (1 - self.settings.dropout, 1 - self.settings.dropout / 2)
        logits = np.empty((passes, len(x), NONE + 1), np.float32)
        for t in range(passes):
            first = features * (rng.random(features.shape) < keep[0]) / keep[0]
            hidden = np.maximum(first @ w1 + b1, 0)
            logits[t] = (hidden * (rng.random(hidden.shape) < keep[1]) / keep[1]) @ w2 + b2
        return self._interpret(logits, self.temperature)

    def save(self, folder: Path) -> None:
        """Write ``naming.npz`` (half-precision weights, no code) and ``naming.json``."""
        record = {"settings": asdict(self.settings), "temperature": self.temperature}
        write_network(folder, "naming", self._built(), record)

    @classmethod
    def load(cls, folder: Path) -> "Namer":
        """Read what `save` wrote; raises `ValueError` where arrays do not fit the network."""
        record = read_record(folder, "naming")
        values = record["settings"] | {"channels": tuple(record["settings"]["channels"])}
        namer = cls(NamingSettings(**(values | {"variety": StripVariety(**values["variety"])})))
        namer.model = read_weights(folder, "naming", build_naming_model(namer.settings))
        namer.temperature = float(record["temperature"])
        return namer


def class_indices(names: np.ndarray) -> np.ndarray:
    """Positions in `CLASSES`; raises `ValueError` for an unknown name."""
    position = {name: i for i, name in enumerate(CLASSES)}
    unknown = sorted({str(n) for n in names} - set(position))
    if unknown:
        raise ValueError(f"Expected chromosome classes 1..22, X, Y. Received {unknown[:5]}.")
    return np.array([position[str(n)] for n in names], int)
