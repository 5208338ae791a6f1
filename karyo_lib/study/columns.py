"""The columns of a table that people read: their names in words, what they mean, and which are limits."""

from functools import cache
from typing import Any

import pandas as pd

from karyo_lib.resources import data_file

# How training and test were split, in words; files have the keys.
SPLIT_TITLES = {
    "thesis": "the thesis's",
    "grouped": "by patient",
    "shuffled-thesis": "the thesis's, labels at random",
    "shuffled-grouped": "by patient, labels at random",
}

# What the columns 'low' and 'high' may be the limits of, where a table has no 'x_low' and 'x_high'.
_ESTIMATES = ("value", "mean", "difference", "share", "share_right", "sensitivity", "rate")


def words(column: Any) -> str:
    """Return a column's name as it is read."""
    return str(column).replace("_", " ")


@cache
def _explanations() -> dict[str, str]:
    table = pd.read_csv(data_file("columns.csv"), dtype=str)
    return dict(zip(table["column"], table["explanation"], strict=True))


def explain(column: Any) -> str:
    """Return what a column means, where that is known, and what pressing its heading does."""
    told = _explanations().get(str(column), "")
    return f"{told}. Press to sort." if told else "Press to sort."


def find_limits(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return estimate -> columns of its limits: one cell on the page, three columns in the CSV."""
    pairs = {name: (f"{name}_low", f"{name}_high") for name in frame}
    names = list(frame)
    before = names[: names.index("low")] if "low" in names else []
    if estimates := [name for name in before if name in _ESTIMATES]:
        pairs[estimates[-1]] = ("low", "high")  # limits stand behind what they are limits of
    return {
        name: pair
        for name, pair in pairs.items()
        if all(end in frame and pd.api.types.is_numeric_dtype(frame[end]) for end in (name, *pair))
    }
