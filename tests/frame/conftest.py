"""A study of four small notebooks, run once, and a browser to look at its reports."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import fake_engine, write_study

from karyo_lib.study.report import execute
from karyo_lib.study.runs import Run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Folder of small notebooks, finished run folder, its run and records."""
    root = tmp_path_factory.mktemp("study")
    notebooks = write_study(root / "notebooks")
    run = Run.open("smoke", run_dir=str(root / "reports" / "one"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "inspect_engine", fake_engine)
        records = execute.run_study(run, folder=notebooks)
    return notebooks, run, records


@pytest.fixture
def fresh_study(study, tmp_path, monkeypatch):
    """A copy of the finished study that a test may change."""
    notebooks, run, _ = study
    shutil.copytree(run.dir.parent.parent, tmp_path / "copy")
    monkeypatch.setattr(execute, "inspect_engine", fake_engine)
    return tmp_path / "copy" / notebooks.name, Run.open("smoke", run_dir=str(tmp_path / "copy/reports/one"))


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """Run folder of all seven notebooks in the smoke profile, and what the command said."""
    root = tmp_path_factory.mktemp("smoke") / "reports" / "smoke"
    beside = Path(__file__).resolve().parents[3] / "shared" / "weights"
    weights = os.environ.get("KARYO_WEIGHTS") or (str(beside) if beside.is_dir() else "random")
    words = [sys.executable, "-m", "karyo_lib.cli", "run", "--profile", "smoke", "--out", str(root)]
    alone = os.environ | {"LOKY_MAX_CPU_COUNT": "1"}  # a process more takes longer to start than so few pages
    words += ["--weights", weights]
    done = subprocess.run(words, env=alone, capture_output=True, text=True, check=False)
    return root, done
