"""Pages whose truth is known: drawn, or composed of patients that no reader was trained on."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from karyo_lib.draw import STYLES, draw_karyogram
from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.files.bank import ChromosomeBank, Cutout
from karyo_lib.iscn.catalogue import NUMERICAL, sample_formulae


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
