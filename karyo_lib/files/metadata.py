"""The files below a folder, and its ``metadata.csv``: which file is whose, and what is said of it."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

METADATA = "metadata.csv"
OUTSIDE = "leads out of the folder"
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
_MOST_BYTES = 100_000_000
_ALIASES = {"filename": "file_name", "patientid": "patient_id", "patient": "patient_id", "karyotype": "iscn"}
_COUNT = re.compile(r"\s*(mos |chi )?\s*\d{2}")  # how a formula begins


class DatasetError(ValueError):
    """A data folder from which no data set can be made; the message names the value and the remedy."""


def real_path(path: str | Path) -> Path:
    """Where a path leads; links that lead to themselves are borne, unlike by `Path.resolve`."""
    return Path(os.path.realpath(path))


def walk_folder(folder: Path, leave_out: Path | None = None) -> Iterator[tuple[Path, str]]:
    """Every file below a folder, none opened, and why it must not be, '' if it may: folders that are linked
    or cannot be opened, links that lead outside. Hidden ones and files of the system are passed over."""
    root, refused = real_path(folder), []

    def refuse(error: OSError) -> None:
        refused.append((Path(error.filename), f"folder cannot be opened ({error.strerror})"))

    for directory, subfolders, names in os.walk(folder, onerror=refuse):
        here = Path(directory)
        inside = sorted(name for name in subfolders if not name.startswith("."))
        linked = [name for name in inside if (here / name).is_symlink()]
        yield from ((here / name, "linked folder, not followed") for name in linked)
        subfolders[:] = [n for n in inside if n not in linked and real_path(here / n) != leave_out]
        for name in names:
            if not name.startswith(".") and name.lower() not in _SYSTEM_FILES:
                path = here / name
                outside = path.is_symlink() and not real_path(path).is_relative_to(root)
                yield path, f"symbolic link that {OUTSIDE}" if outside else ""
    yield from refused


def plain_name(name: str) -> str:
    """Return one spelling for a file's name: '/' between folders, no './', composed letters (NFC)."""
    name = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    return PurePosixPath(name).as_posix() if name else ""


def read_metadata(folder: Path, *required: str) -> pd.DataFrame:
    """Read ``metadata.csv`` of a folder; all text, '' where nothing stands. Fields are parted by commas,
    semicolons or tabs, as the header has them. Columns are known in small letters ('File_Name' and 'file
    name' are ``file_name``). A formula may stand without quotes: what a row has more than the header belongs
    to ``iscn``. Empty fields behind a row are passed over."""
    expected = f"Expected {METADATA} as a table in UTF-8 with the columns {' and '.join(required)}."
    try:
        data = (Path(folder) / METADATA).read_bytes()
    except OSError as error:
        raise DatasetError(f"{expected} Received a file that cannot be opened ({error.strerror}).") from None
    if len(data) > _MOST_BYTES:
        raise DatasetError(f"{expected} Received {len(data)} bytes, more than the limit of {_MOST_BYTES}.")
    text = _decode(data, expected)
    header = next((line for line in text.splitlines() if line.strip()), "")
    if not header:
        raise DatasetError(f"{expected} Received an empty file.")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    columns: list[str] = []
    table: list[list[str]] = []
    try:
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            if columns:
                table.append(_fit_row([field.strip() for field in row], columns, rows.line_num, expected))
            else:
                columns = _read_header(row, expected, required)
    except csv.Error as error:
        raise DatasetError(f"{expected} Received line {rows.line_num}, which is none ({error}).") from None
    frame = pd.DataFrame(table, columns=columns, dtype=str)
    return frame.assign(file_name=[plain_name(name) for name in frame["file_name"]])


def _decode(data: bytes, expected: str) -> str:
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{expected} Received line {line} in another encoding: save the table as CSV in UTF-8."
        ) from None


def _read_header(row: list[str], expected: str, required: tuple[str, ...]) -> list[str]:
    columns = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in row]
    columns = [_ALIASES.get(name, name) for name in columns]
    while columns and not columns[-1]:
        columns.pop()
    if twice := [name for name in (*required, "iscn") if columns.count(name) > 1]:
        raise DatasetError(f"{expected} Received a header that names {twice[0]} twice.")
    if missing := " and ".join(sorted(name for name in required if name not in columns)):
        raise DatasetError(f"{expected} Received {', '.join(columns)}: {missing} missing.")
    return [name if columns.index(name) == i else f"{name}_{i}" for i, name in enumerate(columns)]


def _fit_row(row: list[str], columns: list[str], line: int, expected: str) -> list[str]:
    while len(row) > len(columns) and not row[-1]:
        row.pop()
    extra = len(row) - len(columns)
    if extra > 0 and "iscn" in columns:
        start = columns.index("iscn")
        formula = ",".join(row[start : start + extra + 1])
        if _COUNT.match(formula):  # 47,XX,+21 without quotes
            row = [*row[:start], formula, *row[start + extra + 1 :]]
    if len(row) > len(columns):
        raise DatasetError(
            f"{expected} Received {len(row)} fields in line {line}, the header has {len(columns)}: "
            f"{row[len(columns)]!r} has no column. Put text with commas into quotes."
        )
    return row + [""] * (len(columns) - len(row))
