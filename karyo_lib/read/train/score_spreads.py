"""A reader measured on metaphase spreads: real ones with boxes and classes, altered ones, composed ones."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from karyo_lib.draw.metaphase import draw_metaphase
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import count_formula
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.reader import Reader
from karyo_lib.read.train.trials import normal_cells
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.shape.ink import resize

#: How real spreads are altered, and by how much.
ALTERATIONS = {
    "as it is": 0.0,
    "blur 1.5": 1.5,
    "scale 0.6": 0.6,
    "scale 1.6": 1.6,
    "gain 0.6": 0.6,
    "JPEG 30": 30,
    "noise 12": 12,
    "shading 60": 60,
}
#: Styles of spreads: those of photographs, not of scans, prints or fluorescence.
_STYLES = ("classic", "digital", "mottled", "prometaphase", "internet", "textbook")


@dataclass(frozen=True)
class SpreadTrial:
    """A spread and what is true of it: ``x0, y0, x1, y1, chromosome``, and ``polarity`` where it is known."""

    name: str
    image: np.ndarray
    truth: pd.DataFrame


def alter_spread(image: np.ndarray, how: str, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Alter a spread by one of `ALTERATIONS`; also by what its boxes are to be multiplied."""
    kind, much = how.split()[0], ALTERATIONS[how]
    if kind == "scale":
        return resize(image, much), much
    grey = image.astype(np.float32)
    if kind == "blur":
        grey = cv2.GaussianBlur(grey, (0, 0), much)
    elif kind == "gain":
        paper = float(np.median(grey))
        grey = paper + much * (grey - paper)
    elif kind == "noise":
        grey = grey + rng.normal(0, much, grey.shape)
    elif kind == "shading":
        knots = rng.uniform(-much, 0, (3, 3)).astype(np.float32)
        grey = grey + cv2.resize(knots, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
    elif kind == "JPEG":
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, much])[1], 0), 1.0
    return np.clip(grey, 0, 255).astype(np.uint8), 1.0


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
        yield SpreadTrial(f"{style}-{number}", page.image, page.truth)


def score_spreads(reader: Reader, trials: Iterable[SpreadTrial]) -> pd.DataFrame:
    """What a reader makes of spreads.

    ``trials`` (iterable of SpreadTrial): boxes as tight as the ink. One row a spread: ``name``, ``kind``,
    ``chromosomes``, ``objects``, ``found`` (IoU 0.5), ``right`` (found and named), ``y`` and ``y_right``,
    ``upright`` (right way up; NaN where it is not known), ``formula``, ``truth``, ``probability``, ``exact``
    (the count formula), ``whole`` (every chromosome found and named).
    """
    rows = []
    for trial in trials:
        reading = reader.read(trial.image)
        table, truth = reading.chromosomes, trial.truth.reset_index(drop=True)
        match = match_boxes(table, truth, 0.5).to_numpy() if len(table) else np.zeros(0, int)
        got = np.flatnonzero(match >= 0)
        same = table["chromosome"].to_numpy()[got] == truth["chromosome"].to_numpy()[match[got]]
        upright = np.nan
        if "polarity" in truth and len(got):
            lies = truth["polarity"].to_numpy()[match[got]] < 0
            upright = float((table["upside_down"].to_numpy()[got] == lies).mean())
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


def summarise_spreads(scores: pd.DataFrame) -> dict[str, float]:
    """Shares over all chromosomes and over all spreads."""
    sums = scores[["chromosomes", "objects", "found", "right", "y", "y_right"]].sum()
    return {
        "spreads": len(scores),
        "found": sums["found"] / sums["chromosomes"],
        "precision": sums["found"] / max(sums["objects"], 1),
        "right": sums["right"] / sums["chromosomes"],
        "y_right": sums["y_right"] / max(sums["y"], 1),
        "upright": scores["upright"].mean(),
        "formula": scores["exact"].mean(),
        "whole": scores["whole"].mean(),
    }
