"""How a whole reader is trained: on drawings alone, or on drawings and then a bank of real chromosomes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd

from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.karyogram import draw_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn.catalogue import NUMERICAL, sample_formulae
from karyo_lib.machines.workers import count_processes, keep_worker
from karyo_lib.read.cell import CountSettings
from karyo_lib.read.detector import Detector
from karyo_lib.read.find import FoundPage, find_chromosomes
from karyo_lib.read.name import Names, NamingSettings
from karyo_lib.read.perturb import StripVariety
from karyo_lib.read.reader import Reader, ReaderSettings
from karyo_lib.read.train.score import truth_counts
from karyo_lib.read.train.training import draw_cells, strips_of_bank
from karyo_lib.read.train.training_pages import draw_training_page, random_page_style
from karyo_lib.read.train.trials import choose_donors, normal_cells
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.shape.strips import CLASSES, NOT_SINGLE, LabelledStrips, Strips, join_cells, straighten_cell

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LearningSettings:
    """How much a reader is trained on.

    Attributes
    ----------
    clean, found : int
        Cells whose chromosomes are cut out by the truth, and cells that the finder cuts out of pages: a
        reader must name what its own finder gives it.
    epochs : int
        Of the naming network.
    counted : int
        Pages of validation patients (or drawn ones) on which the settings of counting are chosen and the
        comparison is calibrated.
    seed : int
    """

    clean: int = 200
    found: int = 200
    epochs: int = 13
    counted: int = 60
    seed: int = 2

    def seeded(self, seed: int) -> "LearningSettings":
        """The same with another seed."""
        return replace(self, seed=seed)


_PAGES_A_PROCESS = 16  # fewer pages are not worth starting another process
_SHARE_TOUCHING = 0.5  # share of the pages, from which names are learnt, on which homologues touch
#: From drawings, and to fine-tune a reader on a bank.
DRAWN = LearningSettings()
BANK = LearningSettings(clean=10_000, found=480, epochs=14, counted=120)


def find_not_single(found: FoundPage, page: Page) -> np.ndarray:
    """Which objects, bool of shape (n,), are by a page's truth two chromosomes or more, or a piece of one."""
    objects = cv2.resize(found.labels, page.labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
    common = np.zeros((len(found) + 1, len(page.truth) + 1))
    np.add.at(common, (objects.ravel(), page.labels.ravel()), 1)
    share = common[1:, 1:] / np.maximum(common[:, 1:].sum(0), 1)
    inside = common[1:, 1:].max(1, initial=0) / np.maximum(common[1:].sum(1), 1)
    piece = (share.max(1, initial=0) < 0.6) & (inside > 0.7)
    return ((share > 0.5).sum(1) > 1) | piece


@dataclass(frozen=True)
class MadePages:
    """Pages that are made when they are asked for, each from random numbers of its own.

    Attributes
    ----------
    make : callable
        Makes a page from a generator.
    n, seed : int
        Number of pages; where their random numbers start.
    """

    make: Callable[[np.random.Generator], Page]
    n: int
    seed: int

    def page(self, number: int) -> Page:
        """One of the pages."""
        return self.make(np.random.default_rng([self.seed, 41, number]))

    def each(self, function: Callable[[Page], Any]) -> list:
        """What a function, which is pickled, makes of each page: several processes share the work."""
        jobs = count_processes(self.n, _PAGES_A_PROCESS)
        shares = np.array_split(np.arange(self.n), 4 * jobs) if jobs > 1 else [np.arange(self.n)]
        work = (joblib.delayed(_each)(self, function, share) for share in shares)
        return [made for share in joblib.Parallel(n_jobs=jobs)(work) for made in share]


def _each(pages: MadePages, function: Callable[[Page], Any], numbers: np.ndarray) -> list:
    keep_worker()
    return [function(pages.page(int(number))) for number in numbers]


def strips_found(page: Page, detector: Detector | None) -> tuple[Strips, np.ndarray] | None:
    """Strips and names of a page's objects as the finder cuts them out: normal, upright chromosomes, and
    those that are `NOT_SINGLE`; None where it finds few."""
    found = find_chromosomes(page.image, detector)
    match = match_boxes(found.boxes, page.truth, 0.6).to_numpy()
    if (match >= 0).sum() < 20:
        return None
    strips = straighten_cell(found.cutouts, found.masks)
    not_single = find_not_single(found, page)
    truth = page.truth.iloc[np.maximum(match, 0)]
    usable = not_single | (
        (match >= 0)
        & ~truth["abnormal"].to_numpy(bool)
        & (truth["polarity"] == 1).to_numpy()
        & truth["chromosome"].isin(CLASSES).to_numpy()
    )
    names = np.where(not_single, NOT_SINGLE, truth["chromosome"].to_numpy(str))
    return strips.take(np.flatnonzero(usable)), names[usable]


def cells_found(pages: MadePages, detector: Detector | None, name: str) -> LabelledStrips:
    """Strips of pages as the finder cuts them out; cells are called ``<name>-<number>``."""
    cells = pages.each(partial(strips_found, detector=detector))
    return join_cells((f"{name}-{number}", cell) for number, cell in enumerate(cells) if cell is not None)


def join(*parts: LabelledStrips) -> LabelledStrips:
    """Several sets of labelled strips as one."""
    return join_cells(
        (cell, (own.strips, own.names))
        for part in parts
        for cell in dict.fromkeys(part.cells.tolist())
        for own in [part.take(np.flatnonzero(part.cells == cell))]
    )


def composer(
    bank: ChromosomeBank, cells: pd.DataFrame, abnormal: float = 0.0, touching: float = 0.0
) -> Callable[[np.random.Generator], Page]:
    """Makes pages of real cells in random styles; a share of them with an abnormal number of chromosomes, and
    a share whose homologues touch."""
    names, male = cells["cell"].to_numpy(), (cells["count_formula"] == "46,XY").to_numpy()

    def compose(rng: np.random.Generator) -> Page:
        height = int(np.exp(rng.uniform(np.log(320), np.log(1000))))
        cell, formula, donors = str(rng.choice(names)), None, []
        if rng.random() < abnormal:
            formula = sample_formulae(1, rng, NUMERICAL)[0]
            donors = choose_donors(bank, names, male, cell, rng)
        return compose_karyogram(
            formula,
            bank.cutouts(cell),
            donors,
            style=random_page_style(rng, touching),
            seed=int(rng.integers(2**31)),
            size=(int(height * rng.uniform(1.0, 1.35)), height),
            annotate=[kind for kind in ("arrow", "box", "title") if rng.random() < 0.3],
        )

    return compose


def draw_counted_page(rng: np.random.Generator) -> Page:
    """Draw a page in a random style, half of them with an abnormal number of chromosomes."""
    height = int(np.exp(rng.uniform(np.log(320), np.log(1000))))
    normal = "46,XX" if rng.random() < 0.5 else "46,XY"
    return draw_karyogram(
        sample_formulae(1, rng, NUMERICAL)[0] if rng.random() < 0.5 else normal,
        style=random_page_style(rng),
        seed=int(rng.integers(2**31)),
        size=(int(height * rng.uniform(1.0, 1.35)), height),
    )


#: Values that are tried for each setting of counting.
_COUNTING = {
    "sharpness": (0.55, 0.7, 0.85, 1.0),
    "p_missed": (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    "poor_pages": (0.02, 0.05, 0.1, 0.2),
    "p_missed_poor": (0.03, 0.08, 0.15),
    "p_hidden": (0.02, 0.1, 0.3),
    "false_objects": (0.002, 0.006, 0.02, 0.05, 0.1, 0.2),
}


@dataclass(frozen=True)
class NamedPage:
    """A page whose chromosomes were found and named, and its true count formula."""

    truth: str
    boxes: pd.DataFrame
    strips: Strips
    names: Names


def _name_page(page: Page, reader: Reader) -> NamedPage | None:
    found = find_chromosomes(page.image, reader.detector)
    if len(found) == 0:
        return None
    found, strips, names, _ = reader.name_page(page.image, found)
    return NamedPage(truth_counts(page), found.boxes, strips, names)


def fit_to_pages(reader: Reader, pages: MadePages) -> Reader:
    """Fit to whole pages what cut-outs cannot tell: settings of counting, and how unlike a pair must be.

    Parameters
    ----------
    reader : Reader
        With a trained finder, network and comparison.
    pages : MadePages
        Of nobody who trained the reader; normal and abnormal in number, without structural changes.
    """
    named = [page for page in pages.each(partial(_name_page, reader=reader)) if page and len(page.boxes)]
    reader.counting = fit_counting(reader, named)
    return reader.calibrate_comparison(cells_read(reader, named))


def cells_read(reader: Reader, pages: list[NamedPage]) -> LabelledStrips:
    """The chromosomes of pages as the reader names them, upright, without objects that are none.

    Pages whose number is read as abnormal are left out, unless all are: nobody asks for their pairs.
    """
    counts = [reader.count(page.names, page.boxes) for page in pages]
    normal = [count.p_abnormal <= 0.5 for count in counts]

    def one(page: NamedPage, assigned: np.ndarray) -> tuple[Strips, np.ndarray]:
        named = np.flatnonzero(assigned >= 0)
        strips = page.strips.turned(page.names.p_upside_down > 0.5)
        return strips.take(named), np.array(CLASSES)[assigned[named]]

    return join_cells(
        (f"page-{number}", one(page, count.assigned))
        for number, (page, count) in enumerate(zip(pages, counts, strict=True))
        if normal[number] or not any(normal)
    )


def fit_counting(reader: Reader, read: list[NamedPage], rounds: int = 2) -> CountSettings:
    """Choose the settings of counting under which the true formulae of pages are most probable; ``rounds``
    says how often they are gone through, one after the other."""
    jobs = count_processes(len(read), _PAGES_A_PROCESS)

    def fit(tried: list[CountSettings]) -> dict[CountSettings, float]:
        work = (joblib.delayed(_log_likelihood)(read, reader.settings, settings) for settings in tried)
        return dict(zip(tried, joblib.Parallel(n_jobs=jobs)(work), strict=True))

    best = reader.counting
    known = fit([best])
    for _ in range(rounds):
        for name, values in _COUNTING.items():
            tried = [replace(best, **{name: value}) for value in values]
            known |= fit([settings for settings in tried if settings not in known])
            best = max(known, key=known.get)
    return best


def _log_likelihood(read: list[NamedPage], settings: ReaderSettings, counting: CountSettings) -> float:
    """Log-probability of the true formulae of pages that were read."""
    keep_worker()
    reader, total = Reader(settings, counting), 0.0
    for page in read:
        candidates = reader.count(page.names, page.boxes, keep=60).candidates.set_index("formula")
        total += np.log(max(float(candidates["probability"].get(page.truth, 0.0)), 1e-4))
    return total


def train_on_drawings(settings: LearningSettings = DRAWN, tell: Progress = print) -> Reader:
    """Train the reader that comes with karyo: no image of a patient goes into it."""
    s = settings
    tell(f"names: {s.clean} cells cut out by the truth, {s.found} by the finder")
    pages = MadePages(partial(draw_training_page, touching=_SHARE_TOUCHING), s.found, s.seed)
    training = join(draw_cells(s.clean, s.seed), cells_found(pages, None, "page"))
    validation = draw_cells(max(4, s.clean // 10), s.seed + 1)
    reader = Reader()
    reader.fit(training, validation, drawn_naming(s), seed=s.seed)
    tell(f"counting and calibration: {s.counted} drawn pages")
    return fit_to_pages(reader, MadePages(draw_counted_page, s.counted, s.seed))


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
    chosen = cells["cell"].to_numpy()[: s.clean]
    tell(f"names: {len(chosen)} cells as they were cut out, {s.found} cut out of pages by the finder")
    pages = MadePages(composer(bank, cells, touching=_SHARE_TOUCHING), s.found, s.seed)
    training = join(strips_of_bank(bank, chosen), cells_found(pages, start.detector, "page"))
    others = normal_cells(bank, "val")
    validation = strips_of_bank(bank, others["cell"].iloc[: max(2, s.clean // 4)])
    reader = Reader(start.settings, start.counting)
    reader.detector = start.detector
    naming = replace(start.namer.settings, epochs=s.epochs, learning_rate=1e-3, variety=StripVariety())
    reader.fit(training, validation, naming, start=start, seed=s.seed)
    tell(f"counting and calibration: {s.counted} composed pages of validation patients")
    return fit_to_pages(reader, MadePages(composer(bank, others, 0.5), s.counted, s.seed))
