"""Labelled strips to train a reader on: from drawn pages, whose truth is known, or from real cut-outs."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from scipy import ndimage

from karyo_lib.draw.karyogram import draw_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.draw.styles import Artefacts, LabStyle, Layout, Look
from karyo_lib.files.bank import ChromosomeBank, Cutout
from karyo_lib.shape.straighten import mask_width
from karyo_lib.shape.strips import CLASSES, LabelledStrips, Strips, join_cells, straighten_cell


def strips_of_cell(cutouts: Sequence[Cutout]) -> tuple[Strips, np.ndarray]:
    """Strips and classes of a cell of real chromosomes."""
    return straighten_cell([c.image for c in cutouts]), np.array([c.chromosome for c in cutouts])


def _close_cleft(mask: np.ndarray) -> np.ndarray:
    """Sister chromatids whose cleft reaches the paper are still one chromosome."""
    reach = max(1, round(0.25 * mask_width(mask)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.morphologyEx(np.pad(mask, reach).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return ndimage.binary_fill_holes(closed)[reach:-reach, reach:-reach]


def strips_of_page(page: Page) -> tuple[Strips, np.ndarray]:
    """Strips and classes of the normal, upright chromosomes of a page whose truth is known."""
    images, masks, names = [], [], []
    for i, row in enumerate(page.truth.itertuples()):
        if row.abnormal or row.polarity != 1 or row.chromosome not in CLASSES:
            continue
        x0, y0, x1, y1 = max(int(row.x0) - 2, 0), max(int(row.y0) - 2, 0), int(row.x1) + 3, int(row.y1) + 3
        mask = page.labels[y0:y1, x0:x1] == i + 1
        if mask.sum() < 12:
            continue
        images.append(np.where(mask, page.image[y0:y1, x0:x1], 255).astype(np.uint8))
        masks.append(_close_cleft(mask))
        names.append(row.chromosome)
    return straighten_cell(images, masks), np.array(names)


def one_value(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """A range of a style that holds one value alone, drawn between the two."""
    value = float(rng.uniform(low, high))
    return value, value


def random_style(rng: np.random.Generator) -> LabStyle:
    """A style beyond any laboratory's: what varies between preparations is drawn anew from wide ranges.

    A network trained on drawings must not rely on how drawings look; the order and relative darkness of
    bands is what drawings and photographs share.
    """
    pair = partial(one_value, rng)
    look = Look(
        width=pair(0.09, 0.17),
        light=pair(0.2, 0.46),
        dark=pair(0.8, 0.99),
        contrast=pair(0.9, 2.2),
        softness=pair(0.07, 0.2),
        edge=pair(0.08, 0.25),
        split=pair(0.15, 0.5),
        cleft=pair(0.0, 0.2),
        mottle=pair(0.03, 0.32),
        constriction=pair(0.08, 0.5),
        bend=float(rng.uniform(5, 28)),
        condensation=float(rng.uniform(0.03, 0.08)),
        fade=pair(0.1, 0.8),
    )
    artefacts = Artefacts(blur=pair(0.4, 1.6), noise=pair(0, 4), sharpen=pair(0, 1.8), dust=0)
    layout = replace(Layout(), labels="", homologue_gap=(0.6, 1.0))
    return LabStyle("random", "Style randomised for training", layout, look, artefacts)


def strips_of_bank(
    bank: ChromosomeBank, cells: Iterable[str], on_cell: Callable[[int], None] | None = None
) -> LabelledStrips:
    """Strips of real cells of a bank; ``on_cell`` is called with the number of cells done."""

    def parts() -> Iterator[tuple[str, tuple[Strips, np.ndarray]]]:
        for done, cell in enumerate(cells, start=1):
            yield cell, strips_of_cell(bank.cutouts(cell))
            if on_cell is not None:
                on_cell(done)

    return join_cells(parts())


def draw_cells(
    n: int,
    seed: int = 0,
    on_cell: Callable[[int], None] | None = None,
    levels: Sequence[int] = (400, 550, 550, 850),
) -> LabelledStrips:
    """Draw normal cells in random styles.

    Parameters
    ----------
    n : int
        Number of cells (pages).
    seed : int
    on_cell : callable, optional
        Called with the number of cells done.
    levels : sequence of int
        Band levels to draw from; repeat one to make it more frequent.
    """
    rng = np.random.default_rng([seed, 77])

    def parts() -> Iterator[tuple[str, tuple[Strips, np.ndarray]]]:
        for i in range(n):
            height = int(rng.uniform(420, 900))
            page = draw_karyogram(
                "46,XY" if rng.random() < 0.5 else "46,XX",
                style=random_style(rng),
                seed=int(rng.integers(2**31)),
                size=(int(height * 1.27), height),
                annotate=False,
                level=int(rng.choice(levels)),
            )
            yield f"drawn-{seed}-{i}", strips_of_page(page)
            if on_cell is not None:
                on_cell(i + 1)

    return join_cells(parts())


def patient_part(case: str, test: int = 20, validation: int = 12) -> str:
    """'test', 'val' or 'train' for a patient, by a hash of the identifier: the same in every run and on
    every machine.

    Parameters
    ----------
    case : str
        Identifier of the patient.
    test, validation : int
        Percent of patients.
    """
    bucket = int(hashlib.sha256(f"reading|{case}".encode()).hexdigest(), 16) % 100
    return "test" if bucket < test else "val" if bucket < test + validation else "train"
