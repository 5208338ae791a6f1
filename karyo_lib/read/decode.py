"""Strips become segments of the genome: class and direction, what is lost, doubled, turned or exchanged."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.special import log_softmax, logsumexp

from karyo_lib.iscn.bands import ACROCENTRICS, CHROMOSOMES, load_bands
from karyo_lib.iscn.describe import Description, describe
from karyo_lib.iscn.segments import Segment, Segments, normal_segments, turn
from karyo_lib.read.decoding_network import NetworkSettings, build_decoding_model
from karyo_lib.read.network_files import TrainedNetwork, read_record, read_weights, write_network
from karyo_lib.read.path import Paths, PathSettings, chain_scores, find_paths
from karyo_lib.read.places import BINS, CLASS_OF_BIN, FIRST, NONE, STOP, centromere_place, place_of, units_of
from karyo_lib.resources import data_file
from karyo_lib.shape.scaling import ScaledStrips

_AT_ONCE = 16  # strips that go through the network together
_LENGTHS = (48, 80, 112, 160)  # to one of which they are padded
_EDGES = [0, 1, 2, -3, -2, -1]  # columns at the edges of a strip
_JOINED = 0.7  # share of two chromosomes that is seen where they lie end to end
_SLACK = 1  # bins that the breaks of a hypothesis may be off
_LEAST_TIP = 4  # rows of another class at an end that are told
_MOST_CLASSES = 2  # a path through more is hardly ever a chromosome's


@dataclass(frozen=True)
class DecoderSettings:
    """How posteriors are read; fitted on validation patients."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    path: PathSettings = field(default_factory=PathSettings)
    temperature: float = 0.75  # divides the log-probabilities, a row, of normal paths of the 24 classes
    least_score: float = 3.5  # log-odds from which a chromosome is taken for changed
    # A chromosome is not readable if more of its rows show nothing, if its best path fits less well (see
    # `Paths`), or if more ink lies at its strip's edges, where it is bent, forked or crossed.
    most_none: float = 0.4
    least_fit: float = 0.08
    most_beside: float = 0.07


@dataclass(frozen=True)
class Decoded:
    """What n chromosomes were read as."""

    log_proba: np.ndarray  # float32, shape (n, 24); log-probability of each class, either way up
    log_none: np.ndarray  # float32, shape (n,); log-probability that it is no chromosome
    p_upside_down: np.ndarray  # float32, shape (n,)
    readable: np.ndarray  # bool, shape (n,); False where nothing should be said about its structure
    odds: np.ndarray  # float32 (n,): log-odds of the best path against the best normal one
    fit: np.ndarray  # float32 (n,): of the best path, see `Paths`
    segments: tuple[Segments, ...]  # what each is made of, p end first; one whole segment where normal
    normal: np.ndarray  # float32 (n, 24, 2): log-probability of each class's normal path, upright or not
    joint: np.ndarray  # float32 (n,): where one whole chromosome ends and another begins; 0 where it is one

    @property
    def score(self) -> np.ndarray:
        """How changed each one looks: its log-odds, times its fit."""
        return self.odds * self.fit

    def __len__(self) -> int:
        return len(self.odds)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Decoded":
        """The chromosomes with these positions."""
        rows = np.asarray(rows, int)
        arrays = {k: v[rows] for k, v in vars(self).items() if k != "segments"}
        return Decoded(**arrays, segments=tuple(self.segments[i] for i in rows))

    def turned(self, classes: np.ndarray) -> np.ndarray:
        """Which ones are upside down if their classes are these; bool, shape (n,)."""
        upright, turned = self.normal[np.arange(len(self)), classes].T
        return turned > upright

    def describe(self, level: int = 550) -> tuple[Description, ...]:
        """The ISCN text and group of each."""
        return tuple(describe(segments, level) for segments in self.segments)


class Decoder(TrainedNetwork):
    """Reads straightened chromosomes as paths through the genome; ``model``: set by `load` or by training."""

    def __init__(self, settings: DecoderSettings | None = None):
        self.settings = settings or DecoderSettings()

    def log_places(self, strips: ScaledStrips) -> np.ndarray:
        """Log-probability of each place for every row: float32 (n, longest, NONE + 1), 0 beyond its end."""
        n = len(strips)
        longest = int(strips.rows.max(initial=1))
        out = np.zeros((n, longest, NONE + 1), np.float32)
        order = np.argsort(strips.rows, kind="stable")
        for start in range(0, n, _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            padded = np.resize(part, _AT_ONCE)
            length = next(k for k in _LENGTHS if k >= strips.rows[part].max())
            rows = strips.rows[padded, None].astype(np.float32)
            shown = self._by_length[length].predict_on_batch([strips.images[padded, :length], rows])
            logits = np.asarray(shown, np.float32)
            for i, own in zip(part, logits, strict=False):
                out[i, : strips.rows[i]] = log_softmax(own[: strips.rows[i]], axis=1)
        return out

    @cached_property
    def _by_length(self) -> dict:
        """The network once for each length of strips: engines prepare a model for one shape at a time."""
        model = self._built()
        return {length: type(model)(model.inputs, model.outputs[0]) for length in _LENGTHS}

    def follow(self, strips: ScaledStrips) -> tuple[np.ndarray, Paths]:
        """What `log_places` says of strips, and the best paths through it."""
        log_p = self.log_places(strips)
        return log_p, find_paths(log_p, strips.rows, self.settings.path)

    def decode(self, strips: ScaledStrips, p_upside_down: float = 0.02) -> Decoded:
        """Read chromosomes. ``p_upside_down``: share on their heads: few on a karyogram, half on a metaphase
        spread."""
        return self.interpret(*self.follow(strips), strips, p_upside_down)

    def interpret(
        self, log_p: np.ndarray, paths: Paths, strips: ScaledStrips, p_upside_down: float
    ) -> Decoded:
        """What `decode` makes of the network's output and the paths through it."""
        s, n, rows = self.settings, len(strips), strips.rows
        inside = np.arange(log_p.shape[1]) < rows[:, None]
        nothing = (np.exp(log_p[..., NONE]) * inside).sum(1) / rows
        nothing = np.clip(nothing, 1e-6, 1 - 1e-6)
        prior = np.log([1 - p_upside_down, p_upside_down])
        each = paths.normal / (s.temperature * rows[:, None, None]).astype(np.float32)
        either = log_softmax((each + prior).reshape(n, 48), axis=1).reshape(n, 24, 2)
        log_proba = logsumexp(either, axis=2) + np.log1p(-nothing)[:, None]
        turned = np.exp(logsumexp(either[..., 1], axis=1))
        odds = paths.best - paths.normal.max((1, 2))
        beside = strips.images[:, :, _EDGES].sum((1, 2)) / (255 * rows * len(_EDGES))
        classes = np.array([len({*CLASS_OF_BIN[p[p >= 0] % BINS]}) for p in paths.places])
        readable = (nothing < s.most_none) & (paths.fit > s.least_fit) & (beside < s.most_beside)
        readable &= classes <= _MOST_CLASSES
        label, changed = either.max(2).argmax(1), readable & (odds * paths.fit >= s.least_score)
        segments = tuple(
            path_segments(paths.places[i], paths.jumps[i], s.path.tip)
            if changed[i]
            else normal_segments(CHROMOSOMES[label[i]], load_bands(850))
            for i in range(n)
        )
        return Decoded(
            log_proba.astype(np.float32),
            np.log(nothing).astype(np.float32),
            turned.astype(np.float32),
            readable,
            odds.astype(np.float32),
            paths.fit,
            segments,
            paths.normal,
            np.array(
                [r and find_joint(p[p >= 0]) for r, p in zip(readable, paths.places, strict=True)], np.float32
            ),
        )

    def save(self, folder: Path) -> None:
        """Write ``decoding.npz`` (half-precision weights, no code) and ``decoding.json``."""
        write_network(folder, "decoding", self._built(), asdict(self.settings))

    @classmethod
    def load(cls, folder: Path | None = None) -> "Decoder":
        """Read what `save` wrote, by default karyo's own; raises `ValueError` where arrays do not fit."""
        folder = data_file("reader") if folder is None else folder
        values = read_record(folder, "decoding")
        network, path = values.pop("network"), values.pop("path")
        network |= {name: tuple(network[name]) for name in ("stem", "dilations")}
        path |= {"moves": tuple(path["moves"])}
        decoder = cls(DecoderSettings(NetworkSettings(**network), PathSettings(**path), **values))
        decoder.model = read_weights(folder, "decoding", build_decoding_model(decoder.settings.network))
        return decoder


def find_joint(places: np.ndarray) -> float:
    """Where along a path one whole chromosome ends and another begins, as a share of its rows; 0 if nowhere,
    or if two acrocentric ones join by short arms of which little is seen (a Robertsonian translocation)."""
    bins = places % BINS
    ends = np.flatnonzero(np.diff(CLASS_OF_BIN[bins])) + 1
    if len(ends) != 1:
        return 0.0
    fused = True
    for part, end, short_arm_last in zip(
        np.split(bins, ends), ends[0] - np.array([1, 0]), (True, False), strict=True
    ):
        c = int(CLASS_OF_BIN[part[0]])
        if np.ptp(part) + 1 < _JOINED * (STOP[c] - FIRST[c]):
            return 0.0
        by_short_arm = (places[end] >= BINS) == short_arm_last
        seen = bins[end] < (FIRST[c] + centromere_place(c)) / 2
        fused &= CHROMOSOMES[c] in ACROCENTRICS and by_short_arm and not seen
    return 0.0 if fused else float(ends[0] / len(places))


def path_segments(places: np.ndarray, jumps: np.ndarray, tip: int = 2) -> Segments:
    """Segments of a path (its places (T,), -1 beyond its end, and jumps), p end first. Ends within ``tip``
    bins of a telomere, or on an acrocentric short arm, are the tip's; a few odd rows there are noise."""
    places = places[places >= 0]
    number = np.cumsum(jumps[: len(places)])
    classes = CLASS_OF_BIN[places % BINS]
    for side, step in ((0, 1), (-1, -1)):
        end, inner = number == number[side], number == number[side] + step
        if inner.any() and end.sum() < _LEAST_TIP and classes[end][0] != classes[inner][0]:
            places, number, classes = places[~end], number[~end], classes[~end]
    segments = []
    for part, rows in groupby(range(len(places)), key=lambda t: number[t]):
        run = places[list(rows)]
        back, bins = bool(run[0] >= BINS), run % BINS
        c, low, high = int(CLASS_OF_BIN[bins[0]]), float(bins.min()), float(bins.max() + 1)
        name = CHROMOSOMES[c]
        length = load_bands(850).length(name)
        start, stop = (float(u) for u in units_of(c, np.array([low, high])))
        free = part == number[-1 if back else 0]  # its p end is an end of the chromosome
        if low - FIRST[c] < tip or (free and name in ACROCENTRICS and low < centromere_place(c)):
            start = 0.0
        if STOP[c] - high < tip:
            stop = length
        segments.append(Segment(name, start, stop, back))
    forward = sum(s.length * (-1 if s.reversed else 1) for s in segments)
    return tuple(segments) if forward >= 0 else turn(tuple(segments))


def chain_of(segments: Segments, slack: int = 0) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """The places, int (k,), that a chromosome of these segments shows one after the other, and the windows
    that breaks, off by as many bins, may lie in."""
    parts, windows, done = [], [], 0
    for number, segment in enumerate(segments):
        c = CHROMOSOMES.index(segment.chromosome)
        low, high = place_of(c, np.array([segment.start, segment.stop]))
        low, high = int(np.floor(low + 1e-6)), max(int(np.ceil(high - 1e-6)), int(low) + 1)
        joined = [number > 0, number < len(segments) - 1][:: -1 if segment.reversed else 1]
        first = max(low - slack * joined[0], int(FIRST[c]))
        stop = min(high + slack * joined[1], int(STOP[c]))
        more = [low - first, stop - high][:: -1 if segment.reversed else 1]
        if number:
            windows[-1] = (max(windows[-1], 0), done + more[0] + slack)
        bins = np.arange(first, stop)
        parts.append(bins[::-1] + BINS if segment.reversed else bins)
        done += len(bins)
        windows.append(done - more[1] - slack)
    return np.concatenate(parts), tuple(windows[:-1]) if slack else ()


def fit_segments(
    log_p: np.ndarray,
    rows: np.ndarray,
    hypotheses: Sequence[Segments],
    settings: PathSettings,
    wanted: np.ndarray | None = None,
) -> np.ndarray:
    """Log-probability, float32 (n, hypotheses), of being made of the segments of each, either way up, breaks
    `_SLACK` bins off; -inf where it is not ``wanted`` (bool, that shape; by default all)."""
    wanted = np.ones((len(rows), len(hypotheses)), bool) if wanted is None else wanted
    out = np.full(wanted.shape, -np.inf, np.float32)
    chains = [[chain_of(way, _SLACK) for way in (made, turn(made))] for made in hypotheses]
    asked = [(strip, *way) for strip, made in np.argwhere(wanted) for way in chains[made]]
    out[wanted] = chain_scores(log_p, rows, asked, settings).reshape(-1, 2).max(1)
    return out
