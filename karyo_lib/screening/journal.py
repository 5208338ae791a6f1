"""Results on disk as they come: one line each, only ever added to, so that a stop loses nothing."""

import base64
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from karyo_lib.screening.decision import DECISIONS
from karyo_lib.screening.screener import Result

NAME = "journal.jsonl"
_FORMAT = 3
PICTURES = ("picture", "thumbnail", "heat")  # bytes of a result, kept as text
NUMBERS = ("probability", "confidence", "formula_probability")  # those that may be missing


class JournalError(ValueError):
    """The folder holds the journal of another screening; the message says what to do."""


@dataclass(frozen=True)
class Entry:
    """Where a result stands in the journal, and what it takes to order it.

    Attributes
    ----------
    offset : int
        Of the line, bytes.
    file, page : str, int
    decision : str
    probability : float
    number : int
        Of the case, from 1, in the order of screening.
    """

    offset: int
    file: str
    page: int
    decision: str
    probability: float
    number: int

    def urgency(self) -> tuple:
        """Sort key: most urgent first."""
        p = self.probability if math.isfinite(self.probability) else 1.0
        return DECISIONS.index(self.decision), -p, self.number


class Journal:
    """The journal of one screening.

    Parameters
    ----------
    folder : path
        The out folder.
    made_from : dict
        What the results depend on: model, threshold, versions. A journal of something else is not continued.
    fresh : bool
        Begin anew whatever is there.

    Raises
    ------
    JournalError
        If the folder's journal was made from something else.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any], *, fresh: bool = False):
        self.path = Path(folder) / NAME
        self.entries: list[Entry] = []
        self._last: dict[str, str] = {}  # file -> fingerprint, of files whose results are all there
        self._header = json.dumps({"format": _FORMAT, **made_from}, sort_keys=True)
        end = None if fresh or not self.path.is_file() else self._read()
        if end is None:
            self.path.unlink(missing_ok=True)
        elif end < self.path.stat().st_size:  # a line cut short by a crash
            os.truncate(self.path, end)
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close()
        if end is None:
            self._file.write(self._header.encode() + b"\n")
            self._file.flush()

    @classmethod
    def finished(cls, folder: Path) -> "Journal":
        """A screening's journal to read alone; ``entries`` are the latest of each page.

        Raises
        ------
        JournalError
            If the folder holds no journal, or one of another version of karyo.
        """
        self = cls.__new__(cls)
        self.path, self.entries, self._last, self._header = Path(folder) / NAME, [], {}, ""
        if not self.path.is_file() or self._read() is None:
            raise JournalError(
                "Expected a folder that `karyo screen` wrote. "
                f"Received {Path(folder).name!r} without a {NAME}."
            )
        self.entries = list({(entry.file, entry.page): entry for entry in self.entries}.values())
        return self

    def _read(self) -> int | None:
        """Read what is finished; returns where it ends."""
        with open(self.path, "rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                return None
            header = first.decode("utf-8", "replace").strip()
            if not self._header and f'"format": {_FORMAT},' not in header:
                raise JournalError(
                    f"Expected results of this version of karyo. Received {self.path.parent.name!r} with "
                    "those of another: screen again with --fresh."
                )
            if self._header and header != self._header:
                raise JournalError(
                    f"Expected an out folder without results, or with those of this model and threshold. "
                    f"Received {self.path.parent.name!r} with others: give another folder, or --fresh to "
                    "screen again and overwrite them."
                )
            pending: list[Entry] = []
            end = file.tell()
            while line := file.readline():
                try:
                    told = json.loads(line) if line.endswith(b"\n") else None
                    if told is not None and "done" in told:
                        self.entries += pending
                        self._last[told["done"]] = told["fingerprint"]
                        end, pending = file.tell(), []
                    elif told is not None:
                        pending.append(self._entry(file.tell() - len(line), told, len(pending)))
                except (ValueError, KeyError, TypeError):
                    break  # what follows a damaged line is screened again
            return end

    def _entry(self, offset: int, told: dict[str, Any], pending: int) -> Entry:
        p = math.nan if told["probability"] is None else float(told["probability"])
        number = len(self.entries) + pending + 1
        return Entry(offset, told["file"], told["page"], told["decision"], p, number)

    def holds(self, file: str, fingerprint: str) -> bool:
        """Whether all results of a file are there and the file has not changed since."""
        return self._last.get(file) == fingerprint

    def add(self, results: list[Result], fingerprint: str) -> None:
        """Add all results of one file, then the line that says so."""
        for result in results:
            told = asdict(result)
            for name in NUMBERS:
                told[name] = None if math.isnan(told[name]) else told[name]
            for name in PICTURES:
                told[name] = base64.b64encode(told[name]).decode("ascii")
            offset = self._file.tell()
            self._file.write(json.dumps(told, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self.entries.append(self._entry(offset, told, 0))
        done = {"done": results[0].file, "fingerprint": fingerprint}
        self._file.write(json.dumps(done, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        self._last[results[0].file] = fingerprint

    def read(self, entries: list[Entry]) -> Iterator[Result]:
        """Yield the results of entries, one in memory at a time."""
        with open(self.path, "rb") as file:
            for entry in entries:
                file.seek(entry.offset)
                told = json.loads(file.readline())
                for name in NUMBERS:
                    told[name] = math.nan if told.get(name) is None else told[name]
                for name in PICTURES:
                    told[name] = base64.b64decode(told[name])
                yield Result(**told)

    def close(self) -> None:
        """Make sure that all of it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
