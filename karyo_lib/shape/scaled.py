"""Straightened chromosomes at constant scale: as many rows as they are long relative to their cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: ISCN units (relative optical length) in one row of a strip.
ROW_UNITS = 125.0
#: Length of an average cell's median chromosome in rows: 7950 ISCN units.
MEDIAN_ROWS = 7950 / ROW_UNITS
#: Longest strip in rows, columns of a strip, and the columns that a cell's median chromosome is wide.
MOST_ROWS, COLUMNS, WIDTH_COLUMNS = 160, 24, 14.0


@dataclass(frozen=True)
class ScaledStrips:
    """Straightened chromosomes of one cell, or of several."""

    # Uint8, shape (n, MOST_ROWS, COLUMNS); ink, 128 on average inside the chromosomes of a cell, upper end in
    # the first row; rows beyond a chromosome's end are 0.
    images: np.ndarray
    rows: np.ndarray  # int, shape (n,); how many rows each chromosome has

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Sequence[int] | np.ndarray) -> "ScaledStrips":
        """The chromosomes with these positions."""
        chosen = np.asarray(chosen, int)
        return ScaledStrips(self.images[chosen], self.rows[chosen])

    def turned(self, upside_down: np.ndarray) -> "ScaledStrips":
        """The same with some, bool (n,), turned end to end."""
        images = self.images.copy()
        for i in np.flatnonzero(upside_down):
            images[i, : self.rows[i]] = images[i, : self.rows[i]][::-1]
        return ScaledStrips(images, self.rows)

    @classmethod
    def join(cls, parts: Sequence["ScaledStrips"]) -> "ScaledStrips":
        """Chromosomes of several cells."""
        return cls(np.concatenate([p.images for p in parts]), np.concatenate([p.rows for p in parts]))
