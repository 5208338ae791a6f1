"""A reader measured on metaphase spreads: real ones with boxes and classes, composed ones."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.draw.metaphase import draw_metaphase
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import count_formula
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.read.train.pieces import STAND_OFF, list_spreads, open_spreads
from karyo_lib.read.train.score import normal_cells
from karyo_lib.shape.boxes import BOX, match_boxes
from karyo_lib.shape.centreline import find_centreline

#: Styles of spreads: those of photographs, not of scans, prints or fluorescence.
_STYLES = ("classic", "digital", "mottled", "prometaphase", "internet", "textbook")


@dataclass(frozen=True)
class SpreadTrial:
    """A spread and its truth: ``x0, y0, x1, y1, chromosome``; ends ``x_start`` (p) ... ``y_stop``."""

    name: str
    image: np.ndarray
    truth: pd.DataFrame


def real_spreads(folder: Path, part: str = "test") -> Iterator[SpreadTrial]:
    """Spreads of a data set with boxes and classes, as `list_spreads` takes it."""
    for cell, image, boxes in open_spreads(folder, list_spreads(folder, part)["cell"]):
        inner = boxes[BOX] + STAND_OFF * np.array([1, 1, -1, -1])
        yield SpreadTrial(cell, image, inner.assign(chromosome=boxes["class"]))


def compose_spreads(bank: ChromosomeBank, n: int, seed: int = 0, part: str = "test") -> Iterator[SpreadTrial]:
    """Spreads composed of the real chromosomes of a bank's patients, turned, touching and crossing."""
    cells = normal_cells(bank, part)["cell"].to_numpy()
    for number in range(n):
        rng = np.random.default_rng([seed, 57, number])
        wide = int(rng.integers(640, 1300))
        cell, style = str(rng.choice(cells)), _STYLES[number % len(_STYLES)]
        page = draw_metaphase(
            None,
            cutouts=bank.cutouts(cell),
            style=style,
            seed=int(rng.integers(2**31)),
            size=(wide, round(0.82 * wide)),
            crossing=0.35,
        )
        bands = page.bands.groupby("row")
        first, last = bands[["x_start", "y_start"]].first(), bands[["x_stop", "y_stop"]].last()
        yield SpreadTrial(f"{style}-{number}", page.image, page.truth.join([first, last]))


def score_spreads(reader: Reader, trials: Iterable[SpreadTrial]) -> pd.DataFrame:
    """What a reader makes of spreads (boxes as tight as the ink): ``name, kind, chromosomes, objects``,
    ``found`` (IoU 0.5), ``right`` (found and named), ``y, y_right``, ``upright`` (of those found; NaN where
    unknown), ``formula, truth, probability``, ``exact`` (count formula), ``whole`` (every one is)."""
    rows = []
    for trial in trials:
        reading = reader.read(trial.image)
        table, truth = reading.chromosomes, trial.truth.reset_index(drop=True)
        match = match_boxes(table, truth, 0.5).to_numpy() if len(table) else np.zeros(0, int)
        got = np.flatnonzero(match >= 0)
        same = table["chromosome"].to_numpy()[got] == truth["chromosome"].to_numpy()[match[got]]
        upright = np.nan
        if "x_start" in truth:
            ways = truth[["y_stop", "x_stop"]].to_numpy() - truth[["y_start", "x_start"]].to_numpy()
            seen = _ways(reading, got)
            upright = int(((seen * ways[match[got]]).sum(1) > 0).sum())
        is_y = truth["chromosome"].to_numpy()[match[got]] == "Y"
        named = int((table["chromosome"] != "").sum())
        formula = count_formula(Counter(c for c in truth["chromosome"] if c in CLASSES))
        rows.append(
            dict(
                name=trial.name,
                kind=reading.kind,
                chromosomes=len(truth),
                objects=named,
                found=len(got),
                right=int(same.sum()),
                y=int((truth["chromosome"] == "Y").sum()),
                y_right=int((same & is_y).sum()),
                upright=upright,
                formula=reading.formula,
                truth=formula,
                probability=reading.formula_probability,
                exact=reading.formula == formula,
                whole=bool(same.sum() == len(truth) == named),
            )
        )
    return pd.DataFrame(rows)


def _ways(reading: Reading, objects: np.ndarray) -> np.ndarray:
    """From the end of the short arm to that of the long one, as read: (row, column), shape (n, 2)."""
    lines = [find_centreline(reading.found.masks[i]) for i in objects]
    down = np.array([line[-1] - line[0] for line in lines]).reshape(-1, 2)
    return np.where(reading.chromosomes["upside_down"].to_numpy()[objects, None], -down, down)


def summarise_spreads(scores: pd.DataFrame) -> dict[str, float]:
    """Shares over all chromosomes and over all spreads."""
    sums = scores[["chromosomes", "objects", "found", "right", "y", "y_right"]].sum()
    return {
        "spreads": len(scores),
        "found": sums["found"] / sums["chromosomes"],
        "precision": sums["found"] / max(sums["objects"], 1),
        "right": sums["right"] / sums["chromosomes"],
        "y_right": sums["y_right"] / max(sums["y"], 1),
        "upright": scores["upright"].sum(min_count=1) / sums["found"],
        "formula": scores["exact"].mean(),
        "whole": scores["whole"].mean(),
    }
