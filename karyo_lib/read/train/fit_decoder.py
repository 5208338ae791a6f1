"""Trains the network that reads strips as paths: processes make batches, time is bounded."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from karyo_lib.read.train.looks import LookSettings, make_batch
from karyo_lib.read.train.rearrange import Rearranger, StripSet, clamp_to_class

_ARRAYS = ("images", "rows", "classes", "cells", "places", "weights")


@dataclass(frozen=True)
class DecoderTraining:
    """How a decoder is trained."""

    batch_size: int = 256  # as in Keras; the rate rises over the first batches and falls along a cosine
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    # Training ends after these minutes (compilation apart), or this many batches, whichever comes first; 0
    # for no bound.
    minutes: float = 0.0
    steps: int = 0
    chunk: int = 40  # batches between looks at the clock
    # Shares of the training at which targets are moved to where the network sees them.
    realign: tuple[float, ...] = (0.5,)
    processes: int = 2  # that make batches
    seed: int = 2
    looks: LookSettings = field(default_factory=LookSettings)


def _produce(folder: str, queue: multiprocessing.Queue, size: int, looks: LookSettings, seed: tuple) -> None:
    """A process that makes batches of the strips in a folder; places and weights may change meanwhile."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2

    cv2.setNumThreads(1)
    arrays = {name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    rng = np.random.default_rng(seed)
    maker = Rearranger(StripSet(**arrays), rng)
    number = 0
    while True:
        number += 1
        if number % 20 == 0:
            maker.reweigh()
        queue.put(make_batch(maker, size, rng, looks))


@contextmanager
def batches(strips: StripSet, settings: DecoderTraining) -> Iterator[tuple[Iterator, dict[str, np.ndarray]]]:
    """Batches made by several processes, and the arrays that they read, which may be written to."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=3 * settings.processes)
    with tempfile.TemporaryDirectory(prefix="strips-") as folder:
        arrays = {}
        for name in _ARRAYS:
            np.save(Path(folder) / f"{name}.npy", getattr(strips, name))
            arrays[name] = np.load(Path(folder) / f"{name}.npy", mmap_mode="r+")
        workers = [
            context.Process(
                target=_produce,
                args=(folder, queue, settings.batch_size, settings.looks, (settings.seed, number)),
                daemon=True,
            )
            for number in range(settings.processes)
        ]
        for worker in workers:
            worker.start()

        def each() -> Iterator[tuple]:
            while True:
                images, rows, places = queue.get(timeout=300)
                yield (images, rows), places

        try:
            yield each(), arrays
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()
            queue.cancel_join_thread()


def align(aligner, arrays: dict[str, np.ndarray], batch_size: int = 256) -> None:
    """Move each strip's places to where the network sees its rows, in order along the chromosome.

    Strips that the network does not recognise at all, wrongly labelled ones among them, hardly count from
    then on; those that it reads backwards are turned.
    """
    from scipy.optimize import isotonic_regression

    n, rows = len(arrays["rows"]), arrays["rows"]
    doubtful = 0
    for start in range(0, n, batch_size):
        part = np.arange(start, min(start + batch_size, n))
        padded = np.resize(part, batch_size)
        seen = aligner.predict_on_batch(
            [arrays["images"][padded], rows[padded, None].astype("float32"), arrays["classes"][padded, None]]
        )
        mean, up, down = (np.asarray(seen[key]) for key in ("mean", "upright", "turned"))
        for k, i in enumerate(part):
            m = int(rows[i])
            share, back = float(up[k, :m].mean()), float(down[k, :m].mean())
            if back > 0.8:
                arrays["images"][i, :m] = arrays["images"][i, :m][::-1].copy()
            elif share < 0.1:
                arrays["weights"][i] *= 0.02
                doubtful += 1
            else:
                weight = np.clip(up[k, :m], 0.02, 1)
                arrays["places"][i, :m] = isotonic_regression(mean[k, :m], weights=weight).x
    arrays["places"][:] = np.where(
        arrays["places"] < 0, -1, clamp_to_class(arrays["places"], arrays["classes"])
    )
    print(f"re-aligned {n} strips; {doubtful} not recognised", flush=True)


def fit(
    model, aligner, strips: StripSet, settings: DecoderTraining, checkpoint=None, align_first: bool = False
):
    """Train a compiled network; ``checkpoint(model)`` is called now and then. Returns re-aligned strips."""
    from karyo_lib.networks.backend import keras

    s, started = settings, time.monotonic()
    warm_up = min(400, max(1, s.steps // 20)) if s.steps else 400

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.done, self.aligned, self.saved = 0, 0, time.monotonic()
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
            p = self.progress()
            print(
                f"{time.monotonic() - started:6.0f} s, {self.done} batches, {p:.0%}, loss {logs['loss']:.3f}",
                flush=True,
            )
            if self.aligned < len(s.realign) and p >= s.realign[self.aligned]:
                self.aligned += 1
                align(aligner, arrays)
            if checkpoint and time.monotonic() - self.saved > 40:
                checkpoint(model)
                self.saved = time.monotonic()
            if p >= 1:
                self.model.stop_training = True

    with batches(strips, s) as (each, arrays):
        if align_first:
            align(aligner, arrays)
        model.fit(
            each, steps_per_epoch=s.chunk, epochs=100_000, verbose=0, shuffle=False, callbacks=[Clock()]
        )
        if checkpoint:
            checkpoint(model)
        return StripSet(**{name: np.array(arrays[name]) for name in _ARRAYS})
