"""Trains the network that reads strips as paths: batches are made by processes of their own, time is bounded.

``python -m karyo_lib.read.train.fit_decoder --data DIR --out DIR --minutes 2.5 --tune-minutes 2`` trains the
decoder that comes with karyo (parts of spreads and drawings), then the one fine-tuned on a bank.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from karyo_lib.read.train.looks import LookSettings, make_batch
from karyo_lib.read.train.rearrange import Rearranger, StripSet, clamp_to_class, whole_places
from karyo_lib.read.train.strip_files import read_strips

_ARRAYS = ("images", "rows", "classes", "cells", "places", "weights")


@dataclass(frozen=True)
class DecoderTraining:
    """How a decoder is trained.

    Attributes
    ----------
    batch_size, learning_rate, weight_decay
        As in Keras; the rate rises over the first batches and falls along a cosine.
    minutes, steps : float, int
        Training ends after these minutes (compilation apart), or this many batches, whichever comes first; 0
        for no bound.
    chunk : int
        Batches between looks at the clock.
    realign : tuple of float
        Shares of the training at which targets are moved to where the network sees them.
    processes : int
        That make batches.
    seed : int
    looks : LookSettings
    """

    batch_size: int = 256
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    minutes: float = 0.0
    steps: int = 0
    chunk: int = 40
    realign: tuple[float, ...] = (0.5,)
    processes: int = 2
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
            rate = s.learning_rate * 0.5 * (1 + np.cos(np.pi * p)) * min(1, (self.done + 1) / warm_up)
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


def load_part(files: dict[Path, float], parts: tuple[str, ...]) -> StripSet:
    """Strips of some parts of files, each drawn from with the weight given, its classes about evenly."""
    sets, cells = [], 0
    for path, weight in files.items():
        columns = read_strips(path)
        chosen = np.isin(columns["parts"], parts)
        columns = {key: column[chosen] for key, column in columns.items()}
        classes = columns["classes"].astype(np.int32)
        count = np.bincount(classes, minlength=24)
        weights = 1 / np.maximum(count[classes], 1) ** 0.7
        _, cell = np.unique(columns["cells"], return_inverse=True)
        rows = columns["rows"].astype(int)
        sets.append(
            StripSet(
                columns["images"], rows, classes, cell + cells, whole_places(classes, rows),
                weights / weights.sum() * weight,
            )
        )  # fmt: skip
        cells += int(cell.max(initial=-1)) + 1
    return StripSet(*(np.concatenate([getattr(s, name) for s in sets]) for name in _ARRAYS))


def fixed_batches(strips: StripSet, n: int, settings: DecoderTraining) -> tuple:
    """The same examples at every call, with gentle looks, to compare losses on."""
    rng = np.random.default_rng([settings.seed, 9])
    looks = replace(settings.looks, strength=0.0, none=0.0)
    parts = [make_batch(Rearranger(strips, rng), settings.batch_size, rng, looks) for _ in range(n)]
    images, rows, places = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return (images, rows), places


def main() -> None:
    """Train both decoders."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--out", type=Path, required=True)
    ask.add_argument("--minutes", type=float, default=2.6)
    ask.add_argument("--tune-minutes", type=float, default=1.9)
    ask.add_argument("--steps", type=int, default=0)
    ask.add_argument("--processes", type=int, default=8)
    ask.add_argument("--batch", type=int, default=256)
    ask.add_argument("--chunk", type=int, default=40)
    ask.add_argument("--checks", type=int, default=4, help="batches to measure the loss on")
    args = ask.parse_args()
    began = time.monotonic()
    own, drawn, bank = (args.data / f"{name}.npz" for name in ("spreads", "drawn", "bank"))
    training = load_part({own: 0.7, drawn: 0.3}, ("training", "drawn"))
    s = DecoderTraining(
        batch_size=args.batch,
        minutes=args.minutes,
        steps=args.steps,
        chunk=args.chunk,
        processes=args.processes,
        realign=(0.45,),
    )
    print(f"{len(training)} strips, {time.monotonic() - began:.0f} s", flush=True)

    from karyo_lib.networks.backend import device_name, keras, use_mixed_precision
    from karyo_lib.read.decoding_network import build_aligning_model, build_decoding_model, place_loss

    print(device_name(), flush=True)
    use_mixed_precision(device_name().startswith("GPU"))
    keras.utils.set_random_seed(s.seed)
    model = build_decoding_model()
    print(f"{model.count_params() / 1e6:.2f} M parameters", flush=True)
    aligner = build_aligning_model(model)
    model.compile(
        keras.optimizers.AdamW(s.learning_rate, weight_decay=s.weight_decay, clipnorm=1.0, beta_2=0.98),
        place_loss,
        jit_compile="auto",
    )

    def keep(name: str):
        def checkpoint(trained) -> None:
            args.out.mkdir(parents=True, exist_ok=True)
            arrays = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(trained.get_weights())}
            part = args.out / f".{name}.npz"
            np.savez_compressed(part, **arrays)
            os.replace(part, args.out / f"{name}.npz")

        return checkpoint

    checks = {
        "spreads": fixed_batches(load_part({own: 1.0}, ("validation",)), args.checks, s),
        "bank": fixed_batches(load_part({bank: 1.0}, ("val",)), args.checks, s),
    }

    def check() -> None:
        for name, (x, y) in checks.items():
            print(
                f"loss on validation, {name}: {model.evaluate(x, y, batch_size=args.batch, verbose=0):.3f}",
                flush=True,
            )

    fit(model, aligner, training, s, keep("shipped"))
    print(f"shipped done, {time.monotonic() - began:.0f} s", flush=True)
    check()
    if args.tune_minutes or args.steps:
        tuning = load_part({bank: 0.75, own: 0.2, drawn: 0.05}, ("train", "training", "drawn"))
        tune = replace(
            s,
            minutes=args.tune_minutes,
            learning_rate=8e-4,
            realign=(0.4,),
            seed=s.seed + 1,
            looks=replace(s.looks, strength=0.7),
        )
        fit(model, aligner, tuning, tune, keep("tuned"), align_first=True)
        check()
    print(f"all done, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
