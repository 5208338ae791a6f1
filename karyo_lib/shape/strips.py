"""The chromosomes of a cell as arrays a network can read: straight strips, and sizes relative to the cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from karyo_lib.shape.centreline import chromosome_mask
from karyo_lib.shape.straighten import (
    CHROMOSOME_WIDTH,
    STRIP_LENGTH,
    STRIP_WIDTH,
    mask_width,
    straighten,
)

CLASSES = (*(str(i) for i in range(1, 23)), "X", "Y")
#: Label of a training object that is no single, whole chromosome: the finder left two in one, or broke one.
NOT_SINGLE = "not single"
#: log of length, area, width and mean ink of a chromosome relative to the cell's median.
SIZE_COLUMNS = ("log_length", "log_area", "log_width", "log_ink")
#: Mean ink to which the chromosomes of every cell are brought.
_MEAN_INK = 0.5


@dataclass(frozen=True)
class Strips:
    """Straightened chromosomes, usually of one cell."""

    # Float32, shape (n, STRIP_LENGTH, STRIP_WIDTH); ink, on average 0.5 inside the chromosomes of a cell;
    # upper end first.
    images: np.ndarray
    sizes: np.ndarray  # float32, shape (n, len(SIZE_COLUMNS)); relative to the cell's median chromosome
    lengths: np.ndarray  # float32, shape (n,); in pixels of the page
    # Tuple of ndarray, each of shape (k, 2); (row, column) in each cut-out.
    centrelines: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Strips":
        """The chromosomes with these positions."""
        rows = np.asarray(rows, int)
        return Strips(
            self.images[rows], self.sizes[rows], self.lengths[rows], tuple(self.centrelines[i] for i in rows)
        )

    def turned(self, upside_down: np.ndarray) -> "Strips":
        """The same with some, bool (n,), turned end to end; centrelines stay as they are."""
        images = np.where(upside_down[:, None, None], self.images[:, ::-1], self.images)
        return replace(self, images=images)


def straighten_cell(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None = None,
    reference: Sequence[int] | np.ndarray | None = None,
) -> Strips:
    """Straighten the chromosomes of one cell and relate their sizes to each other.

    ``images`` (sequence of ndarray of uint8, each of shape (H, W)): cut-outs on white, all at the same scale;
    ``masks`` (sequence of ndarray of bool): where each chromosome is; by default the largest inked object of
    each cut-out; ``reference`` (sequence of int): positions of the objects that define the cell's medians;
    all by default.
    """
    if len(images) == 0:
        return Strips(
            np.zeros((0, STRIP_LENGTH, STRIP_WIDTH), np.float32),
            np.zeros((0, len(SIZE_COLUMNS)), np.float32),
            np.zeros(0, np.float32),
            (),
        )
    masks = [chromosome_mask(image) for image in images] if masks is None else masks
    reference = np.arange(len(images)) if reference is None else np.asarray(reference, int)
    width = float(np.median([mask_width(masks[i]) for i in reference]))
    strips = [
        straighten(image, mask, scale=width / CHROMOSOME_WIDTH)
        for image, mask in zip(images, masks, strict=True)
    ]
    ink = np.array([s.image[s.image > 0.02].mean() if (s.image > 0.02).any() else 0.02 for s in strips])
    raw = np.log(np.maximum([[s.length, s.area, s.width, k] for s, k in zip(strips, ink, strict=True)], 1e-3))
    sizes = raw - np.median(raw[reference], axis=0)
    level = _MEAN_INK / float(np.median(ink[reference]))
    return Strips(
        np.stack([s.image for s in strips]) * np.float32(level),
        sizes.astype(np.float32),
        np.array([s.length for s in strips], np.float32),
        tuple(s.centreline for s in strips),
    )


@dataclass(frozen=True)
class LabelledStrips:
    """Chromosomes of known class."""

    strips: Strips
    names: np.ndarray  # str, shape (n,)
    cells: np.ndarray  # shape (n,); which cell each is from

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> "LabelledStrips":
        """The chromosomes with these positions."""
        return LabelledStrips(self.strips.take(rows), self.names[rows], self.cells[rows])


def join_cells(cells: Iterable[tuple[str, tuple[Strips, np.ndarray]]]) -> LabelledStrips:
    """Chromosomes of several cells, given as (cell, (strips, names)); sizes stay relative to each cell."""
    keys, parts = zip(*cells, strict=True)
    strips = [s for s, _ in parts]
    return LabelledStrips(
        Strips(
            np.concatenate([s.images for s in strips]),
            np.concatenate([s.sizes for s in strips]),
            np.concatenate([s.lengths for s in strips]),
            tuple(line for s in strips for line in s.centrelines),
        ),
        np.concatenate([names for _, names in parts]),
        np.repeat(np.array(keys), [len(names) for _, names in parts]),
    )
