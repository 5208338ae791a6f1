"""One chromosome ready to be laid on a page: its ink and the landmarks that the truth table needs."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from karyo_lib.draw.chromosome import BandPlan
from karyo_lib.iscn.bands import CHROMOSOMES, BandTable
from karyo_lib.iscn.segments import Chromosome
from karyo_lib.shape.bend import Axis

# Half the length, in ISCN units, that marks a point (a lost piece, a junction).
_POINT = 150.0


def changed_spans(chromosome: Chromosome, table: BandTable) -> list[tuple[float, float]]:
    """What is changed, in ISCN units along the chromosome from its p end; at least one span. Foreign,
    reversed, repeated and unknown material is marked whole; lost material by a short span round the place
    where it is missing; an extra chromosome from end to end."""
    home = chromosome.slot
    spans: list[tuple[float, float]] = []
    seen: list[tuple[float, float]] = []
    at, last = 0.0, None
    for segment in chromosome.segments:
        end = at + segment.stop - segment.start
        top = at - segment.start
        repeated = [(a, b) for a, b in seen if a < segment.stop and b > segment.start]
        if segment.chromosome != home or segment.reversed:
            spans.append((at, end))
        elif repeated:
            spans += [(top + max(a, segment.start), top + min(b, segment.stop)) for a, b in repeated]
        elif last and last.chromosome == home and not last.reversed and last.stop != segment.start:
            spans.append((at - _POINT, at + _POINT))
        if segment.chromosome == home and not segment.reversed:
            seen.append((segment.start, segment.stop))
        at, last = end, segment
    length = at
    if home in CHROMOSOMES and not spans:
        first, final = chromosome.segments[0], chromosome.segments[-1]
        if first.start > 0:
            spans.append((0.0, 2 * _POINT))
        if final.stop < table.length(home):
            spans.append((length - 2 * _POINT, length))
    spans = [(max(0.0, a), min(length, b)) for a, b in spans]
    return spans or [(0.0, length)]


# Ink below this share is a blurred fringe rather than chromosome.
INK_THRESHOLD = 0.1


@dataclass(frozen=True, eq=False)
class Piece:
    ink: np.ndarray  # float32, shape (H, W); 0 paper to 1 black
    name: str  # ISCN, and slot of the page
    slot: str
    copy: int  # 1 for the first chromosome of its slot, then 2
    abnormal: bool
    centromeres: np.ndarray  # shape (n, 2); x, y in the patch
    bands: tuple[tuple[str, str], ...]  # chromosome that the material comes from, band name
    band_ends: np.ndarray  # (len(bands), 4): x, y where each band begins and x, y where it ends, on the axis
    changes: np.ndarray  # shape (n, 4); boxes x0, y0, x1, y1 of the changed regions, in the patch
    length: float  # length of the axis in pixels
    angle: float  # lean of the line from end to end in degrees, clockwise positive, modulo 180
    polarity: int = 1  # 1 p arm up, -1 q arm up
    source: str = ""  # cells that the chromosome comes from, joined by '+'; empty for drawn ones

    @cached_property
    def _mask(self) -> np.ndarray:
        return self.ink > INK_THRESHOLD

    @cached_property
    def ink_box(self) -> tuple[int, int, int, int]:
        """Box x0, y0, x1, y1 of the ink in the patch (x1, y1 exclusive)."""
        columns, rows = np.flatnonzero(self._mask.any(0)), np.flatnonzero(self._mask.any(1))
        if not len(rows):
            return 0, 0, self.ink.shape[1], self.ink.shape[0]
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @cached_property
    def outlines(self) -> tuple[np.ndarray, np.ndarray]:
        """First inked column of every row, and the one after the last; far apart where a row is blank."""
        inked, width = self._mask.any(1), self.ink.shape[1]
        last = width - self._mask[:, ::-1].argmax(1)
        return np.where(inked, self._mask.argmax(1), 10_000), np.where(inked, last, -10_000)


def make_piece(
    ink: np.ndarray,
    axis: Axis,
    origin: tuple[float, float],
    chromosome: Chromosome,
    copy: int,
    plan: BandPlan,
    rows: np.ndarray,
    table: BandTable,
    *,
    width: float,
    polarity: int = 1,
    source: str = "",
) -> Piece:
    """Find the landmarks of a chromosome on its patch. ``origin``: pixel at the axis's (0, 0), as x, y;
    ``rows``: where the edges of ``plan`` lie along the axis; ``width``: of the chromosome, in pixels."""

    def on_patch(along: np.ndarray) -> np.ndarray:
        x, y = axis.point(along)
        # Pixel i reaches from i to i + 1, its centre lies at i + 0.5.
        return np.column_stack([x + origin[0] + 0.5, y + origin[1] + 0.5])

    changes = []
    for span in changed_spans(chromosome, table) if chromosome.abnormal else ():
        begin, end = np.interp(span, plan.edges, rows)
        points = on_patch(np.linspace(begin, end, 9))
        changes.append([*(points.min(0) - 0.6 * width), *(points.max(0) + 0.6 * width)])
    edges = on_patch(rows)
    who = (chromosome.name, chromosome.slot, copy, chromosome.abnormal)
    centromeres = on_patch(np.interp(np.array(plan.centromeres), plan.edges, rows))
    bands = tuple(zip(plan.source, plan.band, strict=True)), np.hstack([edges[:-1], edges[1:]])
    changed, length = np.array(changes).reshape(-1, 4), float(axis.length)
    lean = _lean(edges[0] - edges[-1])
    return Piece(ink, *who, centromeres, *bands, changed, length, lean, polarity, source)


def _lean(line: np.ndarray) -> float:
    """Lean of a line from end to end in degrees, clockwise positive, modulo 180."""
    return (float(np.degrees(np.arctan2(line[0], -line[1]))) + 90) % 180 - 90


def turn_piece(piece: Piece, turn: float) -> Piece:
    """The piece turned by ``turn`` radians, clockwise, its landmarks with it."""
    high, wide = piece.ink.shape
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]])
    size = np.ceil(np.abs(matrix) @ [wide, high]).astype(int) + 2
    shift = size / 2 - matrix @ [wide / 2, high / 2]

    def points(places: np.ndarray) -> np.ndarray:
        return places.reshape(-1, 2) @ matrix.T + shift

    corners = points(piece.changes[:, [0, 1, 2, 1, 2, 3, 0, 3]]).reshape(-1, 4, 2)
    edges = points(piece.band_ends).reshape(-1, 4)
    line = edges[0, :2] - edges[-1, 2:]
    # pixel i has its centre at i + 0.5
    inner = np.c_[matrix, shift + matrix @ [0.5, 0.5] - 0.5]
    return replace(
        piece,
        ink=cv2.warpAffine(piece.ink.astype(np.float32), inner, tuple(size.tolist()), flags=cv2.INTER_LINEAR),
        centromeres=points(piece.centromeres),
        band_ends=edges,
        changes=np.concatenate([corners.min(1), corners.max(1)], axis=1),
        angle=_lean(line),
        polarity=1 if line[1] < 0 else -1,
    )
