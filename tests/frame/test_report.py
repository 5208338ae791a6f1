"""Running the study: order, skipping, failing, resuming, and what the reports say."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import pytest
from small_study import fake_engine, write_notebook

from karyo_lib.settings import SettingsError
from karyo_lib.store import BusyError
from karyo_lib.study.report import execute, index, kernel
from karyo_lib.study.report.content import scrubber, without_progress
from karyo_lib.study.report.kernel import (
    Monitor,
    OwnKernelManager,
    check_parameters,
    choose,
    duration,
    find_notebooks,
    read_step,
)
from karyo_lib.study.report.kernel import execute as execute_one
from karyo_lib.study.report.records import Records
from karyo_lib.study.runs import Run, project_dir

# -- order and parameters


def test_notebooks_come_in_order_with_what_they_need(study):
    found = find_notebooks(study[0])
    assert [notebook.name for notebook in found] == ["01_first", "02_second", "03_broken", "04_fourth"]
    assert found[3].needs == ("01_first", "02_second")
    assert found[0].parameters == ("profile", "run_dir", "seed", "data", "bank", "weights", "overrides")


def test_what_is_needed_is_read_from_the_code_with_what_that_needs(tmp_path):
    write_notebook(tmp_path, "01_a", "1")
    write_notebook(tmp_path, "02_b", "run.require('x', made_by='01_a')")
    write_notebook(tmp_path, "03_c", 'run.load_table("y", made_by="02_b")', "# of '04_d'")
    write_notebook(tmp_path, "04_d", "1")
    needs = [notebook.needs for notebook in find_notebooks(tmp_path)]
    assert needs == [(), ("01_a",), ("01_a", "02_b"), ()]


def test_only_takes_names_and_numbers(study):
    found = find_notebooks(study[0])
    assert [notebook.name for notebook in choose(found, ["4", "01_first.ipynb"])] == ["01_first", "04_fourth"]
    with pytest.raises(SettingsError, match=r"Received '04_fort'\. Did you mean '04_fourth'"):
        choose(found, ["04_fort"])


def test_a_parameter_that_a_notebook_lacks_is_an_error(study):
    notebook = find_notebooks(study[0])[0]
    with pytest.raises(SettingsError, match=r"Received 'sed'\. Did you mean 'seed'"):
        check_parameters(notebook, {"sed": 3})


def test_a_folder_without_notebooks_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="Received none: run karyo from a checkout"):
        find_notebooks(tmp_path)


# -- one run


def test_outcome_of_each_notebook(study):
    _, run, records = study
    assert {name: record["status"] for name, record in records.items()} == {
        "01_first": "done", "02_second": "done", "03_broken": "failed", "04_fourth": "done"
    }  # fmt: skip
    assert records["03_broken"]["error"].startswith("ValueError: Expected a file in ")
    assert sorted(records["01_first"]["outputs"]) == [
        "figures/curves.png", "figures/curves.svg", "tables/first.csv"
    ]  # fmt: skip
    assert sorted(path.name for path in run.dir.glob("*.html")) == [
        "01_first.html", "02_second.html", "03_broken.html", "04_fourth.html", "index.html"
    ]  # fmt: skip


def test_report_has_the_headline_first_and_no_progress(study):
    text = (study[1].dir / "01_first.html").read_text()
    assert text.index("AUC, split by patient") < text.index("The collection</h2>")
    assert text.index("Weights are &lt;random&gt;.") < text.index("AUC, split by patient")
    assert not re.search(r"3/3 \[[^<]*</pre>", text)
    assert "kept in RUN" in text
    assert "UserWarning: Looked into RUN" in text
    assert re.search(r"<p>At 0\.5\.</p>", text), "what a widget first shows stands in its place"
    assert "widget-view" not in text
    assert text.count("With controls in JupyterLab") == 1, "a progress bar is none"


def test_report_asks_no_other_host_and_is_small(study):
    for path in study[1].dir.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", text)
        assert "default-src 'none'" in text
        assert path.stat().st_size < index.LARGEST


def test_no_path_of_this_machine_is_shown(study):
    notebooks, run, _ = study
    for path in [*run.dir.glob("*.html"), run.dir / "provenance.json"]:
        text = path.read_text()
        for folder in (run.dir, notebooks, Path.home(), Path(__file__).parents[2], sys.prefix):
            assert len(str(folder)) < 3 or str(folder) not in text, path.name


def test_failing_cell_is_shown_and_linked(study):
    run = study[1]
    report, index = (run.dir / "03_broken.html").read_text(), (run.dir / "index.html").read_text()
    anchor = re.search(r'failed: <a href="03_broken\.html#(cell-\d+)"', index)[1]
    assert f'class="cell failed" id="{anchor}"' in report
    assert "Expected a file in RUN." in report
    assert 'class="traceback"' in report


def test_provenance_is_complete(study):
    run, records = study[1], study[2]
    told = json.loads((run.dir / "provenance.json").read_text())
    assert set(told) == {
        "settings", "seed", "karyograms", "engine", "weights", "versions", "commit", "device", "digests"
    }  # fmt: skip
    assert told["settings"]["passes"] == run.settings.passes
    assert told["versions"]["python"].startswith("3.")
    assert len(told["digests"]["library"]) == 64
    text = (run.dir / "01_first.html").read_text()
    for word in (told["digests"]["library"], told["device"], "karyo run --profile smoke --out RUN"):
        assert word in text
    assert all(cell["seconds"] is not None for cell in records["01_first"]["cells"])


def test_index_has_table_cards_and_history(study):
    text = (study[1].dir / "index.html").read_text()
    assert "Thesis Table 5.1." in text
    assert text.count('<div class="thumbnail') == 4
    assert text.count("data:image/webp") == 1
    assert "Weights are &lt;random&gt;." in text
    history = Records(study[1].dir).read_history()
    assert [entry["status"] for entry in history] == ["failed"]
    assert history[0]["numbers"]["01_first: AUC, split by patient"] == "0.561 (0.440 to 0.680)"


# -- again


def test_nothing_changed_runs_nothing(fresh_study, monkeypatch, capsys):
    notebooks, run = fresh_study
    (notebooks / "03_broken.ipynb").unlink()

    def run_again(*_):
        raise AssertionError("a notebook was run again")

    monkeypatch.setattr(kernel, "execute", run_again)
    records = execute.run_study(run, folder=notebooks)
    assert {record["status"] for record in records.values()} == {"done"}
    assert capsys.readouterr().out.count("unchanged, kept") == 3


def ran(capsys):
    return re.findall(r"notebook \d of \d  (\w+)  done in", capsys.readouterr().out)


def test_a_changed_notebook_reruns_with_what_depends_on_it(fresh_study, capsys):
    notebooks, run = fresh_study
    (notebooks / "03_broken.ipynb").unlink()
    content = nbformat.read(notebooks / "02_second.ipynb", as_version=4)
    content.cells[3].source = content.cells[3].source.replace("head(1)", "head(2)")
    nbformat.write(content, notebooks / "02_second.ipynb")
    execute.run_study(run, folder=notebooks)
    assert ran(capsys) == ["02_second", "04_fourth"]
    assert len(run.load_table("second")) == 2


def test_a_lost_output_is_made_again(fresh_study, capsys):
    notebooks, run = fresh_study
    (run.dir / "tables" / "table_5_1.csv").unlink()
    execute.run_study(run, only=["4"], folder=notebooks)
    assert ran(capsys) == ["04_fourth"]
    assert run.path("tables", "table_5_1.csv").exists()


def test_fresh_reruns_and_other_settings_take_nothing_over(fresh_study, capsys):
    notebooks, run = fresh_study
    (run.dir / "tables" / "stale.csv").write_text("a\n1\n")
    (notebooks / "03_broken.ipynb").unlink()
    (notebooks / "04_fourth.ipynb").unlink()
    execute.run_study(run, folder=notebooks, fresh=True)
    assert ran(capsys) == ["01_first", "02_second"]
    assert not (run.dir / "tables" / "stale.csv").exists()
    other = Run.open("smoke", run_dir=str(run.dir), seed=7)
    execute.run_study(other, only=["1"], folder=notebooks)
    assert ran(capsys) == ["01_first"]
    assert len(Records(run.dir).read_history()) == 3


def test_what_depends_on_a_failure_is_left_out_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execute, "inspect_engine", fake_engine)
    write_notebook(tmp_path / "notebooks", "01_first", "raise OSError('no')")
    write_notebook(tmp_path / "notebooks", "02_second", "run.require('x', made_by='01_first')")
    run = Run.open("smoke", run_dir=str(tmp_path / "run"))
    records = execute.run_study(run, folder=tmp_path / "notebooks")
    assert [record["status"] for record in records.values()] == ["failed", "skipped"]
    assert "01_first did not finish" in (run.dir / "02_second.html").read_text()
    assert "02_second did not run" in (run.dir / "index.html").read_text()
    assert "skipped: 01_first did not finish" in capsys.readouterr().out


def test_two_runs_cannot_share_a_folder(study):
    notebooks, run, _ = study
    with Records(run.dir).lock(), pytest.raises(BusyError, match=rf"at work \(process {os.getpid()}\)"):
        execute.run_study(run, folder=notebooks)


def test_a_foreign_kernel_of_the_same_name_is_not_run(tmp_path, monkeypatch):
    foreign = tmp_path / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["/absent/python"], "display_name": "another", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert OwnKernelManager(kernel_name="python3").kernel_spec.argv[0] == sys.executable


def test_the_karyo_of_another_checkout_does_not_write_into_it(tmp_path, monkeypatch):
    for name in ("notebooks", "karyo_lib"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="cannot be copied"):
        project_dir()


def test_a_folder_of_other_things_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "inspect_engine", fake_engine)
    write_notebook(tmp_path / "notebooks", "01_first", "1")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "data.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"Received one that holds data\.txt"):
        execute.run_study(
            Run.open("smoke", run_dir=str(tmp_path / "thesis")), folder=tmp_path / "notebooks", fresh=True
        )
    assert (tmp_path / "thesis" / "data.txt").read_text() == "mine"


def test_a_larger_report_drops_the_second_copy_of_its_figures(study, monkeypatch, tmp_path):
    notebooks, run, records = study
    monkeypatch.setattr(index, "LARGEST", 1000)
    notebook = find_notebooks(notebooks)[0]
    executed = Records(run.dir).read_notebook("01_first")
    other = Run.open("smoke", run_dir=str(tmp_path / "run"))
    index.write_report(other, notebook, executed, records["01_first"], (notebook,))
    text = (other.dir / "01_first.html").read_text()
    assert '<a download="curves.png" href="figures/curves.png">' in text
    assert 'src="data:image/svg+xml' in text


# -- killed and stopped

# A background job of a shell inherits an ignored Ctrl-C, so the script asks for Python's own handler.
SCRIPT = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from karyo_lib import cli
from karyo_lib.study.report import execute
source = {"purity": "imagenet", "digest": "0" * 64, "origin": "a test", "warning": ""}
execute.inspect_engine = lambda run: {"engine": {"backend": "none"}, "weights": {"VGG16": source}}
root = Path(sys.argv.pop(1))
execute.project_dir = lambda: root
cli.main()
"""
SLOW = """
import pandas as pd, time
path = run.path("data", "slow.txt")
seen = path.exists()
path.write_text("begun")
time.sleep(0 if seen else 60)
run.save_table(pd.DataFrame({"a": [1, 2]}), "second")
"""


@contextmanager
def slow_run(root):
    """Start the command on two notebooks, of which the second takes a minute the first time."""
    write_notebook(
        root / "notebooks",
        "01_first",
        "import pandas as pd",
        "run.save_table(pd.DataFrame({'a': [1]}), 'one')",
    )
    write_notebook(root / "notebooks", "02_second", SLOW)
    words = [sys.executable, "-c", SCRIPT, str(root), "run", "--profile", "smoke", "--out", str(root / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        try:
            yield words, process
        finally:
            process.kill()


def wait_for(condition, seconds=120):
    for _ in range(seconds * 10):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_a_killed_run_resumes(tmp_path):
    with slow_run(tmp_path) as (words, process):
        wait_for((tmp_path / "run" / "data" / "slow.txt").exists)
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    wait_for(lambda: not any(kernel.is_running() and kernel.status() != "zombie" for kernel in kernels))
    assert Records(tmp_path / "run").read("02_second")["status"] == "running"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "01_first  unchanged, kept" in done.stdout
    assert done.stdout.strip().endswith("index.html")
    record = Records(tmp_path / "run").read("02_second")
    assert sorted(record["outputs"]) == ["data/slow.txt", "tables/second.csv"]
    assert not list((tmp_path / "run").rglob(".part-*"))


def test_ctrl_c_stops_cleanly(tmp_path):
    with slow_run(tmp_path) as (_, process):
        wait_for((tmp_path / "run" / "data" / "slow.txt").exists)
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. What is finished is kept" in output
    assert "Traceback" not in output
    wait_for(lambda: not any(kernel.is_running() and kernel.status() != "zombie" for kernel in kernels))


def test_a_kernel_that_dies_is_a_failed_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "inspect_engine", fake_engine)
    write_notebook(tmp_path / "notebooks", "01_first", "import os", "os._exit(9)")
    run = Run.open("smoke", run_dir=str(tmp_path / "run"))
    record = execute.run_study(run, folder=tmp_path / "notebooks")["01_first"]
    assert record["status"] == "failed"
    assert "most often for lack of memory" in record["error"]
    assert "most often for lack of memory" in (run.dir / "01_first.html").read_text()


def test_no_reply_is_overlooked_when_widgets_talk(tmp_path):
    """Without looking again at the socket this notebook hangs within its first hundred cells."""
    start = "from ipywidgets import FloatSlider, interactive_output\nfrom IPython.display import display"
    widget = "display(interactive_output(lambda t: display(t), {'t': FloatSlider()}))"
    path = write_notebook(tmp_path, "01_widgets", start, *[widget] * 150)
    notebook = find_notebooks(path.parent)[0]
    with Monitor({notebook.name: 1.0}) as monitor:
        monitor.notebook(notebook.name, notebook.cells)
        parameters = {"run_dir": str(tmp_path / "run"), "profile": "smoke"}
        executed, error = execute_one(notebook, parameters, monitor, tmp_path / "log")
    assert error == ""
    assert executed.cells[-1].execution_count == len([c for c in executed.cells if c.cell_type == "code"])


# -- words


@pytest.mark.parametrize(
    ("message", "step"),
    [
        ({"msg_type": "stream", "content": {"text": "\rEpoch:  40%|##  | 12/30 [00:10<00:15,  1.2it/s]"}},
         "Epoch 12/30, 0:15 left"),
        ({"msg_type": "stream", "content": {"text": "  0%|   | 0/7 [00:00<?, ?it/s]"}}, "0/7"),
        ({"msg_type": "stream", "content": {"text": "Epoch 3/20\n"}}, "epoch 3/20"),
        ({"msg_type": "stream", "content": {"text": "loss 0.3"}}, None),
        ({"msg_type": "comm_msg", "content": {"data": {"state": {"value": " 5/20 [00:01<00:03, 5it/s]"}}}},
         "5/20, 0:03 left"),
        ({"msg_type": "comm_msg", "content": {"data": {"state": {"value": 3}}}}, None),
        ({"msg_type": "status", "content": {}}, None),
    ],
)  # fmt: skip
def test_progress_is_read_from_messages(message, step):
    assert read_step(message) == step


def test_progress_lines_are_left_out_of_reports():
    text = "before\n\r  0%|  | 0/3 [00:00<?]\r100%|##| 3/3 [00:01<00:00, 2it/s]\nafter 50% of it\n"
    assert without_progress(text) == "before\nafter 50% of it\n"


def test_monitor_expects_by_time(capsys):
    monitor = Monitor({"01_a": 1.0, "02_b": 3.0})
    monitor.notebook("01_a", 4)
    monitor.done("01_a", "done in 0:01")
    monitor.notebook("02_b", 3)
    monitor.at_cell(2)
    assert monitor.fraction == pytest.approx((1 + 3 / 3) / 4)
    monitor.done("02_b", "done in 0:03")
    assert monitor.fraction == 1.0
    assert "notebook 2 of 2  02_b  started" in capsys.readouterr().out


def test_spans_of_time():
    assert [duration(s) for s in (7, 125, 3840)] == ["7 s", "2 min 5 s", "1 h 4 min"]


def test_scrubbing_prefers_the_longest_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = Run.open("smoke", run_dir=str(tmp_path / "study" / "run"))
    clean = scrubber(run)
    assert clean(f"{tmp_path}/study/run/tables/t.csv") == "RUN/tables/t.csv"
    assert clean(f"{tmp_path}/other.txt") == "~/other.txt"
    assert clean("File /var/folders/ab/ipykernel_123/456.py:3") == "File <this notebook>:3"
    shutil.rmtree(run.dir)
