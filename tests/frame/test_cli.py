"""The command: help that reads well, errors in one message, the exit codes of a shell's habits."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from karyo_lib import __version__, cli
from karyo_lib.study.report import execute

runner = CliRunner()


def told(*words):
    return runner.invoke(cli.app, list(words), env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_version():
    result = told("--version")
    assert (result.exit_code, result.output) == (0, f"karyo {__version__}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], ["run", "draw", "not a medical device"]),
        (
            ["run", "--help"],
            ["--profile", "--data", "--bank", "--only", "--out", "--seed", "--weights", "--fresh", "--set"],
        ),
        (["draw", "--help"], ["FORMULA", "--level", "--style", "--seed", "--size", "--output", "Example"]),
    ],
)
def test_help_names_what_there_is(words, said):
    result = told(*words)
    assert result.exit_code == 0
    assert all(word in result.output for word in said)


def test_every_command_and_option_is_explained():
    import typer

    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_draw_writes_image_and_truth(tmp_path):
    image, truth = tmp_path / "page.png", tmp_path / "boxes.csv"
    result = told(
        "draw", "47,XY,+21", "-o", str(image), "--truth", str(truth), "--size", "416", "--seed", "3"
    )
    assert result.exit_code == 0, result.output
    assert "47 chromosomes, 416 x 416 px" in result.output
    with Image.open(image) as opened:
        assert (opened.size, opened.mode) == ((416, 416), "L")
    table = pd.read_csv(truth)
    assert len(table) == 47
    assert (table["chromosome"].astype(str) == "21").sum() == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["draw", "47,XY,+99", "-o", "page.png"], "99"),
        (
            ["draw", "46,XX", "-o", "page.docx"],
            "ends in .png, .jpg, .tif, .bmp or .webp. Received 'page.docx'.",
        ),
        (["draw", "46,XX", "-o", "page.png", "--style", "none"], "none"),
        (["draw", "46,XX", "-o", "page.png", "--level", "500"], "500"),
        (["run", "--profile", "thesi"], "Did you mean 'thesis'?"),
        (["run", "--data", "nowhere"], "Expected data to be an existing folder. Received 'nowhere'."),
        (["run", "--only", "09", "--out", "run"], "Expected a notebook, one of 01_data"),
        (["run", "--set", "pases=3"], "Did you mean 'passes'?"),
        (["run", "--weights", "nowhere.h5"], "Received 'nowhere.h5'"),
    ],
)
def test_errors_are_one_message_without_a_traceback(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = told(*words)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("page.*"))


def test_unknown_option_and_command_suggest(tmp_path):
    assert "--profile" in told("run", "--profil", "smoke").stderr
    assert told("run", "--seed", "-3").exit_code == 2
    assert re.search(r"No such command 'drow'.*draw", told("drow").stderr, re.DOTALL)


def test_debug_shows_where(monkeypatch):
    monkeypatch.setenv("KARYO_DEBUG", "1")
    assert isinstance(told("run", "--profile", "thesi").exception, ValueError)


def test_ctrl_c_and_failed_notebooks_have_exit_codes(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run_study", stopped)
    assert told("run", "--profile", "smoke", "--out", str(tmp_path / "a")).exit_code == 130
    monkeypatch.setattr(execute, "run_study", lambda *_, **__: {"04_transfer": {"status": "failed"}})
    result = told("run", "--profile", "smoke", "--out", str(tmp_path / "a"))
    assert result.exit_code == 1
    assert "Not finished: 04_transfer" in result.stderr
    assert result.stdout.strip().endswith("index.html")


def test_draw_says_which_cell_line_of_a_mosaic_it_draws(tmp_path):
    command = ["draw", "47,XY,+21[15]/46,XY[5]", "-o", str(tmp_path / "page.png"), "--size", "150"]
    first = told(*command)
    assert first.exit_code == 0, first.output
    assert "cell line 1 of 2" in first.stderr
    assert "47,XY,+21, 47 chromosomes" in first.output
    assert "46,XY, 46 chromosomes" in told(*command, "--cell-line", "2").output
    assert "from 1 to 2" in told(*command, "--cell-line", "3").stderr


def test_help_in_a_terminal_of_another_encoding():
    words = [sys.executable, "-m", "karyo_lib.cli", "draw", "--help"]
    told = subprocess.run(words, env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True)
    assert told.returncode == 0, told.stderr.decode("latin-1")
    assert b"Draw the karyogram" in told.stdout


def test_a_case_of_which_nothing_can_be_read_ends_with_the_reason(tmp_path):
    for number in (1, 2):
        (tmp_path / f"cell_{number}.png").write_bytes(b"no picture")
    result = told("case", str(tmp_path), "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "Received 2 of which none could be, 'cell_1.png' first" in result.stderr
    assert "no karyotype" in (tmp_path / "out" / "case.html").read_text(encoding="utf-8")
