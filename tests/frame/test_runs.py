"""The run folder: what is written comes back, whole or not at all, and is shown as it should be."""

import errno
import os
import re

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from karyo_lib.settings import SettingsError
from karyo_lib.store import NoSpace, writing
from karyo_lib.study.present import BANNER, FIGURE, HEADLINE, format_number, slug
from karyo_lib.study.runs import MissingInput, Run


@pytest.fixture
def run(tmp_path):
    return Run.open("smoke", run_dir=str(tmp_path / "run"))


def test_open_makes_the_folders(run):
    assert sorted(path.name for path in run.dir.iterdir()) == ["data", "figures", "models", "tables"]
    assert run.source == "drawn"


def test_source_follows_what_is_given(tmp_path):
    assert Run.open("smoke", str(tmp_path / "a"), data=str(tmp_path)).source == "own"
    with pytest.raises(SettingsError, match=r"without chromosomes\.zip and cells\.csv"):
        Run.open("smoke", str(tmp_path / "b"), bank=str(tmp_path))
    for name in ("chromosomes.zip", "cells.csv"):
        (tmp_path / name).touch()
    assert Run.open("smoke", str(tmp_path / "b"), bank=str(tmp_path)).source == "composed"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": -1}, "seed to be a whole number from 0. Received -1"),
        ({"seed": 1.5}, "Received 1.5"),
        ({"data": "no_such_folder"}, "data to be an existing folder. Received 'no_such_folder'"),
        ({"bank": "no_such_folder"}, "bank to be an existing folder"),
        ({"weights": "no_such_file"}, "or 'random'. Received 'no_such_file'"),
        ({"data": ".", "bank": "."}, "Received both"),
        ({"pases": 3}, "Did you mean 'passes'?"),
    ],
)
def test_open_refuses_what_is_not_there(tmp_path, given, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        Run.open("smoke", run_dir=str(tmp_path / "run"), **given)


def test_table_comes_back(run):
    table = pd.DataFrame(
        {
            "image_id": ["007", "1e5", "NA"],
            "patient_id": ["", "12", ""],
            "chromosome": ["1", "X", "22"],
            "p": [0.1, 1 / 3, np.nan],
            "n": [1, 2, 3],
            "referred": [True, False, True],
            "label": ["normal", "abnormal", "normal"],
        }
    )
    run.save_table(table, "splits")
    pd.testing.assert_frame_equal(run.load_table("splits"), table, check_dtype=False)


@settings(max_examples=25)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_come_back_to_the_bit(tmp_path_factory, values):
    run = Run.open("smoke", run_dir=str(tmp_path_factory.mktemp("run")))
    run.save_table(pd.DataFrame({"value": values}), "values")
    assert run.load_table("values")["value"].tolist() == values


def test_arrays_come_back(run):
    passes = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    run.save_array(passes, "one")
    run.save_array({"a-b": passes, "c": np.arange(3)}, "many")
    with np.load(run.path("data", "one.npz")) as one, np.load(run.path("data", "many.npz")) as many:
        np.testing.assert_array_equal(one["array"], passes)
        assert one["array"].dtype == np.float32
        assert list(many) == ["a-b", "c"]


def test_missing_input_names_the_command(run):
    for call in (
        lambda: run.require("tables/splits.csv", made_by="02_augment"),
        lambda: run.load_table("splits", made_by="02_augment"),
        lambda: run.require("models/head.keras", made_by="02_augment"),
    ):
        with pytest.raises(MissingInput, match=r"karyo run --profile smoke --out .*run --only 02_augment"):
            call()
    run.save_table(pd.DataFrame({"a": [1]}), "splits")
    assert run.require("tables/splits.csv", made_by="02_augment") == run.path("tables", "splits.csv")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_names_stay_in_their_folder(run, name):
    with pytest.raises(ValueError, match="Expected a name of letters"):
        run.save_table(pd.DataFrame({"a": [1]}), name)


def test_an_unfinished_write_leaves_the_old_file(run):
    target = run.path("tables", "t.csv")
    run.save_table(pd.DataFrame({"a": [1]}), "t")
    before = target.read_bytes()

    def write_and_break():
        with writing(target) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_break()
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["t.csv"]


def test_a_full_disk_is_told_and_leaves_nothing(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace, match=r"No disk space left for t\.csv\. Free some, then run the same"):
        run.save_table(pd.DataFrame({"a": [1]}), "t")
    assert list(run.path("tables").iterdir()) == []


def test_figure_is_saved_closed_and_linked(run):
    _, ax = plt.subplots(figsize=(4, 3))
    ax.plot([1, 2])
    ax.set_xlabel("A line & more")
    figure = run.figure(ax, "loss", 'Loss "by" epoch.', thesis="Fig 4.8")
    assert plt.get_fignums() == []
    page = figure._repr_mimebundle_()["text/html"]
    assert 'id="fig-4-8"' in page
    assert "Thesis Fig 4.8." in page
    assert 'alt="A line &amp; more."' in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'download="loss.png"' in page
    assert 'download="loss.svg"' in page
    assert figure._repr_mimebundle_()[FIGURE]["name"] == "loss"
    with Image.open(run.path("figures", "loss.png")) as image:
        assert image.width == pytest.approx(2 * figure.width, abs=1)


def test_the_same_figure_gives_the_same_bytes(run):
    written = []
    for _ in range(2):
        _, ax = plt.subplots()
        ax.scatter([1, 2], [3, 4])
        run.figure(ax, "same", "Same.")
        written.append([run.path("figures", f"same.{suffix}").read_bytes() for suffix in ("svg", "png")])
    assert written[0] == written[1]


def test_a_heavy_figure_is_shown_as_png(run):
    figure, ax = plt.subplots()
    ax.imshow(np.random.default_rng(0).random((600, 600)), cmap="gray", interpolation="none")
    page = run.figure(figure, "heavy", "Noise.").to_html()
    assert 'src="data:image/png;base64,' in page
    assert 'href="data:image/svg+xml;base64,' in page


def test_a_display_is_plotted_when_it_has_not_been(run):
    class Display:
        def plot(self):
            self.figure_, _ = plt.subplots()
            return self

    assert run.figure(Display(), "shown", "A display.").name == "shown"
    with pytest.raises(TypeError, match=r"Expected a matplotlib Figure.*Received int"):
        run.figure(3, "wrong", "Nothing.")


def test_table_page_is_sortable_escaped_and_cut(run):
    table = pd.DataFrame({"file_name": ["<script>x</script>"] * 5, "auc": [0.12345, np.nan, 1, 0, 2e-7]})
    page = run.table(table, "t", "Names & numbers.", thesis="Table 5.1", rows=4).to_html()
    assert "<script>" not in page
    assert "First 4 of 5 rows" in page
    assert 'data-value="0.12345">0.123<' in page
    assert 'data-value="">\N{EN DASH}<' in page
    assert page.count("<button") == 2
    assert 'id="table-5-1"' in page
    assert len(pd.read_csv(run.path("tables", "t.csv"))) == 5


def test_headline_and_banner_carry_their_own_types(run):
    bundle = run.headline([("AUC", 0.5612, 0.44, 0.68, "honest"), ("Karyograms", 146)])._repr_mimebundle_()
    assert bundle[HEADLINE][0] == {
        "label": "AUC", "value": "0.561", "interval": "(0.440 to 0.680)", "note": "honest"
    }  # fmt: skip
    assert "95&nbsp;% interval (0.440 to 0.680)" in bundle["text/html"]
    perfect = run.headline([("AUC", 1.0, np.nan, np.nan)])._repr_mimebundle_()[HEADLINE][0]
    assert perfect["interval"] == "(cannot be told from so few)"
    assert run.banner("<Random>")._repr_mimebundle_()[BANNER] == {"text": "<Random>", "kind": "warning"}
    assert "&lt;Random&gt;" in run.banner("<Random>").to_html()
    assert run.banner(None)._repr_mimebundle_() == {"text/plain": ""}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"), (1.0, "1.000"), (12.345, "12.3"), (1234.5, "1\u202f234"), (0, "0"), (0.0, "0.000"),
        (1234567, "1\u202f234\u202f567"), (1e-5, "1.00\u202f\N{MULTIPLICATION SIGN}\u202f10⁻⁵"),
        (None, "\N{EN DASH}"), (np.nan, "\N{EN DASH}"), (np.int64(7), "7"), (np.float32(0.25), "0.250"),
        (True, "yes"), (np.bool_(False), "no"), ("text", "text"),
        (float("-inf"), "\N{MINUS SIGN}\N{INFINITY}"), (-0.25, "-0.250"), (99.96, "100.0"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, text):
    assert format_number(value) == text


def test_an_estimate_and_its_limits_share_a_cell(run):
    frame = pd.DataFrame(
        {"mean": [0.5, np.nan], "low": [0.25, np.nan], "high": [0.75, np.nan],
         "gain": [1.0, 2.0], "gain_low": [0.5, 1.0], "gain_high": [1.5, 3.0], "lowest": [0, 1]}
    )  # fmt: skip
    table = run.table(frame, "limits", "Estimates.")
    page = table.to_html()
    assert re.findall(r'">([\w ]+)</button>', page) == ["mean", "gain", "lowest"]
    assert 'data-value="0.5">0.500 <small>[0.250, 0.750]</small></td>' in page
    assert 'data-value="">\N{EN DASH}</td>' in page
    assert table.csv.decode().startswith("mean,low,high,gain,gain_low,gain_high,lowest")


def test_limits_belong_to_the_estimate_before_them(run):
    frame = pd.DataFrame({"mean": [0.5], "sd": [0.1], "difference": [0.2], "low": [-1.0], "high": [1.5]})
    page = run.table(frame, "limits_behind", "Two estimates.").to_html()
    assert 'data-value="0.2">0.200 <small>[-1.000, 1.50]</small></td>' in page
    assert 'data-value="0.5">0.500</td>' in page


def test_anchors():
    assert slug("Fig 4.8") == "fig-4-8"
    assert slug("Table 5.1") == "table-5-1"


def test_nothing_is_shown_outside_a_notebook(run, capsys):
    Run.open("smoke", run_dir=str(run.dir))
    assert capsys.readouterr() == ("", "")


def test_table_links_places_and_shows_thumbnails(run):
    _, ax = plt.subplots()
    run.figure(ax, "curves", "Curves.")
    table = pd.DataFrame(
        {
            "place": ["04_transfer.html#fig-4-8", "07_report.html", "04_transfer.html#<x>"],
            "thumbnail": ["curves", "none_such", None],
            "seed": [3012128320, 1, 2],
        }
    )
    page = run.table(table, "map", "Where things are.").to_html()
    assert '<a href="04_transfer.html#fig-4-8">04_transfer, fig-4-8</a>' in page
    assert '<a href="07_report.html">07_report</a>' in page
    assert "&lt;x&gt;" in page
    assert page.count('<img class="karyo-thumbnail" src="data:image/webp;base64,') == 1
    assert ">3012128320<" in page
    assert ">none<" in run.table(table.head(0), "empty", "Nothing.").to_html()
