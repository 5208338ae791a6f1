"""Draw the karyogram of any karyotype formula."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from karyo_lib.draw.artefacts import expose
from karyo_lib.draw.bend import bend_axis, bend_image, flip_axis, ring_axis
from karyo_lib.draw.chromosome import paint_straight, plan_bands
from karyo_lib.draw.layout import chromosome_length, page_scale
from karyo_lib.draw.page import (
    Page,
    assemble_page,
    check_annotations,
    check_size,
    find_style,
    oversampling,
    page_rng,
    settle,
)
from karyo_lib.draw.piece import INK_THRESHOLD, Piece, make_piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.iscn.bands import load_bands
from karyo_lib.iscn.karyotype import Karyotype, parse_karyotype
from karyo_lib.iscn.segments import Chromosome, Segment

_CHROMOSOME_1 = 15100.0  # ISCN units


def draw_karyogram(
    karyotype: Karyotype | str,
    *,
    style: str | LabStyle = "classic",
    seed: int = 0,
    size: tuple[int, int] | None = (416, 416),
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
        One of :data:`~karyo_lib.draw.styles.STYLES`.
    seed : int
        At least 0.
    size : (int, int) or None
        Width and height in pixels, 100 to 6000; None for the style's own, about 1200 x 950. The layout
        fills the page; chromosomes are never stretched.
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
    """
    if isinstance(karyotype, str):
        karyotype = parse_karyotype(karyotype, level=level)
    style = find_style(style)
    size = check_size(size, style)
    kinds = check_annotations(annotate, style)
    rng = page_rng(seed, style.name)
    look = settle(style.look, rng)
    counts: dict[str, int] = {}
    for chromosome in karyotype.chromosomes:
        counts[chromosome.slot] = counts.get(chromosome.slot, 0) + 1
    factor = oversampling(size)
    scale = page_scale((size[0] * factor, size[1] * factor), max(counts.values(), default=2))
    length = chromosome_length(rng.uniform(*style.layout.length), scale)
    width = look.width * length
    pieces, seen = [], {}
    for chromosome in karyotype.chromosomes:
        copy = seen[chromosome.slot] = seen.get(chromosome.slot, 0) + 1
        own = page_rng(seed, style.name, chromosome.name, str(copy))
        pieces.append(
            _draw_piece(
                chromosome,
                copy,
                karyotype.level,
                look,
                length / _CHROMOSOME_1,
                width,
                style.layout.upside_down,
                own,
                seed,
            )
        )
    return assemble_page(
        pieces,
        formula=karyotype.formula,
        style=style,
        seed=seed,
        size=size,
        scale=scale,
        width=width,
        annotate=kinds,
        rng=page_rng(seed, style.name, "page"),
        annotation_rng=page_rng(seed, style.name, "annotations"),
    )


def draw_chromosome(
    chromosome: str,
    *,
    style: str | LabStyle = "classic",
    seed: int = 0,
    length: float = 119.0,
    level: int = 550,
) -> np.ndarray:
    """Draw one normal chromosome as a cut-out: upright, on white.

    Parameters
    ----------
    chromosome : str
        '1' to '22', 'X', 'Y'.
    style : str or LabStyle
        Whose look and optics apply.
    seed : int
    length : float
        Mean length of chromosome 1 in pixels.
    level : {400, 550, 850}

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    style = find_style(style)
    rng = page_rng(seed, style.name, "single")
    look, table = settle(style.look, rng), load_bands(level)
    normal = Chromosome(
        chromosome, chromosome, (Segment(chromosome, 0.0, table.length(chromosome)),), level=level
    )
    piece = _draw_piece(
        normal,
        1,
        level,
        look,
        length / _CHROMOSOME_1,
        look.width * length,
        0.0,
        page_rng(seed, style.name, chromosome),
        seed,
    )
    x0, y0, x1, y1 = piece.ink_box
    ink = np.pad(np.where(piece.ink > INK_THRESHOLD, piece.ink, 0)[y0:y1, x0:x1], 2)
    clean = replace(
        style.artefacts,
        paper=(255, 255),
        uneven=(0, 0),
        halftone=0.0,
        noise=(0, 0),
        grain=(0, 0),
        negative=False,
    )
    return expose(ink, settle(clean, rng), length / (0.175 * 950), rng)


def _draw_piece(
    chromosome: Chromosome,
    copy: int,
    level: int,
    look,
    units: float,
    width: float,
    upside_down: float,
    rng: np.random.Generator,
    seed: int,
) -> Piece:
    plan = plan_bands(chromosome, level, seed if any(s.chromosome == "?" for s in chromosome.segments) else 0)
    # Short chromosomes are a little thicker than long ones.
    width = width * (1.06 - 0.08 * plan.length / _CHROMOSOME_1) * np.exp(0.03 * rng.standard_normal())
    straight = paint_straight(plan, look, units, width, rng, ring=chromosome.ring)
    if chromosome.ring:
        axis = ring_axis(straight.length, rng)
    else:
        axis = bend_axis(straight.length, width, look.bend, straight.row_of(np.array(plan.centromeres)), rng)
    polarity = 1
    if rng.random() < upside_down:
        axis, polarity = flip_axis(axis), -1
    ink, origin = bend_image(straight.ink, axis, straight.pad)
    return make_piece(
        ink,
        axis,
        origin,
        chromosome,
        copy,
        plan,
        straight.edges,
        load_bands(level),
        width=width,
        polarity=polarity,
    )
