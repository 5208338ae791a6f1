"""What the reader saw, for the worklist: names and boxes to lay over the page, and what is unusual on it."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from karyo_lib.read.evidence import ABNORMAL, NORMAL, REFERRED, PairDisplay, find_odd
from karyo_lib.read.reading import Reading

SIDE = 720  # pixels of the longer side of the marks; the page under them is scaled to fit
HALO = "#FFFFFF"  # around marks, for pages that are dark
_DASH = 5  # pixels
_MOST_ODD = 4  # classes of an unusual number that are shown one by one
_PAIR_COLOURS = 48  # of the picture of the pair


def draw_marks(shape: tuple[int, int], reading: Reading) -> bytes:
    """Return boxes and class names as a PNG of the page's proportions, transparent elsewhere.

    Blue as usual; vermillion where number or likeness speak for abnormal; dashed amber, with a question mark,
    where the reader doubts.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the page that was read.
    reading : Reading
    """
    scale = SIDE / max(shape)
    image = Image.new("RGBA", (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    for row, odd in zip(reading.chromosomes.itertuples(), find_odd(reading), strict=True):
        colour = ABNORMAL if odd else REFERRED if row.doubtful else NORMAL
        box = [round(value * scale) for value in (row.x0, row.y0, row.x1, row.y1)]
        width = 2 if odd or row.doubtful else 1
        _frame(draw, box, HALO, width + 2, row.doubtful)
        _frame(draw, box, colour, width, row.doubtful)
        name = (row.chromosome or "not one") + ("?" if row.doubtful else "")
        middle = (box[0] + box[2]) / 2
        draw.text(
            (middle, box[1] - 2), name, fill=colour, font=font, anchor="mb", stroke_width=1, stroke_fill=HALO
        )
    return _png(image)


def _frame(draw: ImageDraw.ImageDraw, box: list[int], colour: str, width: int, dashed: bool) -> None:
    x0, y0, x1, y1 = box
    for a, b in (((x0, y0), (x1, y0)), ((x0, y1), (x1, y1)), ((x0, y0), (x0, y1)), ((x1, y0), (x1, y1))):
        long = max(b[0] - a[0], b[1] - a[1])
        at = np.arange(0, long, 2 * _DASH) if dashed else np.array([0])
        for start in at:
            end = min(start + _DASH, long) if dashed else long
            across = b[0] > a[0]
            first = (a[0] + start, a[1]) if across else (a[0], a[1] + start)
            last = (a[0] + end, a[1]) if across else (a[0], a[1] + end)
            draw.line([first, last], fill=colour, width=width)


def draw_evidence(page: np.ndarray, reading: Reading) -> bytes:
    """Return what the reading rests on most as a PNG: chromosomes of an unusual number, or an unlike pair.

    Parameters
    ----------
    page : ndarray of uint8, shape (H, W)
        The page that was read.
    reading : Reading
    """
    # by number alone: pairs that look unlike are left out
    alike = replace(reading, chromosomes=reading.chromosomes.assign(score=0.0))
    odd = reading.chromosomes[find_odd(alike)]
    if 0 < odd["chromosome"].nunique() <= _MOST_ODD:
        return _draw_counted(page, odd)
    return draw_pair(reading)  # of a further set of chromosomes, no single one is in excess


def _draw_counted(page: np.ndarray, odd: pd.DataFrame) -> bytes:
    """Chromosomes as they stand on the page, of each class with its number."""
    classes = list(odd.groupby("chromosome", sort=False))
    figure = Figure(figsize=(5.2, 2.2 * len(classes)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for (name, rows), part in zip(classes, np.atleast_1d(figure.subfigures(len(classes), 1)), strict=True):
        part.suptitle(f"chromosome {name}: {len(rows)} on the page", fontsize=9, x=0.02, ha="left")
        for ax, box in zip(part.subplots(1, len(rows), squeeze=False)[0], rows.itertuples(), strict=True):
            x0, y0, x1, y1 = (round(value) for value in (box.x0, box.y0, box.x1, box.y1))
            shown = page[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]
            ax.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
            ax.set_axis_off()
    return _png_of(figure)


def draw_pair(reading: Reading) -> bytes:
    """Return the pair that differs most, enlarged over its aligned profiles, as a PNG; empty without one."""
    if reading.evidence is None:
        return b""
    n = len(reading.evidence.profiles)
    figure = Figure(figsize=(5.2, 0.7 * n + 2.1), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n + 1, 1, sharex=True, height_ratios=[0.8] * n + [2.4])
    PairDisplay.from_reading(reading, axes=axes)
    figure.suptitle("the pair that differs most", fontsize=9, x=0.02, ha="left")
    return _png_of(figure)


def _png_of(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with Image.open(buffer) as image:
        return _png(image.convert("RGB").quantize(_PAIR_COLOURS))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
