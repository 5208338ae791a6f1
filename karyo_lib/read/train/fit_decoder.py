"""Trains the network that reads strips as paths, in bounded time, and counts what it sees."""

import multiprocessing
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import log_softmax, logsumexp

from karyo_lib.read.decode import Decoded, Decoder
from karyo_lib.read.path import Paths
from karyo_lib.read.places import BIN, BINS
from karyo_lib.read.train.looks import LookSettings, make_batch
from karyo_lib.read.train.rearrange import Example, Rearranger, StripSet, clamp_to_class
from karyo_lib.shape.scaling import COLUMNS, MOST_ROWS, ScaledStrips

#: Megabases of the changes that are tried.
SIZES = (5, 10, 20, 40)
_NEAR = 10e6 / BIN  # a break is at its place within 10 Mb
_GROUPS = {"isochromosome": "ring/isochromosome/marker", "whole arm": "translocation"}


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


def try_changes(strips: StripSet, each: int, seed: int = 0) -> dict[tuple[str, int], list[Example]]:
    """Examples by kind and size (Mb; 0 for any): ``each`` of them, of a set's strips."""
    maker = Rearranger(strips, np.random.default_rng([seed, 31]))

    def some(make: Callable[[int, float], Example | None], megabases: float = 0) -> list[Example]:
        tried = (make(maker.pick(), megabases * 1e6 / BIN) for _ in count())
        return list(islice((one for one in tried if one is not None), each))

    makers = {
        "deletion": maker.deletion,
        "duplication": maker.duplication,
        "inversion": maker.inversion,
        "equal exchange": lambda strip, size: maker.translocation(strip, size, size),
    }
    out = {(kind, size): some(make, size) for kind, make in makers.items() for size in SIZES}
    out["arms", 0] = some(maker.arms)
    out["insertion", 20] = some(maker.insertion, 20)
    out["reciprocal", 0] = [example for _ in range(each) for example in maker.exchange()]
    out["sham", 0] = [maker.sham(maker.pick()) for _ in range(2 * each)]
    return out


def example_strips(examples: Sequence[Example]) -> ScaledStrips:
    images = np.zeros((len(examples), MOST_ROWS, COLUMNS), np.uint8)
    for image, example in zip(images, examples, strict=True):
        image[: len(example.ink)] = np.clip(example.ink, 0, 255)
    return ScaledStrips(images, np.array([len(e.ink) for e in examples]))


def read_all(decoder: Decoder, strips: ScaledStrips, at_once: int = 64) -> tuple[Decoded, list]:
    """Decode many strips, keeping each one's path whatever its score, and the jumps of that path."""
    parts, jumps = [], []
    for start in range(0, len(strips), at_once):
        part = strips.take(np.arange(start, min(start + at_once, len(strips))))
        log_p, paths = decoder.follow(part)
        parts.append(decoder.interpret(log_p, paths, part, p_upside_down=0.5))
        jumps += [_jumps(paths, i) for i in range(len(part))]
    arrays = {k: np.concatenate([getattr(p, k) for p in parts]) for k in vars(parts[0]) if k != "segments"}
    return Decoded(**arrays, segments=tuple(s for p in parts for s in p.segments)), jumps


def _jumps(paths: Paths, i: int) -> np.ndarray:
    """Places above and below each jump, then both ends twice, without direction: int (k + 2, 2), sorted."""
    places, rows = paths.places[i][paths.places[i] >= 0], np.flatnonzero(paths.jumps[i])
    first, second = np.r_[rows - 1, 0, -1], np.r_[rows, 0, -1]
    return np.sort(np.stack([places[first], places[second]], 1) % BINS, axis=1)


def places_right(example: Example, jumps: np.ndarray) -> bool:
    """Whether every seam has a jump with both places within 10 Mb; of a lost end, both ends."""
    seams = np.sort(np.array(example.seams).reshape(-1, 2) % BINS, axis=1)
    if len(seams) == 0:
        ends = example.places[[0, -1]] % BINS
        return bool((np.abs(np.sort(ends) - np.sort(jumps[-2:, 0]) - 0.5) <= _NEAR).all())
    seams = seams[np.abs(seams[:, 1] - seams[:, 0]) > 1.5]
    off = np.abs(seams[:, None] - jumps[None, :-2] - 0.5).max(2)
    return bool(len(jumps) > 2 and (off.min(1, initial=np.inf) <= _NEAR).all())


def score_decoder(decoder: Decoder, strips: StripSet, each: int = 200, seed: int = 0) -> pd.DataFrame:
    """Measure a decoder on strips of normal chromosomes of nobody who trained it (places only say where cuts
    are made), ``each`` examples of a kind and size: the share seen at 1 % and 3.5 % false calls, and of those
    at 1 % the shares in the right place and of the right kind."""
    decoder = _without_threshold(decoder)
    normal, _ = read_all(decoder, ScaledStrips(strips.images, strips.rows))
    at_1, at_3 = np.quantile(_surely(normal), [0.99, 0.965])
    rows = []
    for (kind, size), examples in try_changes(strips, each, seed).items():
        read, jumps = read_all(decoder, example_strips(examples))
        score = _surely(read)
        seen = score > at_1
        if kind == "reciprocal":
            score = np.repeat(score.reshape(-1, 2).max(1), 2)
        right = np.array([places_right(e, j) for e, j in zip(examples, jumps, strict=True)])
        told = zip(examples, read.describe(), strict=True)
        same = np.array([_GROUPS.get(e.kind, e.kind) == what.group for e, what in told])
        rows.append(
            {
                "kind": kind,
                "Mb": size,
                "n": len(examples),
                "seen at 1 %": (score > at_1).mean(),
                "seen at 3.5 %": (score > at_3).mean(),
                "place": right[seen].mean() if seen.any() else np.nan,
                "kind right": same[seen].mean() if seen.any() else np.nan,
                "readable": read.readable.mean(),
            }
        )
    return pd.DataFrame(rows)


def _surely(decoded: Decoded) -> np.ndarray:
    """Scores, with unreadable chromosomes never taken for changed."""
    return np.where(decoded.readable, decoded.score, -1.0)


def _without_threshold(decoder: Decoder) -> Decoder:
    copy = Decoder(replace(decoder.settings, least_score=-np.inf))
    copy.model = decoder.model
    return copy


def fit_settings(decoder: Decoder, strips: StripSet) -> Decoder:
    """Fit the temperature, and the score from which 1 % of unchanged chromosomes are called changed."""
    normal, _ = read_all(_without_threshold(decoder), ScaledStrips(strips.images, strips.rows))
    rows = np.arange(len(strips))

    def loss(log_t: float) -> float:
        each = normal.normal / (np.exp(log_t) * strips.rows[:, None, None])
        both = log_softmax(each.reshape(len(rows), -1), axis=1).reshape(-1, 24, 2)
        return -float(logsumexp(both, axis=2)[rows, strips.classes].mean())

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-3, 2), method="bounded").x))
    least = float(np.quantile(_surely(normal), 0.99))
    decoder.settings = replace(decoder.settings, temperature=temperature, least_score=least)
    return decoder
