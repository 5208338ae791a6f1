"""What is known of a case: its lines, its cells, and what is excluded."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from karyo_lib.iscn.clones import check_practice
from karyo_lib.read.cell_evidence import CellErrors

if TYPE_CHECKING:
    from karyo_lib.read.reading import Reading


@dataclass(frozen=True)
class CaseSettings:
    """What is believed of a case, and what is asked of it."""

    # {'constitutional', 'acquired'}; how the formula is written, and how often a case has more than one line.
    practice: str = "constitutional"
    p_abnormal: float = 0.1  # probability that a line has an abnormal number, before any cell is seen
    p_change: float = 1e-4  # that a line has one given structural change that the catalogue has not
    confidence: float = 0.95  # of what is excluded
    aim: float = 0.10  # share of cells to exclude, for which the further cells needed are told
    errors: CellErrors = field(default_factory=CellErrors)  # of the reader, and of the cells

    def __post_init__(self):
        check_practice(self.practice)
        for name in ("p_abnormal", "p_change", "confidence", "aim"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"Expected {name} between 0 and 1. Received {getattr(self, name)}.")


@dataclass(frozen=True)
class CaseLine:
    formula: str  # written in full
    cells: tuple[str, ...]  # names of the cells that belong to it
    share: float  # posterior mean of its share, and 95 % interval
    low: float
    high: float


@dataclass(frozen=True)
class CaseCell:
    name: str
    read: str  # count formula that fits the cell on its own
    line: str  # formula of its line; '' where it has none
    finding: tuple[str, ...]  # what it has beyond its line, or lacks: not clonal
    counted: bool  # whether it stands in the brackets of its line
    analysed: bool  # whether its bands were read
    excluded: str  # why it takes no part; '' where it does
    doubts: str = ""  # why a specialist must look at its picture, in the words of the worklist


@dataclass(frozen=True, eq=False)
class CellSource:
    """The picture that a cell was read from."""

    name: str  # file below the folder, with the page's number where the file has several
    # Uint8, shape (H, W), or None; None where the picture could not be opened.
    pixels: np.ndarray | None = None
    reading: "Reading | None" = None
    sha256: str = ""  # of the file
    reason: str = ""  # why it could not be opened; '' where it was


@dataclass(frozen=True)
class Exclusion:
    """What share of cells with another line is excluded."""

    cells: int  # cells that could be read
    confidence: float
    share: float  # from which on a line with one gain or loss more, whichever, is excluded; 1: none
    usual: float  # the same of half the gains and losses
    least: float  # and of one that no cell can be read with
    perfect: float  # the same for a reader without errors (Hook 1977)
    analysed: int  # cells whose bands were read
    # Gains and losses of which less is excluded than `least`, as cells may have them ('+8', '-X'): how many
    # cells were read with each beside their line, and from which share on it is excluded; the highest first.
    changes: tuple[tuple[str, int, float], ...]
    gains_found: float  # share that ISCN's rule of two cells, and of three, finds with this confidence
    losses_found: float
    aim: float
    # Further cells that would exclude `aim`, if as many can be read as were so far; None beyond a thousand.
    more: int | None

    def share_of(self, change: str) -> float:
        """Share from which on a line with this gain or loss ('+8', '-X') is excluded."""
        return next((share for text, _, share in self.changes if text == change), self.least)

    def __str__(self) -> str:
        return self.tell()

    def tell(self, what: str = "mosaicism") -> str:
        """What is excluded in words; ``what``: mosaicism, or further mosaicism where there is some."""
        if self.share > 0.995:
            half = f"; of half the gains and losses {100 * self.usual:.0f} % or more is" * (
                self.usual < 0.995
            )
            return f"{count_cells(self.cells)}: {what} is not excluded at any share{half}."
        half = f", of half the gains and losses {100 * self.usual:.0f} %" * (self.usual < self.share - 0.005)
        return (
            f"{count_cells(self.cells)}: {what} of {100 * self.share:.0f} % or more excluded at "
            f"{100 * self.confidence:.0f} %{half}."
        )


@dataclass(frozen=True, eq=False)
class Case:
    """A patient's cells, read together.

    Attributes
    ----------
    formula : str
        ISCN 2024.
    probability : float
        That these are the cell lines; NaN for a composite karyotype.
    p_abnormal : float
        Probability that the formula has an abnormal line.
    lines : tuple of CaseLine
        In the order of the formula.
    cells : tuple of CaseCell
    alternatives : pandas.DataFrame
        ``formula`` (lines without cell numbers) and ``probability``, the most probable first.
    exclusion : Exclusion
    notes : tuple of str
        What a specialist should know.
    settings : CaseSettings
    name : str
        Of the patient or the folder; may be ''.
    sources : tuple of CellSource
        The pictures, in the order of `cells`; empty where the case was composed without any.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> from PIL import Image
    >>> page = karyo.draw_karyogram("47,XX,+21", style="digital", size=None)
    >>> Image.fromarray(page.image).save("cell.png")
    >>> karyo.read_case(["cell.png"]).formula
    '47,XX,+21'
    """

    formula: str
    probability: float
    p_abnormal: float
    lines: tuple[CaseLine, ...]
    cells: tuple[CaseCell, ...]
    alternatives: pd.DataFrame
    exclusion: Exclusion
    notes: tuple[str, ...]
    settings: CaseSettings
    name: str = ""
    sources: tuple["CellSource", ...] = field(default=(), repr=False)

    @property
    def counted(self) -> int:
        """Cells in the brackets of the formula."""
        return sum(cell.counted for cell in self.cells)

    @property
    def single_findings(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Cells with a change that is not clonal, and those changes."""
        return tuple((cell.name, cell.finding) for cell in self.cells if cell.finding)

    def __str__(self) -> str:
        sure = "" if np.isnan(self.probability) else f" (probability {self.probability:.2f})"
        what = "further mosaicism" if len(self.lines) > 1 else "mosaicism"
        return f"{self.formula}{sure}. {self.exclusion.tell(what)}"


def count_cells(number: int) -> str:
    """'1 cell', '20 cells'."""
    return f"{number} cell{'' if number == 1 else 's'}"
