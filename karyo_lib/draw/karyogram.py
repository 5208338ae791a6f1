"""Draw the karyogram of any karyotype formula."""

import zlib
from collections.abc import Collection

import cv2
import numpy as np

from karyo_lib.draw.bend import bend_axis, bend_image, flip_axis, ring_axis
from karyo_lib.draw.changes import changed_spans
from karyo_lib.draw.chromosome import paint_straight, plan_bands
from karyo_lib.draw.layout import chromosome_length, page_scale
from karyo_lib.draw.page import (
    Page,
    assemble_page,
    check_annotations,
    check_size,
    find_style,
    oversampling,
    settle,
)
from karyo_lib.draw.piece import Piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.iscn.bands import load_bands
from karyo_lib.iscn.karyotype import Karyotype, parse_karyotype
from karyo_lib.iscn.segments import Chromosome

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

    The same karyotype, style, seed and size give the same page to the bit. With the same seed, karyotypes share the
    page's look and the chromosomes that they have in common, so a change can be seen against its normal page; for a
    data set give every page its own seed.

    Parameters
    ----------
    karyotype : Karyotype or str
        An ISCN formula is parsed at `level`.
    style : str or LabStyle
        One of :data:`~karyo_lib.draw.styles.STYLES`.
    seed : int
        At least 0.
    size : (int, int) or None
        Width and height in pixels, 100 to 6000; None for the style's own, about 1200 x 950. The layout fills the page;
        chromosomes are never stretched.
    annotate : collection of {'arrow', 'box', 'title'}, bool or None
        What is printed to point at abnormalities; None leaves it to the style, True prints all kinds, False none.
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
            _draw_piece(chromosome, copy, karyotype.level, look, length / _CHROMOSOME_1, width,
                        style.layout.upside_down, own, seed)
        )
    return assemble_page(
        pieces, formula=karyotype.formula, style=style, seed=seed, size=size, scale=scale, width=width, annotate=kinds,
        rng=page_rng(seed, style.name, "page"), annotation_rng=page_rng(seed, style.name, "annotations"),
    )


def page_rng(seed: int, *names: str) -> np.random.Generator:
    """Return a generator of its own for every seed and thing drawn."""
    return np.random.Generator(np.random.SFC64([seed, *(zlib.crc32(name.encode()) for name in names)]))


def _draw_piece(
    chromosome: Chromosome, copy: int, level: int, look, units: float, width: float, upside_down: float,
    rng: np.random.Generator, seed: int,
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

    def on_patch(rows: np.ndarray) -> np.ndarray:
        x, y = axis.point(rows)
        return np.column_stack([x + origin[0], y + origin[1]])

    edges = on_patch(straight.edges)
    changes = []
    for start, stop in changed_spans(chromosome, load_bands(level)) if chromosome.abnormal else ():
        begin, end = straight.row_of(np.array([start, stop]))
        points = on_patch(np.linspace(begin, end, 9))
        changes.append([*(points.min(0) - 0.6 * width), *(points.max(0) + 0.6 * width)])
    tip, tail = edges[0], edges[-1]
    angle = float(np.degrees(np.arctan2(tip[0] - tail[0], tail[1] - tip[1])))
    return Piece(
        ink, chromosome.slot, chromosome.name, chromosome.slot, copy, chromosome.abnormal,
        on_patch(straight.row_of(np.array(plan.centromeres))), tuple(zip(plan.source, plan.band, strict=True)),
        np.hstack([edges[:-1], edges[1:]]), np.array(changes).reshape(-1, 4), float(straight.length),
        (angle + 90) % 180 - 90, polarity,
    )


cv2.setNumThreads(1)
