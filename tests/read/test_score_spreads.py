"""Measuring a reader on spreads: known readers, known alterations."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.read.train.score_spreads import (
    compose_spreads,
    score_spreads,
    summarise_spreads,
)


def _stroke(row) -> np.ndarray:
    """The mask of an object that lies as a chromosome does."""
    mask = np.zeros((200, 200), np.uint8)
    way = np.array([row.x_stop - row.x_start, row.y_stop - row.y_start])
    way = 60 * way / np.hypot(*way)
    first, last = (tuple(np.round(100 + sign * way).astype(int).tolist()) for sign in (-1, 1))
    cv2.line(mask, first, last, 1, 15)
    return mask > 0


class _Knows:
    """A reader that says the truth, but for some chromosomes."""

    def __init__(self, truth: pd.DataFrame, missed: int = 0, misnamed: int = 0, turned: int = 0):
        table = truth.iloc[missed:].reset_index(drop=True)
        table = table.assign(upside_down=(table["y_start"] > table["y_stop"]) ^ (table.index < turned))
        table.loc[: misnamed - 1, "chromosome"] = "?"
        found = SimpleNamespace(masks=[_stroke(row) for row in table.itertuples()])
        self.reading = SimpleNamespace(
            kind="metaphase", chromosomes=table, formula="46,XY", formula_probability=0.9, found=found
        )

    def read(self, image: np.ndarray) -> SimpleNamespace:
        return self.reading


@pytest.fixture(scope="module")
def trial(bank_dir):
    return next(compose_spreads(ChromosomeBank(bank_dir), 1, part="test"))


def test_who_knows_all_is_right(trial):
    score = score_spreads(_Knows(trial.truth), [trial]).iloc[0]
    assert score["found"] == score["right"] == score["chromosomes"] == 46
    assert (score["upright"], score["whole"]) == (46, True)


def test_what_is_missed_and_misnamed_is_counted(trial):
    table = score_spreads(_Knows(trial.truth, missed=2, misnamed=3, turned=4), [trial])
    summary = summarise_spreads(table)
    assert summary["found"] == pytest.approx(44 / 46)
    assert summary["right"] == pytest.approx(41 / 46)
    assert summary["upright"] == pytest.approx(40 / 44)
    assert summary["precision"] == 1.0
    assert summary["whole"] == 0.0
