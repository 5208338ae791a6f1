"""The most probable path of a chromosome through the genome: what it is made of.

A path goes by 0 to 3 bins a row in its direction; a jump, and an end off a telomere, have their price.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karyo_lib.iscn.bands import ACROCENTRICS, CHROMOSOMES
from karyo_lib.read.places import BINS, CLASS_OF_BIN, FIRST, NONE, STOP, centromere_place

_IMPOSSIBLE = np.float32(-1e4)
_UNSEEN = np.float32(-8)  # no row counts for less where a path's fit is measured
_JUMP = 4


@dataclass(frozen=True)
class PathSettings:
    """What paths cost, in units of log-probability."""

    weight: float = 0.8  # of each row's log-probability
    jump: float = 5.0  # price of a jump; of beginning or ending where no chromosome ends
    off_telomere: float = 6.0
    tip: int = 2  # bins next to a telomere where a path may begin or end for nothing
    tip_slope: float = 4.0  # what a normal path pays for each bin that is missing beyond these
    # Probability that a row goes on by 0, 1, 2, 3 bins.
    moves: tuple[float, float, float, float] = (0.2, 0.58, 0.18, 0.04)
    unread: float = 0.02  # share of 'none' in a row that counts for every place alike


@dataclass(frozen=True)
class Paths:
    places: np.ndarray  # int, shape (n, T); the best path: place of each row, -1 beyond the chromosome's end
    jumps: np.ndarray  # bool, shape (n, T); rows that were jumped to
    best: np.ndarray  # float32, shape (n,); its log-probability
    normal: np.ndarray  # float32 (n, 24, 2): log-probability of each class's normal path, upright or not
    fit: np.ndarray  # float32 (n,): geometric mean of the probability of the places on the best path


def emissions(log_p: np.ndarray, settings: PathSettings) -> np.ndarray:
    """Weighed log-probabilities (..., 2, BINS) of places, from (..., NONE + 1)."""
    unread = np.exp(log_p[..., NONE:]) * np.float32(settings.unread) + np.float32(1e-7)
    seen = np.log(np.exp(log_p[..., :NONE]) + unread) * np.float32(settings.weight)
    return seen.reshape(*log_p.shape[:-1], 2, BINS)


def _tips(settings: PathSettings) -> tuple[np.ndarray, np.ndarray]:
    """What a normal path pays to begin and to end at each place, each of shape (2, BINS)."""
    above = np.arange(BINS) - FIRST[CLASS_OF_BIN]
    below = STOP[CLASS_OF_BIN] - 1 - np.arange(BINS)
    for name in ACROCENTRICS:  # short arms of acrocentric chromosomes differ from person to person
        c = CHROMOSOMES.index(name)
        inside = slice(FIRST[c], STOP[c])
        above[inside] = np.maximum(above[inside] - int(centromere_place(c) - FIRST[c]), 0)
    top, bottom = (settings.tip_slope * np.maximum(a - settings.tip + 1, 0) for a in (above, below))
    return np.stack([top, bottom]).astype(np.float32), np.stack([bottom, top]).astype(np.float32)


def _barriers() -> list[np.ndarray]:
    """For moves of 0 to 3 bins: 0, or _IMPOSSIBLE where the move would come from another class; (2, BINS)."""
    beside = np.stack([np.arange(BINS) - FIRST[CLASS_OF_BIN], STOP[CLASS_OF_BIN] - 1 - np.arange(BINS)])
    return [np.where(beside < m, _IMPOSSIBLE, np.float32(0)) for m in range(4)]


def _move(score: np.ndarray, costs: list[np.ndarray], move: np.ndarray | None = None) -> np.ndarray:
    """The best score with which each place (n, 2, BINS) is reached by a move; ``move`` takes up which."""
    best = score + costs[0]
    for m in range(1, 4):
        for back, (to, from_) in enumerate(((slice(m, None), slice(-m)), (slice(-m), slice(m, None)))):
            tried = score[:, back, from_] + costs[m][back, to]
            held = best[:, back, to]
            if move is not None:
                move[:, back, to][tried > held] = m
            np.maximum(held, tried, out=held)
    return best


def find_paths(log_p: np.ndarray, rows: np.ndarray, settings: PathSettings = PathSettings()) -> Paths:
    """Best paths of strips of ``rows`` (int (n,)) rows by their places, float32 (n, T, NONE + 1)."""
    order = np.argsort(-np.asarray(rows, int), kind="stable")  # longest first: those that go on are a slice
    rows = np.asarray(rows, int)[order]
    n, length = log_p.shape[:2]
    begin, end = _tips(settings)
    begin_off, end_off = (np.minimum(t, np.float32(settings.off_telomere)) for t in (begin, end))
    costs = [np.float32(np.log(p)) + wall for p, wall in zip(settings.moves, _barriers(), strict=True)]
    moves = np.zeros((length, n, 2, BINS), np.uint8)
    sources = np.zeros((length, n), int)
    best, last = np.full(n, _IMPOSSIBLE), np.zeros(n, int)
    classes = np.full((n, 24, 2), _IMPOSSIBLE)
    for t in range(length):
        going = int((rows > t).sum())
        if not going:
            break
        ink = emissions(log_p[order[:going], t], settings)
        if t == 0:
            free, normal = ink - begin_off, ink - begin
        else:
            free, normal = free[:going], normal[:going]
            sources[t, :going] = free.reshape(going, -1).argmax(1)
            jump = free.reshape(going, -1).max(1)[:, None, None] - np.float32(settings.jump)
            free = _move(free, costs, moves[t, :going])
            moves[t, :going][jump > free] = _JUMP
            np.maximum(free, jump, out=free)
            free += ink
            normal = _move(normal, costs) + ink
        for i in np.flatnonzero(rows == t + 1):
            whole = free[i] - end_off
            last[i] = whole.argmax()
            best[i] = whole.ravel()[last[i]]
            classes[i] = np.maximum.reduceat(normal[i] - end, FIRST, axis=1).T
    places = np.full((n, length), -1)
    jumps = np.zeros((n, length), bool)
    for i in range(n):
        at = int(last[i])
        for t in range(rows[i] - 1, -1, -1):
            places[i, t] = at
            back, bin_ = divmod(at, BINS)
            move = int(moves[t, i, back, bin_])
            if move == _JUMP:
                jumps[i, t], at = True, int(sources[t, i])
            else:
                at = at + move if back else at - move
    undo = np.argsort(order)
    places = places[undo]
    shown = np.take_along_axis(log_p, np.maximum(places, 0)[..., None], axis=2)[..., 0]
    inside = places >= 0
    fit = np.exp((np.maximum(shown, _UNSEEN) * inside).sum(1) / np.maximum(inside.sum(1), 1))
    best, classes, fit = (a.astype(np.float32) for a in (best[undo], classes[undo], fit))
    return Paths(places, jumps[undo], best, classes, fit)


def chain_scores(
    log_p: np.ndarray,
    rows: np.ndarray,
    asked: Sequence[tuple[int, np.ndarray, Sequence[tuple[int, int]]]],
    settings: PathSettings = PathSettings(),
) -> np.ndarray:
    """Log-probabilities, float32 (m,), of the best paths from tip to tip of chains of places: ``asked`` names
    each one's strip, its places (int (k,)) and windows, within which it may skip for half of a jump's price.
    Else as `find_paths`."""
    order = sorted(range(len(asked)), key=lambda at: -rows[asked[at][0]])  # those that go on are a slice
    asked = [asked[at] for at in order]
    strip = np.array([at for at, _, _ in asked], int)
    last = np.asarray(rows, int)[strip]
    steps = np.arange(max((len(chain) for _, chain, _ in asked), default=1))
    chains = np.zeros((len(asked), len(steps)), int)
    top, bottom = np.full((2, *chains.shape), -_IMPOSSIBLE)
    ways = np.zeros((max((len(w) for _, _, w in asked), default=0), *chains.shape), bool)
    for at, (_, chain, windows) in enumerate(asked):
        k = len(chain)
        chains[at, :k] = chain
        for price, way in ((top[at, :k], chain), (bottom[at, k - 1 :: -1][:k], chain[::-1])):
            price[:] = settings.tip_slope * np.maximum(steps[:k] - settings.tip + 1 - _short_arm(way), 0)
        for way, (first, stop) in zip(ways, windows, strict=False):
            way[at, first:stop] = True
    unread, least = (np.float32(np.log(max(p, 1e-7))) for p in (settings.unread, 0))
    moves = np.log(settings.moves).astype(np.float32)
    out = np.full(len(asked), _IMPOSSIBLE)
    for t in range(last.max(initial=0)):
        going = int((last > t).sum())
        seen = log_p[strip[:going, None], t, chains[:going]]
        ink = np.maximum(np.logaddexp(seen, log_p[strip[:going], t, NONE:] + unread), least)
        ink *= np.float32(settings.weight)
        if t == 0:
            score = ink - top
        else:
            score = score[:going]
            best = score + moves[0]
            for m in range(1, min(4, len(steps))):
                np.maximum(best[:, m:], score[:, :-m] + moves[m], out=best[:, m:])
            for way in ways[:, :going]:
                reached = np.maximum.accumulate(np.where(way, score, _IMPOSSIBLE), axis=1)[:, :-1]
                reached = np.where(way[:, 1:], reached - np.float32(settings.jump / 2), _IMPOSSIBLE)
                np.maximum(best[:, 1:], reached, out=best[:, 1:])
            score = best + ink
        done = np.flatnonzero(last[:going] == t + 1)
        out[done] = (score[done] - bottom[done]).max(1)
    return out[np.argsort(order)] if len(order) else out


def _short_arm(chain: np.ndarray) -> int:
    """How many places at the beginning lie on the short arm of an acrocentric chromosome."""
    c = int(CLASS_OF_BIN[chain[0] % BINS])
    if CHROMOSOMES[c] not in ACROCENTRICS:
        return 0
    inside = (CLASS_OF_BIN[chain % BINS] == c) & (chain % BINS < int(centromere_place(c)))
    return int(np.cumprod(inside).sum())
