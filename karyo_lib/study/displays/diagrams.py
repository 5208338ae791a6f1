"""Boxes and arrows (Figs 1.1, 3.7, 4.13), and grids of pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from karyo_lib.study.displays.style import COLUMN_WIDTH, PALETTE, Display, new_grid, wrap_caption, wrap_title

_LETTERS = 16  # to an inch, at 8 pt
_HAND, _MACHINE = 0.2, 0.68
STEPS = {  # name -> text, place (0..1) and who does it: a key of `_FACES`
    "metaphase hand": ("Metaphase spread\nunder the microscope", _HAND, 0.88, "thing"),
    "karyotyping hand": ("Karyotyping: cut out,\nclassify and pair\n46 chromosomes", _HAND, 0.69, "hand"),
    "karyogram hand": ("Karyogram", _HAND, 0.52, "thing"),
    "inspection hand": ("Every karyogram\nis inspected", _HAND, 0.36, "hand"),
    "result hand": ("Result", _HAND, 0.09, "thing"),
    "metaphase": ("Metaphase spread\nunder the microscope", _MACHINE, 0.88, "thing"),
    "karyotyping": ("Karyotyping:\nsegment, classify,\npair", _MACHINE, 0.69, "machine"),
    "karyogram": ("Karyogram", _MACHINE, 0.52, "thing"),
    "detection": ("Abnormality detection\nwith a confidence score", _MACHINE, 0.36, "machine"),
    "cleared": ("Normal and sure:\ncleared", 0.53, 0.09, "normal"),
    "inspection": ("Abnormal or unsure:\ninspected by a specialist", 0.84, 0.09, "referred"),
}
ARROWS = (
    *pairwise(list(STEPS)[:5]),
    *pairwise(("metaphase", "karyotyping", "karyogram", "detection", "cleared")),
    ("detection", "inspection"),
)
_FACES = {
    "thing": ("white", PALETTE["neutral"]),
    "hand": ("#EFEFEF", PALETTE["neutral"]),
    "machine": ("#DFF3EC", PALETTE["trained"]),
    "normal": ("#DCEBF5", PALETTE["normal"]),
    "referred": ("#FBEBCB", PALETTE["referred"]),
}


@dataclass(eq=False)
class ImageGridDisplay(Display, made="from_images"):
    """Grey images in a grid, each with a caption and a frame in the colour of its label."""

    images: Sequence[np.ndarray]  # sequence of ndarray of uint8, shape (H, W) or (H, W, 3)
    captions: Sequence[str]  # below each image, broken into lines where they are wider than it
    # ``normal``, ``abnormal`` or ``referred``: the colour of the frame; anything else is neutral.
    labels: Sequence[str] | None = None
    n_columns: int = 3

    def __post_init__(self) -> None:
        for name, given in (("captions", self.captions), ("labels", self.labels)):
            if given is not None and len(given) != len(self.images):
                raise ValueError(f"Expected {len(self.images)} {name}, one an image. Received {len(given)}.")
        if not len(self.images):
            raise ValueError("Expected at least one image. Received none.")
        self.n_columns = min(self.n_columns, len(self.images))

    def plot(self, ax=None) -> "ImageGridDisplay":
        """Draw on as many axes as the grid has places, or on a new figure."""
        n_rows = -(-len(self.images) // self.n_columns)
        side = COLUMN_WIDTH / self.n_columns
        shape = max(np.shape(image)[0] / np.shape(image)[1] for image in self.images)
        captions = [wrap_caption(caption, int(side * _LETTERS)) for caption in self.captions]
        lines = max(caption.count("\n") + 1 for caption in captions)
        height = n_rows * (side * shape + 0.17 * lines + 0.1)
        self.figure_, grid = new_grid(ax, n_rows, self.n_columns, height=height)
        self.axes_, self.captions_ = grid.ravel(), []
        for ax in self.axes_[len(self.images) :]:
            ax.axis("off")
        for i, ax in enumerate(self.axes_[: len(self.images)]):
            ax.imshow(self.images[i], cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            ax.grid(False)
            ax.set(xticks=[], yticks=[])
            colour = PALETTE.get(self.labels[i] if self.labels else "", PALETTE["neutral"])
            ax.spines[:].set(visible=True, color=colour, linewidth=1.5 if self.labels else 0.8)
            self.captions_.append(ax.set_xlabel(captions[i], color="black", fontsize=8))
        return self


class FlowChartDisplay(Display):
    """From the cell to the decision: the laboratory's work today, and with automation (Fig 1.1)."""

    def plot(self, ax: Axes | None = None) -> "FlowChartDisplay":
        self._open(ax, height=4.6)
        self.ax_.set(xlim=(0, 1.0), ylim=(0, 1.03))
        self.ax_.axis("off")
        self.texts_, self.arrows_ = {}, {}
        for key, (text, x, y, by) in STEPS.items():
            face, edge = _FACES[by]
            self.texts_[key] = self.ax_.text(
                x, y, text, ha="center", va="center", fontsize=8.5,
                bbox={"boxstyle": "round,pad=0.5", "facecolor": face, "edgecolor": edge, "linewidth": 1.2},
            )  # fmt: skip
        for x, title in ((_HAND, "Today, by hand"), (_MACHINE, "With automation")):
            self.ax_.text(x, 1.0, title, ha="center", va="center", fontweight="bold")
        self.figure_.draw_without_rendering()  # boxes have no size before
        for start, end in ARROWS:
            arrow = FancyArrowPatch(
                STEPS[start][1:3], STEPS[end][1:3], arrowstyle="-|>", mutation_scale=11,
                patchA=self.texts_[start].get_bbox_patch(), patchB=self.texts_[end].get_bbox_patch(),
                shrinkA=2, shrinkB=2, color=PALETTE["neutral"], linewidth=1.2, zorder=1,
            )  # fmt: skip
            self.arrows_[start, end] = self.ax_.add_patch(arrow)
        return self


_SHORT = {"BatchNormalization": "BatchNorm", "Pooling2D": "Pool", "Average": "Avg", "Concatenate": "Concat"}
_TRAINED = {  # by a block's ``trainable``: face, edge, and what the legend says
    "yes": ("#BFE5D8", PALETTE["trained"], "trained"),
    "no": (PALETTE["frozen"], PALETTE["neutral"], "frozen"),
    "": ("white", PALETTE["neutral"], "no weights"),
}
_MARK = 0.13  # width of a column of marks, as a share of the axes


@dataclass(eq=False)
class StructureDisplay(Display, made="from_blocks"):
    """Blocks of a network as boxes in the order data flows; what is trained is green (Figs 3.7, 4.13)."""

    # Title -> blocks as of ``networks.models.describe_structure``; several differ in what is trained alone:
    # the blocks are drawn once, with a column of marks for each.
    structures: dict[str, pd.DataFrame]

    def plot(self, ax: Axes | None = None) -> "StructureDisplay":
        blocks = next(iter(self.structures.values()))
        columns = len(self.structures) if len(self.structures) > 1 else 0
        self._open(ax, height=0.42 * len(blocks) + 0.7)
        self.boxes_, self.marks_, self.texts_ = {}, {}, {}
        self.ax_.set(xlim=(-0.005, 1.005), ylim=(len(blocks) - 0.5, -1.1 if columns else -0.6))
        self.ax_.axis("off")
        right = 1 - columns * _MARK
        for i, block in enumerate(blocks.itertuples()):
            if i:
                self.ax_.annotate(
                    "", (right / 2, i - 0.36), (right / 2, i - 0.64),
                    arrowprops={"arrowstyle": "-|>", "color": PALETTE["neutral"], "shrinkA": 0, "shrinkB": 0},
                )  # fmt: skip
            self.boxes_[block.block] = self._box(i, 0.0, right, "" if columns else block.trainable)
            weights = f"{block.parameters:,} weights" if block.parameters else ""
            size = "\n".join(filter(None, (block.output_shape, weights)))
            layers = block.layer_types.replace(" x ", " ")
            for long, short in _SHORT.items():  # Keras's names do not fit into a box
                layers = layers.replace(long, short)
            told = {
                "name": (0.015, i - 0.16, "left", block.block, "bold"),
                "size": (right - 0.015, i, "right", size, "normal"),
                "layers": (0.015, i + 0.17, "left", layers, "normal"),
            }
            for what, (x, y, side, text, weight) in told.items():
                drawn = self.ax_.text(x, y, text, ha=side, va="center", fontsize=7.5, fontweight=weight)
                drawn.set_in_layout(False)  # a long text must not squeeze the boxes
                self.texts_[block.block, what] = drawn
        for j, (title, trained) in enumerate(self.structures.items()):
            left = right + j * _MARK
            if not columns:
                self.marks_ = {(title, name): box for name, box in self.boxes_.items()}
                break
            self.ax_.text(left + _MARK / 2, -0.8, wrap_title(title, 11), ha="center", va="center", fontsize=8)
            for i, block in enumerate(trained.itertuples()):
                self.marks_[title, block.block] = self._box(i, left + 0.015, left + _MARK, block.trainable)
        self.figure_.legend(handles=[
            Patch(facecolor=face, edgecolor=edge, label=label) for face, edge, label in _TRAINED.values()
        ], loc="outside lower center", ncols=3)  # fmt: skip
        return self

    def _box(self, row: int, left: float, right: float, trainable: str) -> FancyBboxPatch:
        face, edge, _ = _TRAINED[trainable]
        box = FancyBboxPatch(
            (left, row - 0.38), right - left, 0.76, boxstyle="round,pad=0,rounding_size=0.01",
            mutation_aspect=8, facecolor=face, edgecolor=edge, linewidth=1,
        )  # fmt: skip
        return self.ax_.add_patch(box)
