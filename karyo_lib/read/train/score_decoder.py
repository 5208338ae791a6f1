"""How well a decoder reads chromosomes that were cut and joined, and chromosomes that were not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from karyo_lib.read.decode import Decoded, Decoder
from karyo_lib.read.path import Paths
from karyo_lib.read.places import BIN, BINS
from karyo_lib.read.train.rearrange import Example, Rearranger, StripSet
from karyo_lib.shape.scaled import COLUMNS, MOST_ROWS, ScaledStrips

#: Megabases of the changes that are tried.
SIZES = (5, 10, 20, 40)
_NEAR = 10e6 / BIN  # a break is at its place within 10 Mb
_GROUPS = {"isochromosome": "ring/isochromosome/marker", "whole arm": "translocation"}


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
