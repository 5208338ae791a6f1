"""The alpha-dataset made by recipe: karyograms drawn from band tables, or composed from real chromosomes."""

import functools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import karyo_lib.draw
import karyo_lib.iscn
from karyo_lib.draw import STYLES, compose_karyogram, draw_karyogram
from karyo_lib.files.bank import CHROMOSOME_CLASSES, ChromosomeBank
from karyo_lib.files.index import INDEX_COLUMNS
from karyo_lib.files.pages import make_pages, source_digest
from karyo_lib.iscn import GROUPS, NORMAL_GROUPS, parse_karyotype, sample_formulae
from karyo_lib.iscn.catalogue import NUMERICAL

RECIPE_COLUMNS = (*INDEX_COLUMNS, "style", "group", "seed")
NORMAL_FORMULAE = ("46,XX", "46,XY")
G_BANDED = tuple(
    name for name, style in STYLES.items() if style.look.stain == "G" and not style.artefacts.negative
)
REAL_ANEUPLOID = "real-aneuploid"
# Real aneuploid cells serve as an external test: they may not use up the abnormal pages of a small set.
REAL_ANEUPLOID_SHARE = 0.3


@dataclass(frozen=True)
class AlphaRecipe:
    """What a data set holds; the default is the thesis's alpha-dataset (section 3.1).

    Attributes
    ----------
    normal, abnormal : int
        Karyograms of each label.
    size : (int, int)
        Width and height in pixels.
    seed : int
    level : int
        Bands of the drawn chromosomes: 400, 550 or 850.
    styles : tuple of str
        Lab styles, each equally likely on pages of both labels; empty for all with G bands on white.
    abnormal_styles : tuple of str
        Lab styles of abnormal pages where they shall differ: makes the style a shortcut to the label, to
        measure what that does. Empty for the same as `styles`.
    annotate_abnormal : bool
        Print arrows, boxes and titles on abnormal pages, as on the internet: a shortcut too. Otherwise no
        page has any.
    groups : {'all', 'numerical'} or tuple of str
        Which abnormalities of the catalogue occur, by their relative frequencies; a tuple names groups.
    """

    normal: int = 105
    abnormal: int = 41
    size: tuple[int, int] = (416, 416)
    seed: int = 2020
    level: int = 550
    styles: tuple[str, ...] = ()
    abnormal_styles: tuple[str, ...] = ()
    annotate_abnormal: bool = False
    groups: str | tuple[str, ...] = "all"

    def __post_init__(self):
        for name in ("normal", "abnormal", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"Expected {name} to be 0 or more. Received {getattr(self, name)}.")
        for style in (*self.styles, *self.abnormal_styles):
            if style not in STYLES:
                raise ValueError(f"Expected styles among {', '.join(STYLES)}. Received {style!r}.")
        abnormal = tuple(group for group in GROUPS if group not in NORMAL_GROUPS)
        known = ("all", "numerical") if isinstance(self.groups, str) else abnormal
        for group in (self.groups,) if isinstance(self.groups, str) else self.groups:
            if group not in known:
                raise ValueError(f"Expected groups among {', '.join(known)}. Received {group!r}.")

    def styles_of(self, label: str) -> tuple[str, ...]:
        """Return the styles that pages of a label are drawn from."""
        own = self.abnormal_styles if label == "abnormal" else ()
        return own or self.styles or G_BANDED

    def catalogue_groups(self) -> tuple[str, ...] | None:
        """Return the groups of the catalogue that occur; None for all."""
        return {"all": None, "numerical": NUMERICAL}.get(self.groups, self.groups)


def draw_dataset(
    recipe: AlphaRecipe, out_dir: str | os.PathLike, *, progress: bool = True, n_jobs: int = 1
) -> pd.DataFrame:
    """Draw a data set from the band tables.

    Finished pages are kept, so an interrupted call resumes; pages of another recipe or an older drawing code
    are made again.

    Parameters
    ----------
    recipe : AlphaRecipe
    out_dir : str or os.PathLike
        PNG files are written here, whole or not at all.
    progress : bool
    n_jobs : int
        Processes.

    Returns
    -------
    pandas.DataFrame
        Columns `RECIPE_COLUMNS`, one row a page: the index columns, ``style``, ``group`` of the abnormality
        and ``seed``, with which `karyo_lib.draw.draw_karyogram` gives the page again with its truth. Neither
        id nor order tells the label.
    """
    plan = _plan(recipe, "drawn", _draw_formulae(recipe))
    plan["patient_id"], plan["source"] = plan["image_id"], "drawn"
    jobs = [
        _job(recipe, row, "", functools.partial(_draw_page, recipe, row.iscn)) for row in plan.itertuples()
    ]
    return _write(plan, jobs, out_dir, "Drawing karyograms", progress, n_jobs)


def compose_dataset(
    recipe: AlphaRecipe,
    bank: ChromosomeBank,
    out_dir: str | os.PathLike,
    *,
    progress: bool = True,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Compose a data set from real chromosomes.

    A normal page shows one normal cell. Abnormal pages show the bank's aneuploid cells as they are
    (``source`` 'real-aneuploid', up to 30 % of the abnormal pages), and normal cells changed to a formula of
    the catalogue. No cell serves twice. What a change adds comes from a patient who appears nowhere else, so
    splitting by ``patient_id`` keeps every real chromosome in one part.

    Parameters
    ----------
    recipe : AlphaRecipe
    bank : ChromosomeBank
    out_dir : str or os.PathLike
    progress : bool
    n_jobs : int
        Processes.

    Returns
    -------
    pandas.DataFrame
        As `draw_dataset`, with ``patient_id`` the bank's case, ``source`` 'composed' or 'real-aneuploid', and
        ``cell`` and ``donor``, the cells that a page is made from (several donors with a space between).

    Raises
    ------
    ValueError
        If the bank has too few cells or patients.
    """
    plan = _plan(recipe, "composed", _choose_cells(recipe, bank))
    jobs = [
        _job(recipe, row, f"{bank.digest} {row.cell} {row.donor}",
             functools.partial(_compose_page, recipe, bank, row.iscn if row.source == "composed" else None,
                               row.cell, row.donor))
        for row in plan.itertuples()
    ]  # fmt: skip
    return _write(plan, jobs, out_dir, "Composing karyograms", progress, n_jobs)


def _draw_formulae(recipe: AlphaRecipe) -> pd.DataFrame:
    rng = np.random.default_rng([recipe.seed, 1])
    normal = rng.choice(NORMAL_FORMULAE, recipe.normal)
    abnormal = sample_formulae(recipe.abnormal, rng, groups=recipe.catalogue_groups())
    labels = ["normal"] * recipe.normal + ["abnormal"] * recipe.abnormal
    return pd.DataFrame({"iscn": [*normal, *abnormal], "label": labels}, dtype=str)


def _plan(recipe: AlphaRecipe, source: str, pages: pd.DataFrame) -> pd.DataFrame:
    """Give pages their order, id, style and seed, none of which depends on the label."""
    rng = np.random.default_rng([recipe.seed, 0])
    pages = pages.iloc[rng.permutation(len(pages))].reset_index(drop=True)
    width = max(4, len(str(len(pages))))
    numbers = range(1, len(pages) + 1)
    ids = [f"{source}-{number:0{width}d}" for number in numbers]
    draws = rng.random(len(pages))
    choices = [recipe.styles_of(label) for label in pages["label"]]
    return pages.assign(
        image_id=ids,
        path=[f"{image_id}.png" for image_id in ids],
        style=[names[int(draw * len(names))] for names, draw in zip(choices, draws, strict=True)],
        group=[parse_karyotype(formula, level=recipe.level).group for formula in pages["iscn"]],
        seed=[int(np.random.SeedSequence([recipe.seed, number]).generate_state(1)[0]) for number in numbers],
    )


def _job(recipe: AlphaRecipe, row, made_from: str, make: Callable) -> tuple[str, str, Callable]:
    annotate = recipe.annotate_abnormal and row.label == "abnormal"
    look = {"style": row.style, "seed": row.seed, "size": recipe.size, "annotate": annotate}
    key = f"{_code()} {recipe.level} {row.iscn} {look} {made_from}"
    return row.path, key, functools.partial(make, look)


@functools.cache
def _code() -> str:
    return source_digest(karyo_lib.draw, karyo_lib.iscn)


def _draw_page(recipe: AlphaRecipe, formula: str, look: dict) -> np.ndarray:
    return draw_karyogram(formula, level=recipe.level, **look).image


def _compose_page(
    recipe: AlphaRecipe, bank: ChromosomeBank, formula: str | None, cell: str, donor: str, look: dict
) -> np.ndarray:
    donors = [cutout for name in donor.split() for cutout in bank.cutouts(name)]
    return compose_karyogram(formula, bank.cutouts(cell), donors, level=recipe.level, **look).image


def _write(
    plan: pd.DataFrame, jobs: list, out_dir: str | os.PathLike, title: str, progress: bool, n_jobs: int
) -> pd.DataFrame:
    plan["sha256"] = make_pages(jobs, out_dir, title=title, progress=progress, n_jobs=n_jobs)
    extra = [column for column in ("cell", "donor") if column in plan]
    return plan[[*RECIPE_COLUMNS, *extra]]


def _choose_cells(recipe: AlphaRecipe, bank: ChromosomeBank) -> pd.DataFrame:
    """Choose the cell of every page and, for changed ones, a donor."""
    rng = np.random.default_rng([recipe.seed, 2])
    cells = bank.cells.iloc[rng.permutation(len(bank))]
    real = cells[cells["label"] == "abnormal"].head(int(REAL_ANEUPLOID_SHARE * recipe.abnormal))
    unused = cells[cells["label"] == "normal"]
    normal, unused = unused.iloc[: recipe.normal], unused.iloc[recipe.normal :]
    changed = recipe.abnormal - len(real)
    if len(unused) < changed:
        raise ValueError(
            f"Expected a bank with at least {recipe.normal + changed} normal cells for {recipe.normal} "
            f"normal and {changed} changed pages. Received {len(unused) + len(normal)}; ask for fewer."
        )
    formulae = sample_formulae(changed, rng, groups=recipe.catalogue_groups())
    rows = [
        _rows(normal, "normal", "composed"),
        _rows(real, "abnormal", REAL_ANEUPLOID),
        _change_cells(formulae, unused, set(normal["case"]) | set(real["case"])),
    ]
    return pd.concat(rows, ignore_index=True)


def _rows(cells: pd.DataFrame, label: str, source: str) -> pd.DataFrame:
    columns = {"iscn": cells["count_formula"], "patient_id": cells["case"], "cell": cells["cell"]}
    return pd.DataFrame(columns).assign(label=label, source=source, donor="")


def _change_cells(formulae: list[str], unused: pd.DataFrame, seen: set[str]) -> pd.DataFrame:
    """Find each formula a cell of fitting sex and, for what it gains, patients who appear nowhere else."""
    waiting = unused.to_dict("records")
    needed = [_count_chromosomes(formula) for formula in formulae]
    rows, donors = [], []
    for formula, need in zip(formulae, needed, strict=True):
        wanted = ("46,XY",) if need["Y"] else ("46,XX",)
        cell = _take(waiting, wanted, set(), f"a cell to be changed to {formula}")
        rows.append((formula, cell["case"], cell["cell"], cell["count_formula"]))
    seen = seen | {patient for _, patient, _, _ in rows}
    for (formula, _, _, own), need in zip(rows, needed, strict=True):
        lack, taken = need - _count_chromosomes(own), []
        while lack:
            wanted = ("46,XY",) if lack["Y"] else NORMAL_FORMULAE
            donor = _take(waiting, wanted, seen, f"a donor for {formula} (a patient not used yet)")
            lack -= _count_chromosomes(donor["count_formula"])
            seen.add(donor["case"])
            taken.append(donor["cell"])
        donors.append(" ".join(taken))
    table = pd.DataFrame(rows, columns=["iscn", "patient_id", "cell", "own"], dtype=str).drop(columns="own")
    return table.assign(label="abnormal", source="composed", donor=donors)


@functools.cache
def _count_chromosomes(formula: str) -> Counter:
    """Count the chromosomes that a karyotype is made from: the whole ones, and one to cut each part from."""
    chromosomes = parse_karyotype(formula).chromosomes
    whole = Counter(chromosome.slot for chromosome in chromosomes if not chromosome.rearranged)
    rearranged = [chromosome for chromosome in chromosomes if chromosome.rearranged]
    parts = {segment.chromosome for chromosome in rearranged for segment in chromosome.segments}
    return whole + Counter(parts & set(CHROMOSOME_CLASSES))


def _take(waiting: list[dict], formulae: tuple[str, ...], seen: set[str], what: str) -> dict:
    """Take the first cell with one of the formulae, of a patient not seen yet, out of the list."""
    for position, cell in enumerate(waiting):
        if cell["count_formula"] in formulae and cell["case"] not in seen:
            return waiting.pop(position)
    raise ValueError(
        f"Expected enough {' or '.join(formulae)} cells in the bank. Received none that is left as {what}; "
        "ask for fewer karyograms."
    )
