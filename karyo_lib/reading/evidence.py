"""A reading to look at: the page with boxes and names, and the pair that differs most with its profiles."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from karyo_lib.reading.page_reading import Reading

NORMAL, ABNORMAL, REFERRED, NEUTRAL = "#0072B2", "#D55E00", "#E69F00", "#595959"


class ReadingDisplay:
    """The page with every object's box and class.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
    reading : Reading

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    boxes_ : list of matplotlib.patches.Rectangle
    names_ : list of matplotlib.text.Text
    """

    def __init__(self, image: np.ndarray, reading: Reading):
        self.image, self.reading = image, reading

    @classmethod
    def from_reading(cls, image: np.ndarray, reading: Reading) -> "ReadingDisplay":
        """Make a display of what was read from ``image``."""
        return cls(image, reading)

    def plot(self, ax: Axes | None = None) -> "ReadingDisplay":
        """Draw: blue boxes; amber and dashed with a question mark where doubtful; vermillion for odd counts
        and pairs."""
        ax = plt.subplots(figsize=(9, 7))[1] if ax is None else ax
        ax.imshow(self.image, cmap="gray", vmin=0, vmax=255)
        self.ax_, self.boxes_, self.names_ = ax, [], []
        table = self.reading.chromosomes
        copies = table["chromosome"].value_counts()
        sex = {"X", "Y"}
        odd = {c for c, n in copies.items() if n != 2 and c not in sex}
        if self.reading.group in ("sex-chromosome", "multiple"):
            odd |= sex
        for row in table.itertuples():
            strange = row.chromosome in odd or (row.pair_score > 0)
            colour = REFERRED if row.doubtful else ABNORMAL if strange else NORMAL
            box = Rectangle(
                (row.x0, row.y0),
                row.x1 - row.x0,
                row.y1 - row.y0,
                fill=False,
                edgecolor=colour,
                linewidth=1.4 if strange or row.doubtful else 0.9,
                linestyle="--" if row.doubtful else "-",
            )
            self.boxes_.append(ax.add_patch(box))
            name = (
                (row.chromosome or "not one")
                + ("?" if row.doubtful else "")
                + (" ↕" if row.upside_down else "")
            )
            middle = (row.x0 + row.x1) / 2
            self.names_.append(
                ax.text(
                    middle, row.y0 - 1, name, color=colour, fontsize=7, ha="center", va="bottom", clip_on=True
                )
            )
        title = f"{self.reading.formula}   P(abnormal) = {self.reading.p_abnormal:.2f}"
        ax.set_title(
            title + (f"\nRefer: {self.reading.refer_reason}" if self.reading.refer_reason else ""), fontsize=9
        )
        ax.set_axis_off()
        return self


class PairDisplay:
    """The pair that differs most: band profiles from p to q end against the usual profile of the class.

    Parameters
    ----------
    reading : Reading

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    lines_ : list of matplotlib.lines.Line2D
    """

    def __init__(self, reading: Reading):
        if reading.evidence is None:
            raise ValueError("Expected a reading with a compared pair. Received one without chromosomes.")
        self.evidence = reading.evidence

    @classmethod
    def from_reading(cls, reading: Reading) -> "PairDisplay":
        """Make a display of the reading's evidence."""
        return cls(reading)

    def plot(self, ax: Axes | None = None) -> "PairDisplay":
        """Draw profiles, and the place where the pair differs most."""
        ax = plt.subplots(figsize=(7, 3))[1] if ax is None else ax
        e = self.evidence
        along = np.linspace(0, 1, len(e.reference))
        self.ax_ = ax
        self.lines_ = ax.plot(
            along, e.reference, color=NEUTRAL, linewidth=3, alpha=0.4, label="usual profile"
        )
        colours = (NORMAL, ABNORMAL)
        for i, profile in enumerate(e.profiles):
            self.lines_ += ax.plot(along, profile, color=colours[i], linewidth=1.3, label=f"copy {i + 1}")
        ax.axvline(e.location, color=REFERRED, linestyle="--", linewidth=1)
        ax.set(xlabel=f"chromosome {e.chromosome}, p end to q end", ylabel="darkness (standardised)")
        ax.set_title(f"differs most at {e.band}", fontsize=9)
        ax.legend(fontsize=7, frameon=False)
        return self
