"""Training and measuring a whole reader: mechanics on tiny settings, the parts' truths on known pages."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from karyo_lib import cli
from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import DatasetError
from karyo_lib.networks.backend import keras
from karyo_lib.read.decode import Decoder, DecoderSettings
from karyo_lib.read.decoding_network import NetworkSettings, build_decoding_model
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.reader import Reader
from karyo_lib.read.train import learn, score
from karyo_lib.read.train.fit_decoder import DecoderTraining
from karyo_lib.read.train.learn import Adapted, adapt, fit_marks, sorted_page, strips_of_bank
from karyo_lib.read.train.score import (
    aneuploid_trials,
    compose_trials,
    normal_cells,
    read_truths,
    trial_formulae,
)
from karyo_lib.shape.boxes import match_boxes


@pytest.mark.parametrize("size", [None, (416, 416)])
@pytest.mark.parametrize("style", ["crowded", "patched", "internet", "fluorescence", "textbook", "ruled"])
def test_the_shipped_finder_in_lab_styles_it_never_saw(style, size):
    page = draw_karyogram("47,XX,+18", style=style, seed=8, size=size)
    match = match_boxes(find_chromosomes(page.image).boxes, page.truth, 0.5)
    least = 43 if style == "crowded" else 46  # where neighbours overlap by a fifth of their width
    assert (match >= 0).sum() >= least
    assert (match < 0).sum() <= 1


def test_trials_are_half_abnormal():
    formulae = trial_formulae(40, seed=3)
    assert formulae.count(None) == 20
    assert formulae == trial_formulae(40, seed=3)
    assert "46,XX" not in formulae


def test_a_bank_trains_and_measures_a_reader(bank_dir, monkeypatch):
    bank = ChromosomeBank(bank_dir)
    parts = [set(normal_cells(bank, part)["case"]) for part in ("train", "val", "test")]
    assert not any(parts[i] & parts[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    pages = list(compose_trials(bank, 2, styles=("digital",), size=(300, 240), part="val"))
    assert [len(p.truth) == 46 for p in pages] == [True, False]
    assert len(next(aneuploid_trials(bank, (300, 240))).truth) != 46
    strips = strips_of_bank(bank, normal_cells(bank, "val")["cell"].iloc[:2])
    assert len(strips) == 92
    assert strips.weights.sum() == pytest.approx(1)
    monkeypatch.setattr(score, "normal_cells", lambda bank, part: normal_cells(bank, part).iloc[:1])
    small = compose_trials(bank, 2, styles=("digital",), size=(300, 240), part="val", abnormal=0)
    assert [len(p.truth) for p in small] == [46, 46], "normal pages need no donors"


@pytest.fixture(scope="module")
def small_reader():
    """A reader whose decoder is too small to know anything, and quick to train."""
    reader = Reader.load()
    reader.decoder = Decoder(DecoderSettings(NetworkSettings((4, 4, 4), 16, (1, 2), 1, 2)))
    reader.decoder.model = build_decoding_model(reader.decoder.settings.network)
    return reader


def test_changes_are_marked_on_one_normal_page_in_twenty(small_reader, monkeypatch):
    def read(reader, number):
        assert reader.settings.least_score == -np.inf
        rows = [("variant", 99.0), ("deletion", float(number))] if number else []
        return SimpleNamespace(structure=pd.DataFrame(rows, columns=["kind", "score"]))

    monkeypatch.setattr(Reader, "read", read)
    fitted = fit_marks(small_reader, range(41))
    settings = fitted.settings
    assert fitted.spread_counting == small_reader.spread_counting != fitted.counting
    assert (fitted.detector, fitted.decoder) == (small_reader.detector, small_reader.decoder)
    assert small_reader.settings.half_seen == 40, "what was given stays as it is"
    assert settings.least_score == 38  # 39 and 40 are marked
    assert settings.score_scale == pytest.approx(8 / np.log(5))
    assert settings.half_seen is None


def test_sorted_pages_teach_their_looks(small_reader, tmp_path, monkeypatch):
    # a few steps are taken sooner one by one than traced; test_decoder_training trains as a user does
    monkeypatch.setattr(keras.Model, "run_eagerly", property(lambda self: True, lambda self, value: None))
    page = draw_karyogram("47,XY,+21", style="digital", seed=2, size=(500, 400)).image
    first = sorted_page(small_reader, page)
    assert "21" not in first.names, "one of three may be another"
    assert len(first.names) == len(first.log_proba) == len(first.teaches) == 44
    said = []
    monkeypatch.setattr(learn, "sorted_page", lambda reader, image: first)  # found once for all
    few = {"batch_size": 8, "chunk": 2}
    monkeypatch.setattr(learn, "DecoderTraining", lambda **given: DecoderTraining(**(given | few)))
    adapted = adapt(small_reader, [page] * 8, minutes=0.01, tell=said.append)
    assert (adapted.pages, adapted.right.shape) == (6, (2, 3))
    assert adapted.right[:, 0].min() > 40
    assert "On 2 pages kept aside" in adapted.sentence
    told = Adapted(small_reader, 9, np.array([[40, 30, 38]] * 7)).sentence
    assert "266 of 280 chromosomes" in told
    assert "It helped: +20.0 points a page (95 % interval +3.6 to +20.0)" in told
    assert "not shown" in Adapted(small_reader, 9, np.array([[40, 30, 38], [40, 38, 30]])).sentence
    assert "no page differs" in Adapted(small_reader, 9, np.array([[40, 30, 30]])).sentence
    assert said
    adapted.reader.save(tmp_path)
    assert Reader.load(tmp_path).settings.clear_below is None
    with pytest.raises(ValueError, match="at least eight pages"):
        adapt(small_reader, [page], minutes=0.01, tell=said.append)


def test_a_labelled_folder_is_scored(tmp_path):
    folder, out = tmp_path / "pages", tmp_path / "out"
    folder.mkdir()
    for name, formula in (("a.png", "46,XY"), ("<b>.png", "47,XX,+18")):
        Image.fromarray(draw_karyogram(formula, style="digital", seed=1, size=(500, 400)).image).save(
            folder / name
        )
    (folder / "c.png").write_bytes(b"no image")
    rows = [
        'a.png,"46,XY,t(9;22)",sure',
        '<b>.png,"47,XX,+21",sure',
        'a.png,"45,X",unsure',
        'c.png,"46,XX",sure',
    ]
    (folder / "index.csv").write_text("\n".join(["file,truth,confidence", *rows]))
    result = CliRunner().invoke(cli.app, ["reader", "score", "--pages-dir", str(folder), "-o", str(out)])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "pages.csv", keep_default_na=False)
    assert table["exact"].astype(str).tolist() == ["True", "False", "False"]
    assert table["truth"].tolist() == ["46,XY", "47,XX,+21", "46,XX"]
    html = (out / "errors.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;.png" in html
    assert "<b>.png" not in html
    assert "http" not in html
    assert "1 of 3" in html
    (folder / "index.csv").write_text('file,truth\n../secret.png,"46,XX"')
    with pytest.raises(DatasetError, match="files below"):
        read_truths(folder)
    (folder / "index.csv").write_text("file\na.png")
    with pytest.raises(DatasetError, match="columns file, truth"):
        read_truths(folder)


def test_the_command_writes_tables(tmp_path, monkeypatch):
    few = partial(score.draw_trials, styles=("digital", "ruled"))
    monkeypatch.setattr(score, "draw_trials", few)
    words = ["reader", "score", "--pages", "1", "--side", "320", "-o", str(tmp_path)]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(tmp_path / "pages.csv")) == 2
    summary = pd.read_csv(tmp_path / "summary.csv").set_index(["of", "measure"])
    assert summary.loc[("all", "count formula exact"), "n"] == 2
    assert summary.loc[("ruled", "chromosomes found"), "n"] > 40
