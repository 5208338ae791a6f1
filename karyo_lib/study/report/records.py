"""What a run folder remembers of each notebook, in ``.karyo``, so that a rerun does only what has changed."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nbformat

from karyo_lib.settings import SettingsError
from karyo_lib.store import locked, write_whole, writing
from karyo_lib.study.report.provenance import digest_file
from karyo_lib.study.runs import FOLDERS

STATE = ".karyo"
_CLOCK = 20_000_000  # ns: a file's time may lag the clock by a tick


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
