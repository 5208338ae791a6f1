"""Draw the karyogram of any karyotype formula, or one chromosome."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from karyo_lib.draw import layout
from karyo_lib.draw.chromosome import paint_straight, plan_bands
from karyo_lib.draw.page import Page, assemble_page, expose
from karyo_lib.draw.piece import INK_THRESHOLD, Piece, make_piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.iscn.bands import load_bands
from karyo_lib.iscn.karyotype import Karyotype, parse_karyotype
from karyo_lib.iscn.segments import UNKNOWN, Chromosome, normal_segments
from karyo_lib.shape.bend import bend_axis, bend_image, ring_axis, ring_width, turn_axis


def draw_karyogram(
    karyotype: Karyotype | str,
    *,
    style: str | LabStyle = "classic",
    seed: int = 0,
    size: tuple[int, int] | None = None,
    annotate: Collection[str] | bool | None = None,
    level: int = 550,
) -> Page:
    """Draw a karyogram from band tables.

    The same karyotype, style, seed and size give the same page to the bit. With the same seed, karyotypes
    share the page's look and the chromosomes that they have in common, so a change can be seen against its
    normal page; for a data set give every page its own seed.

    Parameters
    ----------
    karyotype : Karyotype or str
        An ISCN formula is parsed at `level`.
    style : str or LabStyle
        One of :data:`~karyo_lib.draw.STYLES`.
    seed : int
        At least 0.
    size : (int, int) or None
        Width and height in pixels, 100 to 6000; None for the style's own, about 1200 x 950. The layout fills
        the page; chromosomes are never stretched.
    annotate : collection of {'arrow', 'box', 'title'}, bool or None
        What is printed to point at abnormalities; None leaves it to the style, True prints all kinds, False
        none.
    level : {400, 550, 850}
        Band level for a formula given as text.

    Returns
    -------
    Page

    Raises
    ------
    KaryotypeError
        If the formula is impossible.
    ValueError
        For an unknown style, annotation or an impossible size.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> page = karyo.draw_karyogram("47,XX,+21", seed=3)
    >>> (page.image.shape, int((page.truth["chromosome"] == "21").sum()))
    ((966, 1232), 3)
    """
    if not isinstance(karyotype, Karyotype):
        karyotype = parse_karyotype(karyotype, level=level)
    sheet = layout.make_sheet(style, seed, size, annotate, karyotype.counts)
    rng = sheet.rng()
    manner = settle_manner(sheet, karyotype.level, rng)
    pieces = []
    for chromosome, copy, own in layout.chromosomes_of(karyotype, sheet):
        turn = np.pi if own.random() < sheet.style.layout.upside_down else 0.0
        pieces.append(draw_piece(chromosome, copy, manner, own, turn))
    rng = sheet.rng("page")
    placement = layout.place_pieces(pieces, sheet.style.layout, sheet.canvas, sheet.scale, manner.width, rng)
    return assemble_page(sheet, pieces, placement, karyotype.formula, rng)


def draw_chromosome(
    chromosome: str,
    *,
    style: str | LabStyle = "classic",
    seed: int = 0,
    length: float = 119.0,
    level: int = 550,
) -> np.ndarray:
    """Draw a normal chromosome upright on white, uint8 (H, W); ``length``: of chromosome 1, in pixels."""
    sheet = layout.make_sheet(style, seed, None, False, {})
    rng = sheet.rng("single")
    look = layout.settle(sheet.style.look, rng)
    manner = Manner(look, level, length / layout.CHROMOSOME_1, look.width * length, seed)
    normal = Chromosome(chromosome, chromosome, normal_segments(chromosome, load_bands(level)), level=level)
    piece = draw_piece(normal, 1, manner, sheet.rng("single", chromosome))
    x0, y0, x1, y1 = piece.ink_box
    ink = np.pad(np.where(piece.ink > INK_THRESHOLD, piece.ink, 0)[y0:y1, x0:x1], 2)
    none = (0.0, 0.0)
    clean = replace(sheet.style.artefacts, paper=(255, 255), uneven=none, noise=none, grain=none)
    clean = replace(clean, halftone=0.0, negative=False)
    return expose(
        ink, layout.settle(clean, rng), length / (0.175 * layout.NATIVE_HEIGHT), ink.shape[::-1], rng
    )


@dataclass(frozen=True, eq=False)
class Manner:
    look: SimpleNamespace  # a :class:`~karyo_lib.draw.styles.Look` whose ranges have been settled
    level: int  # {400, 550, 850}
    units: float  # pixels per ISCN unit
    width: float  # width of a chromosome in pixels
    seed: int  # seeds the pattern of material of unknown origin


def settle_manner(sheet: layout.Sheet, level: int, rng: np.random.Generator) -> Manner:
    """Draw the look of a page and the size of its chromosomes."""
    look = layout.settle(sheet.style.look, rng)
    length = rng.uniform(*sheet.style.layout.length) * layout.NATIVE_HEIGHT * sheet.scale
    return Manner(look, level, length / layout.CHROMOSOME_1, look.width * length, sheet.seed)


def draw_piece(
    chromosome: Chromosome, copy: int, manner: Manner, rng: np.random.Generator, turn: float = 0.0
) -> Piece:
    """Draw one chromosome, bent, on a patch of its own, turned from upright by ``turn`` radians."""
    unknown = any(segment.chromosome == UNKNOWN for segment in chromosome.segments)
    plan = plan_bands(chromosome, manner.level, manner.seed if unknown else 0)
    # Short chromosomes are a little thicker than long ones.
    width = (
        manner.width
        * (1.06 - 0.08 * plan.length / layout.CHROMOSOME_1)
        * np.exp(0.03 * rng.standard_normal())
    )
    if chromosome.ring:
        width = ring_width(plan.length * manner.units, width)
    straight = paint_straight(plan, manner.look, manner.units, width, rng, ring=chromosome.ring)
    if chromosome.ring:
        axis = ring_axis(straight.length, rng)
    else:
        hinges = straight.row_of(np.array(plan.centromeres))
        axis = bend_axis(straight.length, width, manner.look.bend, hinges, rng)
    if turn:
        axis = turn_axis(axis, turn)
    ink, origin = bend_image(straight.ink, axis, straight.pad)
    table, polarity = load_bands(manner.level), 1 if np.cos(turn) > 0 else -1
    return make_piece(
        ink, axis, origin, chromosome, copy, plan, straight.edges, table, width=width, polarity=polarity
    )
