"""Runs the study: each notebook only if its inputs have changed, each into one HTML report."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbformat.v4 import new_notebook

from karyo_lib.study.report import kernel
from karyo_lib.study.report.content import cell_times, find_warnings
from karyo_lib.study.report.index import headline_numbers, history_entry, write_index, write_report
from karyo_lib.study.report.records import (
    Records,
    digests,
    fingerprint,
    inspect_engine,
    provenance,
    write_json,
)
from karyo_lib.study.runs import Run, project_dir

# Hashing order and C++ chatter must not differ between kernels; progress need not be told ten times a second.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "2", "TQDM_MININTERVAL": "0.5"}


def run_study(
    run: Run, *, only: Iterable[str] = (), fresh: bool = False, folder: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Run the notebooks and write their reports and the index."""
    notebooks = kernel.find_notebooks(folder or project_dir() / "notebooks")
    chosen = kernel.choose(notebooks, only)
    parameters = {
        "profile": run.settings.name,
        "run_dir": str(run.dir),
        "seed": run.seed,
        "data": run.data,
        "bank": run.bank,
        "weights": run.weights,
        "overrides": {k: list(v) if isinstance(v, tuple) else v for k, v in run.settings.changes().items()},
    }
    for notebook in chosen:
        kernel.check_parameters(notebook, parameters)
    records = Records(run.dir)
    with records.lock():
        if fresh and len(chosen) == len(notebooks):
            records.clear()
        told = {notebook.name: records.read(notebook.name) for notebook in notebooks}
        expected = {
            notebook.name: told[notebook.name].get("seconds") or kernel.SHARES.get(notebook.name[:2], 5)
            for notebook in chosen
        }
        _prepare_environment()
        with kernel.Monitor(expected) as monitor:
            study = _Study(run, records, notebooks, parameters, monitor, told)
            return study.go(chosen, fresh)


def _prepare_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("KARYO_WEIGHTS", "KARYO_CACHE"):  # kernels work in another folder: make relative paths whole
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


@dataclass
class _Study:
    """A run under way; ``told`` holds the record of every notebook."""

    run: Run
    records: Records
    notebooks: tuple[kernel.Notebook, ...]
    parameters: dict[str, Any]
    monitor: kernel.Monitor
    told: dict[str, dict[str, Any]]

    def go(self, chosen: tuple[kernel.Notebook, ...], fresh: bool) -> dict[str, dict[str, Any]]:
        began = time.monotonic()
        self.monitor.say(f"{self.run}; looking at weights and inputs")
        engine = inspect_engine(self.run)
        self.engine = engine["engine"]
        self.shared = digests(self.run, engine)
        self.provenance = provenance(self.run, self.shared, engine)
        write_json(self.run.dir / "provenance.json", self.provenance)
        for warning in dict.fromkeys(source["warning"] for source in engine["weights"].values()):
            if warning:
                self.monitor.say(warning, "yellow")
        for notebook in chosen:
            if self._one(notebook, fresh):
                self._write_index()
        done = {notebook.name: self.told[notebook.name] for notebook in chosen}
        executed = {name: self.records.read_notebook(name) for name in done if done[name]["status"] == "done"}
        numbers = headline_numbers(executed, self.notebooks)
        seconds = time.monotonic() - began
        self.records.add_to_history(history_entry(self.run, done, numbers, seconds, self.provenance))
        self._write_index()
        return done

    def _write_index(self) -> None:
        write_index(self.run, self.records, self.notebooks, self.provenance)

    def _one(self, notebook: kernel.Notebook, fresh: bool) -> bool:
        """Run a notebook where that is needed; tells whether its record changed."""
        failed = [name for name in notebook.needs if self.told[name].get("status") == "failed"]
        if failed:  # needs are transitive: what was left out behind a failure names the failure
            self._skip(notebook, f"{', '.join(failed)} did not finish, and this one needs what it makes.")
            return True
        upstream = {
            path: told[2]
            for name in notebook.needs
            for path, told in self.told[name].get("outputs", {}).items()
        }
        mark = fingerprint(notebook, self.run, self.shared, upstream, self.engine)
        record = self.told[notebook.name]
        same = record.get("fingerprint") == mark
        if same and record["status"] == "done" and not fresh and self.records.intact(record):
            executed = self.records.read_notebook(notebook.name)
            if executed is not None:
                write_report(self.run, notebook, executed, record, self.notebooks)
                self.monitor.done(notebook.name, "unchanged, kept", "dim")
                return False
        if fresh or not same:
            self.records.forget(record, self._others(notebook))
        # What an interrupted attempt with the same inputs has already written counts as this one's.
        resumed = same and record["status"] != "done" and not fresh
        self._execute(notebook, mark, record["started"] if resumed else time.time_ns())
        return True

    def _execute(self, notebook: kernel.Notebook, mark: str, started: int) -> None:
        began = time.monotonic()
        record = {"status": "running", "fingerprint": mark, "started": started}
        self._keep(notebook, record)
        self.monitor.notebook(notebook.name, notebook.cells)
        executed, error = kernel.execute(
            notebook, self.parameters, self.monitor, self.records.state / f"{notebook.name}.log"
        )
        seconds = time.monotonic() - began
        record |= {
            "status": "failed" if error else "done",
            "error": error,
            "seconds": seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "outputs": self.records.outputs_since(started, self._others(notebook)),
            "cells": cell_times(executed),
            "warnings": find_warnings(executed),
            "command": self.run.command(),
            "provenance": self.provenance,
        }
        self.records.write_notebook(notebook.name, executed)
        self._keep(notebook, record)
        write_report(self.run, notebook, executed, record, self.notebooks)
        if error:
            self.monitor.done(notebook.name, f"FAILED after {kernel.duration(seconds)}: {error}", "red")
        else:
            self.monitor.done(notebook.name, f"done in {kernel.duration(seconds)}", "green")

    def _others(self, notebook: kernel.Notebook) -> list[dict[str, Any]]:
        return [record for name, record in self.told.items() if name != notebook.name]

    def _skip(self, notebook: kernel.Notebook, reason: str) -> None:
        record = {"status": "skipped", "error": reason}
        self._keep(notebook, record)
        write_report(self.run, notebook, new_notebook(), record, self.notebooks)  # which says why
        self.monitor.done(notebook.name, f"skipped: {reason}", "yellow")

    def _keep(self, notebook: kernel.Notebook, record: dict[str, Any]) -> None:
        self.told[notebook.name] = record
        self.records.write(notebook.name, record)
