"""Pages with captions: karyograms by label, before and after, the images that were read wrongly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karyo_lib.study.displays.style import COLUMN_WIDTH, PALETTE, Display, new_grid, wrap_caption

_LETTERS = 16  # to an inch, at 8 pt


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
