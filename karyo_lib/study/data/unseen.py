"""Notebook 06: pages that no model has seen, the same ones shifted, and pages that are no karyograms."""

import copy
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from karyo_lib.draw import draw_metaphase
from karyo_lib.files.augment import Alteration, alter_image
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.pages import fit_page, load_pages
from karyo_lib.study.data.collection import load_collection, load_images, make_recipe
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset, draw_page
from karyo_lib.study.runs import Run

FRESH_SEED = 1  # added to the run's: other formulae, styles and pages than the run's own
SHIFTED = 0.4  # of the checking half; each shift costs a forward pass of both bases
STRANGERS_OF_A_KIND = 4
IN_DISTRIBUTION, NO_KARYOGRAMS = "as trained", "no karyogram"
# Beyond what augmentation shows the networks: a standard deviation of 0.8 px, 5 % of the pixels.
ALTERATIONS = {"blur, 2 px": Alteration(blur=2.0), "noise, 15 % of pixels": Alteration(noise=0.15)}
# The recipe's own styles have G bands on white; these two it leaves out.
STYLES = {"fluorescence, not trained on": "fluorescence", "reverse bands, not trained on": "reverse"}
_WORDS = (
    "the of patient cells were cultured and harvested according to protocol sample received report dated",
    "analysis result banding resolution metaphases counted signed laboratory referring physician comment",
)


@dataclass(frozen=True, eq=False)
class Unseen:
    """Karyograms of patients that no model trained, validated or was tested on."""

    table: pd.DataFrame  # ``image_id, patient_id, y_true, iscn, half``: one half calibrates, the other checks
    images: np.ndarray  # uint8, shape (N, H, W)
    origin: str  # where they come from, in words
    fresh: bool  # no part of the run holds them; else its test part, unseen by models split by patient

    def rows(self, half: str) -> np.ndarray:
        """Return the positions of the half ``calibrate`` or ``check``."""
        return np.flatnonzero(self.table["half"] == half)


def load_unseen(run: Run, test: pd.DataFrame) -> Unseen:
    """Draw or compose as many new karyograms as the run has, from patients who are not in it."""
    if run.source == "own":
        index = load_collection(run).index.set_index("image_id").loc[test["image_id"]].reset_index()
        images = load_images(load_collection(run), index)
        index["y_true"] = (index["label"] == "abnormal").astype(int)
        return Unseen(halve(index, run.seed), images, "the test part, halved by patient", fresh=False)
    folder = run.path("data", "unseen")
    recipe = make_recipe(run, seed=run.seed + FRESH_SEED)
    if run.source == "drawn":
        index, origin = draw_dataset(recipe, folder), "drawn anew by the same recipe with another seed"
    else:
        index = _compose_from_rest(run, recipe)
        origin = "composed from cells of patients who are not in the run"
    index["y_true"] = (index["label"] == "abnormal").astype(int)
    return Unseen(halve(index, run.seed), load_pages(index, folder), origin, fresh=True)


def _compose_from_rest(run: Run, recipe: AlphaRecipe) -> pd.DataFrame:
    """Compose from patients that the run does not use, fewer pages where there are not enough of them."""
    bank = ChromosomeBank(run.bank)
    index = load_collection(run).index
    donors = {cell for cells in index["donor"] for cell in cells.split()}
    used = set(index["patient_id"]) | set(bank.cells.loc[bank.cells["cell"].isin(donors), "case"])
    rest = copy.copy(bank)
    rest.cells = bank.cells[~bank.cells["case"].isin(used)]
    share = 1.0
    while True:
        smaller = replace(recipe, normal=int(recipe.normal * share), abnormal=int(recipe.abnormal * share))
        try:
            return draw_dataset(smaller, run.path("data", "unseen"), rest)
        except ValueError:
            share *= 0.8
            if recipe.abnormal * share < 4:
                raise


def halve(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Share patients (``patient_id``) out to both halves, each label (``y_true``) evenly: adds ``half``."""
    table = table.reset_index(drop=True)
    rng = np.random.default_rng([seed, 6])
    patients = table.groupby("patient_id")["y_true"].max()
    half = {}
    for label in (0, 1):
        for i, patient in enumerate(rng.permutation(patients.index[patients == label])):
            half[patient] = ("calibrate", "check")[i % 2]
    return table.assign(half=table["patient_id"].map(half))


def make_shifts(run: Run, unseen: Unseen) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Pages (uint8 (N, H, W)) and labels (None where there are none) by shift of the checking half, ``as
    trained`` all of it; and pages that are no karyograms."""
    check = unseen.rows("check")
    y = unseen.table["y_true"].to_numpy()
    shifts = {IN_DISTRIBUTION: (unseen.images[check], y[check])}
    chosen = _choose(y, check)
    rng = np.random.default_rng([run.seed, 7])
    for name, alteration in ALTERATIONS.items():
        pages = np.stack([alter_image(page, alteration, rng) for page in unseen.images[chosen]])
        shifts[name] = (pages, y[chosen])
    if unseen.fresh:
        for name, style in STYLES.items():
            shifts[name] = (_redraw(run, unseen.table.iloc[chosen], style), y[chosen])
    shifts[NO_KARYOGRAMS] = (draw_strangers(run.settings.image_size, run.seed), None)
    return shifts


def _choose(y: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Take the first pages of each label, in their proportion."""
    picks = [positions[y[positions] == label] for label in (0, 1)]
    return np.sort(np.concatenate([pick[: max(1, round(SHIFTED * pick.size))] for pick in picks]))


def _redraw(run: Run, rows: pd.DataFrame, style: str) -> np.ndarray:
    """Draw the same karyotypes, or lay out the same chromosomes, in another lab's style."""
    look = {"style": style, "size": (run.settings.image_size,) * 2, "level": run.settings.level}
    bank = ChromosomeBank(run.bank) if run.bank else None
    return np.stack([
        draw_page(row, bank, seed=row.seed, annotate=False, **look) for row in rows.itertuples()
    ])  # fmt: skip


def draw_strangers(side: int, seed: int, of_a_kind: int = STRANGERS_OF_A_KIND) -> np.ndarray:
    """Draw pages that are no karyograms: blank, text, like a photograph, and uncut metaphase spreads."""
    rng = np.random.default_rng([seed, 8])
    kinds = (_blank, _text, _photograph, _metaphase)
    return np.stack([kind(side, rng) for kind in kinds for _ in range(of_a_kind)])


def _blank(side: int, rng: np.random.Generator) -> np.ndarray:
    level = rng.uniform(215, 252)
    return np.clip(rng.normal(level, rng.uniform(0, 3), (side, side)), 0, 255).astype(np.uint8)


def _text(side: int, rng: np.random.Generator) -> np.ndarray:
    page = _blank(side, rng)
    scale = side / 416 * rng.uniform(0.35, 0.55)
    for y in np.arange(0.08, 0.95, 0.075 * rng.uniform(0.5, 1.2)):
        line = " ".join(rng.choice(" ".join(_WORDS).split(), 9))
        at = (round(0.06 * side), round(y * side))
        cv2.putText(page, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 30, 1, cv2.LINE_AA)
    return page


def _photograph(side: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency, as in photographs of nature (Field 1987)."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) * frequency ** -rng.uniform(0.9, 1.4)
    field = np.fft.ifft2(spectrum).real
    low, high = np.percentile(field, [1, 99])
    return np.clip(255 * (field - low) / (high - low), 0, 255).astype(np.uint8)


def _metaphase(side: int, rng: np.random.Generator) -> np.ndarray:
    page = draw_metaphase("46,XY", seed=int(rng.integers(2**31)))
    return fit_page(page.image, (side, side))
