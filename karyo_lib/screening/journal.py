"""A page's result, and results on disk as they come: one line each, so that a stop loses nothing."""

import base64
import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from karyo_lib import store
from karyo_lib.files.metadata import METADATA, plain_name, read_metadata
from karyo_lib.store import write_whole

PATIENTS = ("none", "show", "mask")
_SALT = "salt"
DECISIONS = ("abnormal", "refer", "quarantined", "cleared for number", "cleared")  # most urgent first
NAME = "journal.jsonl"
_FORMAT = 4
PICTURES = ("picture", "thumbnail", "heat")  # bytes of a result, kept as text
NUMBERS = ("probability", "confidence", "formula_probability")  # those that may be missing


class Names:
    """Names of files and patients for one worklist. ``patients`` ('none', 'show', 'mask'): left out, shown,
    or a code, of this `salt`, that is the same for all of a patient's cases; ``masked``: a case's number in
    place of its file name, and no digest of the file."""

    def __init__(
        self,
        patient_of: dict[str, str] | None = None,
        patients: str = "none",
        *,
        masked: bool = False,
        salt: bytes = b"",
    ):
        if patients not in PATIENTS:
            raise ValueError(f"Expected patients to be one of {', '.join(PATIENTS)}. Received {patients!r}.")
        self._patient_of, self._patients, self.masked, self._salt = patient_of or {}, patients, masked, salt

    @property
    def shows_patients(self) -> bool:
        """Whether a worklist has a column for patients."""
        return self._patients != "none" and bool(self._patient_of)

    def file(self, name: str, number: int) -> str:
        """Return what the file of a case is called."""
        return f"case {number}" if self.masked else name

    def patient(self, name: str) -> str:
        """Return what the patient of a file is called; '' if unknown or not to be shown."""
        known = self._patient_of.get(name) or self._patient_of.get(plain_name(name), "")
        patient = known if self._patients != "none" else ""
        if patient and self._patients == "mask":
            code = hashlib.blake2b(patient.encode(), key=self._salt, digest_size=5).hexdigest()
            return f"P-{code}"
        return patient


def read_patients(folder: Path) -> dict[str, str]:
    """Return file -> patient from ``metadata.csv`` if it is there."""
    if not (Path(folder) / METADATA).is_file():
        return {}
    table = read_metadata(folder, "file_name", "patient_id")
    return dict(zip(table["file_name"], table["patient_id"], strict=True))


def group_files(files: Iterable[str], patient_of: Mapping[str, str], pattern: str = "") -> dict[str, str]:
    """Tell whose cell each of ``files`` (below the screened folder) is: by ``patient_of`` (``metadata.csv``),
    else the first group of ``pattern`` in the file's name (``'(\\d+)[a-z]?\\.png'``), else its folder, else
    left out. Raises ValueError if the pattern is none, or has no group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"Expected a regular expression for patients. Received {pattern!r}: {error}."
        ) from error
    if pattern and not compiled.groups:
        raise ValueError(
            f"Expected a pattern with a group for the patient, as in '(\\d+)_.*'. Received {pattern!r}."
        )
    found = {}
    for file in files:
        match = compiled.search(PurePosixPath(file).name) if pattern else None
        folder = PurePosixPath(file).parent.as_posix().removeprefix(".")
        patient = patient_of.get(plain_name(file)) or (match[1] if match else "") or folder
        if patient:
            found[file] = patient
    return found


def read_salt(folder: Path) -> bytes:
    """Return the secret of a folder's codes, drawn once; whoever has it can test guesses of an id."""
    path = Path(folder) / _SALT
    if not path.is_file():
        write_whole(path, secrets.token_hex(16))
        path.chmod(0o600)
    return bytes.fromhex(path.read_text().strip())


@dataclass(frozen=True)
class Result:
    """What screening says of one page."""

    file: str  # name below the screened folder
    page: int  # its number in the file, from 1
    label: str  # 'normal', 'abnormal', or '' where the file could not be read
    probability: float  # calibrated probability of abnormal, 0 to 1; NaN where the file could not be read
    confidence: float  # percent of Monte Carlo passes that agree with the label; NaN without passes
    decision: str  # one of `DECISIONS`; 'cleared for number' (method reading) says nothing of structure
    reason: str
    formula: str = ""  # count formula (method reading)
    formula_probability: float = float("nan")  # of it against all others, 0 to 1; NaN without one
    evidence: str = ""  # what differs (method reading)
    notes: str = ""  # what a user should know of the file
    sha256: str = ""  # of the file; '' where it could not be read
    picture: bytes = b""  # WebP of the page, at its own resolution and small; may be empty
    thumbnail: bytes = b""
    heat: bytes = b""  # PNG of what a network's decision rested on, to be laid over the page; may be empty
    cell: str = ""  # what was read, as JSON (method reading), see `karyo_lib.screening.view`; may be empty
    digest: str = ""  # of the page's pixels: what reviews are kept under; '' where the file could not be read
    cell_evidence: str = ""  # JSON of `karyo_lib.read.case_reading.tell_evidence` (method reading)


class JournalError(ValueError):
    """The folder holds the journal of another screening; the message says what to do."""


@dataclass(frozen=True)
class Entry:
    """Where a result stands in the journal, and what it takes to order it."""

    offset: int  # of the line, bytes
    file: str
    page: int
    decision: str
    probability: float
    number: int  # of the case, from 1, in the order of screening

    def urgency(self) -> tuple:
        """Sort key: most urgent first."""
        p = self.probability if math.isfinite(self.probability) else 1.0
        return DECISIONS.index(self.decision), -p, self.number


class Journal:
    """The journal of one screening. ``made_from``: what results depend on. JournalError if the folder's was
    made from something else and is not begun anew (`fresh`), BusyError if another is at work in it."""

    def __init__(self, folder: Path, made_from: dict[str, Any], *, fresh: bool = False):
        self.path = Path(folder) / NAME
        try:
            self._journal = store.Journal(self.path, {"format": _FORMAT, **made_from}, fresh=fresh)
        except store.OtherJournalError:
            raise JournalError(
                f"Expected an out folder without results, or with those of this model and threshold. "
                f"Received {self.path.parent.name!r} with others: give another folder, or --fresh to "
                "screen again and overwrite them."
            ) from None
        self._journal.cut(self._read())

    @classmethod
    def finished(cls, folder: Path) -> "Journal":
        """A screening's journal to read alone; raises JournalError if there is none of this version."""
        self = cls.__new__(cls)
        self.path = Path(folder) / NAME
        if not self.path.is_file():
            raise JournalError(
                "Expected a folder that `karyo screen` wrote. "
                f"Received {Path(folder).name!r} without a {NAME}."
            )
        with open(self.path, encoding="utf-8", errors="replace") as file:
            if f'"format": {_FORMAT},' not in file.readline():
                raise JournalError(
                    f"Expected results of this version of karyo. Received {self.path.parent.name!r} with "
                    "those of another: screen again with --fresh."
                )
        self._read()
        return self

    @property
    def entries(self) -> list[Entry]:
        """The results of all files that are finished; of a file screened again, the later ones alone."""
        return [entry for entries, _ in self._files.values() for entry in entries]

    def _read(self) -> int:
        """Read what is finished; returns where it ends."""
        self._files: dict[str, tuple[list[Entry], str]] = {}  # file -> its results, and its fingerprint
        self._cases = 0
        pending: list[Entry] = []
        end = 0
        for start, stop, told in store.read_records(self.path):
            try:
                if start == 0:
                    end = stop
                elif "done" in told:
                    self._commit(told["done"], pending, told["fingerprint"])
                    pending, end = [], stop
                else:
                    pending.append(self._entry(start, told, len(pending)))
            except (KeyError, TypeError, ValueError):
                break  # what follows a damaged line is screened again
        return end

    def _entry(self, offset: int, told: dict[str, Any], pending: int) -> Entry:
        p = math.nan if told["probability"] is None else float(told["probability"])
        return Entry(offset, told["file"], told["page"], told["decision"], p, self._cases + pending + 1)

    def _commit(self, file: str, entries: list[Entry], fingerprint: str) -> None:
        self._files[file] = entries, fingerprint
        self._cases += len(entries)

    def holds(self, file: str, fingerprint: str) -> bool:
        """Whether all results of a file are there and the file has not changed since."""
        return self._files.get(file, ((), ""))[1] == fingerprint

    def add(self, results: list[Result], fingerprint: str) -> None:
        """Add all results of one file, then the line that says so."""
        records = []
        for result in results:
            told = asdict(result)
            for name in NUMBERS:
                told[name] = None if math.isnan(told[name]) else told[name]
            for name in PICTURES:
                told[name] = base64.b64encode(told[name]).decode("ascii")
            records.append(told)
        offsets = self._journal.add(*records, {"done": results[0].file, "fingerprint": fingerprint})
        lines = enumerate(zip(offsets, records, strict=False))
        entries = [self._entry(offset, told, number) for number, (offset, told) in lines]
        self._commit(results[0].file, entries, fingerprint)

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
        """Make sure that all of it is on the disk, and let others write."""
        self._journal.close()
