"""Jobs that train: a condition, an epoch of fine-tuning, Monte Carlo passes, the search."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.material import Sizes, find_weights, make_pages, split_examples
from benchmarks.measure import Job
from karyo_lib.networks.backend import keras
from karyo_lib.networks.features import compute_features, preprocess
from karyo_lib.networks.fitting import Trainer, TrainSettings
from karyo_lib.networks.inference import sample_dropout
from karyo_lib.networks.models import build_model, get_cut
from karyo_lib.networks.search import HeadObjective, SearchSettings, run_search
from karyo_lib.networks.train import get_trainer


@dataclass(frozen=True)
class _Training(Job):
    """What the jobs of this module share.

    Attributes
    ----------
    sizes : Sizes
    base, trainable : str
    """

    sizes: Sizes = field(default_factory=Sizes)
    base: str = "VGG16"
    trainable: str = "head"

    def settings(self, epochs: int = 1) -> TrainSettings:
        return TrainSettings(epochs=epochs, input_shape=self.sizes.input_shape)

    def features(self, count: int) -> np.ndarray:
        cut = get_cut(self.base, self.trainable)
        weights, shape = find_weights(self.base), self.sizes.input_shape
        return compute_features(self.base, weights, make_pages(count), cut, progress=False, input_shape=shape)

    def timed_features(self, count: int) -> tuple[np.ndarray, float]:
        """Return features for `count` images, those of the sample again and again, and the time for all."""
        began = time.perf_counter()
        features = self.features(min(self.sizes.sample, count))
        seconds = (time.perf_counter() - began) * count / len(features)
        return np.resize(features, (count, *features.shape[1:])), seconds

    def inputs(self, count: int) -> np.ndarray:
        return preprocess(self.base, make_pages(count), self.sizes.input_shape)

    def network(self) -> keras.Model:
        return build_model(
            self.base,
            find_weights(self.base),
            trainable=self.trainable,
            input_shape=self.sizes.input_shape,
        )

    def tail(self) -> Trainer:
        return get_trainer(self.base, self.trainable, find_weights(self.base), self.settings())


class CachedCondition(_Training):
    """A whole condition as karyo does it: features once, then the tail for all epochs."""

    def prepare(self) -> tuple:
        make_pages(self.sizes.sample)
        trainer = self.tail()
        trainer.fit(*split_examples(self.features(16)), self.settings())
        return trainer

    def run(self, trainer: Trainer) -> dict[str, float]:
        """Compute features anew, train for all epochs, predict."""
        features, feature_seconds = self.timed_features(self.sizes.images)
        used = self.sizes.train + self.sizes.validation
        share = self.sizes.train / used
        began = time.perf_counter()
        trainer.fit(*split_examples(features[:used], share), self.settings(self.sizes.epochs))
        trainer.model.predict(features, batch_size=64, verbose=0)
        seconds = feature_seconds + time.perf_counter() - began
        return {"seconds": seconds, "feature_seconds": feature_seconds}


class PlainCondition(_Training):
    """An epoch of the same through the whole network with ``model.fit``, on a sample of the images."""

    def prepare(self) -> tuple:
        trainer = Trainer(self.network())
        examples = split_examples(self.inputs(self.sizes.sample))
        trainer.fit(*split_examples(self.inputs(16)), self.settings())
        return trainer, examples

    def run(self, state: tuple) -> dict[str, float]:
        """Train one epoch."""
        trainer, examples = state
        return {"seconds": float(trainer.fit(*examples, self.settings()).history["seconds"].sum())}


class CachedEpoch(PlainCondition):
    """An epoch of the tail on the same images; their features were computed once before."""

    def prepare(self) -> tuple:
        trainer = self.tail()
        trainer.fit(*split_examples(self.features(16)), self.settings())
        return trainer, split_examples(self.features(self.sizes.sample))


class SameResult(_Training):
    """Both ways, two epochs on a few images: the largest difference between their losses."""

    def prepare(self) -> None:
        return None

    def run(self, state: Any) -> dict[str, float]:
        """Train both."""
        settings = self.settings(2)
        count = min(self.sizes.sample, 32)
        plain = Trainer(self.network()).fit(*split_examples(self.inputs(count)), settings).history
        cached = self.tail().fit(*split_examples(self.features(count)), settings).history
        columns = ["loss", "val_loss"]
        return {"difference": float(np.abs(plain[columns] - cached[columns]).to_numpy().max())}


class SampledPasses(_Training):
    """All Monte Carlo passes as karyo does them, from the pictures on."""

    def prepare(self) -> keras.Model:
        make_pages(self.sizes.sample)
        model = self.tail().model
        sample_dropout(model, self.features(2), 2)
        return model

    def run(self, model: keras.Model) -> dict[str, float]:
        """Compute features anew and sample the head."""
        features, feature_seconds = self.timed_features(self.sizes.test)
        began = time.perf_counter()
        sample_dropout(model, features, self.sizes.passes)
        return {"seconds": feature_seconds + time.perf_counter() - began}


class LoopedPass(_Training):
    """One pass of ``model(x, training=True)`` over a sample of the images.

    It is the loop that is often shown, and wrong here: BatchNormalization then uses the batch's statistics.
    """

    def prepare(self) -> tuple:
        model, x = self.network(), self.inputs(min(self.sizes.sample, self.sizes.test))
        model(x[:2], training=True)
        return model, x

    def run(self, state: tuple) -> dict[str, float]:
        """Run one pass."""
        model, x = state
        for i in range(0, len(x), 16):
            keras.ops.convert_to_numpy(model(x[i : i + 16], training=True))
        return {}


class CachedSearch(_Training):
    """Features once, then some trials of the search on them."""

    def prepare(self) -> None:
        make_pages(self.sizes.sample)
        self.tail().fit(*split_examples(self.features(16)), self.settings())

    def run(self, state: None) -> dict[str, float]:
        """Search, and count the trials that were not run in."""
        features, feature_seconds = self.timed_features(self.sizes.train + self.sizes.validation)
        began = time.perf_counter()
        share = self.sizes.train / len(features)
        objective = HeadObjective(
            self.base,
            find_weights(self.base),
            *split_examples(features, share),
            self.settings(self.sizes.search_epochs),
        )
        run_search(objective, SearchSettings(trials=self.sizes.trials_measured), progress=False)
        trials = (time.perf_counter() - began) * self.sizes.trials / self.sizes.trials_measured
        return {"seconds": feature_seconds + trials, "feature_seconds": feature_seconds}
