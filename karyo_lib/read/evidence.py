"""A reading to look at: the page with boxes and names, and the pair that differs most with its profiles."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from karyo_lib.iscn.bands import load_bands
from karyo_lib.shape.straighten import STRIP_LENGTH

if TYPE_CHECKING:
    from karyo_lib.read.reading import Reading

# The colours of `karyo_lib.study.displays.style`, which stands above this room.
NORMAL, ABNORMAL, REFERRED, NEUTRAL = "#0072B2", "#D55E00", "#E69F00", "#595959"


def find_odd(reading: Reading) -> np.ndarray:
    """Which objects speak for abnormal: of a class with an odd count, or of an unlike pair; bool (n,)."""
    table = reading.chromosomes
    named = table.loc[table["chromosome"] != "", "chromosome"]
    males = (named == "Y").any()
    usual = {"X": 1 if males else 2, "Y": 1 if males else 0}
    counts = named.value_counts()
    odd = [name for name, count in counts.items() if count != usual.get(name, 2)]
    by_count = table["chromosome"].isin(odd) if reading.p_count > 0.5 else table["chromosome"].isin([])
    return (by_count | (table["score"] > 0)).to_numpy(bool)


def _draw_bands(ax: Axes, chromosome: str) -> list[Rectangle]:
    """Draw the bands of a chromosome along the foot of axes from 0 to 1."""
    table, drawn = load_bands(550), []
    length = table.length(chromosome)
    for band in table.bands(chromosome):
        colour = ABNORMAL if band.stain == "acen" else str(1 - 0.8 * band.density / 100)
        start, stop = band.iscn_start / length, band.iscn_stop / length
        drawn.append(ax.axvspan(start, stop, 0, 0.07, facecolor=colour, edgecolor=NEUTRAL, linewidth=0.4))
    ax.set_xticks([0, table.centromere(chromosome) / length, 1], ["p end", "centromere", "q end"])
    return drawn


class ReadingDisplay:
    """The page with every object's box and class.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
    reading : Reading

    Attributes
    ----------
    boxes_ : list of matplotlib.patches.Rectangle
    names_ : list of matplotlib.text.Text
    ax_, figure_
    """

    def __init__(self, image: np.ndarray, reading: Reading):
        self.image, self.reading = image, reading

    @classmethod
    def from_reading(cls, image: np.ndarray, reading: Reading, *, ax: Axes | None = None) -> ReadingDisplay:
        """Draw what was read from ``image``."""
        return cls(image, reading).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> ReadingDisplay:
        """Draw: blue boxes; amber and dashed with a question mark where doubtful; vermillion for odd counts
        and pairs."""
        if ax is None:
            high = 7.2 * self.image.shape[0] / self.image.shape[1]
            ax = plt.subplots(figsize=(7.2, high + 0.5), layout="constrained")[1]
        ax.imshow(self.image, cmap="gray", vmin=0, vmax=255)
        halo = [withStroke(linewidth=2, foreground="white")]  # for pages that are dark
        self.figure_, self.ax_, self.boxes_, self.names_ = ax.figure, ax, [], []
        for row, strange in zip(self.reading.chromosomes.itertuples(), find_odd(self.reading), strict=True):
            colour = ABNORMAL if strange else REFERRED if row.doubtful else NORMAL
            box = Rectangle(
                (row.x0, row.y0),
                row.x1 - row.x0,
                row.y1 - row.y0,
                fill=False,
                edgecolor=colour,
                linewidth=1.4 if strange or row.doubtful else 0.8,
                linestyle="--" if row.doubtful else "-",
                path_effects=halo,
            )
            self.boxes_.append(ax.add_patch(box))
            name = row.chromosome or "not one"
            name += ("?" if row.doubtful else "") + (" \N{UP DOWN ARROW}" if row.upside_down else "")
            middle = (row.x0 + row.x1) / 2
            self.names_.append(
                ax.text(
                    middle,
                    row.y0 - 1,
                    name,
                    color=colour,
                    fontsize=7,
                    ha="center",
                    va="bottom",
                    clip_on=True,
                    path_effects=halo,
                )
            )
        title = f"{self.reading.formula}   probability of abnormal {self.reading.p_abnormal:.2f}"
        reason = self.reading.refer_reason
        ax.set_title(title + (f"\nRefer: {reason}" if reason else ""), fontsize=9, loc="left", wrap=True)
        ax.set_axis_off()
        return self


def picture_of(reading: Reading) -> bytes:
    """The page that a reading holds, with boxes and names, as a PNG."""
    high = 7.2 * reading.page.shape[0] / reading.page.shape[1]
    figure = Figure(figsize=(7.2, high + 0.7), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)  # apart from the figures of a notebook
    ReadingDisplay.from_reading(reading.page, reading, ax=figure.subplots())
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


class PairDisplay:
    """The pair that differs most, enlarged, over its band profiles; all aligned to the class's usual profile.

    Parameters
    ----------
    reading : Reading

    Attributes
    ----------
    images_ : list of matplotlib.image.AxesImage
        The straightened chromosomes, p end left.
    lines_ : list of matplotlib.lines.Line2D
        The usual profile, then one for each copy.
    bands_ : list of matplotlib.patches.Rectangle
        The bands of level 550 below them, p end left; the centromere is vermillion.
    axes_, figure_
    """

    def __init__(self, reading: Reading):
        if reading.evidence is None:
            raise ValueError("Expected a reading with a compared pair. Received one without chromosomes.")
        self.evidence = reading.evidence

    @classmethod
    def from_reading(cls, reading: Reading, *, axes: Iterable[Axes] | None = None) -> PairDisplay:
        """Draw the reading's evidence."""
        return cls(reading).plot(axes=axes)

    def plot(self, axes: Iterable[Axes] | None = None) -> PairDisplay:
        """Draw each copy, and below them profiles, with the change that would explain how they differ."""
        e = self.evidence
        n = len(e.profiles)
        if axes is None:
            _, axes = plt.subplots(
                n + 1, 1, figsize=(7.2, 0.85 * n + 2.6), layout="constrained", sharex=True,
                height_ratios=[0.9] * n + [2.6],
            )  # fmt: skip
        axes = list(axes)
        if len(axes) != n + 1:
            raise ValueError(
                f"Expected {n + 1} axes, one a copy and one for the profiles. Received {len(axes)}."
            )
        self.axes_, self.figure_, self.images_ = axes, axes[0].figure, []
        colours = (NORMAL, ABNORMAL)
        for i, (ax, image) in enumerate(zip(axes, e.images, strict=False)):
            shown = ax.imshow(
                image.T, cmap="gray_r", vmin=0, vmax=1, extent=(0, 1, 0, 1), aspect="auto",
                interpolation="bilinear",
            )  # fmt: skip
            self.images_.append(shown)
            ax.set(yticks=[], xticks=[])
            length = f", {e.lengths[i]:.0%} of the usual length"
            ax.set_title(f"copy {i + 1}{length}", fontsize=8, loc="left", color=colours[i])
            if e.change:
                ax.axvspan(e.change.start, e.change.stop, ymin=0, ymax=0.06, color=REFERRED)
        ax, along = axes[-1], np.linspace(0, 1, STRIP_LENGTH)
        self.lines_ = ax.plot(
            along, e.reference, color=NEUTRAL, linewidth=3, alpha=0.4, label="usual profile"
        )
        for i, profile in enumerate(e.profiles):
            self.lines_ += ax.plot(along, profile, color=colours[i], linewidth=1.3, label=f"copy {i + 1}")
        title = "no more unlike than pairs of normal pages"
        if e.change:
            ax.axvspan(e.change.start, e.change.stop, color=REFERRED, alpha=0.2, linewidth=0)
            title = f"unlike, as if by {e.change.iscn}"
        low, high = ax.get_ylim()
        ax.set(xlabel=f"chromosome {e.chromosome}", ylabel="darkness", xlim=(0, 1))
        ax.set_ylim(low - 0.15 * (high - low), high)
        self.bands_ = _draw_bands(ax, e.chromosome)
        ax.set_title(title, fontsize=9, loc="left")
        ax.legend(fontsize=7, frameon=False, ncols=3)
        return self
