"""Readings against the truth: of labelled folders, made pages, cut-out cells; and two readers compared."""

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from karyo_lib.draw import STYLES, draw_karyogram
from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.files.bank import ChromosomeBank, Cutout
from karyo_lib.files.images import UnusableImage
from karyo_lib.files.index import DatasetError
from karyo_lib.iscn import CHROMOSOMES as CLASSES
from karyo_lib.iscn import NORMAL_FORMULAE, KaryotypeError, count_formula, parse_karyotype
from karyo_lib.iscn.catalogue import NUMERICAL, sample_formulae
from karyo_lib.judge.intervals import wilson
from karyo_lib.read.evidence import picture_of
from karyo_lib.read.image import read_image
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import summary
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.store import write_whole

#: A formula of which a reader is as sure as this should be right.
SURE = 0.95


def patient_part(case: str, test: int = 20, validation: int = 12) -> str:
    """'test', 'val' or 'train' by a hash of the patient, alike on every machine; parts in percent."""
    bucket = int(hashlib.sha256(f"reading|{case}".encode()).hexdigest(), 16) % 100
    return "test" if bucket < test else "val" if bucket < test + validation else "train"


def normal_cells(bank: ChromosomeBank, part: str) -> pd.DataFrame:
    """Normal cells of a part's patients ('train', 'val', 'test'), but of none who has aneuploid ones too."""
    aneuploid = set(bank.cells.loc[bank.cells["label"] == "abnormal", "case"])
    cells = bank.cells[(bank.cells["label"] == "normal") & ~bank.cells["case"].isin(aneuploid)]
    return cells[cells["case"].map(patient_part) == part]


def trial_formulae(n: int, seed: int, abnormal: float = 0.5) -> list[str | None]:
    """Formulae by turns: None for a normal page; numerical abnormalities by their catalogue frequency."""
    rng = np.random.default_rng([seed, 5])
    chosen = iter(sample_formulae(n, rng, NUMERICAL))
    return [next(chosen) if int((i + 1) * abnormal) > int(i * abnormal) else None for i in range(n)]


def draw_trials(
    per_style: int, seed: int = 0, size: tuple[int, int] | None = None, styles: Sequence[str] = tuple(STYLES)
) -> Iterator[Page]:
    """Drawn pages, half of them normal, in lab styles."""
    formulae = iter(trial_formulae(per_style * len(styles), seed))
    for number, style in enumerate(np.repeat(styles, per_style).tolist()):
        formula = next(formulae) or ("46,XX", "46,XY")[number % 4 // 2]
        yield draw_karyogram(formula, style=style, seed=seed * 10_000 + number, size=size)


def choose_donors(
    bank: ChromosomeBank, cells: np.ndarray, male: np.ndarray, cell: str, rng: np.random.Generator
) -> list[Cutout]:
    """Chromosomes of other cells for a gain: two men and a woman have all that a formula may ask for."""
    others = [*rng.choice(cells[male & (cells != cell)], 2, replace=False), rng.choice(cells[~male])]
    return [cutout for name in others if name != cell for cutout in bank.cutouts(name)]


def compose_trials(
    bank: ChromosomeBank,
    per_style: int,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    styles: Sequence[str] = tuple(STYLES),
    part: str = "test",
    abnormal: float = 0.5,
) -> Iterator[Page]:
    """Pages composed of one part's patients, in lab styles; ``size`` None: the style's own."""
    rng = np.random.default_rng([seed, 6])
    n = per_style * len(styles)
    table = normal_cells(bank, part)
    cells, male = table["cell"].to_numpy(), (table["count_formula"] == "46,XY").to_numpy()
    order = np.concatenate([rng.permutation(cells) for _ in range(-(-n // len(cells)))])[:n]
    formulae = trial_formulae(n, seed, abnormal)
    for number, (style, cell, formula) in enumerate(
        zip(np.repeat(styles, per_style).tolist(), order, formulae, strict=True)
    ):
        donors = choose_donors(bank, cells, male, cell, rng) if abnormal else []  # a small bank has none
        own = bank.cutouts(cell)
        yield compose_karyogram(formula, own, donors, style=style, seed=seed * 10_000 + number, size=size)


def aneuploid_trials(bank: ChromosomeBank, size: tuple[int, int] | None = None) -> Iterator[Page]:
    """The bank's real aneuploid cells as they are, one page each, the lab styles by turns."""
    for number, cell in enumerate(bank.cells.loc[bank.cells["label"] == "abnormal", "cell"]):
        style = list(STYLES)[number % len(STYLES)]
        yield compose_karyogram(None, bank.cutouts(cell), style=style, seed=number, size=size)


def read_truths(folder: Path, part: str = "all") -> pd.DataFrame:
    """``file, case, truth`` (count formula) of a folder's ``index.csv``, 'unsure' rows left out; ``part``
    'test': only patients that `karyo reader train --bank` keeps aside. DatasetError if none is left."""
    if part not in ("test", "all"):
        raise DatasetError(f"Expected the part test or all. Received {part!r}.")
    folder = Path(folder)
    try:
        table = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"Expected {folder.name!r} to hold a table index.csv with columns file, truth. {error}"
        ) from error
    if missing := {"file", "truth"} - set(table):
        raise DatasetError(f"Expected columns file, truth in index.csv. Received none named {missing}.")
    if "confidence" in table:
        table = table[table["confidence"] != "unsure"]
    inside = folder.resolve()
    for name in table["file"]:
        if inside not in (folder / name).resolve().parents:
            raise DatasetError(f"Expected files below {folder.name!r}. Received {name!r}.")
    table = table.assign(
        case=table["case"] if "case" in table else table["file"], truth=table["truth"].map(true_counts)
    )
    if part == "test":
        table = table[table["case"].map(patient_part) == "test"]
    if table.empty:
        raise DatasetError(
            "Expected images whose truth is known, for the part test of patients kept aside from training (a "
            "fifth, by their name). Received none: sign more cells, or take --part all for pages that were "
            "never trained on."
        )
    return table[["file", "case", "truth"]].reset_index(drop=True)


def true_counts(formula: str) -> str:
    """Count formula of a karyotype, whose structural changes may lack their bands: '46,XY,t(9;22)'."""
    try:
        counts = parse_karyotype(formula).counts
    except KaryotypeError:
        number, sex, *parts = formula.split(",") if formula.count(",") else (formula, "", "")
        counts = parse_karyotype(",".join([number, sex, *(p for p in parts if "(" not in p)])).counts
    return count_formula({name: counts[name] for name in CLASSES})


def score_folder(reader: Reader, truths: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a folder's images: ``file, truth``, `summary`, ``exact, seconds``; JPEGs of those to look at."""
    rows, pictures = [], []
    for file, truth in truths[["file", "truth"]].itertuples(index=False):
        row, picture = {"file": file, "truth": truth}, ""
        started = time.perf_counter()
        try:
            reading = read_image(folder / file, reader)
        except UnusableImage as error:
            row |= {"formula": "?", "formula_probability": 0.0, "p_count": 0.5, "exact": False}
            row |= {"decision": "refer", "refer_reason": str(error)}
        else:
            row |= summary(reading) | {"seconds": time.perf_counter() - started}
            row["exact"] = reading.formula == truth
            if reading.refer_reason or not row["exact"]:
                picture = base64.b64encode(picture_of(reading, "jpeg")).decode()
        rows.append(row)
        pictures.append(picture)
    return pd.DataFrame(rows), pictures


def score_pages(reader: Reader, pages: Iterable[Page]) -> pd.DataFrame:
    """Read made pages: ``style, truth``, `summary`, ``exact``, numbers of ``chromosomes``, ``seen``,
    ``false`` objects, ``named`` right in the cell and ``named_alone``; abnormal ones count as their class,
    markers not."""
    rows = []
    for page in pages:
        reading, classes = reader.read(page.image), page.truth["chromosome"].to_numpy()
        table = reading.chromosomes
        match = match_boxes(table, page.truth).to_numpy()
        hit = match >= 0
        own, truth = classes[match[hit]], count_formula(Counter(classes[np.isin(classes, CLASSES)]))
        rows.append(
            {"style": page.style, "truth": truth}
            | summary(reading)
            | {
                "exact": reading.formula == truth,
                "chromosomes": len(classes),
                "seen": int(hit.sum()),
                "false": int((table["chromosome"][~hit] != "").sum()),
                "named": int((table["chromosome"][hit] == own).sum()),
                "named_alone": int((table["alone"][hit] == own).sum()),
            }
        )
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Shares of `score_folder` or `score_pages`, Wilson: ``measure, k, n, share, low, high, shown``."""
    normal = table["truth"].isin(NORMAL_FORMULAE)
    called, sure = table["p_count"] > 0.5, table["formula_probability"].fillna(0) >= SURE
    cleared = table["decision"] == "cleared for number"
    every = pd.Series(True, table.index)
    shares = [
        (measure, int((among & right).sum()), int(among.sum()))
        for measure, among, right in (
            ("count formula exact", every, table["exact"]),
            ("normal numbers not called abnormal (specificity)", normal, ~called),
            ("abnormal numbers called abnormal (sensitivity)", ~normal, called),
            (f"exact where the formula is given with {SURE:.0%} and more", sure, table["exact"]),
            ("referred", every, table["refer_reason"] != ""),
            ("normal numbers cleared", normal, cleared),
            ("abnormal numbers cleared", ~normal, cleared),
        )
    ]
    if "seen" in table:
        total = table[["chromosomes", "seen", "named", "named_alone"]].sum()
        shares += [
            ("chromosomes found", total["seen"], total["chromosomes"]),
            ("of them named right", total["named"], total["seen"]),
            ("named right alone", total["named_alone"], total["seen"]),
        ]
    rows = []
    for measure, k, n in shares:
        low, high = wilson(k, n) if n else (np.nan, np.nan)
        shown = f"{k} of {n} ({k / n:.0%}; {low:.0%} to {high:.0%})" if n else "none"
        rows.append((measure, k, n, k / n if n else np.nan, low, high, shown))
    for name, measure in (("seconds", "seconds an image"), ("false", "false objects a page")):
        if name in table and (values := table[name].dropna()).size:
            shown = f"{values.median():.1f} (median), {values.max():.1f} (most)"
            rows.append((measure, len(values), len(values), *([np.nan] * 3), shown))
    return pd.DataFrame(rows, columns=["measure", "k", "n", "share", "low", "high", "shown"])


def write_errors(table: pd.DataFrame, pictures: Iterable[str], path: Path) -> None:
    """Write one HTML file, without links: the summary, then images read wrongly, then those referred."""
    shown = table.assign(picture=list(pictures))
    shown = shown[~shown["exact"] | (shown["refer_reason"] != "")].sort_values("exact", kind="stable")
    shown = shown.fillna({"formula_probability": 0.0, "arrangement": ""})
    page = Path(__file__).parent / "templates" / "errors.html.j2"
    template = jinja2.Environment(autoescape=True).from_string(page.read_text(encoding="utf-8"))
    text = template.render(summary=summarise(table).to_dict("records"), shown=shown.to_dict("records"))
    write_whole(path, text)


def score_cells(
    reader: Reader, bank: ChromosomeBank, cells: Iterable[str]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Name and count chromosomes of cut-out cells: ``cell, truth, formula, probability, p_count, right``
    (share), and the shares named right ``alone`` and ``assigned``."""
    rows, alone = [], 0
    for cell in cells:
        cutouts = bank.cutouts(cell)
        names = [cutout.chromosome for cutout in cutouts]
        truth = np.array([CLASSES.index(name) for name in names])
        decoded = reader.decode_cell([cutout.image for cutout in cutouts])
        alone += int((decoded.log_proba.argmax(1) == truth).sum())
        count, formula = reader.count(decoded), count_formula(Counter(names))
        right = float((count.assigned == truth).mean())
        rows.append((cell, formula, count.formula, count.probability, count.p_abnormal, right, len(truth)))
    table = pd.DataFrame(rows, columns=["cell", "truth", "formula", "probability", "p_count", "right", "n"])
    assigned = float((table["right"] * table["n"]).sum() / table["n"].sum())
    return table, {"alone": alone / int(table["n"].sum()), "assigned": assigned}


@dataclass(frozen=True)
class Versus:
    """What two readers made of the same pages."""

    pages: pd.DataFrame  # ``file, case, truth, old, new`` (count formulae), ``old_right, new_right`` (bool)
    # Share read exactly right, new less old, by patient; 95 % interval, exact (Clopper-Pearson) over patients
    # on whom the readers differ, NaN where on none.
    difference: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the new reader is shown to be better: the whole interval lies above zero."""
        return bool(self.low > 0)

    def __str__(self) -> str:
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


def compare_readers(old: Reader, new: Reader, pages: pd.DataFrame, images: Iterable[np.ndarray]) -> Versus:
    read = [(old.read(image).formula, new.read(image).formula) for image in images]
    table = pages.assign(old=[a for a, _ in read], new=[b for _, b in read])
    table = table.assign(old_right=table["old"] == table["truth"], new_right=table["new"] == table["truth"])
    gain = table["new_right"].astype(int) - table["old_right"].astype(int)
    return Versus(table, *gain_limits(gain.groupby(table["case"]).mean().to_numpy()))


def gain_limits(gain: np.ndarray) -> tuple[float, float, float]:
    """Mean gain (n,), and its 95 % interval, exact over those that differ; NaN where none does."""
    won, differ = int((gain > 0).sum()), int((gain != 0).sum())
    if not differ:
        return 0.0, float("nan"), float("nan")
    limits = binomtest(won, differ).proportion_ci(0.95, method="exact")
    size = float(np.abs(gain).mean())  # what a difference in all of them would be worth
    return float(gain.mean()), float((2 * limits.low - 1) * size), float((2 * limits.high - 1) * size)
