"""Two readers on the same pages: is the new one better, or is that not shown?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from karyo_lib.files.images import read_image
from karyo_lib.iscn import parse_karyotype
from karyo_lib.read.train.trials import patient_part


class _Reads(Protocol):
    def read(self, image: np.ndarray): ...


@dataclass(frozen=True)
class Versus:
    """What two readers made of the same pages."""

    pages: pd.DataFrame  # ``file, case, truth, old, new`` (count formulae), ``old_right, new_right`` (bool)
    # Share of pages read exactly right, new less old, each patient weighed alike, with its 95 % interval:
    # exact (Clopper-Pearson) over the patients on whom the readers differ. The interval is NaN where they
    # differ on none.
    difference: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the new reader is shown to be better: the whole interval lies above zero."""
        return bool(self.low > 0)

    def __str__(self) -> str:
        """The verdict in two lines."""
        n, old, new = len(self.pages), int(self.pages["old_right"].sum()), int(self.pages["new_right"].sum())
        said = f"{n} pages of {self.pages['case'].nunique()} patients read right: old {old}, new {new}.\n"
        if np.isnan(self.low):
            return said + "The readers differ on no patient: nothing is shown."
        limits = f"95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        span = f"{100 * self.difference:+.1f} points a patient ({limits})"
        if self.better:
            return said + f"The new reader is better: {span}."
        if self.high < 0:
            return said + f"The new reader is worse: {span}."
        return said + f"It is not shown that the new reader is better: {span}; the interval holds zero."


def list_held_out(folder: Path, part: str = "test") -> pd.DataFrame:
    """List the labelled pages of a folder that no reader was trained on.

    ``folder``: with ``index.csv``: ``file, truth`` (formula), and ``case`` (patient) where known. Rows whose
    ``confidence`` is 'unsure' are left out. ``part`` ({'test', 'all'}): only patients that `karyo reader
    train --bank` keeps aside; or all, where none was trained on. Raises ValueError if the table is missing,
    or no page is left.
    """
    path = Path(folder) / "index.csv"
    if part not in ("test", "all"):
        raise ValueError(f"Expected the part test or all. Received {part!r}.")
    if not path.is_file():
        raise ValueError(f"Expected a folder with index.csv. Received {Path(folder).name!r} without it.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"file", "truth"} <= set(table.columns):
        raise ValueError(
            f"Expected columns file and truth in index.csv. Received {', '.join(table.columns)}."
        )
    if "confidence" in table:
        table = table[table["confidence"] != "unsure"]
    table = table.assign(case=table["case"] if "case" in table else table["file"])
    root = Path(folder).resolve()
    outside = [file for file in table["file"] if not (root / file).resolve().is_relative_to(root)]
    if outside:
        raise ValueError(f"Expected files below the folder in index.csv. Received {outside[0]!r}.")
    if part == "test":
        table = table[table["case"].map(patient_part) == "test"]
    if table.empty:
        raise ValueError(
            "Expected pages of patients kept aside from training (a fifth, by their name). Received none: "
            "sign more cells, or give --part all for pages that were never trained on."
        )
    return table[["file", "case", "truth"]].reset_index(drop=True)


def compare_readers(old: _Reads, new: _Reads, pages: pd.DataFrame, images: Iterable[np.ndarray]) -> Versus:
    """Read each page with both readers.

    ``pages``: ``file, case, truth``, from :func:`list_held_out`; ``images`` (iterable of ndarray of uint8):
    of the pages, in that order.
    """
    read = [(old.read(image).formula, new.read(image).formula) for image in images]
    table = pages.assign(old=[a for a, _ in read], new=[b for _, b in read])
    truth = table["truth"].map(lambda formula: parse_karyotype(formula).count_formula)
    table = table.assign(old_right=table["old"] == truth, new_right=table["new"] == truth)
    gain = table["new_right"].astype(int) - table["old_right"].astype(int)
    each = gain.groupby(table["case"]).mean()
    won, differ = int((each > 0).sum()), int((each != 0).sum())
    if not differ:
        return Versus(table, 0.0, float("nan"), float("nan"))
    limits = binomtest(won, differ).proportion_ci(0.95, method="exact")
    size = float(each.abs().sum()) / len(each)  # what a difference in all of them would be worth
    low, high = ((2 * limit - 1) * size for limit in (limits.low, limits.high))
    return Versus(table, float(each.mean()), float(low), float(high))


def open_pages(folder: Path, pages: pd.DataFrame) -> Iterator[np.ndarray]:
    """Read the images of listed pages one by one."""
    for file in pages["file"]:
        yield read_image(Path(folder) / file)
