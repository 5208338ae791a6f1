"""How a whole reader is trained: on drawings alone, or on drawings and then a bank of real chromosomes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from karyo_lib.dataset.bank import ChromosomeBank
from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.reading.boxes import match_boxes
from karyo_lib.reading.find import find_chromosomes
from karyo_lib.reading.name import NamingSettings
from karyo_lib.reading.perturb import StripVariety
from karyo_lib.reading.reader import Reader
from karyo_lib.reading.segment import Segmenter, SegmenterSettings
from karyo_lib.reading.strips import CLASSES, Strips, straighten_cell
from karyo_lib.reading.training import LabelledStrips, draw_cells, join_cells, strips_of_bank
from karyo_lib.reading.training_pages import draw_training_page, random_page_style, segmented_pages
from karyo_lib.reading.trials import normal_cells

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LearningSettings:
    """How much a reader is trained on.

    Attributes
    ----------
    finder_pages, finder_steps : int
        Pages that the finder is trained on, and batches.
    clean, found : int
        Cells whose chromosomes are cut out by the truth, and cells that the finder cuts out of pages: a
        reader must name what its own finder gives it.
    epochs : int
        Of the naming network.
    seed : int
    """

    finder_pages: int = 220
    finder_steps: int = 800
    clean: int = 200
    found: int = 200
    epochs: int = 13
    seed: int = 2

    def seeded(self, seed: int) -> "LearningSettings":
        """The same with another seed."""
        return replace(self, seed=seed)


#: For the reader that comes with karyo, and to fine-tune it on a bank.
DRAWN = LearningSettings()
BANK = LearningSettings(finder_pages=160, finder_steps=350, clean=10_000, found=160, epochs=12)


def strips_found(page: Page, segmenter: Segmenter) -> tuple[Strips, np.ndarray] | None:
    """Strips and classes of the normal, upright chromosomes of a page as the finder cuts them out; None where
    it finds few."""
    found = find_chromosomes(page.image, segmenter)
    match = match_boxes(found.boxes, page.truth, 0.6).to_numpy()
    if (match >= 0).sum() < 20:
        return None
    strips = straighten_cell(found.cutouts, found.masks)
    truth = page.truth.iloc[np.maximum(match, 0)]
    usable = (
        (match >= 0)
        & ~truth["abnormal"].to_numpy(bool)
        & (truth["polarity"] == 1).to_numpy()
        & truth["chromosome"].isin(CLASSES).to_numpy()
    )
    return strips.take(np.flatnonzero(usable)), truth["chromosome"].to_numpy()[usable]


def cells_found(pages: Iterable[Page], segmenter: Segmenter, name: str) -> LabelledStrips:
    """Strips of pages as the finder cuts them out; cells are called ``<name>-<number>``."""

    def parts() -> Iterator[tuple[str, tuple[Strips, np.ndarray]]]:
        for number, page in enumerate(pages):
            cell = strips_found(page, segmenter)
            if cell is not None:
                yield f"{name}-{number}", cell

    return join_cells(parts())


def join(*parts: LabelledStrips) -> LabelledStrips:
    """Several sets of labelled strips as one."""
    return join_cells(
        (cell, (own.strips, own.names))
        for part in parts
        for cell in dict.fromkeys(part.cells.tolist())
        for own in [part.take(np.flatnonzero(part.cells == cell))]
    )


def _pages(make: Callable[[np.random.Generator], Page], n: int, seed: int) -> Iterator[Page]:
    rng = np.random.default_rng([seed, 41])
    return (make(rng) for _ in range(n))


def composer(bank: ChromosomeBank, cells: pd.DataFrame) -> Callable[[np.random.Generator], Page]:
    """Makes pages of real cells in random styles."""
    names = cells["cell"].to_numpy()

    def compose(rng: np.random.Generator) -> Page:
        height = int(np.exp(rng.uniform(np.log(320), np.log(1000))))
        return compose_karyogram(
            None,
            bank.cutouts(str(rng.choice(names))),
            style=random_page_style(rng),
            seed=int(rng.integers(2**31)),
            size=(int(height * rng.uniform(1.0, 1.35)), height),
            annotate=[kind for kind in ("arrow", "box", "title") if rng.random() < 0.3],
        )

    return compose


def train_on_drawings(settings: LearningSettings = DRAWN, tell: Progress = print) -> Reader:
    """Train the reader that comes with karyo: no image of a patient goes into it."""
    s = settings
    tell(f"finder: {s.finder_pages} drawn pages, {s.finder_steps} steps")
    segmenter = Segmenter(SegmenterSettings(steps=s.finder_steps)).fit(
        list(segmented_pages(s.finder_pages, s.seed))
    )
    tell(f"names: {s.clean} cells cut out by the truth, {s.found} by the finder")
    training = join(
        draw_cells(s.clean, s.seed),
        cells_found(_pages(draw_training_page, s.found, s.seed), segmenter, "page"),
    )
    validation = draw_cells(max(4, s.clean // 10), s.seed + 1)
    reader = Reader()
    reader.segmenter = segmenter
    return reader.fit(training, validation, drawn_naming(s), seed=s.seed)


def drawn_naming(settings: LearningSettings) -> NamingSettings:
    """Naming from drawings asks for more variety than drawings have."""
    variety = StripVariety(
        stretch=2.2, bend=1.0, contrast=0.25, noise=0.06, mottle=0.08, bands=0.15, patch=0.3, size=0.08
    )
    return NamingSettings(epochs=settings.epochs, variety=variety)


def train_on_bank(
    bank: ChromosomeBank,
    settings: LearningSettings = BANK,
    start: Reader | None = None,
    tell: Progress = print,
) -> Reader:
    """Fine-tune a reader on the training patients of a bank of real chromosomes.

    Parameters
    ----------
    bank : ChromosomeBank
    settings : LearningSettings, optional
    start : Reader, optional
        By default the reader that comes with karyo.
    tell : callable
        Called with a line about each step.
    """
    s = settings
    start = start or Reader.load()
    cells = normal_cells(bank, "train")
    compose = composer(bank, cells)

    def either(rng: np.random.Generator) -> Page:
        return compose(rng) if rng.random() < 0.7 else draw_training_page(rng)

    tell(f"finder: {s.finder_pages} pages, most of them composed, {s.finder_steps} steps")
    finding = SegmenterSettings(steps=s.finder_steps, learning_rate=1.5e-3)
    segmenter = Segmenter(finding).fit(
        list(segmented_pages(s.finder_pages, s.seed, either)), start=start.segmenter
    )
    chosen = cells["cell"].to_numpy()[: s.clean]
    tell(f"names: {len(chosen)} cells as they were cut out, {s.found} cut out of pages by the finder")
    training = join(
        strips_of_bank(bank, chosen), cells_found(_pages(compose, s.found, s.seed), segmenter, "page")
    )
    validation = strips_of_bank(bank, normal_cells(bank, "val")["cell"].iloc[: max(2, s.clean // 4)])
    reader = Reader(start.settings, start.counting)
    reader.segmenter = segmenter
    naming = replace(start.namer.settings, epochs=s.epochs, learning_rate=1e-3, variety=StripVariety())
    return reader.fit(training, validation, naming, start=start, seed=s.seed)
