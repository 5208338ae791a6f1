"""Pictures of a case report: the best cell's karyogram, and the chromosomes that a line rests on."""

import io

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from karyo_lib.iscn import CHROMOSOMES, load_bands, parse_karyotype
from karyo_lib.read.case_record import Case, CaseLine, CellSource
from karyo_lib.read.reading import Reading
from karyo_lib.shape.scaling import COLUMNS, WIDTH_COLUMNS

MOST_CELLS = 4  # beside one ideogram
MOST_CLASSES = 4  # of one line
_GREYS = {"gneg": "#ffffff", "acen": "#c98a8a", "gvar": "#b9c4d0", "stalk": "#d8d8d8"}


def changed_chromosomes(formula: str) -> tuple[str, ...]:
    """Classes of which a line has too many, too few, or changed ones; in the order of a karyogram."""
    cell = parse_karyotype(formula)
    named = {name for change in cell.changes for name in change.consumed}
    named |= {chromosome.slot for change in cell.changes for chromosome in change.produced}
    return tuple(name for name in CHROMOSOMES if name in named)


def best_source(case: Case, line: CaseLine | None = None) -> CellSource | None:
    """The cell of a line, the first abnormal one by default, that was read most surely."""
    abnormal = [one for one in case.lines if "46,XX" != one.formula != "46,XY"]
    line = line or next(iter(abnormal), next(iter(case.lines), None))
    members = set(line.cells) if line else set()
    read = [source for source in case.sources if source.reading is not None and source.name in members]
    shows = parse_karyotype(line.formula).count_formula if line else ""
    # a cell may belong to a line and be read otherwise alone
    return max(read, key=lambda source: (source.reading.formula == shows, *_quality(source)), default=None)


def _quality(source: CellSource) -> tuple:
    table = source.reading.chromosomes
    return -int(table["doubtful"].sum()), source.reading.formula_probability, source.name


def draw_karyogram_of(source: CellSource) -> bytes:
    """The picture of a sorted cell as it is, of a metaphase its chromosomes laid out, as PNG."""
    from karyo_lib.read.sorting import lay_out  # who reads a karyogram draws none

    pixels = lay_out(source.reading).image if source.reading.kind == "metaphase" else source.pixels
    scale = min(1.0, 1400 / max(pixels.shape))
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[::-1])
    return cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))[1].tobytes()


def draw_line(case: Case, line: CaseLine) -> bytes:
    """A line's changed chromosomes, of several cells, beside their ideogram, as PNG; or empty."""
    classes = changed_chromosomes(line.formula) if "~" not in line.formula else ()
    members = [source for source in case.sources if source.name in line.cells and source.reading is not None]
    members = sorted(members, key=_quality, reverse=True)[:MOST_CELLS]
    if not 0 < len(classes) <= MOST_CLASSES or not members:
        return b""
    straight = [_straight(source.reading) for source in members]
    columns = [_place_strips(straight, name) for name in classes]
    widths = [max(edge + 0.1, 0.9) for _, edge in columns]
    # as large as the sheet shows it, so that captions have the size that they have here
    inch = min(0.9, 3.7 / sum(widths))  # of an ideogram
    figure = Figure(figsize=(inch * sum(widths) + 0.15, 1.05 * inch + 0.3), dpi=300, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(classes), squeeze=False, width_ratios=widths)[0]
    for name, ax, (places, _), width in zip(classes, axes, columns, widths, strict=True):
        _draw_ideogram(ax, name)
        for number, k, x, half, height in places:
            ax.imshow(
                1 - straight[number][0][k], cmap="gray", vmin=0, vmax=1, interpolation="bicubic",
                aspect="auto", extent=(x - half, x + half, height, 0),
            )  # fmt: skip
        for number in dict.fromkeys(place[0] for place in places):
            own = [place[2] for place in places if place[0] == number]
            middle = sum(own) / len(own)
            ax.text(middle, 1.03, f"cell {number + 1}", ha="center", va="top", fontsize=6)
        ax.set(xlim=(-0.1, width), ylim=(1.03 + 0.12 / inch, -0.02))
        ax.set_title(f"chromosome {name}", fontsize=7, pad=2)
        ax.set_aspect("equal")
        ax.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _place_strips(straight: list, name: str) -> tuple[list[tuple[int, int, float, float, float]], float]:
    """Cell, number, place, half width and height of a class's strips, in lengths of the ideogram."""
    places, x = [], 0.3
    for number, (_, lengths, names, width) in enumerate(straight):
        own = [i for i, other in enumerate(names) if other == name]
        longest = max((lengths[i] for i in own), default=1.0)
        half = min(0.4, width / longest / 2)
        for i in own:
            places.append((number, i, x + half, half, lengths[i] / longest))
            x += 2 * half
        x += 0.1
    return places, x


def _straight(reading: Reading) -> tuple[list[np.ndarray], np.ndarray, list[str], float]:
    """Straightened chromosomes, upright; their lengths and the width of a strip, in rows; and classes."""
    rows = np.flatnonzero((reading.chromosomes["chromosome"] != "").to_numpy())
    found, table = reading.found, reading.chromosomes.iloc[rows]
    strips = found.strips.take(rows).turned(table["upside_down"].to_numpy(bool))
    images = [image[:n] / 255 for image, n in zip(strips.images, strips.rows, strict=True)]
    width = found.width * found.scale
    row = np.median([found.masks[i].sum() for i in rows] / strips.rows) / width  # in pixels
    return images, strips.rows, table["chromosome"].tolist(), COLUMNS / WIDTH_COLUMNS * width / row


def _draw_ideogram(ax: Axes, name: str) -> None:
    table = load_bands(550)
    length = table.length(name)
    for band in table.bands(name):
        colour = _GREYS.get(band.stain, str(1 - band.density / 125))
        box = (0.0, band.iscn_start / length)
        ax.add_patch(
            Rectangle(box, 0.16, band.length / length, facecolor=colour, edgecolor="black", linewidth=0.25)
        )
