"""Rearranged chromosomes to train on: strips of normal ones, cut and joined, with every row's place."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from karyo_lib.iscn.bands import CHROMOSOMES, load_bands
from karyo_lib.read.places import BINS, FIRST, LENGTHS, centromere_place, place_of
from karyo_lib.shape.scaling import MOST_ROWS

#: A piece of a strip: its number, first row, row after the last, and whether it is read backwards.
Piece = tuple[int, int, int, bool]
_SHORTEST, _LONGEST = 8, MOST_ROWS - 6
_CENTROMERES = np.array([centromere_place(c) for c in range(24)])


@dataclass(frozen=True)
class StripSet:
    images: np.ndarray  # uint8, shape (n, MOST_ROWS, COLUMNS)
    rows: np.ndarray  # int, shape (n,); rows of each strip, its class's index, its cell's number
    classes: np.ndarray
    cells: np.ndarray
    places: np.ndarray  # float32, shape (n, MOST_ROWS); where in the genome each row is, in bins, rising
    weights: np.ndarray  # float, shape (n,); how often a strip is drawn, relative to the others

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Example:
    """A chromosome: ``ink`` float32 (rows, COLUMNS), ``places`` float32 (rows,), what was done, seams."""

    ink: np.ndarray
    places: np.ndarray
    kind: str
    seams: tuple[tuple[float, float], ...] = ()


class Rearranger:
    def __init__(self, strips: StripSet, rng: np.random.Generator):
        self.strips, self.rng = strips, rng
        self.reweigh()
        self._of_cell: dict[int, np.ndarray] = {
            int(cell): np.flatnonzero(strips.cells == cell) for cell in np.unique(strips.cells)
        }
        self._of_class = [np.flatnonzero(strips.classes == c) for c in range(24)]

    def reweigh(self) -> None:
        """Take up weights that have changed."""
        self._total = np.cumsum(self.strips.weights / self.strips.weights.sum())

    def pick(self) -> int:
        """A strip's number."""
        return int(min(np.searchsorted(self._total, self.rng.random()), len(self._total) - 1))

    def partner(self, strip: int, same_class: bool) -> int:
        """Another strip of the same cell: the homologue, or a strip of another class."""
        s = self.strips
        cell = self._of_cell[int(s.cells[strip])]
        like = s.classes[cell] == s.classes[strip]
        chosen = cell[like & (cell != strip)] if same_class else cell[~like]
        if len(chosen) == 0:
            chosen = self._of_class[int(s.classes[strip])] if same_class else np.arange(len(s))
        return int(self.rng.choice(chosen))

    def row_at(self, strip: int, place: float) -> int:
        s = self.strips
        return int(np.searchsorted(s.places[strip, : s.rows[strip]], place))

    def rows_for(self, strip: int, start: int, size: float) -> int:
        """The row that lies ``size`` bins below another."""
        return self.row_at(strip, float(self.strips.places[strip, start]) + size)

    def build(self, pieces: list[Piece], kind: str) -> Example:
        """Join pieces end to end; the ink is blended over a few rows about each seam."""
        pieces = [piece for piece in pieces if piece[2] > piece[1]]
        s, parts, places = self.strips, [], []
        for strip, a, b, back in pieces:
            ink, place = s.images[strip, a:b].astype(np.float32), s.places[strip, a:b]
            parts.append(ink[::-1] if back else ink)
            places.append(place[::-1] + BINS if back else place)
        out = np.concatenate(parts)
        seams = tuple((float(a[-1]), float(b[0])) for a, b in pairwise(places))
        seam = 0
        for left, right in pairwise(pieces):
            seam += left[2] - left[1]
            reach = int(self.rng.integers(0, 4))
            share = (0.5 + (np.arange(reach) + 0.5) / (2 * reach or 1))[:, None]
            # what would have followed the upper piece, and come before the lower one
            after, before = self._beside(left, left[3], reach), self._beside(right, not right[3], reach)
            for rows, other in ((out[seam:], after), (out[:seam][::-1], before)):
                k = min(len(other), len(rows))
                rows[:k] = share[:k] * rows[:k] + (1 - share[:k]) * other[:k]
        return Example(out, np.concatenate(places), kind, seams)

    def _beside(self, piece: Piece, above: bool, reach: int) -> np.ndarray:
        """Ink of the rows next to a piece on its strip, the nearest first."""
        strip, a, b, _ = piece
        ink, n = self.strips.images[strip], int(self.strips.rows[strip])
        return ink[max(a - reach, 0) : a][::-1] if above else ink[b : min(b + reach, n)]

    def unchanged(self, strip: int) -> Example:
        return self.build([(strip, 0, int(self.strips.rows[strip]), False)], "unchanged")

    def sham(self, strip: int) -> Example:
        """Cut at one or two places and joined to the homologue there: a seam, and nothing changed."""
        s, n, own = self.strips, int(self.strips.rows[strip]), (strip, self.partner(strip, True))
        cuts = np.sort(self.rng.uniform(0.05, 0.95, 1 + int(self.rng.random() < 0.4)) * n).astype(int)
        # the rows of either at the cuts
        at = [[self.row_at(i, float(s.places[strip, row])) for row in cuts] for i in own]
        at[0] = cuts.tolist()
        pieces, start = [], 0
        for i, _ in enumerate(cuts):
            source = own[i % 2]
            pieces.append((source, start, int(np.clip(at[i % 2][i], 1, s.rows[source])), False))
            start = int(at[(i + 1) % 2][i])
        last = own[len(cuts) % 2]
        pieces.append((last, start, int(s.rows[last]), False))
        return self.build(pieces, "sham") if any(p[2] > p[1] for p in pieces) else self.unchanged(strip)

    def stretch(self, strip: int, size: float) -> tuple[int, int] | None:
        """Random rows ``[a, b)`` of a strip that hold ``size`` bins; None where it is too short."""
        s, n = self.strips, int(self.strips.rows[strip])
        ends = s.places[strip, [0, n - 1]]
        if ends[1] - ends[0] < size + 3:
            return None
        start = self.rng.uniform(ends[0], ends[1] - size)
        a = self.row_at(strip, start)
        b = self.rows_for(strip, min(a, n - 1), size)
        return (a, b) if b - a >= 1 and b <= n else None

    def deletion(self, strip: int, size: float) -> Example | None:
        """A stretch is lost, within the chromosome or, one time in three, from an end."""
        at, n = self.stretch(strip, size), int(self.strips.rows[strip])
        if at is None:
            return None
        a, b = at
        turn = self.rng.random()
        if turn < 0.2:
            a, b = n - (b - a), n
        elif turn < 0.33:
            a, b = 0, b - a
        kept = [(strip, 0, a, False), (strip, b, n, False)]
        return self.build(kept, "deletion") if n - (b - a) >= _SHORTEST else None

    def duplication(self, strip: int, size: float) -> Example | None:
        """A stretch is there twice in tandem; one time in four the copy is turned."""
        at, n = self.stretch(strip, size), int(self.strips.rows[strip])
        if at is None or n + at[1] - at[0] > _LONGEST:
            return None
        a, b = at
        copy = self.partner(strip, True) if self.rng.random() < 0.4 else strip
        c = self.row_at(copy, float(self.strips.places[strip, a])) if copy != strip else a
        if c + b - a > self.strips.rows[copy]:
            copy, c = strip, a
        twice = (copy, c, c + b - a, bool(self.rng.random() < 0.25))
        return self.build([(strip, 0, b, False), twice, (strip, b, n, False)], "duplication")

    def inversion(self, strip: int, size: float) -> Example | None:
        at, n = self.stretch(strip, size), int(self.strips.rows[strip])
        if at is None:
            return None
        a, b = at
        return self.build([(strip, 0, a, False), (strip, a, b, True), (strip, b, n, False)], "inversion")

    def translocation(
        self, strip: int, size: float | None = None, equal: float | None = None
    ) -> Example | None:
        """The end of another class replaces its own; ``size``: bins gained, ``equal``: lost."""
        s, n = self.strips, int(self.strips.rows[strip])
        other = self.partner(strip, False)
        m = int(s.rows[other])
        size = float(self.rng.uniform(2, 45)) if size is None else size
        lost = float(self.rng.uniform(2, 60)) if equal is None else equal
        a = self.row_at(strip, float(s.places[strip, n - 1]) - lost)
        if self.rng.random() < 0.5:
            b = self.row_at(other, float(s.places[other, m - 1]) - size)
            second = (other, b, m, False)
        else:
            b = self.rows_for(other, 0, size)
            second = (other, 0, b, True)
        if a < 4 or second[2] - second[1] < 2 or a + second[2] - second[1] > _LONGEST or b >= m:
            return None
        pieces = [(strip, 0, a, False), second]
        if self.rng.random() < 0.4:  # the p arm's end is exchanged
            a = n - a
            if n - a < 4:
                return None
            pieces = [(*second[:3], not second[3]), (strip, a, n, False)]
        return self.build(pieces, "translocation")

    def exchange(self) -> tuple[Example, Example]:
        """Both derivatives of a reciprocal translocation with any breakpoints; each keeps its centromere."""
        s = self.strips
        while True:
            pair = (first := self.pick()), self.partner(first, False)
            tops, rests = [], []
            for strip in pair:
                n, middle = int(s.rows[strip]), self._middle(strip)
                upper = self.rng.random() < middle / n
                low, high = (1, middle - 1) if upper else (middle + 2, n - 1)
                if high <= low:
                    break
                at = int(self.rng.integers(low, high))
                end, rest = (strip, 0, at, False), (strip, at, n, True)
                tops.append(end if upper else (strip, at, n, True))  # what is given away, its tip first
                rests.append(rest if upper else (strip, 0, at, False))  # what stays, its tip first
            pieces = [(stay, (*end[:3], not end[3])) for stay, end in zip(rests, tops[::-1], strict=True)]
            lengths = [sum(p[2] - p[1] for p in both) for both in pieces]
            if len(pieces) == 2 and max(lengths) <= _LONGEST and min(lengths) >= _SHORTEST:
                return tuple(self.build(list(both), "translocation") for both in pieces)

    def insertion(self, strip: int, size: float) -> Example | None:
        """A stretch of another chromosome lies within this one."""
        other = self.partner(strip, False)
        at, n = self.stretch(other, size), int(self.strips.rows[strip])
        if at is None or n + at[1] - at[0] > _LONGEST:
            return None
        a = int(self.rng.integers(2, max(3, n - 2)))
        back = bool(self.rng.random() < 0.5)
        return self.build([(strip, 0, a, False), (other, *at, back), (strip, a, n, False)], "insertion")

    def arms(self, strip: int, size: float = 0.0) -> Example | None:
        """Whole arms: an isochromosome, a Robertsonian or a whole-arm translocation."""
        n, at = int(self.strips.rows[strip]), self._middle(strip)
        p, q = (strip, 0, at, False), (strip, at, n, True)  # each with its tip first
        if self.rng.random() < 0.45:
            kind, arm = "isochromosome", p if self.rng.random() < 0.3 else q
            pieces = [arm, (*arm[:3], not arm[3])]
        else:
            kind, other = "whole arm", self.partner(strip, False)
            m, to = int(self.strips.rows[other]), self._middle(other)
            first = p if self.rng.random() < 0.4 else q
            pieces = [first, (other, 0, to, True) if self.rng.random() < 0.3 else (other, to, m, False)]
        lengths = [b - a for _, a, b, _ in pieces]
        fits = min(lengths) > 0 and _SHORTEST <= sum(lengths) <= _LONGEST
        return self.build(pieces, kind) if fits else None

    def _middle(self, strip: int) -> int:
        return self.row_at(strip, _CENTROMERES[self.strips.classes[strip]])

    def touching(self, strip: int, size: float = 0.0) -> Example | None:
        """Two whole chromosomes end to end."""
        other = self.partner(strip, self.rng.random() < 0.3)
        n, m = int(self.strips.rows[strip]), int(self.strips.rows[other])
        if n + m > _LONGEST:
            return None
        backs = self.rng.random(2) < 0.5
        pieces = [(strip, 0, n, bool(backs[0])), (other, 0, m, bool(backs[1]))]
        return self.build(pieces, "touching")

    def changed(self) -> Example:
        """A random change of 3 to 90 Mb; of a chromosome long enough for it."""
        kinds: tuple[tuple[float, Callable], ...] = (
            (0.25, self.deletion),
            (0.45, self.duplication),
            (0.68, self.inversion),
            (0.86, lambda strip, size: self.translocation(strip)),
            (0.91, self.insertion),
            (0.96, self.arms),
            (1.0, self.touching),
        )
        turn = self.rng.random()
        make = next(function for most, function in kinds if turn <= most)
        for _ in range(20):
            size = float(np.exp(self.rng.uniform(np.log(1.5), np.log(45))))
            example = make(self.pick(), size)
            if example is not None:
                return example
        return self.unchanged(self.pick())


def whole_places(classes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """First guess of each row's place: a chromosome's length, in ISCN units, laid evenly over its rows."""
    out = np.full((len(rows), MOST_ROWS), -1, np.float32)
    for i, (c, n) in enumerate(zip(classes, rows, strict=True)):
        length = load_bands(850).length(CHROMOSOMES[c])
        out[i, :n] = place_of(int(c), (np.arange(n) + 0.5) / n * length)
    return out


def clamp_to_class(places: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Places (n, rows) held within each strip's class."""
    low, high = FIRST[classes], FIRST[classes] + LENGTHS[classes] - 1e-3
    return np.clip(places, low[:, None], high[:, None])
