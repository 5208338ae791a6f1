"""Trains the network that reads strips as paths: processes make batches, time is bounded."""

import multiprocessing
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import isotonic_regression

from karyo_lib.read.train.looks import LookSettings, make_batch
from karyo_lib.read.train.rearrange import Rearranger, StripSet, clamp_to_class


@dataclass(frozen=True)
class DecoderTraining:
    batch_size: int = 256  # as in Keras; the rate rises over the first batches and falls along a cosine
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    # Training ends after these minutes (compilation apart) or batches, whichever comes first; 0: no bound.
    minutes: float = 0.0
    steps: int = 0
    chunk: int = 40  # batches between looks at the clock
    # Shares of the training at which targets are moved to where the network sees them.
    realign: tuple[float, ...] = (0.5,)
    processes: int = 2  # that make batches
    seed: int = 2
    looks: LookSettings = field(default_factory=LookSettings)


def _arrays(folder: str, mode: str) -> dict[str, np.ndarray]:
    return {f.name: np.load(Path(folder) / f"{f.name}.npy", mmap_mode=mode) for f in fields(StripSet)}


@cache
def _maker(folder: str) -> Rearranger:
    """Of the strips in a folder, once a process; their places and weights may change meanwhile."""
    cv2.setNumThreads(1)
    return Rearranger(StripSet(**_arrays(folder, "r")), np.random.default_rng())


def _make(folder: str, settings: DecoderTraining, number: int) -> tuple:
    maker = _maker(folder)
    maker.rng = np.random.default_rng([settings.seed, number])
    maker.reweigh()
    images, rows, places = make_batch(maker, settings.batch_size, maker.rng, settings.looks)
    return (images, rows), places


@contextmanager
def batches(strips: StripSet, settings: DecoderTraining) -> Iterator[tuple[Iterator, dict[str, np.ndarray]]]:
    """Batches made by several processes, and the arrays that they read, which may be written to."""
    pool = ProcessPoolExecutor(settings.processes, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory(prefix="strips-") as folder:
        for name, array in vars(strips).items():
            np.save(Path(folder) / f"{name}.npy", array)
        made = (pool.submit(_make, folder, settings, number) for number in count())
        waiting = deque(next(made) for _ in range(3 * settings.processes))

        def each() -> Iterator[tuple]:
            while True:
                waiting.append(next(made))
                yield waiting.popleft().result()

        try:
            yield each(), _arrays(folder, "r+")
        finally:
            pool.shutdown(cancel_futures=True)


def align(aligner, arrays: dict[str, np.ndarray], batch_size: int = 256) -> None:
    """Move each strip's places to where the network sees its rows, in order; turn those read backwards; let
    those not recognised at all hardly count from then on."""
    rows, classes = arrays["rows"], arrays["classes"]
    n, doubtful = len(rows), 0
    for start in range(0, n, batch_size):
        part = np.arange(start, min(start + batch_size, n))
        padded = np.resize(part, batch_size)
        given = arrays["images"][padded], rows[padded, None].astype("float32"), classes[padded, None]
        seen = aligner.predict_on_batch(list(given))
        mean, up, down = (np.asarray(seen[key]) for key in ("mean", "upright", "turned"))
        for k, i in enumerate(part):
            m = int(rows[i])
            if down[k, :m].mean() > 0.8:
                arrays["images"][i, :m] = arrays["images"][i, :m][::-1].copy()
            elif up[k, :m].mean() < 0.1:
                arrays["weights"][i] *= 0.02
                doubtful += 1
            else:
                weight = np.clip(up[k, :m], 0.02, 1)
                arrays["places"][i, :m] = isotonic_regression(mean[k, :m], weights=weight).x
    places = arrays["places"]
    places[:] = np.where(places < 0, -1, clamp_to_class(places, classes))
    print(f"re-aligned {n} strips; {doubtful} not recognised", flush=True)


def fit(model, aligner, strips: StripSet, settings: DecoderTraining, align_first: bool = False) -> None:
    """Train a compiled network; ``aligner`` is it with the outputs of `build_aligning_model`."""
    from karyo_lib.networks.backend import keras  # processes that make batches do without

    s, started = settings, time.monotonic()
    warm_up = min(400, max(1, s.steps // 20)) if s.steps else 400

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.done, self.aligned = 0, 0
            self.began: float | None = None  # after the first batches, in which the engine compiles

        def progress(self) -> float:
            spent = 0.0
            if s.minutes and self.began is not None:
                spent = (time.monotonic() - self.began) / 60 / s.minutes
            return max(spent, self.done / s.steps if s.steps else 0.0)

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            p = min(self.progress(), 1.0)
            warm = min(1, max((self.done + 1) / warm_up, 20 * p))  # a short training has few batches
            rate = s.learning_rate * 0.5 * (1 + np.cos(np.pi * p)) * warm
            self.model.optimizer.learning_rate = max(rate, s.learning_rate * 0.003)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.done += s.chunk
            self.began = self.began or time.monotonic()
            p, spent = self.progress(), time.monotonic() - started
            print(f"{spent:6.0f} s, {self.done} batches, {p:.0%}, loss {logs['loss']:.3f}", flush=True)
            if self.aligned < len(s.realign) and p >= s.realign[self.aligned]:
                self.aligned += 1
                align(aligner, arrays)
            if p >= 1:
                self.model.stop_training = True

    with batches(strips, s) as (each, arrays):
        if align_first:
            align(aligner, arrays)
        model.fit(
            each, steps_per_epoch=s.chunk, epochs=100_000, verbose=0, shuffle=False, callbacks=[Clock()]
        )
