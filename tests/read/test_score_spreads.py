"""Measuring a reader on spreads: known readers, known alterations."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.read.train.score_spreads import (
    ALTERATIONS,
    SpreadTrial,
    alter_spread,
    compose_spreads,
    score_spreads,
    summarise_spreads,
)


class _Knows:
    """A reader that says the truth, but for some chromosomes."""

    def __init__(self, truth: pd.DataFrame, missed: int = 0, misnamed: int = 0):
        table = truth.iloc[missed:].reset_index(drop=True)
        table = table.assign(upside_down=table["polarity"] < 0)
        table.loc[: misnamed - 1, "chromosome"] = "?"
        self.reading = SimpleNamespace(
            kind="metaphase", chromosomes=table, formula="46,XY", formula_probability=0.9
        )

    def read(self, image: np.ndarray) -> SimpleNamespace:
        return self.reading


@pytest.fixture(scope="module")
def trial(bank_dir):
    return next(compose_spreads(ChromosomeBank(bank_dir), 1, part="test"))


def test_who_knows_all_is_right(trial):
    score = score_spreads(_Knows(trial.truth), [trial]).iloc[0]
    assert score["found"] == score["right"] == score["chromosomes"] == 46
    assert (score["upright"], score["whole"]) == (1.0, True)


def test_what_is_missed_and_misnamed_is_counted(trial):
    table = score_spreads(_Knows(trial.truth, missed=2, misnamed=3), [trial])
    summary = summarise_spreads(table)
    assert summary["found"] == pytest.approx(44 / 46)
    assert summary["right"] == pytest.approx(41 / 46)
    assert summary["precision"] == 1.0
    assert summary["whole"] == 0.0


@pytest.mark.parametrize("how", ALTERATIONS)
def test_alterations_keep_the_picture_where_it_is(trial, how):
    image, factor = alter_spread(trial.image, how, np.random.default_rng(0))
    assert image.dtype == np.uint8
    assert image.shape == pytest.approx(np.array(trial.image.shape) * factor, abs=1)
    assert np.array_equal(image, trial.image) == (how == "as it is")
    assert isinstance(trial, SpreadTrial)
