"""Compose the karyogram of any karyotype formula from real chromosomes."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import cv2
import numpy as np

from karyo_lib.draw.chromosome import BandPlan, plan_bands
from karyo_lib.draw.layout import CHROMOSOME_1, NATIVE_HEIGHT, Sheet, chromosomes_of, make_sheet, place_pieces
from karyo_lib.draw.material import Cut, RealChromosome, join_cuts, straighten_ink, trace_chromosome
from karyo_lib.draw.page import Page, assemble_page
from karyo_lib.draw.piece import Piece, make_piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.files.bank import Cutout
from karyo_lib.iscn import CHROMOSOMES, BandTable, Chromosome, Karyotype, Segment, load_bands, parse_karyotype
from karyo_lib.iscn.segments import UNKNOWN
from karyo_lib.shape.bend import Axis, bend_axis, bend_image, ring_axis, ring_width, turn_axis


def compose_karyogram(
    karyotype: Karyotype | str | None,
    cutouts: Sequence[Cutout],
    donors: Sequence[Cutout] = (),
    *,
    style: str | LabStyle = "digital",
    seed: int = 0,
    size: tuple[int, int] | None = None,
    annotate: Collection[str] | bool | None = None,
    rework: float = 0.2,
    level: int = 550,
) -> Page:
    """Lay out the real chromosomes of a cell as the karyogram of a karyotype.

    A gained chromosome comes from `donors`, brought to the cell's size and grey level; for a loss one is
    left out at random. Rearranged chromosomes are cut from straightened ones at the pixel that the ISCN
    fraction names, joined with a blended seam, and bent again; material of unknown origin is a stretch of
    some other chromosome.

    Parameters
    ----------
    karyotype : Karyotype, str or None
        None lays the cell out as it is, aneuploid or not.
    cutouts : sequence of Cutout
        The chromosomes of one cell.
    donors : sequence of Cutout
        Chromosomes of other cells.
    style : str or LabStyle
        Its layout, print and artefacts; the chromosomes keep their own look, so sharpening and stain do not
        apply.
    seed : int
    size : (int, int) or None
        Width and height in pixels; None for the style's own.
    annotate : collection of {'arrow', 'box', 'title'}, bool or None
        As in :func:`~karyo_lib.draw.draw_karyogram`.
    rework : float
        Share of unchanged chromosomes that are straightened and bent again too, so that traces of the
        handling tell nothing about abnormality.
    level : {400, 550, 850}
        Band level for a formula given as text.

    Returns
    -------
    Page
        `truth` names in `source` the cell (or cells, joined by '+') that each chromosome comes from.

    Raises
    ------
    KaryotypeError
        If the formula is impossible.
    ValueError
        If a class is needed that neither the cell nor the donors have.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> from karyo_lib.files.bank import Cutout
    >>> drawn = karyo.draw_karyogram("46,XX", size=None)  # stands for a cell of a ChromosomeBank
    >>> rows = drawn.truth.astype({"x0": int, "y0": int, "x1": int, "y1": int}).to_dict("records")
    >>> images = [drawn.image[row["y0"] : row["y1"], row["x0"] : row["x1"]] for row in rows]
    >>> cell = [Cutout(r["chromosome"], r["copy"], i, "cell", "case") for r, i in zip(rows, images)]
    >>> karyo.compose_karyogram("45,X", cell, seed=1).truth["chromosome"].eq("X").sum()
    np.int64(1)
    """
    if not cutouts:
        raise ValueError("Expected the cut-outs of a cell. Received none.")
    karyotype = settle_karyotype(karyotype, level, cutouts)
    sheet, pieces, width, rng = compose_pieces(
        karyotype, cutouts, donors, make_sheet(style, seed, size, annotate, karyotype.counts), rework
    )
    placement = place_pieces(pieces, sheet.style.layout, sheet.canvas, sheet.scale, width, rng)
    return assemble_page(sheet, pieces, placement, karyotype.formula, rng)


def compose_pieces(
    karyotype: Karyotype, cutouts: Sequence[Cutout], donors: Sequence[Cutout], sheet: Sheet, rework: float
) -> tuple[Sheet, list[Piece], float, np.random.Generator]:
    """The pieces of a cell made of real chromosomes, the sheet for them, their width, and a generator."""
    # Real cut-outs come sharpened already.
    blunt = replace(sheet.style, artefacts=replace(sheet.style.artefacts, sharpen=(0.0, 0.0)))
    sheet = replace(sheet, style=blunt)
    rng = sheet.rng("compose")
    length = rng.uniform(*blunt.layout.length) * NATIVE_HEIGHT * sheet.scale
    stock = _Stock(cutouts, donors, length / CHROMOSOME_1, karyotype, rng)
    pieces = [
        _compose_piece(chromosome, copy, stock, blunt, rework, own)
        for chromosome, copy, own in chromosomes_of(karyotype, sheet, "compose")
    ]
    return sheet, pieces, stock.width, sheet.rng("page")


def settle_karyotype(karyotype: Karyotype | str | None, level: int, cutouts: Sequence[Cutout]) -> Karyotype:
    """A formula parsed; where there is none, the cell of the cut-outs as it is, aneuploid or not."""
    if karyotype is None:
        if not cutouts:
            raise ValueError("Expected a karyotype, or the cut-outs of a cell. Received neither.")
        return Karyotype.from_counts(Counter(cutout.chromosome for cutout in cutouts), level)
    return karyotype if isinstance(karyotype, Karyotype) else parse_karyotype(karyotype, level)


class _Stock:
    """The chromosomes at hand: the cell's own, then those of donors. None is used twice as a whole."""

    def __init__(
        self,
        cutouts: Sequence[Cutout],
        donors: Sequence[Cutout],
        units: float,
        karyotype: Karyotype,
        rng: np.random.Generator,
    ):
        self.table = table = load_bands(karyotype.level)
        self._rng, self._donors = rng, list(donors)
        self._cell_units, self._cell_ink = _measure(cutouts, table)
        self.zoom = units / self._cell_units
        self._free: dict[str, list[RealChromosome]] = {name: [] for name in CHROMOSOMES}
        for one in cutouts:
            real = trace_chromosome(one.image, self.zoom, 1.0, one.chromosome, one.cell, table)
            self._free[one.chromosome].append(real)
        self._everything = [real for reals in self._free.values() for real in reals]
        self.width = float(np.median([real.width for real in self._everything]))
        # Homologues that the karyotype lacks go; one of each class is kept for rearrangements.
        needed = Counter(c.slot for c in karyotype.chromosomes if not c.rearranged)
        cut = [segment for c in karyotype.chromosomes if c.rearranged for segment in c.segments]
        wanted = dict.fromkeys(segment.chromosome for segment in cut if segment.chromosome != UNKNOWN)
        for name, reals in self._free.items():
            while len(reals) > needed[name] + (name in wanted):
                reals.pop(int(self._rng.integers(len(reals))))
        self.material = {name: self.take(name, last=True) for name in wanted}

    def unknown(
        self, length: float, centromere: bool, own: np.random.Generator
    ) -> tuple[RealChromosome, Segment]:
        """Return a stretch of some chromosome, `length` ISCN units long, with or without its centromere."""
        candidates = [real for real in self._everything if self.table.length(real.chromosome) > length]
        real = candidates[int(own.integers(len(candidates)))]
        whole, middle = self.table.length(real.chromosome), self.table.centromere(real.chromosome)
        if centromere:
            start = float(np.clip(middle - own.uniform(0.3, 0.7) * length, 0, whole - length))
        elif middle > length and own.random() < middle / whole:
            start = own.uniform(0, middle - length)
        else:
            start = own.uniform(min(middle, whole - length), whole - length)
        return real, Segment(real.chromosome, start, start + length)

    def take(self, name: str, *, last: bool = False) -> RealChromosome:
        if self._free[name]:
            return self._free[name].pop(-1 if last else 0)
        found = [i for i, donor in enumerate(self._donors) if donor.chromosome == name]
        if not found:
            raise ValueError(
                f"Expected a chromosome {name} that is still free, in the cell or among the donors. "
                "Received none: add donors of that class."
            )
        donor = self._donors.pop(found[int(self._rng.integers(len(found)))])
        mates = [other for other in self._donors if other.cell == donor.cell] + [donor]
        units, ink = _measure(mates, self.table)
        zoom, gain = self.zoom * self._cell_units / units, self._cell_ink / ink
        return trace_chromosome(donor.image, zoom, gain, donor.chromosome, donor.cell, self.table)


def _measure(cutouts: Sequence[Cutout], table: BandTable) -> tuple[float, float]:
    """Pixels per ISCN unit (medians, by height) and mean ink inside the chromosomes of a cell."""
    units = [cutout.image.shape[0] / table.length(cutout.chromosome) for cutout in cutouts]
    ink = [1 - float(cutout.image[cutout.image < 250].mean()) / 255 for cutout in cutouts]
    return float(np.median(units)), float(np.mean(ink))


def _compose_piece(
    chromosome: Chromosome, copy: int, stock: _Stock, style: LabStyle, rework: float, own: np.random.Generator
) -> Piece:
    """Make one chromosome: as it was cut out, or straightened, edited and bent again."""
    table = stock.table
    flipped, reworked = own.random() < style.layout.upside_down, own.random() < rework
    plan = plan_bands(chromosome, table.level)
    if chromosome.rearranged:
        parts = [
            stock.unknown(segment.length, not chromosome.centromeres, own)
            if segment.chromosome == UNKNOWN
            else (stock.material[segment.chromosome], segment)
            for segment in chromosome.segments
        ]
    else:
        parts = [(stock.take(chromosome.slot), chromosome.segments[0])]
    width = float(np.mean([real.width for real, _ in parts]))
    if chromosome.rearranged or reworked:
        ink, axis, origin, rows = _rebuild(chromosome, parts, plan, style.look.bend, table, own)
    else:
        real = parts[0][0]
        ink, axis, origin, rows = real.ink, real.axis, (0.0, 0.0), real.row_of(plan.edges, table)
    if flipped:
        ink, axis = np.ascontiguousarray(ink[::-1, ::-1]), turn_axis(axis, np.pi)
        origin = (ink.shape[1] - 1 - origin[0], ink.shape[0] - 1 - origin[1])
    source = "+".join(dict.fromkeys(real.source for real, _ in parts))
    polarity = -1 if flipped else 1
    return make_piece(
        ink, axis, origin, chromosome, copy, plan, rows, table, width=width, polarity=polarity, source=source
    )


def _rebuild(
    chromosome: Chromosome,
    parts: list[tuple[RealChromosome, Segment]],
    plan: BandPlan,
    bend: float,
    table: BandTable,
    own: np.random.Generator,
) -> tuple[np.ndarray, Axis, tuple[float, float], np.ndarray]:
    """Cut, join and bend: ink on a patch, its axis and origin, and the rows of the plan's edges."""
    width = float(np.mean([real.width for real, _ in parts]))
    pad, across = int(np.ceil(0.4 * width)) + 2, 2 * int(np.ceil(0.9 * width + 2))
    cuts = [_cut(real, segment, pad, across, table) for real, segment in parts]
    pad = 0 if chromosome.ring else pad
    straight, ends = join_cuts(cuts, width, pad, ring=chromosome.ring)
    length = round(float(ends[-1]))
    rows = _rows_of(plan.edges, parts, ends, table)
    if chromosome.ring:
        axis = ring_axis(length, own)
        narrow = max(4, 2 * round(across / 2 * ring_width(length, width) / width))
        straight = cv2.resize(straight, (narrow, len(straight)), interpolation=cv2.INTER_AREA)
    else:
        hinges = np.interp(np.array(chromosome.centromeres), plan.edges, rows)
        axis = bend_axis(length, width, bend, hinges, own)
    ink, origin = bend_image(straight.astype(np.float32), axis, pad)
    return ink, axis, origin, rows


def _cut(real: RealChromosome, segment: Segment, pad: int, across: int, table: BandTable) -> Cut:
    """Mark a segment on the straightened chromosome that it is cut from."""
    ink = straighten_ink(real.ink, real.axis, pad, across)
    start, stop = pad + real.row_of(np.array([segment.start, segment.stop]), table)
    natural = (segment.start <= 0, segment.stop >= table.length(real.chromosome))
    if segment.reversed:
        ink, start, stop = np.ascontiguousarray(ink[::-1]), len(ink) - stop, len(ink) - start
        natural = natural[::-1]
    return Cut(ink, start, stop, *natural)


def _rows_of(
    edges: np.ndarray, parts: list[tuple[RealChromosome, Segment]], ends: np.ndarray, table: BandTable
) -> np.ndarray:
    """Where positions along a joined chromosome (ISCN units) lie, in pixels along its axis."""
    positions, rows, at = [0.0], [0.0], 0.0
    for (real, segment), begin, end in zip(parts, ends[:-1], ends[1:], strict=True):
        middle = np.clip(table.centromere(real.chromosome), segment.start, segment.stop)
        knots = np.unique([segment.start, middle, segment.stop])
        along = real.row_of(knots, table)
        if segment.reversed:
            knots, along = knots[::-1], along[::-1]
        share = np.abs(along - along[0]) / np.abs(along[-1] - along[0])
        positions += (at + np.abs(knots - knots[0])[1:]).tolist()
        rows += (begin + share * (end - begin))[1:].tolist()
        at += segment.length
    return np.interp(edges, positions, rows)
