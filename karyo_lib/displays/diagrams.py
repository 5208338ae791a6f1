"""Boxes and arrows: the work flow (Fig 1.1) and the structure of the models (Figs 3.7, 4.13)."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from karyo_lib.displays.style import COLUMN_WIDTH, PALETTE, new_axes, new_grid, styled


@dataclass(frozen=True)
class Step:
    """A box of the flow chart: its text, its place (0..1) and who does it."""

    text: str
    x: float
    y: float
    by: str  # 'hand' | 'machine' | 'thing' | 'normal' | 'abnormal' | 'referred'


_HAND, _MACHINE = 0.2, 0.68
STEPS = {
    "metaphase hand": Step("Metaphase spread\nunder the microscope", _HAND, 0.88, "thing"),
    "karyotyping hand": Step("Karyotyping: cut out,\nclassify and pair\n46 chromosomes", _HAND, 0.69, "hand"),
    "karyogram hand": Step("Karyogram", _HAND, 0.52, "thing"),
    "inspection hand": Step("Every karyogram\nis inspected", _HAND, 0.36, "hand"),
    "result hand": Step("Result", _HAND, 0.09, "thing"),
    "metaphase": Step("Metaphase spread\nunder the microscope", _MACHINE, 0.88, "thing"),
    "karyotyping": Step("Karyotyping:\nsegment, classify,\npair", _MACHINE, 0.69, "machine"),
    "karyogram": Step("Karyogram", _MACHINE, 0.52, "thing"),
    "detection": Step("Abnormality detection\nwith a confidence score", _MACHINE, 0.36, "machine"),
    "cleared": Step("Normal and sure:\ncleared", 0.53, 0.09, "normal"),
    "inspection": Step("Abnormal or unsure:\ninspected by a specialist", 0.84, 0.09, "referred"),
}
ARROWS = (
    ("metaphase hand", "karyotyping hand"),
    ("karyotyping hand", "karyogram hand"),
    ("karyogram hand", "inspection hand"),
    ("inspection hand", "result hand"),
    ("metaphase", "karyotyping"),
    ("karyotyping", "karyogram"),
    ("karyogram", "detection"),
    ("detection", "cleared"),
    ("detection", "inspection"),
)
_FACES = {
    "thing": ("white", PALETTE["neutral"]),
    "hand": ("#EFEFEF", PALETTE["neutral"]),
    "machine": ("#DFF3EC", PALETTE["trained"]),
    "normal": ("#DCEBF5", PALETTE["normal"]),
    "referred": ("#FBEBCB", PALETTE["referred"]),
}


class FlowChartDisplay:
    """From the cell to the decision: the laboratory's work today, and with automation (Fig 1.1).

    Attributes
    ----------
    texts_ : dict of str to Text
        By key of ``STEPS``.
    arrows_ : dict of (str, str) to FancyArrowPatch
    ax_, figure_
    """

    @styled
    def plot(self, *, ax: Axes | None = None) -> "FlowChartDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=4.6)
        self.ax_.set(xlim=(0, 1.0), ylim=(0, 1.03))
        self.ax_.axis("off")
        self.texts_, self.arrows_ = {}, {}
        for key, step in STEPS.items():
            face, edge = _FACES[step.by]
            self.texts_[key] = self.ax_.text(
                step.x, step.y, step.text, ha="center", va="center", fontsize=8.5,
                bbox={"boxstyle": "round,pad=0.5", "facecolor": face, "edgecolor": edge, "linewidth": 1.2},
            )  # fmt: skip
        for x, title in ((_HAND, "Today, by hand"), (_MACHINE, "With automation")):
            self.ax_.text(x, 1.0, title, ha="center", va="center", fontweight="bold")
        self.figure_.draw_without_rendering()  # boxes have no size before
        for start, end in ARROWS:
            arrow = FancyArrowPatch(
                (STEPS[start].x, STEPS[start].y), (STEPS[end].x, STEPS[end].y), arrowstyle="-|>",
                mutation_scale=11,
                patchA=self.texts_[start].get_bbox_patch(), patchB=self.texts_[end].get_bbox_patch(),
                shrinkA=2, shrinkB=2, color=PALETTE["neutral"], linewidth=1.2, zorder=1,
            )  # fmt: skip
            self.arrows_[start, end] = self.ax_.add_patch(arrow)
        return self


_SHORT = {
    "BatchNormalization": "BatchNorm",
    "Pooling2D": "Pool",
    "Average": "Avg",
    "Concatenate": "Concat",
    " x ": " ",
}


def _shorten(layer_types: str) -> str:
    """Return ``'7 Conv2D, 7 BatchNorm, AvgPool'`` of Keras's class names, so that they fit into a box."""
    for long, short in _SHORT.items():
        layer_types = layer_types.replace(long, short)
    return layer_types


class StructureDisplay:
    """Blocks of a network as boxes in the order data flows; what is trained is green (Figs 3.7, 4.13).

    Parameters
    ----------
    structures : dict of str to DataFrame
        Title -> blocks with the columns ``block, layer_types, output_shape, parameters, trainable`` ('yes',
        'no' or '' for a block without weights), as ``karyo_lib.models.describe_structure`` gives them.

    Attributes
    ----------
    boxes_ : dict of (title, block) to FancyBboxPatch
    texts_ : dict of (title, block, 'name' | 'size' | 'layers') to Text
    axes_, figure_
    """

    def __init__(self, structures: dict[str, pd.DataFrame]):
        self.structures = structures

    @classmethod
    def from_blocks(
        cls, structures: pd.DataFrame | dict[str, pd.DataFrame], axes: Iterable[Axes] | None = None
    ) -> "StructureDisplay":
        """Draw one network, or several side by side; parameters as of the class."""
        if isinstance(structures, pd.DataFrame):
            structures = {"": structures}
        wanted = ["block", "layer_types", "output_shape", "parameters", "trainable"]
        for blocks in structures.values():
            missing = [column for column in wanted if column not in blocks.columns]
            if missing:
                raise ValueError(f"Expected the columns {wanted}. Received none named {missing}.")
        return cls(structures).plot(axes=axes)

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "StructureDisplay":
        """Draw on one axes a network, or on a new figure."""
        longest = max(len(blocks) for blocks in self.structures.values())
        n = len(self.structures)
        width = COLUMN_WIDTH if n == 1 else 3.6 * n
        self.figure_, grid = new_grid(axes, 1, n, height=0.4 * longest + 0.6, width=width)
        self.axes_, self.boxes_, self.texts_ = grid[0], {}, {}
        for ax, (title, blocks) in zip(self.axes_, self.structures.items(), strict=True):
            ax.set(xlim=(0, 1), ylim=(longest - 0.5, -0.6), title=title)
            ax.axis("off")
            for i, block in enumerate(blocks.itertuples()):
                trained, frozen = block.trainable == "yes", block.trainable == "no"
                face = "#BFE5D8" if trained else PALETTE["frozen"] if frozen else "white"
                box = FancyBboxPatch(
                    (0.02, i - 0.36), 0.96, 0.72, boxstyle="round,pad=0,rounding_size=0.02",
                    mutation_aspect=8,
                    facecolor=face, edgecolor=PALETTE["trained"] if trained else PALETTE["neutral"],
                    linewidth=1,
                )  # fmt: skip
                self.boxes_[title, block.block] = ax.add_patch(box)
                weights = f"{block.parameters:,} weights" if block.parameters else ""
                told = {
                    "name": (0.04, i - 0.14, "left", block.block, 7.5, "bold"),
                    "size": (
                        0.96,
                        i - 0.14,
                        "right",
                        " \N{MIDDLE DOT} ".join(filter(None, (block.output_shape, weights))),
                        7,
                        "normal",
                    ),
                    "layers": (0.04, i + 0.15, "left", _shorten(block.layer_types), 6.5, "normal"),
                }
                for what, (x, y, side, text, size, weight) in told.items():
                    drawn = ax.text(x, y, text, ha=side, va="center", fontsize=size, fontweight=weight)
                    drawn.set_in_layout(False)  # a long text must not squeeze the boxes
                    self.texts_[title, block.block, what] = drawn
                if i:
                    ax.annotate(
                        "", (0.5, i - 0.36), (0.5, i - 0.64),
                        arrowprops={"arrowstyle": "-|>", "color": PALETTE["neutral"], "shrinkA": 0,
                                    "shrinkB": 0},
                    )  # fmt: skip
        self.figure_.legend(
            handles=[
                Patch(facecolor="#BFE5D8", edgecolor=PALETTE["trained"], label="trained"),
                Patch(facecolor=PALETTE["frozen"], edgecolor=PALETTE["neutral"], label="frozen"),
                Patch(facecolor="white", edgecolor=PALETTE["neutral"], label="no weights"),
            ],
            loc="outside lower center",
            ncols=3,
        )
        return self
