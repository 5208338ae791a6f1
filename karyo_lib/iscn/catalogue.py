"""The catalogue of abnormal karyotypes: formulae with their frequency and the size of the change. Columns and
references are explained in ``data/catalogue.md``; ``python -m karyo_lib.iscn`` computes those again that
follow from the formula."""

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.iscn.bands import load_bands
from karyo_lib.iscn.changes import GROUPS
from karyo_lib.iscn.karyotype import NORMAL_GROUPS, parse_karyotype
from karyo_lib.iscn.notation import read_cell_lines
from karyo_lib.resources import data_file
from karyo_lib.store import write_whole

CHROMOSOME_1_PIXELS = {"150": 24.5, "416": 68.0, "native": 170.0}
"""Length of chromosome 1, in pixels, on a drawn page of 150 x 150, 416 x 416, and a style's own size (about
1200 x 950): the mean over the lab styles of `karyo_lib.draw`."""

#: Groups whose formulae change the number of chromosomes.
NUMERICAL = ("trisomy", "monosomy", "sex-chromosome", "polyploidy")
GIVEN_COLUMNS = (
    "formula", "name", "origin", "visible", "relative_frequency", "basis", "frequency_source", "note",
)  # fmt: skip
COMPUTED_COLUMNS = ("group", "size_iscn", "size_mb", "pixels_150", "pixels_416", "pixels_native")


def load_catalogue() -> pd.DataFrame:
    """Read the catalogue.

    Returns
    -------
    pandas.DataFrame
        One row a formula; normal variants have the group 'variant', all others are abnormal. Columns
        `GIVEN_COLUMNS` then `COMPUTED_COLUMNS`:

        - ``formula``: ISCN, written for a woman where either sex can have it; in mosaics the first line is
          abnormal;
        - ``name``: syndrome or disease; ``origin``: 'constitutional' or 'acquired';
        - ``visible``: False where the true change is too small for banding, although the bands named are not;
        - ``relative_frequency``: per 100 000 people, at birth (constitutional) or in a lifetime (acquired);
        - ``basis``: 'published' (the source gives the rate), 'derived' (a published rate times a published
          share, or shared out over examples) or 'estimate' (order of magnitude only); ``frequency_source``,
          ``note``;
        - ``group``: one of `karyo_lib.iscn.changes.GROUPS`;
        - ``size_iscn``, ``size_mb``, ``pixels_150``, ``pixels_416``, ``pixels_native``: size of the change,
          see `describe_change`; ``size_mb`` is missing where material is of unknown origin.

    Examples
    --------
    >>> table = load_catalogue()
    >>> table.loc[table["formula"] == "47,XX,+21", "group"].item()
    'trisomy'
    """
    return _read().copy()


def describe_change(formula: str) -> dict[str, object]:
    """Columns that follow from a formula (of a mosaic, its first line): group, and size of the karyotype
    against the normal one: what was lost and gained together or, where that is more, moved."""
    karyotype = parse_karyotype(formula)
    size = karyotype.size()
    units = load_bands().length("1")
    pixels = {f"pixels_{page}": size.units * length / units for page, length in CHROMOSOME_1_PIXELS.items()}
    sizes = {"size_iscn": size.units, "size_mb": size.megabases, **pixels}
    return {"group": karyotype.group, **{name: round(value, 1) for name, value in sizes.items()}}


def sample_formulae(n: int, rng: np.random.Generator, groups: Collection[str] | None = None) -> list[str]:
    """Draw ``n`` abnormal karyotypes of single cells by their relative frequency, of some of `GROUPS` or all.
    Of a mosaic the abnormal line; where either sex can have a change, XX and XY are equally likely. Changes
    that banding does not show are left out: a lab reports those karyograms as normal."""
    catalogue = _read()
    catalogue = catalogue[~catalogue["group"].isin(NORMAL_GROUPS) & catalogue["visible"]]
    known = [group for group in GROUPS if group in set(catalogue["group"])]
    groups = set(known) if groups is None else set(groups)
    if not groups or not groups <= set(known):
        received = sorted(groups - set(known)) or "none"
        raise ValueError(f"Expected groups among {', '.join(known)}. Received {received}.")
    catalogue = catalogue[catalogue["group"].isin(groups)]
    weights = catalogue["relative_frequency"].to_numpy(float)
    rows = rng.choice(len(catalogue), size=n, p=weights / weights.sum())
    male = rng.random(n) < 0.5
    formulae = catalogue["formula"].to_numpy()
    return [_single_cell(formulae[row], make_male) for row, make_male in zip(rows, male, strict=True)]


def formula_frequencies(groups: Collection[str]) -> list[tuple[str, float]]:
    """Formulae as `sample_formulae` gives them, and the relative frequency of each, for women and for men."""
    catalogue = _read()
    chosen = catalogue[catalogue["group"].isin(set(groups))]
    return [
        (_single_cell(formula, male), frequency / 2)
        for formula, frequency in zip(chosen["formula"], chosen["relative_frequency"], strict=True)
        for male in (False, True)
    ]


def write_catalogue() -> Path:
    """Compute the computed columns again and write the catalogue."""
    path = data_file("catalogue.csv")
    given = pd.read_csv(path, keep_default_na=False)[list(GIVEN_COLUMNS)]
    computed = pd.DataFrame([describe_change(formula) for formula in given["formula"]])
    table = pd.concat([given, computed[list(COMPUTED_COLUMNS)]], axis=1)
    write_whole(path, table.to_csv(index=False))
    _read.cache_clear()
    return path


@lru_cache
def _read() -> pd.DataFrame:
    catalogue = pd.read_csv(data_file("catalogue.csv"), keep_default_na=False, na_values={"size_mb": [""]})
    return catalogue.astype({"visible": bool, "relative_frequency": float})


def _single_cell(formula: str, male: bool) -> str:
    """The abnormal cell line of a catalogue entry, for a man if it can be and is asked for."""
    line = read_cell_lines(formula)[0]
    gonosomal = any(name in ("X", "Y") for part in line.parts for name in part.chromosomes)
    return (replace(line, sex="XY") if male and line.sex == "XX" and not gonosomal else line).formula
