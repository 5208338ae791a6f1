"""Where every chromosome, label and rule stands on a page."""

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np

from karyo_lib.draw.piece import Piece
from karyo_lib.draw.styles import ANNOTATION_KINDS, STYLES, LabStyle, Layout
from karyo_lib.iscn import Chromosome, Karyotype

MARKER_SLOT = "mar"
_GROUPS = {
    "A": ("1", "2", "3"), "B": ("4", "5"), "C": ("6", "7", "8", "9", "10", "11", "12"),
    "D": ("13", "14", "15"), "E": ("16", "17", "18"), "F": ("19", "20"), "G": ("21", "22"),
}  # fmt: skip
_NATIVE_AREA = 1200 * 950
NATIVE_HEIGHT = 950
CHROMOSOME_1 = 15100.0  # its length in ISCN units
# Small pages are drawn at twice their size and reduced, as scans of real pages are.
_OVERSAMPLE_BELOW = 700
_SIDES = (100, 6000)


@dataclass(frozen=True)
class Placement:
    corners: np.ndarray  # int, shape (pieces, 2); left and top of each piece's patch
    # Slot -> (x0, y0, x1, y1) round the ink of its chromosomes; for an empty slot, round its blank place.
    slots: dict[str, tuple[float, float, float, float]]
    labels: tuple[tuple[str, float, float], ...]  # text, x of its centre, y of its top
    rules: tuple[tuple[float, float, float], ...]  # printed lines: x0, x1, y


def page_scale(size: tuple[int, int], copies: int = 2) -> float:
    """Size of things on a page of ``size`` (width, height), relative to a page of 1200 x 950; smaller where a
    slot holds more than three ``copies``."""
    width, height = size
    scale = min(np.sqrt(width * height / _NATIVE_AREA), width / 1000, height / 800)
    return float(scale * min(1.0, 3 / max(copies, 1)))


def place_pieces(
    pieces: list[Piece],
    layout: Layout,
    size: tuple[int, int],
    scale: float,
    width: float,
    rng: np.random.Generator,
) -> Placement:
    """Lay chromosomes, ``width`` pixels wide, out in a layout on a page of ``size`` (width, height)."""
    page_width, page_height = size
    rows = [list(row) for row in layout.rows]
    if any(piece.slot == MARKER_SLOT for piece in pieces):
        rows[-1] += [0.2, MARKER_SLOT]
    members: dict[str, list[int]] = {}
    for number, piece in enumerate(pieces):
        members.setdefault(piece.slot, []).append(number)

    left, upper, right, lower = layout.margin
    x_left, x_right = left * page_width, (1 - right) * page_width
    lines = {"": 0, "number": 1, "group": 2}[layout.labels]
    label_height = 1.9 * lines * layout.label_size * NATIVE_HEIGHT * scale
    rises = [_rise(piece, layout.align) for piece in pieces]
    names = [[tuple(slot.split("+")) for slot in row if isinstance(slot, str)] for row in rows]
    numbers = [[i for slot in row for name in slot for i in members.get(name, ())] for row in names]
    # How far each row's ink reaches above and below the line that it stands on.
    above = [max((rises[i] - pieces[i].ink_box[1] for i in held), default=4 * width) for held in numbers]
    below = [max((pieces[i].ink_box[3] - rises[i] for i in held), default=0.0) for held in numbers]
    tallest = [up + down for up, down in zip(above, below, strict=True)]
    free = (page_height * (1 - upper - lower) - sum(tallest) - label_height * len(rows)) / len(rows)

    corners = np.zeros((len(pieces), 2), int)
    slots: dict[str, tuple[float, float, float, float]] = {}
    labels: list[tuple[str, float, float]] = []
    rules: list[tuple[float, float, float]] = []
    jitter = layout.jitter * page_height
    y = upper * page_height
    for row, slots_there, up, tall in zip(rows, names, above, tallest, strict=True):
        y_line = y + free * 0.5 + up
        y_bottom = y + free * 0.5 + tall
        y_rule = y_bottom + 0.12 * label_height / max(lines, 1) + 2 * scale
        y += free + tall + label_height
        places = []
        for slot in slots_there:
            held = [i for name in slot for i in members.get(name, ())]
            places.append(_assemble(slot, held, pieces, rises, layout.homologue_gap, width, rng))
        centres = _row_centres(row, places, layout, x_left, x_right)
        for place, centre in zip(places, centres, strict=True):
            centre += jitter * rng.standard_normal()
            lift = jitter * rng.standard_normal()
            boxes = []
            for i, x, rise in zip(place.numbers, place.x, place.rise, strict=True):
                top = y_line - rise + 0.6 * jitter * rng.standard_normal()
                corners[i] = round(centre + x), round(top + lift)
                boxes.append(corners[i][[0, 1, 0, 1]] + np.array(pieces[i].ink_box))
            if boxes:
                box = np.array(boxes)
                around = (*box[:, :2].min(0).tolist(), *box[:, 2:].max(0).tolist())
            else:
                half = 1.2 * width
                around = (centre - half, y_bottom - min(tall, 5 * width), centre + half, y_bottom)
            slots |= dict.fromkeys(place.names, around)
            if layout.labels:
                labels.append((" ".join(place.names), centre, y_bottom + 0.3 * label_height / lines))
            if layout.rule == "slot":
                reach = max(1.6 * width, place.width / 2)
                rules.append((centre - reach, centre + reach, y_rule))
        if layout.labels == "group":
            labels += _group_letters(places, centres, y_bottom + 0.62 * label_height)
        if layout.rule == "row":
            rules.append((x_left, x_right, y_rule))
    return Placement(corners, slots, tuple(labels), tuple(rules))


@dataclass(frozen=True)
class _Place:
    """One slot's chromosomes side by side: x and rise of each patch from the slot's centre and line."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    x: tuple[float, ...]
    rise: tuple[float, ...]
    width: float


def _group_letters(places: list[_Place], centres: np.ndarray, y: float) -> list[tuple[str, float, float]]:
    """Letters of the Denver groups, each under the middle of its slots in a row."""
    groups: dict[str, list[float]] = {}
    for place, centre in zip(places, centres, strict=True):
        for letter in (letter for letter, slots in _GROUPS.items() if place.names[0] in slots):
            groups.setdefault(letter, []).append(centre)
    return [(letter, sum(x) / len(x), y) for letter, x in groups.items()]


def _assemble(
    names: tuple[str, ...],
    numbers: list[int],
    pieces: list[Piece],
    rises: list[float],
    gap: tuple[float, float],
    width: float,
    rng: np.random.Generator,
) -> _Place:
    """Lay the chromosomes of a slot side by side. They nest: the smallest gap between outlines counts."""
    x: list[float] = []
    for order, i in enumerate(numbers):
        reach = [
            x[before] + _clearance(pieces[other], pieces[i], rises[other] - rises[i], width)
            for before, other in enumerate(numbers[:order])
        ]
        x.append(max(reach) + width * rng.uniform(*gap) if reach else -pieces[i].ink_box[0])
    boxes = [pieces[i].ink_box for i in numbers]
    begin = min((x0 + box[0] for x0, box in zip(x, boxes, strict=True)), default=-1.2 * width)
    end = max((x0 + box[2] for x0, box in zip(x, boxes, strict=True)), default=1.2 * width)
    middle = (begin + end) / 2
    rise = tuple(rises[i] for i in numbers)
    return _Place(names, tuple(numbers), tuple(x0 - middle for x0 in x), rise, end - begin)


def _rise(piece: Piece, align: str) -> float:
    """Row of a patch that lies on the row's line."""
    _, top, _, bottom = piece.ink_box
    if align == "centromere" and len(piece.centromeres):
        return float(piece.centromeres[0][1])
    return {"bottom": bottom, "top": top}.get(align, (top + bottom) / 2)


def _clearance(first: Piece, second: Piece, lower: float, width: float) -> float:
    """Smallest distance between two patches' left sides at which their outlines do not overlap."""
    offset, right, left = round(lower), first.outlines[1], second.outlines[0]
    begin, end = max(0, offset), min(len(right), offset + len(left))
    if end <= begin:
        return first.ink_box[2] - second.ink_box[0]
    gaps = right[begin:end] - left[begin - offset : end - offset]
    nested = float(gaps.max())
    # Nesting stops where a chromosome would slide above or below its neighbour.
    return max(nested, (first.ink_box[2] + first.ink_box[0]) / 2 - second.ink_box[0] - 0.3 * width)


def _row_centres(
    row: list[str | float], places: list[_Place], layout: Layout, x_left: float, x_right: float
) -> np.ndarray:
    spans = [1.0 if isinstance(entry, str) else float(entry) for entry in row]
    pitch = (x_right - x_left) / max(layout.grid, sum(spans))
    ends = np.cumsum(spans) * pitch + x_left
    centres = ends[[isinstance(entry, str) for entry in row]] - pitch / 2
    halves = np.array([place.width / 2 for place in places])
    gap = 0.08 * pitch
    need = halves[:-1] + halves[1:] + gap
    # Crowded slots push their neighbours aside, first to the right, then back from the page's edge.
    for i in range(1, len(centres)):
        centres[i] = max(centres[i], centres[i - 1] + need[i - 1])
    limit = x_right - halves[-1] if len(centres) else 0.0
    for i in range(len(centres) - 1, -1, -1):
        centres[i] = min(centres[i], limit)
        limit = centres[i] - (need[i - 1] if i else 0.0)
    overflow = (x_left + halves[0]) - centres[0] if len(centres) else 0.0
    if overflow > 0:  # more chromosomes than the row holds: let them overlap evenly
        span = centres[-1] - centres[0]
        centres = centres[-1] - (centres[-1] - centres) * max(0.0, 1 - overflow / max(span, 1e-6))
    return centres


@dataclass(frozen=True)
class Sheet:
    style: LabStyle
    seed: int
    size: tuple[int, int]  # width and height of the page that comes out
    annotate: tuple[str, ...]  # kinds of annotation to print
    copies: int = 2  # the largest number of chromosomes that one slot holds

    @property
    def factor(self) -> int:
        """By how much the drawing is larger than the page that comes out."""
        return 2 if max(self.size) <= _OVERSAMPLE_BELOW else 1

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the drawing."""
        return self.size[0] * self.factor, self.size[1] * self.factor

    @cached_property
    def scale(self) -> float:
        """Size of things on the drawing relative to a page of 1200 x 950."""
        return page_scale(self.canvas, self.copies)

    def rng(self, *names: str) -> np.random.Generator:
        """Return a generator of its own for every seed, style and thing drawn."""
        names = (self.style.name, *names)
        return np.random.Generator(np.random.SFC64([self.seed, *(zlib.crc32(n.encode()) for n in names)]))


def chromosomes_of(
    karyotype: Karyotype, sheet: Sheet, *names: str
) -> Iterator[tuple[Chromosome, int, np.random.Generator]]:
    """Each chromosome, its number within its slot, and a generator of its own."""
    copies = Counter()
    for chromosome in karyotype.chromosomes:
        copies[chromosome.slot] += 1
        copy = copies[chromosome.slot]
        yield chromosome, copy, sheet.rng(*names, chromosome.name, str(copy))


def make_sheet(
    style: str | LabStyle,
    seed: int,
    size: tuple[int, int] | None,
    annotate: Collection[str] | bool | None,
    counts: Mapping[str, int],
) -> Sheet:
    """Check the settings of a page, as `draw_karyogram` takes them; ``counts``: chromosomes of each slot."""
    if not isinstance(style, LabStyle):
        if style not in STYLES:
            raise ValueError(f"Expected a style, one of {', '.join(STYLES)}. Received {style!r}.")
        style = STYLES[style]
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"Expected a seed, a whole number of 0 or more. Received {seed!r}.")
    sides = style.layout.native if size is None else size
    if np.shape(sides) != (2,) or not all(_SIDES[0] <= side <= _SIDES[1] for side in sides):
        raise ValueError(
            f"Expected a page size (width, height) of {_SIDES[0]} to {_SIDES[1]} pixels. Received {size!r}."
        )
    copies, (width, height) = max(counts.values(), default=2), (int(side) for side in sides)
    return Sheet(style, int(seed), (width, height), _check_annotations(annotate, style), copies)


def settle(settings: object, rng: np.random.Generator) -> SimpleNamespace:
    """Draw one value from every range of a :class:`~karyo_lib.draw.styles.Look` or `Artefacts`."""
    values = vars(settings).copy()
    for name, value in values.items():
        if isinstance(value, tuple):
            whole = name == "jpeg"
            values[name] = int(rng.integers(value[0], value[1] + 1)) if whole else float(rng.uniform(*value))
    return SimpleNamespace(**values)


def _check_annotations(annotate: Collection[str] | bool | None, style: LabStyle) -> tuple[str, ...]:
    if annotate is None or isinstance(annotate, bool):
        return {None: style.annotations, True: ANNOTATION_KINDS, False: ()}[annotate]
    kinds = (annotate,) if isinstance(annotate, str) else tuple(annotate)
    if unknown := set(kinds) - set(ANNOTATION_KINDS):
        raise ValueError(f"Expected annotations among {ANNOTATION_KINDS}. Received {sorted(unknown)}.")
    return kinds
