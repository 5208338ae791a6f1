"""Pages with captions: karyograms by label, before and after, the images that were read wrongly."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from karyo_lib.study.displays.style import COLUMN_WIDTH, PALETTE, new_grid, styled, wrap_caption

_LETTERS = 16  # to an inch, at 8 pt


class ImageGridDisplay:
    """Grey images in a grid, each with a caption and a frame in the colour of its label.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W) or (H, W, 3)
    captions : sequence of str, optional
        Below each image, broken into lines where they are wider than it.
    labels : sequence of str, optional
        ``normal``, ``abnormal`` or ``referred``: the colour of the frame; anything else is neutral.
    n_columns : int
    title : str, optional

    Attributes
    ----------
    images_ : list of AxesImage
    captions_ : list of Text
    axes_, figure_
    """

    def __init__(
        self, images: Sequence[np.ndarray], captions: Sequence[str] | None = None, *,
        labels: Sequence[str] | None = None, n_columns: int = 3, title: str | None = None,
    ):  # fmt: skip
        for name, given in (("captions", captions), ("labels", labels)):
            if given is not None and len(given) != len(images):
                raise ValueError(f"Expected {len(images)} {name}, one an image. Received {len(given)}.")
        if not len(images):
            raise ValueError("Expected at least one image. Received none.")
        self.images, self.captions, self.labels = images, captions, labels
        self.n_columns, self.title = min(n_columns, len(images)), title

    @classmethod
    def from_images(
        cls, images: Sequence[np.ndarray], captions: Sequence[str] | None = None, *,
        labels: Sequence[str] | None = None, n_columns: int = 3, title: str | None = None,
        axes: Iterable[Axes] | None = None,
    ) -> "ImageGridDisplay":  # fmt: skip
        """Draw images; parameters as of the class."""
        return cls(images, captions, labels=labels, n_columns=n_columns, title=title).plot(axes=axes)

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "ImageGridDisplay":
        """Draw on as many axes as the grid has places, or on a new figure."""
        n_rows = -(-len(self.images) // self.n_columns)
        side = COLUMN_WIDTH / self.n_columns
        shape = max(np.shape(image)[0] / np.shape(image)[1] for image in self.images)
        captions = [wrap_caption(caption, int(side * _LETTERS)) for caption in self.captions or []]
        lines = max((caption.count("\n") + 1 for caption in captions), default=1)
        height = n_rows * (side * shape + 0.17 * lines + 0.1) + (0.3 if self.title else 0)
        self.figure_, grid = new_grid(axes, n_rows, self.n_columns, height=height)
        self.axes_, self.images_, self.captions_ = grid.ravel(), [], []
        for i, ax in enumerate(self.axes_):
            ax.grid(False)
            if i >= len(self.images):
                ax.axis("off")
                continue
            colour = PALETTE.get(self.labels[i], PALETTE["neutral"]) if self.labels else PALETTE["neutral"]
            self.images_.append(
                ax.imshow(self.images[i], cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            )
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=colour, linewidth=1.5 if self.labels else 0.8)
            caption = captions[i] if captions else ""
            self.captions_.append(ax.set_xlabel(caption, color="black", fontsize=8))
        if self.title:
            self.figure_.suptitle(self.title, fontsize=9, fontweight="bold")
        return self
