"""The alpha-dataset made by recipe: karyograms drawn from band tables, or composed from real chromosomes."""

import functools
import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

import karyo_lib.draw
import karyo_lib.iscn
from karyo_lib.draw import STYLES, compose_karyogram, draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import INDEX_COLUMNS
from karyo_lib.files.pages import make_pages, source_digest
from karyo_lib.iscn import CHROMOSOMES, NORMAL_FORMULAE, parse_karyotype, sample_formulae
from karyo_lib.iscn.catalogue import NUMERICAL

RECIPE_COLUMNS = (*INDEX_COLUMNS, "origin", "style", "annotated", "group", "seed")
G_BANDED = tuple(
    name for name, style in STYLES.items() if style.look.stain == "G" and not style.artefacts.negative
)
REAL_ANEUPLOID = "real-aneuploid"  # origin of a page
# Real aneuploid cells serve as an external test: they may not use up the abnormal pages of a small set.
REAL_ANEUPLOID_SHARE = 0.3


# Section 3.1.2: first 75 normal and 9 abnormal ones (one lab, it is assumed), 30 and 32 "from the Internet".
LAB, INTERNET = "lab", "internet"
LAB_SHARES = {"normal": 75 / 105, "abnormal": 9 / 41}
LAB_STYLES = ("classic",)
INTERNET_STYLES = ("digital", "mottled", "ruled", "photocopy", "textbook", "internet")
_SHRUNK, _JPEG = (0.55, 1.0), (35, 85)  # side and quality of a picture on a web page


@dataclass(frozen=True)
class Source:
    """Where a part of a data set comes from."""

    name: str
    normal: int  # karyograms of each label
    abnormal: int
    styles: tuple[str, ...]  # lab styles, each equally likely on every page
    annotated: float = 0.0  # share of the abnormal pages with arrow, box and title, 0 to 1
    published: bool = False  # made smaller and compressed, as pictures on web pages are


@dataclass(frozen=True)
class AlphaRecipe:
    """What a data set holds; the default is the thesis's alpha-dataset (section 3.1)."""

    normal: int = 105  # karyograms of each label
    abnormal: int = 41
    size: tuple[int, int] = (416, 416)  # width and height in pixels
    seed: int = 2020
    level: int = 550  # bands of the drawn chromosomes: 400, 550 or 850
    # ``thesis``: 75 in 105 normal and 9 in 41 abnormal pages in one lab's style, the others in six other
    # styles with the internet's habits (section 3.1.2), so that the source tells the label. ``balanced``: one
    # source, its styles equally likely for both labels.
    sources: str = "thesis"
    # Share of the internet's abnormal pages with arrow, box and title; a page keeps them at a larger share.
    annotated: float = 0.5
    styles: tuple[str, ...] = ()  # lab styles of the balanced source; empty for all with G bands on white
    # 'all', 'numerical' or names of groups: abnormalities of the catalogue that occur, by their frequencies.
    groups: str | tuple[str, ...] = "all"

    def list_sources(self) -> tuple[Source, ...]:
        """Return where the pages come from; a balanced set's one source has no name of its own."""
        if self.sources == "balanced":
            return (Source("", self.normal, self.abnormal, self.styles or G_BANDED),)
        counts = {"normal": self.normal, "abnormal": self.abnormal}
        lab = {label: round(LAB_SHARES[label] * count) for label, count in counts.items()}
        rest = {label: count - lab[label] for label, count in counts.items()}
        return (
            Source(LAB, **lab, styles=LAB_STYLES),
            Source(INTERNET, **rest, styles=INTERNET_STYLES, annotated=self.annotated, published=True),
        )

    def catalogue_groups(self) -> tuple[str, ...] | None:
        """Return the groups of the catalogue that occur; None for all."""
        return {"all": None, "numerical": NUMERICAL}.get(self.groups, self.groups)


def find_real_aneuploids(index: pd.DataFrame) -> pd.Series:
    """Return which karyograms of an index are real aneuploid cells as they are."""
    return index["origin"] == REAL_ANEUPLOID if "origin" in index else pd.Series(False, index.index)


def plan_dataset(recipe: AlphaRecipe, bank: ChromosomeBank | None = None) -> pd.DataFrame:
    """Return what the pages of a data set will be, one row a page; from real chromosomes with a bank."""
    if bank is not None:
        return _plan(recipe, "composed", _choose_cells(recipe, bank))
    plan = _plan(recipe, "drawn", _draw_formulae(recipe).assign(origin="drawn"))
    return plan.assign(patient_id=plan["image_id"])


def draw_dataset(
    recipe: AlphaRecipe,
    out_dir: str | os.PathLike,
    bank: ChromosomeBank | None = None,
    *,
    only: Collection[str] | None = None,
    progress: bool = True,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Draw a data set from the band tables or, with a bank, compose it from real chromosomes; resumes.

    Composed, a normal page shows one normal cell; abnormal ones show the bank's aneuploid cells as they are
    (up to 30 %) and normal cells changed to a formula of the catalogue. No cell serves twice, and what a
    change adds comes from a patient who appears nowhere else, so that splitting by ``patient_id`` keeps every
    real chromosome in one part. Columns `RECIPE_COLUMNS`, a row a page: those of the index, ``origin``
    ('drawn', 'composed', 'real-aneuploid'), ``style``, ``annotated``, ``group``, ``seed``, with which
    `draw_karyogram` gives the page again, and with a bank ``cell`` and ``donor``.
    """
    plan = plan_dataset(recipe, bank)
    if only is not None:
        plan = plan[plan["image_id"].isin(only)].reset_index(drop=True)
    jobs = [_job(recipe, row, bank) for row in plan.itertuples()]
    title = "Drawing karyograms" if bank is None else "Composing karyograms"
    plan["sha256"] = make_pages(jobs, out_dir, title=title, progress=progress, n_jobs=n_jobs)
    return plan[[*RECIPE_COLUMNS, *(column for column in ("cell", "donor") if column in plan)]]


def draw_page(row, bank: ChromosomeBank | None, **look) -> np.ndarray:
    """Draw the page of a row of a data set, uint8 (H, W), or lay it out from the bank's cells it names."""
    if bank is None:
        return draw_karyogram(row.iscn, **look).image
    donors = [cutout for name in row.donor.split() for cutout in bank.cutouts(name)]
    formula = row.iscn if row.origin == "composed" else None
    return compose_karyogram(formula, bank.cutouts(row.cell), donors, **look).image


def _draw_formulae(recipe: AlphaRecipe) -> pd.DataFrame:
    rng = np.random.default_rng([recipe.seed, 1])
    normal = rng.choice(NORMAL_FORMULAE, recipe.normal)
    abnormal = sample_formulae(recipe.abnormal, rng, groups=recipe.catalogue_groups())
    labels = ["normal"] * recipe.normal + ["abnormal"] * recipe.abnormal
    return pd.DataFrame({"iscn": [*normal, *abnormal], "label": labels}, dtype=str)


def _plan(recipe: AlphaRecipe, prefix: str, pages: pd.DataFrame) -> pd.DataFrame:
    """Give pages order, id and seed, none of which depends on the label; their source and its habits."""
    rng = np.random.default_rng([recipe.seed, 0])
    pages = pages.iloc[rng.permutation(len(pages))].reset_index(drop=True)
    width = max(4, len(str(len(pages))))
    numbers = range(1, len(pages) + 1)
    ids = [f"{prefix}-{number:0{width}d}" for number in numbers]
    choice, notes = rng.random(len(pages)), rng.random(len(pages))
    sources = recipe.list_sources()
    own = np.empty(len(pages), dtype=object)
    for label in ("normal", "abnormal"):
        dealt = np.repeat(np.arange(len(sources)), [getattr(source, label) for source in sources])
        own[pages["label"] == label] = [sources[number] for number in rng.permutation(dealt)]
    abnormal = pages["label"] == "abnormal"
    return pages.assign(
        image_id=ids,
        path=[f"{image_id}.png" for image_id in ids],
        source=[source.name or origin for source, origin in zip(own, pages["origin"], strict=True)],
        style=[source.styles[int(u * len(source.styles))] for source, u in zip(own, choice, strict=True)],
        annotated=abnormal & (notes < [source.annotated for source in own]),
        published=[source.published for source in own],
        group=[parse_karyotype(formula, level=recipe.level).group for formula in pages["iscn"]],
        seed=[int(np.random.SeedSequence([recipe.seed, number]).generate_state(1)[0]) for number in numbers],
    )


def _job(recipe: AlphaRecipe, row, bank: ChromosomeBank | None) -> tuple[str, str, Callable]:
    look = {"style": row.style, "seed": row.seed, "size": recipe.size, "annotate": bool(row.annotated)}
    made_from = f"{bank.digest} {row.cell} {row.donor}" if bank else ""
    key = f"{_code()} {recipe.level} {row.iscn} {look} {row.published} {made_from}"
    return row.path, key, functools.partial(_make_page, row, bank, level=recipe.level, **look)


def _make_page(row, bank: ChromosomeBank | None, **look) -> np.ndarray:
    page = draw_page(row, bank, **look)
    return _publish(page, row.seed) if row.published else page


def _publish(page: np.ndarray, seed: int) -> np.ndarray:
    """Return a page as a web page would have it: smaller, compressed, and brought to size again."""
    rng = np.random.default_rng([seed, 1])
    side, quality = rng.uniform(*_SHRUNK), int(rng.integers(*_JPEG, endpoint=True))
    small = cv2.resize(page, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    small = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return cv2.resize(small, page.shape[::-1], interpolation=cv2.INTER_CUBIC)


@functools.cache
def _code() -> str:
    return source_digest(karyo_lib.draw, karyo_lib.iscn)


def _choose_cells(recipe: AlphaRecipe, bank: ChromosomeBank) -> pd.DataFrame:
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


def _rows(cells: pd.DataFrame, label: str, origin: str) -> pd.DataFrame:
    columns = {"iscn": cells["count_formula"], "patient_id": cells["case"], "cell": cells["cell"]}
    return pd.DataFrame(columns).assign(label=label, origin=origin, donor="")


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
    return table.assign(label="abnormal", origin="composed", donor=donors)


@functools.cache
def _count_chromosomes(formula: str) -> Counter:
    """Count the chromosomes that a karyotype is made from: the whole ones, and one to cut each part from."""
    chromosomes = parse_karyotype(formula).chromosomes
    whole = Counter(chromosome.slot for chromosome in chromosomes if not chromosome.rearranged)
    rearranged = [chromosome for chromosome in chromosomes if chromosome.rearranged]
    parts = {segment.chromosome for chromosome in rearranged for segment in chromosome.segments}
    return whole + Counter(parts & set(CHROMOSOMES))


def _take(waiting: list[dict], formulae: tuple[str, ...], seen: set[str], what: str) -> dict:
    """Take the first cell with one of the formulae, of a patient not seen yet, out of the list."""
    for position, cell in enumerate(waiting):
        if cell["count_formula"] in formulae and cell["case"] not in seen:
            return waiting.pop(position)
    raise ValueError(
        f"Expected enough {' or '.join(formulae)} cells in the bank. Received none that is left as {what}; "
        "ask for fewer karyograms."
    )
