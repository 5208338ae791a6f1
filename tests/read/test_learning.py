"""Training and measuring a whole reader: mechanics on tiny settings, the parts' truths on known pages."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from karyo_lib import cli
from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.network_files import READER_FILES
from karyo_lib.read.reader import Reader
from karyo_lib.read.train.learn import LearningSettings, join, strips_found, train_on_bank
from karyo_lib.read.train.score import score_finding
from karyo_lib.read.train.training import draw_cells
from karyo_lib.read.train.training_pages import draw_training_page
from karyo_lib.read.train.trials import aneuploid_trials, compose_trials, normal_cells, trial_formulae


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("46,XY", style="crowded", seed=3, size=None)


def test_training_pages_differ_and_can_be_repeated():
    first, second = (draw_training_page(np.random.default_rng(s)).image for s in (1, 2))
    again = draw_training_page(np.random.default_rng(1)).image
    assert first.shape != second.shape
    assert np.array_equal(first, again)


@pytest.mark.parametrize("size", [None, (416, 416)])
@pytest.mark.parametrize("style", ["crowded", "patched", "internet", "fluorescence", "textbook", "ruled"])
def test_the_shipped_finder_in_lab_styles_it_never_saw(style, size):
    page = draw_karyogram("47,XX,+18", style=style, seed=8, size=size)
    score = score_finding(find_chromosomes(page.image).boxes, page.truth)
    least = 43 if style == "crowded" else 46  # where neighbours overlap by a fifth of their width
    assert score["found"] >= least
    assert score["false"] <= 1


def test_strips_are_taken_as_the_finder_cuts_them_out(page):
    strips, names = strips_found(page, Reader.load().detector)
    assert len(strips) == len(names) > 40
    whole = join(draw_cells(1, 4), draw_cells(1, 5))
    assert len(set(whole.cells)) == 2


def test_trials_are_half_abnormal():
    formulae = trial_formulae(40, seed=3)
    assert formulae.count(None) == 20
    assert formulae == trial_formulae(40, seed=3)
    assert "46,XX" not in formulae


def test_a_bank_trains_and_measures_a_reader(bank_dir, tmp_path):
    bank = ChromosomeBank(bank_dir)
    parts = [set(normal_cells(bank, part)["case"]) for part in ("train", "val", "test")]
    assert not any(parts[i] & parts[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    pages = list(compose_trials(bank, 2, styles=("digital",), size=(300, 240), part="val"))
    assert [len(p.truth) == 46 for p in pages] == [True, False]
    assert len(next(aneuploid_trials(bank, (300, 240))).truth) != 46
    few = LearningSettings(clean=3, found=2, epochs=1, counted=2)
    said = []
    train_on_bank(bank, few, tell=said.append).save(tmp_path)
    assert len(said) == 3
    assert {f.name for f in tmp_path.iterdir()} == set(READER_FILES)
    assert Reader.load(tmp_path).read(pages[0].image).formula


def test_the_command_writes_tables(tmp_path):
    words = ["reader", "score", "--pages", "1", "--side", "320", "-o", str(tmp_path)]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(tmp_path / "pages.csv")) == 12
    assert pd.read_csv(tmp_path / "summary.csv").iloc[-1, 0] == "all"
