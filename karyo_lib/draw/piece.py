"""One chromosome ready to be laid on a page: its ink and the landmarks that the truth table needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Ink below this share is a blurred fringe rather than chromosome.
INK_THRESHOLD = 0.1


@dataclass(frozen=True, eq=False)
class Piece:
    """A chromosome on its own patch.

    Parameters
    ----------
    ink : ndarray of float32, shape (H, W)
        0 paper to 1 black.
    chromosome, name, slot : str
        Class, ISCN name, slot of the page.
    copy : int
        1 for the first chromosome of its slot, then 2 ...
    abnormal : bool
    centromeres : ndarray, shape (n, 2)
        x, y in the patch.
    bands : tuple of (source, band) pairs
        Chromosome that the material comes from, band name.
    band_ends : ndarray, shape (len(bands), 4)
        x, y where each band begins and x, y where it ends, on the axis.
    changes : ndarray, shape (n, 4)
        Boxes x0, y0, x1, y1 of the changed regions, in the patch.
    length : float
        Length of the axis in pixels.
    angle : float
        Lean of the line from end to end in degrees, clockwise positive, modulo 180.
    polarity : int
        1 p arm up, -1 q arm up.
    """

    ink: np.ndarray
    chromosome: str
    name: str
    slot: str
    copy: int
    abnormal: bool
    centromeres: np.ndarray
    bands: tuple[tuple[str, str], ...]
    band_ends: np.ndarray
    changes: np.ndarray
    length: float
    angle: float
    polarity: int = 1

    @cached_property
    def _mask(self) -> np.ndarray:
        return self.ink > INK_THRESHOLD

    @cached_property
    def ink_box(self) -> tuple[int, int, int, int]:
        """Box x0, y0, x1, y1 of the ink in the patch (x1, y1 exclusive)."""
        columns, rows = np.flatnonzero(self._mask.any(0)), np.flatnonzero(self._mask.any(1))
        if not len(rows):
            return 0, 0, self.ink.shape[1], self.ink.shape[0]
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @property
    def ink_top(self) -> int:
        return self.ink_box[1]

    @property
    def ink_bottom(self) -> int:
        return self.ink_box[3]

    @property
    def ink_height(self) -> int:
        return self.ink_box[3] - self.ink_box[1]

    @cached_property
    def left_outline(self) -> np.ndarray:
        """First inked column of every row; far to the right where a row is blank."""
        return np.where(self._mask.any(1), self._mask.argmax(1), 10_000)

    @cached_property
    def right_outline(self) -> np.ndarray:
        """Column after the last inked one of every row; far to the left where a row is blank."""
        width = self.ink.shape[1]
        return np.where(self._mask.any(1), width - self._mask[:, ::-1].argmax(1), -10_000)
