"""Training of one network on arrays: seeded batches, best epoch by validation AUC, resumable. Order of the
images and dropout masks of an epoch follow from the seed and its number, not from Keras's global state: a
network trained on cached features sees the batches that the whole network would see, and an interrupted
training goes on as if it had not been."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, precision_score, recall_score, roc_auc_score
from tqdm import tqdm

from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.networks.models import DROPOUT, HEAD_LAYERS, INPUT_SHAPE, MOMENTUM, seed_dropout, seed_head
from karyo_lib.store import writing

METRICS = ("loss", "auc", "precision", "recall", "accuracy")
"""Columns of a history; each also with the prefix ``val_``. Keras computes those of training while weights
change, its AUC on 200 thresholds; those of validation are exact and belong to the weights after the epoch."""
_BATCHES_AT_ONCE = 32  # of a head's training, in one call of the engine; its batch is shorter than the call
_PREDICTED_AT_ONCE = 64


class DivergenceError(ArithmeticError):
    """The loss was not a finite number in any epoch."""


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. The defaults are the thesis's (section 3.2); its optimiser is not stated."""

    epochs: int = 30  # passes over the training images; the best one by validation AUC is kept
    learning_rate: float = 1e-3  # of Adam. The thesis uses 1e-3 for frozen and fine-tuned networks alike
    batch_size: int = 16  # images a step
    seed: int = 0  # seeds the head's initial weights, the order of the images and the dropout
    dropout: float = DROPOUT  # rate of both dropout layers
    # Of the moving averages of BatchNormalization; see :data:`karyo_lib.networks.models.MOMENTUM`.
    momentum: float = MOMENTUM
    # Stop after so many epochs without a better validation AUC; None trains all epochs, as the thesis does.
    patience: int | None = None
    optimizer: str = "adam"  # name of a Keras optimiser
    input_shape: tuple[int, int, int] = INPUT_SHAPE  # height, width, channels of the base's input

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"Expected {name} of at least 1. Received {getattr(self, name)!r}.")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"Expected a learning rate above 0. Received {self.learning_rate!r}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"Expected a patience of at least 1 epoch, or None. Received {self.patience!r}.")


@dataclass(frozen=True)
class Examples:
    """Images of one part: `x` of shape (N, ...), float32, and labels `y` of shape (N,), 1 = abnormal."""

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"Expected as many labels as images. Received {len(self.y)} and {len(self.x)}.")
        if set(np.unique(self.y)) != {0, 1}:
            raise ValueError(
                "Expected training and validation images of both classes. Received only "
                f"{', '.join('abnormal' if y else 'normal' for y in np.unique(self.y)) or 'an empty part'}: "
                "add karyograms of the missing class or split again."
            )


@dataclass(frozen=True)
class Fit:
    """What a training did: `history` has a row an epoch (from 1), `best_epoch` is the one that is kept."""

    history: pd.DataFrame
    best_epoch: int
    seconds: float


class Trainer:
    """A network compiled once and trained any number of times, each time from the weights that it came with,
    its head initialised anew from the seed."""

    def __init__(self, model: keras.Model, optimizer: str = "adam"):
        self.model = model
        self._start = model.get_weights()
        metrics = keras.metrics
        kinds = (metrics.AUC, metrics.Precision, metrics.Recall, metrics.BinaryAccuracy)
        model.compile(
            optimizer=keras.optimizers.get(optimizer),
            loss="binary_crossentropy",
            metrics=[kind(name=name) for kind, name in zip(kinds, METRICS[1:], strict=True)],
            # a network with more layers than a head is traced in less time one by one
            **compile_options(_BATCHES_AT_ONCE if len(model.layers) <= len(HEAD_LAYERS) + 1 else 1),
        )
        model.optimizer.build(model.trainable_variables)

    def fit(
        self,
        train: Examples,
        validation: Examples,
        settings: TrainSettings,
        checkpoint: Path | None = None,
        title: str | None = None,
    ) -> Fit:
        """Train from the start and leave the weights of the best epoch in the model. Goes on from the
        ``checkpoint`` (.npz, written after every epoch) if it exists: the caller vouches that it belongs to
        the same data and settings, and deletes it. ``title`` shows a progress bar."""
        began = time.perf_counter()
        self._reset(settings)
        memory = _EpochMemory(settings, validation, checkpoint)
        memory.restore(self.model)
        if len(memory.rows) < settings.epochs and not memory.exhausted:
            with tqdm(total=settings.epochs, desc=title, unit="epoch", disable=title is None) as memory.bar:
                self.model.fit(
                    _Batches(train, settings.batch_size, settings.seed, len(memory.rows)),
                    initial_epoch=len(memory.rows),
                    epochs=settings.epochs,
                    callbacks=[memory],
                    shuffle=False,  # _Batches does; Keras would shuffle with Python's global generator
                    verbose=0,
                )
        if memory.best_weights is None:
            raise DivergenceError(
                f"Expected a finite loss. Received none in {len(memory.rows)} epochs at a learning rate of "
                f"{settings.learning_rate:g}: lower it."
            )
        self.model.set_weights(memory.best_weights)
        return Fit(pd.DataFrame(memory.rows), memory.best_epoch, time.perf_counter() - began)

    def _reset(self, settings: TrainSettings) -> None:
        self.model.set_weights(self._start)
        seed_head(self.model, settings.seed)
        for variable in self.model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.model.optimizer.learning_rate = settings.learning_rate
        self.model.stop_training = False


def predict_abnormal(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Probabilities of *abnormal*, float32 (N,), dropout off. ``model.predict`` and ``model.evaluate`` set up
    a data pipeline for each call, which costs a head more than its training."""
    chunks = range(0, len(x), _PREDICTED_AT_ONCE)
    return np.concatenate([model.predict_on_batch(x[i : i + _PREDICTED_AT_ONCE]) for i in chunks])[:, 0]


def compute_validation(model: keras.Model, examples: Examples) -> dict[str, float]:
    """The :data:`METRICS` of a model, dropout off."""
    p, y = predict_abnormal(model, examples.x).astype(float), examples.y.astype(bool)
    if not np.isfinite(p).all():
        return dict.fromkeys(METRICS, float("nan"))
    called = p > 0.5
    return {
        "loss": log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)),  # as Keras clips
        "auc": roc_auc_score(y, p),
        "precision": precision_score(y, called, zero_division=0),
        "recall": recall_score(y, called),
        "accuracy": float((called == y).mean()),
    }


class _Batches(keras.utils.PyDataset):
    """Training batches in an order that follows from the seed and the epoch."""

    def __init__(self, examples: Examples, batch_size: int, seed: int, epoch: int):
        super().__init__()
        self._x, self._y = examples.x, examples.y.astype("float32")
        self._batch_size, self._seed, self._epoch = batch_size, seed, epoch
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self._y) // self._batch_size)

    def __getitem__(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[position * self._batch_size : (position + 1) * self._batch_size]
        return self._x[chosen], self._y[chosen]

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._y))


class _EpochMemory(keras.callbacks.Callback):
    """Remembers every epoch and the weights of the best; on request on disk, to resume from."""

    def __init__(self, settings: TrainSettings, validation: Examples, checkpoint: Path | None):
        super().__init__()
        self._settings, self._validation, self._checkpoint = settings, validation, checkpoint
        self.rows: list[dict[str, float]] = []
        self.best_epoch, self.best_weights = 0, None

    @property
    def exhausted(self) -> bool:
        """Whether training should stop: patience is at its end, or numbers are no longer finite."""
        patience = self._settings.patience or np.inf
        lost = self.rows and not np.isfinite([self.rows[-1]["loss"], self.rows[-1]["val_loss"]]).all()
        return bool(self.rows and (lost or len(self.rows) - self.best_epoch >= patience))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        seed_dropout(self.model, self._settings.seed, epoch)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        told = compute_validation(self.model, self._validation)
        row = {"epoch": epoch + 1} | {name: float(logs[name]) for name in METRICS}
        row |= {f"val_{name}": float(told[name]) for name in METRICS}
        row["seconds"] = time.perf_counter() - self._began
        self.rows.append(row)
        self.bar.set_postfix(val_auc=f"{row['val_auc']:.3f}", refresh=False)
        self.bar.update(epoch + 1 - self.bar.n)
        best = self.rows[self.best_epoch - 1] if self.best_epoch else {"val_auc": -1.0, "val_loss": 0.0}
        # A small validation set gives equal AUCs often: the lower loss decides.
        better = (row["val_auc"], -row["val_loss"]) > (best["val_auc"], -best["val_loss"])
        if better and np.isfinite([row["loss"], row["val_loss"]]).all():
            self.best_epoch, self.best_weights = epoch + 1, self.model.get_weights()
        self.model.stop_training = self.exhausted
        if self._checkpoint:
            self._save()

    def _save(self) -> None:
        arrays = {f"now{i}": np.array(v) for i, v in enumerate(_state(self.model))}
        arrays |= {f"best{i}": array for i, array in enumerate(self.best_weights or ())}
        told = json.dumps({"rows": self.rows, "best_epoch": self.best_epoch})
        with writing(self._checkpoint) as part:
            np.savez(part, told=np.array(told), **arrays)

    def restore(self, model: keras.Model) -> None:
        if not (self._checkpoint and self._checkpoint.is_file()):
            return
        with np.load(self._checkpoint, allow_pickle=False) as saved:
            told = json.loads(str(saved["told"]))
            for i, variable in enumerate(_state(model)):
                variable.assign(saved[f"now{i}"])
            if told["best_epoch"]:
                self.best_weights = [saved[f"best{i}"] for i in range(len(model.weights))]
        self.rows, self.best_epoch = told["rows"], told["best_epoch"]


def _state(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
