"""Draw a metaphase: the chromosomes of a cell as the microscope shows them, before anyone orders them."""

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from karyo_lib.draw.compose import compose_pieces, settle_karyotype
from karyo_lib.draw.karyogram import draw_piece, settle_manner
from karyo_lib.draw.layout import Placement, chromosomes_of, make_sheet
from karyo_lib.draw.page import Page, assemble_page
from karyo_lib.draw.piece import Piece, turn_piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.files.bank import Cutout
from karyo_lib.iscn.karyotype import Karyotype

_TRIES = 60
# Share of a chromosome that may lie on others: most lie free, some touch or cross.
_FREE, _CROSSING, _CROSSING_SHARE = 0.0, 0.3, 0.12


def draw_metaphase(
    karyotype: Karyotype | str | None,
    *,
    cutouts: Sequence[Cutout] = (),
    donors: Sequence[Cutout] = (),
    crossing: float = _CROSSING_SHARE,
    style: str | LabStyle = "classic",
    seed: int = 0,
    size: tuple[int, int] | None = None,
    annotate: Collection[str] | bool = False,
    level: int = 550,
) -> Page:
    """Draw a metaphase spread.

    The chromosomes lie scattered over a roundish field, turned at random, some touching or crossing, with one
    or two interphase nuclei near the edge.

    Parameters
    ----------
    karyotype : Karyotype, str or None
        None composes the cell of the cut-outs as it is.
    cutouts, donors : sequence of Cutout
        Real chromosomes that the spread is composed of, as in :func:`~karyo_lib.draw.compose_karyogram`;
        without cut-outs it is drawn.
    crossing : float
        Share of the chromosomes that may cross others.
    style, seed, size, annotate, level
        As in :func:`~karyo_lib.draw.draw_karyogram`; of the style, the layout does not apply.

    Returns
    -------
    Page
        With the truth table of a karyogram; `polarity` is 1 where the p arm points up rather than down.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> len(karyo.draw_metaphase("46,XY", seed=1).truth)
    46
    """
    karyotype = settle_karyotype(karyotype, level, cutouts)
    sheet = make_sheet(style, seed, size, annotate, karyotype.counts)
    rng = sheet.rng("metaphase")
    if cutouts:
        sheet, upright, width, _ = compose_pieces(karyotype, cutouts, donors, sheet, 0.0)
        pieces = [turn_piece(piece, rng.uniform(-np.pi, np.pi)) for piece in upright]
    else:
        manner = settle_manner(sheet, karyotype.level, rng)
        width, pieces = manner.width, []
        for chromosome, copy, own in chromosomes_of(karyotype, sheet, "metaphase"):
            turn = own.uniform(-np.pi, np.pi)
            pieces.append(draw_piece(chromosome, copy, manner, own, turn))
    corners = _scatter(pieces, sheet.canvas, crossing, rng)
    boxes = [corners[i][[0, 1, 0, 1]] + np.array(piece.ink_box) for i, piece in enumerate(pieces)]
    # An annotation frames one chromosome: what is abnormal, or else the first of its slot.
    order = sorted(range(len(pieces)), key=lambda i: pieces[i].abnormal)
    slots = {pieces[i].slot: tuple(boxes[i].tolist()) for i in order}
    ground = _nuclei(sheet.canvas, width, rng)
    return assemble_page(sheet, pieces, Placement(corners, slots, (), ()), karyotype.formula, rng, ground)


def _scatter(
    pieces: list[Piece], canvas: tuple[int, int], crossing: float, rng: np.random.Generator
) -> np.ndarray:
    """Find a place for every patch, the largest first."""
    width, height = canvas
    occupied = np.zeros((height, width), bool)
    corners = np.zeros((len(pieces), 2), int)
    for i in sorted(range(len(pieces)), key=lambda i: -pieces[i].length):
        x0, y0, x1, y1 = pieces[i].ink_box
        mask = pieces[i].ink[y0:y1, x0:x1] > 0
        allowed = _CROSSING if rng.random() < crossing else _FREE
        best = (np.inf, 0, 0)
        for _ in range(_TRIES):
            # Even over an ellipse that leaves the corners of the field free.
            radius, angle = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            x = round(width * (0.5 + 0.44 * radius * np.cos(angle)) - (x1 - x0) / 2)
            y = round(height * (0.5 + 0.44 * radius * np.sin(angle)) - (y1 - y0) / 2)
            x = int(np.clip(x, 2, max(2, width - (x1 - x0) - 2)))
            y = int(np.clip(y, 2, max(2, height - (y1 - y0) - 2)))
            target = occupied[y : y + mask.shape[0], x : x + mask.shape[1]]
            share = (target & mask[: target.shape[0], : target.shape[1]]).sum() / mask.sum()
            best = min(best, (share, x, y), key=lambda tried: tried[0])
            if share <= allowed:
                break
        _, x, y = best
        target = occupied[y : y + mask.shape[0], x : x + mask.shape[1]]
        target |= mask[: target.shape[0], : target.shape[1]]
        corners[i] = x - x0, y - y0
    return corners


def _nuclei(canvas: tuple[int, int], width: float, rng: np.random.Generator) -> np.ndarray:
    """Draw interphase nuclei, grey and grainy, partly outside the field."""
    columns, rows = canvas
    ink = np.zeros((rows, columns), np.float32)
    for _ in range(1 + int(rng.random() < 0.4)):
        radius = rng.uniform(3.5, 5.5) * width
        side = rng.choice([0.0, 1.0])
        x = side * columns + (1 - 2 * side) * rng.uniform(-0.3, 0.5) * radius
        centre = (round(x), round(rng.choice([0.06, 0.94]) * rows))
        axes = (round(radius), round(radius * rng.uniform(0.75, 1.0)))
        turn, strength = float(rng.uniform(0, 180)), float(rng.uniform(0.35, 0.55))
        cv2.ellipse(ink, centre, axes, turn, 0, 360, strength, -1)
    ink = cv2.GaussianBlur(ink, (0, 0), 0.25 * width)
    cells = [max(2, round(side / (0.5 * width))) for side in (rows, columns)]
    grain = cv2.resize(rng.standard_normal(cells, dtype=np.float32), canvas, interpolation=cv2.INTER_CUBIC)
    return ink * np.clip(1 + 0.15 * grain, 0, 1.8)
