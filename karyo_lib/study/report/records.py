"""What a report rests on, and what a run folder remembers, so that a rerun does only what has changed."""

import hashlib
import json
import platform
import re
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from functools import cache
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import psutil

import karyo_lib
from karyo_lib.resources import data_file
from karyo_lib.settings import SettingsError
from karyo_lib.store import locked, write_whole, writing
from karyo_lib.study.report.kernel import Notebook
from karyo_lib.study.runs import FOLDERS, Run, project_dir

# Changing how a report looks does not make its numbers stale.
_LOOKS_ONLY = ("study/report", "static", "cli.py")
STATE = ".karyo"
_CLOCK = 20_000_000  # ns: a file's time may lag the clock by a tick


def digest_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_folder(folder: Path, suffixes: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> str:
    """Return one SHA-256 over the names and contents of all files below *folder*, or of a file."""
    if folder.is_file():
        return digest_file(folder)
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        left_out = name.as_posix().startswith(skip) or (suffixes and path.suffix not in suffixes)
        if left_out or not path.is_file():
            continue
        total.update(f"{name.as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


@cache
def library_digest() -> str:
    """Return the digest of what computes: the package without its reports, and its embedded data."""
    source = digest_folder(Path(karyo_lib.__file__).parent, suffixes=(".py",), skip=_LOOKS_ONLY)
    return hashlib.sha256(f"{source} {digest_folder(data_file())}".encode()).hexdigest()


def inspect_engine(run: Run) -> dict[str, Any]:
    """``{'engine': facts, 'weights': by base}``, asked in another process: this one loads no Keras."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(_inspect_engine, run.weights).result()
    if "error" in found:
        raise SettingsError(found["error"])
    return found


def _inspect_engine(explicit: str) -> dict[str, Any]:
    from karyo_lib.networks.backend import backend_facts
    from karyo_lib.networks.weights import WeightsError, resolve_weights

    weights = {}
    for base in ("VGG16", "InceptionV3"):
        try:
            source = resolve_weights(base, explicit or None)
        except WeightsError as error:
            return {"error": str(error)}
        weights[base] = {name: getattr(source, name) for name in ("purity", "digest", "origin", "warning")}
    return {"engine": backend_facts(), "weights": weights}


def digests(run: Run, found: dict[str, Any]) -> dict[str, str]:
    """Return the digests of the inputs that all notebooks share; *found* as of :func:`inspect_engine`."""
    told = {"library": library_digest()}
    for name, place in {"data": run.data, "bank": run.bank}.items():
        if place:
            told[name] = digest_folder(Path(place))
    return told | {f"weights {base}": source["digest"] for base, source in found["weights"].items()}


def fingerprint(
    notebook: Notebook, run: Run, shared: dict[str, str], upstream: dict[str, str], engine: dict[str, str]
) -> str:
    """Return a digest of everything a notebook's outputs follow from."""
    content = nbformat.read(notebook.path, as_version=4)
    cells = [(cell.cell_type, cell.source) for cell in content.cells]
    told = {
        "cells": cells,
        "settings": asdict(run.settings),
        "seed": run.seed,
        "shared": shared,
        "upstream": upstream,
        "versions": versions(),
        "engine": engine,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python, karyo and every package that karyo asks for."""
    found = {"python": platform.python_version(), "karyo": karyo_lib.__version__}
    with suppress(metadata.PackageNotFoundError):
        for requirement in metadata.requires("karyo") or ():
            name = re.match(r"[\w.-]+", requirement)[0]
            with suppress(metadata.PackageNotFoundError):  # a marker excludes it on this platform
                found |= {} if "extra ==" in requirement else {name: metadata.version(name)}
    return found


@cache
def commit() -> str:
    """Return the git commit of the checkout, marked where files were changed since."""
    if not shutil.which("git"):
        return "unknown: git is not installed"

    def git(*words: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(project_dir()), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None:
        return "unknown: not a git checkout"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{head} with uncommitted changes" if changed else head


@cache
def device() -> str:
    """Return the machine in words: processor, cores, memory and graphics cards."""
    words = [platform.machine(), f"{psutil.cpu_count(logical=True)} processors"]
    words.append(f"{psutil.virtual_memory().total / 2**30:.0f} GiB memory")
    if shutil.which("nvidia-smi"):
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        words += [line.strip() for line in listed.stdout.splitlines() if listed.returncode == 0]
    return ", ".join([f"{platform.system()} {_processor()}", *words])


def _processor() -> str:
    with suppress(OSError):  # Linux alone has the file
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "processor"


def provenance(run: Run, shared: dict[str, str], found: dict[str, Any]) -> dict[str, Any]:
    """Return what all reports of a run have in common, as it is written to ``provenance.json``."""
    return {
        "settings": asdict(run.settings),
        "seed": run.seed,
        "karyograms": run.source,
        "engine": found["engine"],
        "weights": found["weights"],
        "versions": versions(),
        "commit": commit(),
        "device": device(),
        "digests": shared,
    }


class Records:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / STATE
        if folder.is_dir() and not self.state.is_dir():
            foreign = sorted(path.name for path in folder.iterdir() if path.name not in FOLDERS)
            if foreign:
                raise SettingsError(
                    f"Expected the run folder {folder.name!r} to be new, empty or an earlier run's. "
                    f"Received one that holds {', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''}."
                )
        self.state.mkdir(parents=True, exist_ok=True)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other runs out of this folder, until this process ends in whatever way."""
        return locked(self.state, self.folder)

    def read(self, name: str) -> dict[str, Any]:
        """Return the record of a notebook, empty where there is none or it cannot be read."""
        return self._read(name, {})

    def _read(self, name: str, otherwise: Any) -> Any:
        try:
            return json.loads((self.state / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return otherwise

    def write(self, name: str, record: dict[str, Any]) -> None:
        write_json(self.state / f"{name}.json", record)

    def read_notebook(self, name: str) -> nbformat.NotebookNode | None:
        path = self.state / f"{name}.ipynb"
        return nbformat.read(path, as_version=4) if path.exists() else None

    def write_notebook(self, name: str, executed: nbformat.NotebookNode) -> None:
        with writing(self.state / f"{name}.ipynb") as part:
            nbformat.write(executed, part)

    def outputs_since(self, moment: int, others: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """Return path -> [size, mtime_ns, digest] of files written from *moment* (ns), not by *others*."""
        return {
            path.relative_to(self.folder).as_posix(): [
                path.stat().st_size, path.stat().st_mtime_ns, digest_file(path)
            ]
            for path in self._written_since(moment, others)
        }  # fmt: skip

    def _written_since(self, moment: int, others: list[dict[str, Any]]) -> list[Path]:
        theirs = {(name, told[1]) for record in others for name, told in record.get("outputs", {}).items()}
        return [
            path
            for path in self._files()
            if path.stat().st_mtime_ns >= moment - _CLOCK
            and (path.relative_to(self.folder).as_posix(), path.stat().st_mtime_ns) not in theirs
        ]

    def intact(self, record: dict[str, Any]) -> bool:
        """Tell whether every file of a record is still there with the same content."""
        for name, (size, moment, digest) in record.get("outputs", {}).items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                return False
            if path.stat().st_mtime_ns != moment and digest_file(path) != digest:
                return False
        return True

    def forget(self, record: dict[str, Any], others: list[dict[str, Any]]) -> None:
        """Remove what a notebook wrote under other inputs, finished or not."""
        for name in record.get("outputs", {}):
            (self.folder / name).unlink(missing_ok=True)
        if record.get("status") == "running":
            for path in self._written_since(record["started"], others):
                path.unlink()

    def clear(self) -> None:
        """Remove everything that earlier runs wrote here but the history."""
        for path in self._files():
            path.unlink()
        for path in [*self.state.glob("*.json"), *self.state.glob("*.ipynb")]:
            if path.name != "history.json":
                path.unlink()

    def _files(self) -> list[Path]:
        paths = [path for name in FOLDERS for path in (self.folder / name).rglob("*")]
        return sorted(path for path in paths if path.is_file() and not path.is_symlink())

    def read_history(self) -> list[dict[str, Any]]:
        """Return what is remembered of every run in this folder, oldest first."""
        return self._read("history", [])

    def add_to_history(self, entry: dict[str, Any], keep: int = 50) -> None:
        """Remember a run; the *keep* latest stay."""
        write_json(self.state / "history.json", [*self.read_history(), entry][-keep:])


def write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
