"""One style for all figures: colours with fixed meanings, type that is legible at a text column's width."""

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN_WIDTH = 5.6  # inches: the 400 pt of the thesis's text column

# Safe for colour-blind readers (Okabe and Ito 2008; the purple is Tol's). One colour, one meaning.
PALETTE = {
    "normal": "#0072B2",
    "abnormal": "#D55E00",
    "referred": "#E69F00",
    "neutral": "#595959",
    "train": "#595959",
    "val": "#009E73",
    "test": "#AA4499",
    "thesis": "#AA4499",  # the protocol that leaks
    "grouped": "#009E73",  # the protocol that does not
    "shuffled-thesis": "#AA4499",
    "shuffled-grouped": "#009E73",
    "wrong": "#AA4499",
    "trained": "#009E73",
    "frozen": "#D9D9D9",
}
INK = {"normal": "#005B8E", "abnormal": "#A84A00"}  # the same, dark enough for text (WCAG AA, 4.5 : 1)
PROTOCOL_TITLES = {
    "thesis": "copies split at random (thesis)",
    "grouped": "split by patient",
    "shuffled-thesis": "copies split at random, labels shuffled",
    "shuffled-grouped": "split by patient, labels shuffled",
}
SEQUENCE = ("#595959", "#009E73", "#AA4499", "#332288", "#117733", "#882255")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))

_SHEET = Path(__file__).parents[2] / "static" / "figures.mplstyle"
_COLOURS = {"axes.edgecolor": PALETTE["neutral"], "axes.prop_cycle": mpl.cycler(color=SEQUENCE)}


def style() -> AbstractContextManager[None]:
    """Draw in karyo's style: ``with style(): ...``, or ``@style()`` above a function."""
    return plt.style.context([_SHEET, _COLOURS])


class Display:
    """What all Displays share: ``from_...`` makes and plots one in karyo's style, on one axes, several, or a
    new figure; ``figure_``, ``ax_`` or ``axes_`` and artists keep what was drawn, ``alt_`` says it in words.
    """

    def __init_subclass__(cls, made: str = "") -> None:
        """``made`` names the constructor that also plots: ``RocDisplay.from_predictions(curves, ax=ax)``."""
        if made:
            setattr(cls, made, classmethod(lambda cls, *data, ax=None, **given: cls(*data, **given).plot(ax)))
        if "plot" in vars(cls):
            cls.plot = style()(cls.plot)  # a context that decorates

    def _open(self, ax: Axes | None, height: float = 3.2, width: float = COLUMN_WIDTH) -> None:
        """Draw on the given axes, or on new ones; sizes in inches."""
        self.figure_, self.ax_ = new_grid(ax, 1, 1, height=height, width=width)
        self.ax_ = self.ax_[0, 0]


def new_grid(
    axes: Iterable[Axes] | None, n_rows: int, n_columns: int, *, height: float, width: float = COLUMN_WIDTH,
    **shared,
) -> tuple[Figure, np.ndarray]:  # fmt: skip
    """Return a grid of axes (n_rows, n_columns): the given ones in reading order, or new ones."""
    if axes is None:
        return plt.subplots(
            n_rows, n_columns, figsize=(width, height), layout="constrained", squeeze=False, **shared
        )
    axes = np.asarray(axes, dtype=object).ravel()
    if axes.size != n_rows * n_columns:
        raise ValueError(f"Expected {n_rows * n_columns} axes. Received {axes.size}.")
    return axes[0].figure, axes.reshape(n_rows, n_columns)


def draw_words(text: str) -> Figure:
    """Return a figure of words alone, where there is nothing to draw."""
    with style():
        figure, axes = new_grid(None, 1, 1, height=0.6)
    axes[0, 0].axis("off")
    axes[0, 0].text(0, 0.5, text)
    return figure


def place_legend(figure: Figure, handles: list, labels: list[str] | None = None) -> None:
    """Put a legend below a figure, in as many columns as its longest entry leaves room for."""
    labels = labels or [handle.get_label() for handle in handles]
    longest = max(len(label) for label in labels)
    room = int(figure.get_figwidth() / (0.45 + 0.06 * longest))  # inches: the mark, and a letter at 8 pt
    ncols = max(1, min(3, room, len(handles)))
    if ncols == 3 and len(handles) == 4:
        ncols = 2
    figure.legend(handles, labels, loc="outside lower center", ncols=ncols)


def assign_colours(names: Iterable[str], colours: dict[str, str] | None = None) -> dict[str, str]:
    """Give each name its colour: from ``colours``, else by its meaning in the palette, else the next free."""
    free, given = cycle(SEQUENCE), colours or {}
    return {name: given.get(name) or PALETTE.get(name) or next(free) for name in names}


def wrap_caption(text: str, width: int) -> str:
    """Break the lines of a caption after a blank, a comma or a bracket, so that none exceeds *width*."""
    lines = []
    for line in text.split("\n"):
        lines.append("")
        for piece in re.findall(r"[^\s,)]*[\s,)]*", line):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def wrap_title(text: str, width: int) -> str:
    """Break a title into lines of at most ``width`` characters, never before a percent sign."""
    return fill(str(text).replace(" %", "\N{NO-BREAK SPACE}%"), width)
