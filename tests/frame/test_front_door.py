"""The names of ``import karyo_lib as karyo``: each explains itself by an example that runs."""

import doctest
import json
import re
import resource
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import karyo_lib as karyo
from karyo_lib.cli import app

NAMES = (
    *("parse_karyotype", "write_karyotype", "Karyotype", "load_catalogue", "draw_karyogram"),
    *("draw_metaphase", "compose_karyogram", "read_image", "read_case", "Reader", "Reading", "Case"),
    *("Screener", "Worklist", "train_package"),
)


@pytest.fixture(scope="module", autouse=True)
def _one_reader(shipped):
    """The reader that comes with karyo is opened once for all examples."""
    load = karyo.Reader.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(karyo.Reader, "load", lambda folder=None: load(folder) if folder else shipped)
        yield


def test_fifteen_names():
    assert sorted(NAMES) == karyo.__all__


def test_a_notebook_shows_what_is_drawn_and_what_is_read():
    page = karyo.draw_karyogram("47,XX,+21", style="digital", size=None)
    assert page._repr_png_().startswith(b"\x89PNG")
    assert repr(page) == "Page(formula='47,XX,+21', style='digital', seed=0)"
    reading = karyo.read_image(page.image)
    assert repr(reading).startswith("Reading('47,XX,+21', kind='karyogram'")
    shown = reading._repr_html_()
    assert all(part in shown for part in ("data:image/png;base64,", "47,XX,+21", "not a medical device"))


def test_what_is_none_of_it_is_told_in_a_sentence():
    with pytest.raises(TypeError, match=r"Expected the path of an image.*Received None\."):
        karyo.read_image(None)
    with pytest.raises(TypeError, match=r"Expected a Karyotype.*Received '46,XX'\."):
        karyo.write_karyotype("46,XX")
    assert repr(karyo.parse_karyotype("47,XX,+21")) == "Karyotype('47,XX,+21', trisomy, 47 chromosomes)"


def test_one_image_from_the_command_line(tmp_path):
    page = karyo.draw_karyogram("45,X", style="digital", size=None)
    Image.fromarray(page.image).save(tmp_path / "page.png")
    told = CliRunner().invoke(app, ["read", str(tmp_path / "page.png"), "-o", str(tmp_path / "out")])
    assert (told.exit_code, told.stdout.startswith("45,X (probability")) == (0, True)
    record = json.loads((tmp_path / "out" / "reading.json").read_text())
    assert (record["formula"], len(record["chromosomes"])) == ("45,X", 45)
    assert str(tmp_path) not in json.dumps(record)
    documented = re.findall(r"`(\w+)`", (Path(__file__).parents[2] / "docs" / "reading.md").read_text())
    assert {*record, *record["chromosomes"][0]} <= set(documented)
    assert (tmp_path / "out" / "reading.png").read_bytes().startswith(b"\x89PNG")
    lost = CliRunner().invoke(app, ["read", str(tmp_path / "none.png")])
    assert (lost.exit_code, "none.png" in lost.output) == (1, True)


@pytest.mark.parametrize(
    ("words", "seconds"), [(["-c", "import karyo_lib"], 0.3), (["-m", "karyo_lib.cli", "-h"], 0.7)]
)
def test_it_opens_at_once(words, seconds):
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)  # processor time: others may be at work
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 2 * seconds  # machines differ; an engine imported on the way takes far longer


@pytest.mark.parametrize("name", karyo.__all__)
def test_every_name_shows_an_example_that_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    thing = getattr(karyo, name)
    found = doctest.DocTestFinder(recurse=False).find(
        thing, name, globs=vars(sys.modules[thing.__module__]).copy()
    )
    examples = [test for test in found if test.examples]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples:
        assert runner.run(test).failed == 0


def test_the_package_runs_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["karyo", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("karyo_lib", run_name="__main__")
    assert ended.value.code == 0
    assert "screen" in capsys.readouterr().out
