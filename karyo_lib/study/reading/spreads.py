"""Notebook 04: metaphase spreads, and what is read wrongly on them, one by one."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from tqdm.auto import tqdm

from karyo_lib.draw import draw_metaphase
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.images import read_image
from karyo_lib.iscn import count_formula, parse_karyotype, sample_formulae
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.judge import format_interval
from karyo_lib.judge.intervals import wilson
from karyo_lib.read.reading import Reading
from karyo_lib.read.train.score import normal_cells
from karyo_lib.read.train.score_spreads import SpreadTrial, compose_spreads
from karyo_lib.shape.boxes import BOX, match_boxes, overlap
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.displays.style import PALETTE, new_grid, style
from karyo_lib.study.reading.tables import Readings, own_reader
from karyo_lib.study.runs import Run

#: Spreads that are read, and shown at most, by profile.
SPREADS, SHOWN = {"smoke": 2, "quick": 6, "thesis": 12}, 6
_ERRORS = [*BOX, "chromosome", "read_as", "why"]


@dataclass(frozen=True, eq=False)
class ReadSpread:
    """A spread, its true count formula, what was read, and its errors: `_ERRORS`, '' for none."""

    name: str
    image: np.ndarray
    truth: str
    reading: Reading
    errors: pd.DataFrame


def read_spreads(run: Run, readings: Readings) -> list[ReadSpread]:
    """Read spreads whose truth is known: the run's, wrong ones first; else composed of its bank, or drawn."""
    n, table = SPREADS[run.settings.name], readings.table
    own = table[(table["kind"] == "metaphase") & (table["truth"] != "")] if "kind" in table else table[:0]
    if len(own):
        first = (own["formula"] == own["truth"]).sort_values(kind="stable").index[:n]
        collection = load_collection(run)
        paths = collection.index.set_index("image_id")["path"]
        trials = [
            (row.image_id, read_image(collection.pages / paths[row.image_id]), row.truth, None)
            for row in own.loc[first].itertuples()
        ]
    else:
        trials = []
        for t in _make_spreads(run, n):
            formula = count_formula(Counter(name for name in t.truth["chromosome"] if name in CLASSES))
            trials.append((t.name, t.image, formula, t.truth))
    out = []
    for name, image, formula, truth in tqdm(trials, "Reading spreads", unit="spread"):
        reading = own_reader().read(image)
        errors = _differences(reading, formula) if truth is None else find_errors(reading, truth)
        out.append(ReadSpread(name, image, formula, reading, errors))
    return out


def _make_spreads(run: Run, n: int) -> list[SpreadTrial]:
    if run.bank and len(normal_cells(bank := ChromosomeBank(run.bank), "test")):
        return list(compose_spreads(bank, n, run.seed))
    rng = np.random.default_rng([run.seed, 28])
    formulae = [*rng.choice(["46,XX", "46,XY"], n - n // 2).tolist(), *sample_formulae(n // 2, rng)]
    pages = [draw_metaphase(f, seed=run.seed + i, size=(1000, 820)) for i, f in enumerate(formulae)]
    return [SpreadTrial(f"drawn-{i + 1}", page.image, page.truth) for i, page in enumerate(pages)]


def find_errors(reading: Reading, truth: pd.DataFrame) -> pd.DataFrame:
    """Chromosomes that are not found or not named right, and what is none (``truth``: boxes, classes)."""
    table, truth = reading.chromosomes, truth.reset_index(drop=True)
    match = match_boxes(table, truth).to_numpy() if len(table) else np.zeros(0, int)
    shared = overlap(table[BOX].to_numpy(float), truth[BOX].to_numpy(float))
    rows = []
    for one, j, near in zip(table.itertuples(), match, shared, strict=True):
        true, box = truth["chromosome"][j] if j >= 0 else "", [getattr(one, side) for side in BOX]
        if true == one.chromosome:
            continue
        if j < 0:
            why = "a piece of one, or two as one" if near.max(initial=0) > 0.1 else "no chromosome there"
        elif not one.chromosome:
            why = "taken for none"
        elif one.hidden > 0.1:
            why = "lies across another"
        else:
            why = "not sure of it" if one.doubtful else "looks like it"
        rows.append((*box, true, one.chromosome, why))
    boxes = truth[BOX].to_numpy(float)
    crowded = (overlap(boxes, boxes) - np.eye(len(boxes))).max(1, initial=0) > 0.05
    for j in np.setdiff1d(np.arange(len(truth)), match):
        why = "not found beside or under another" if crowded[j] else "not found, alone"
        rows.append((*boxes[j], truth["chromosome"][j], "", why))
    return pd.DataFrame(rows, columns=_ERRORS)


def _differences(reading: Reading, formula: str) -> pd.DataFrame:
    """The same where only the formula is known: which numbers differ, and which chromosomes are concerned."""
    counts, table = parse_karyotype(formula).counts, reading.chromosomes
    rows = []
    for name in CLASSES if reading.karyotype else ():
        own = table[table["chromosome"] == name]
        for one in own.itertuples() if len(own) > counts[name] else ():
            rows.append((*(getattr(one, side) for side in BOX), "", name, "one of these is too many"))
        missing = counts[name] - reading.karyotype.counts[name]
        rows += [(*[np.nan] * 4, name, "", "not found, or named otherwise")] * max(0, missing)
    if not reading.karyotype:
        rows = [(*[np.nan] * 4, "", "", reading.refer_reason)]
    return pd.DataFrame(rows, columns=_ERRORS)


def spread_table(spreads: list[ReadSpread]) -> pd.DataFrame:
    """Return the errors one by one: which chromosome was read as which, and why."""
    tables = [
        one.errors[["chromosome", "read_as", "why"]].assign(
            spread=one.name, truth=one.truth, formula=one.reading.formula, refer=one.reading.refer_reason
        )
        for one in spreads
    ]
    columns = ["spread", "truth", "formula", "chromosome", "read_as", "why", "refer"]
    return pd.concat(tables, ignore_index=True)[columns]


def spread_errors(spreads: list[ReadSpread]):
    """Return the spreads with most errors, what was read wrongly framed: true name, and the one read."""
    wrong = sorted((one for one in spreads if len(one.errors)), key=lambda one: -len(one.errors))[:SHOWN]
    shown = wrong or spreads[:1]
    with style():
        rows = -(-len(shown) // 2)
        figure, axes = new_grid(None, rows, min(2, len(shown)), height=3.4 * rows, width=7.4)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, one in zip(axes.flat, shown, strict=False):
        ax.imshow(one.image, cmap="gray", vmin=0, vmax=255)
        for box in one.reading.chromosomes[BOX].to_numpy():
            _frame(ax, box, PALETTE["normal"], 0.4)
        for row in one.errors.dropna(subset=BOX).itertuples():
            _frame(ax, np.array([row.x0, row.y0, row.x1, row.y1]), PALETTE["abnormal"], 1.1)
            told = (
                f"{row.chromosome or 'none'} as {row.read_as}" if row.read_as else f"{row.chromosome} missed"
            )
            ax.text(row.x0, row.y0 - 4, told, color=PALETTE["abnormal"], fontsize=6, clip_on=True)
        read = f"{one.reading.formula} ({one.reading.formula_probability:.0%})"
        ax.set_title(f"{one.name}: {one.truth}\nread as {read}, {len(one.errors)} wrong", fontsize=7)
    return figure


def _frame(ax, box: np.ndarray, colour: str, width: float) -> None:
    ax.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), fill=False, edgecolor=colour, linewidth=width))


def describe_spreads(spreads: list[ReadSpread]) -> list[str]:
    """Say in words how many spreads are read right, and why the others are not."""
    n, k = len(spreads), sum(one.reading.formula == one.truth for one in spreads)
    share = format_interval(*(100 * np.array([k / n, *wilson(k, n)])), digits=0)
    why = Counter(why for one in spreads for why in one.errors["why"])
    told = "; ".join(f"{reason} {count}" for reason, count in why.most_common())
    return [
        f"The count formula is right on {k} of {n} spreads ({share} %).",
        f"What is wrong on them: {told}." if told else "No chromosome of them is read wrongly.",
    ]
