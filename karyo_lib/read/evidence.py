"""A reading to look at: the page with boxes and names."""

import io
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from karyo_lib.resources import NOTICE

if TYPE_CHECKING:
    from karyo_lib.read.reading import Reading

# The colours of `karyo_lib.study.displays.style`, which stands above this room.
NORMAL, ABNORMAL, REFERRED, NEUTRAL = "#0072B2", "#D55E00", "#E69F00", "#595959"
UPSIDE_DOWN = "\N{UP DOWN ARROW}"
_MARKS = {"?": "doubtful", UPSIDE_DOWN: "lies upside down"}
_HALO = [withStroke(linewidth=2, foreground="white")]  # for pages that are dark


def find_odd(reading: "Reading") -> np.ndarray:
    """Which objects speak for abnormal: of a class with an odd count, or changed; bool (n,)."""
    names = reading.chromosomes["chromosome"]
    counts = names[names != ""].value_counts()
    usual = {"X": 1, "Y": 1} if "Y" in counts else {}
    odd = [name for name, count in counts.items() if count != usual.get(name, 2)]
    changed = {i for objects in reading.structure["objects"] for i in objects}
    by_count = names.isin(odd).to_numpy() & (reading.p_count > 0.5)
    return by_count | np.isin(np.arange(len(names)), list(changed))


class ReadingDisplay:
    """The page (uint8 (H, W)) with every object's box (``boxes_``) and class (``names_``)."""

    def __init__(self, image: np.ndarray, reading: "Reading"):
        self.image, self.reading = image, reading

    @classmethod
    def from_reading(
        cls, image: np.ndarray, reading: "Reading", *, ax: Axes | None = None
    ) -> "ReadingDisplay":
        """Draw what was read from ``image``."""
        return cls(image, reading).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> "ReadingDisplay":
        """Draw: blue; amber and dashed where doubtful; vermillion for odd counts and pairs."""
        if ax is None:
            high = 7.2 * self.image.shape[0] / self.image.shape[1]
            ax = plt.subplots(figsize=(7.2, high + 0.5), layout="constrained")[1]
        ax.imshow(self.image, cmap="gray", vmin=0, vmax=255)
        self.figure_, self.ax_, self.boxes_, self.names_ = ax.figure, ax, [], []
        for row, strange in zip(self.reading.chromosomes.itertuples(), find_odd(self.reading), strict=True):
            colour = ABNORMAL if strange else REFERRED if row.doubtful else NORMAL
            line = {"edgecolor": colour, "linewidth": 1.4 if strange or row.doubtful else 0.8}
            line["linestyle"] = "--" if row.doubtful else "-"
            box = Rectangle((row.x0, row.y0), row.x1 - row.x0, row.y1 - row.y0, fill=False, **line)
            box.set_path_effects(_HALO)
            self.boxes_.append(ax.add_patch(box))
            name = row.chromosome or "not one"
            upside_down = row.upside_down and self.reading.kind == "karyogram"  # of a metaphase half are
            name += "?" * row.doubtful + f" {UPSIDE_DOWN}" * upside_down
            at = (row.x0 + row.x1) / 2, row.y0 - 1
            text = ax.text(*at, name, color=colour, fontsize=7, ha="center", va="bottom", clip_on=True)
            text.set_path_effects(_HALO)
            self.names_.append(text)
        title = f"{self.reading.formula}   probability of abnormal {self.reading.p_abnormal:.2f}"
        reason = self.reading.refer_reason
        ax.set_title(title + (f"\nRefer: {reason}" if reason else ""), fontsize=9, loc="left", wrap=True)
        if len(self.boxes_):  # names over the top row stay off the title
            top = min(box.get_y() for box in self.boxes_) - 0.035 * self.image.shape[0]
            ax.set_ylim(top=min(top, ax.get_ylim()[1]))
        ax.set_axis_off()
        return self


def picture_of(reading: "Reading", kind: str = "png") -> bytes:
    """The page that a reading holds, with boxes and names, as a PNG, or a JPEG."""
    high = 7.2 * reading.page.shape[0] / reading.page.shape[1]
    figure = Figure(figsize=(7.2, high + 0.85), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)  # apart from the figures of a notebook
    display = ReadingDisplay.from_reading(reading.page, reading, ax=figure.subplots())
    names = "".join(text.get_text() for text in display.names_)
    marks = [f"{mark} {what}. " for mark, what in _MARKS.items() if mark in names]
    stream = io.BytesIO()
    figure.supxlabel("".join([*marks, NOTICE]), fontsize=7, x=0.01, ha="left", color=NEUTRAL)
    figure.savefig(stream, format=kind, metadata={"Software": None} if kind == "png" else None)
    return stream.getvalue()
