"""Real chromosomes, cut out of metaphase photographs, read straight from one zip archive."""

import hashlib
import io
import os
import re
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from karyo_lib.iscn import CHROMOSOMES, NORMAL_FORMULAE
from karyo_lib.store import write_whole

BANK_FILES = ("chromosomes.zip", "cells.csv")
CELL_COLUMNS = ("cell", "case", "label", "count_formula", "chromosomes")

_MEMBER = re.compile(r"(?P<cell>[^/\\]+)/(?P<chromosome>[1-9]|1\d|2[0-2]|X|Y)_(?P<copy>[1-9]\d?)\.png")
# A chromosome 1 at full resolution stays far below these; a member above them is damaged or hostile.
_MAX_MEMBER_BYTES = 4_000_000
_MAX_MEMBER_PIXELS = 2_000_000


class BankError(ValueError):
    """The chromosome bank is missing, damaged or inconsistent; the message names file, value and remedy."""


@dataclass(frozen=True, eq=False)
class Cutout:
    chromosome: str  # ``'1'`` to ``'22'``, ``'X'`` or ``'Y'``
    copy: int  # 1 for the first homologue of its cell, 2 for the second, and so on
    image: np.ndarray  # uint8, shape (height, width), background 255, p arm up
    cell: str  # the cell it was cut from, and the patient that the cell came from
    case: str


class ChromosomeBank:
    """Cells whose chromosomes are cut out, upright and named: a folder with ``chromosomes.zip`` (members
    ``<cell>/<class>_<copy>.png``) and ``cells.csv``: ``cell, case`` (patient), ``label`` ('normal' or
    'abnormal', by number), ``count_formula`` ('47,XXY'), ``chromosomes``. Can be pickled, and used from
    several threads or processes."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        for name in BANK_FILES:
            if not (self.path / name).is_file():
                raise BankError(
                    f"Expected a chromosome bank: a folder with chromosomes.zip and cells.csv. "
                    f"Received {str(self.path)!r}, which has no {name}."
                )
        self.cells = _read_cells(self.path / "cells.csv")
        self._case = dict(zip(self.cells["cell"], self.cells["case"], strict=True))
        self._lock = threading.Lock()
        self._archive, self._owner = None, None
        self._members = self._list_members()
        for cell, expected in zip(self.cells["cell"], self.cells["chromosomes"], strict=True):
            if (found := len(self._members[cell])) != expected:
                raise BankError(
                    f"Expected {expected} chromosomes for cell {cell!r}, as cells.csv says. "
                    f"Received {found} in chromosomes.zip."
                )

    def __repr__(self) -> str:
        return f"ChromosomeBank(cells={len(self.cells)}, cases={self.cells['case'].nunique()})"

    def __len__(self) -> int:
        return len(self.cells)

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_archive": None, "_owner": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ``chromosomes.zip`` and ``cells.csv``, as hexadecimal text."""
        digest = hashlib.sha256()
        for name in BANK_FILES:
            with open(self.path / name, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def cutouts(self, cell: str) -> list[Cutout]:
        """The chromosomes of one cell, 1 to 22, X, Y, first copies before second ones."""
        if cell not in self._members:
            raise KeyError(f"Expected one of the bank's {len(self)} cells. Received {cell!r}.")
        return [self._cutout(cell, chromosome, copy) for chromosome, copy in self._members[cell]]

    def _cutout(self, cell: str, chromosome: str, copy: int) -> Cutout:
        member = self._members[cell][chromosome, copy]
        try:
            with self._lock:
                data = self._open().read(member)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if image.width * image.height > _MAX_MEMBER_PIXELS:
                    raise BankError(f"Expected a cut-out. Received {image.size} pixels in {member!r}.")
                pixels = np.asarray(image.convert("L"))
        except (zipfile.BadZipFile, UnidentifiedImageError, OSError, SyntaxError) as error:
            raise BankError(f"Expected a PNG image. Received a damaged {member!r}: {error}.") from error
        return Cutout(chromosome, copy, pixels, cell, self._case[cell])

    def _open(self) -> zipfile.ZipFile:
        # A handle inherited through fork() shares its offset with the parent's: each process opens its own.
        if self._archive is None or self._owner != os.getpid():
            try:
                self._archive, self._owner = zipfile.ZipFile(self.path / "chromosomes.zip"), os.getpid()
            except (zipfile.BadZipFile, OSError) as error:
                file = str(self.path / "chromosomes.zip")
                raise BankError(
                    f"Expected a zip archive. Received an unreadable file {file!r} ({error}); copy it again."
                ) from error
        return self._archive

    def _list_members(self) -> dict[str, dict[tuple[str, int], str]]:
        members: dict[str, dict[tuple[str, int], str]] = {cell: {} for cell in self._case}
        for entry in self._open().infolist():
            name = entry.filename
            if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
                raise BankError(f"Expected names below the archive's root. Received the unsafe {name!r}.")
            if entry.is_dir() or not name.lower().endswith(".png"):
                continue
            match = _MEMBER.fullmatch(name)
            if match is None:
                raise BankError(
                    "Expected members <cell>/<class>_<copy>.png with a class of 1..22, X, Y. "
                    f"Received {name!r} in chromosomes.zip."
                )
            if entry.flag_bits & 0x1 or entry.file_size > _MAX_MEMBER_BYTES:
                raise BankError(
                    f"Expected an unencrypted image of at most {_MAX_MEMBER_BYTES} bytes. "
                    f"Received {name!r} of {entry.file_size} bytes."
                )
            if match["cell"] in members:  # cells that cells.csv does not list are not used
                members[match["cell"]][match["chromosome"], int(match["copy"])] = name
        order = {name: place for place, name in enumerate(CHROMOSOMES)}
        return {
            cell: dict(sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1])))
            for cell, found in members.items()
        }


def _read_cells(path: Path) -> pd.DataFrame:
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise BankError(f"Expected a table in cells.csv. Received an unreadable file: {error}.") from error
    if missing := [column for column in CELL_COLUMNS if column not in cells]:
        raise BankError(f"Expected columns {', '.join(CELL_COLUMNS)} in cells.csv. Missing: {missing}.")
    cells = cells[list(CELL_COLUMNS)]
    if cells.empty:
        raise BankError("Expected at least one cell in cells.csv. Received an empty table.")
    if (cells["cell"] == "").any() or cells["cell"].duplicated().any():
        raise BankError("Expected one cell a row in cells.csv. Received an empty or repeated name.")
    for column, pattern, meaning in (
        ("label", "normal|abnormal", "normal or abnormal"),
        ("case", r".+", "a patient"),
        ("chromosomes", r"[1-9]\d{0,2}", "a number of chromosomes"),
    ):
        wrong = cells[~cells[column].str.fullmatch(pattern)]
        if len(wrong):
            cell, value = wrong.iloc[0][["cell", column]]
            raise BankError(f"Expected {meaning} as {column!r} in cells.csv. Received {value!r} at {cell!r}.")
    return cells.astype({"chromosomes": int})


def add_cell(folder: Path, cutouts: Sequence[Cutout], formula: str) -> None:
    """Add the cut-outs of a new cell to a bank, made where there is none; both files change at once."""
    known, content = pd.DataFrame(columns=list(CELL_COLUMNS)), io.BytesIO()
    if all((folder / name).is_file() for name in BANK_FILES):
        known = ChromosomeBank(folder).cells
        content.write((folder / BANK_FILES[0]).read_bytes())
    if cutouts and (cell := cutouts[0].cell) in set(known["cell"]):
        raise BankError(f"Expected a new cell. Received {cell!r}, which the bank has: give it another name.")
    with zipfile.ZipFile(content, "a") as archive:
        row = pack_cell(archive, cutouts, formula)
    write_bank(folder, content.getvalue(), [*known.itertuples(index=False), row])


def pack_cell(archive: zipfile.ZipFile, cutouts: Sequence[Cutout], formula: str) -> tuple:
    """Put the chromosomes of a cell into a bank's archive; returns its row of ``cells.csv``."""
    if not cutouts:
        raise BankError("Expected the chromosomes of a cell. Received none.")
    for one in cutouts:
        name = f"{one.cell}/{one.chromosome}_{one.copy}.png"
        if _MEMBER.fullmatch(name) is None or ".." in one.cell or ":" in one.cell:
            raise BankError(f"Expected a name without slashes and colons. Received {one.cell!r}.")
        image = io.BytesIO()
        Image.fromarray(one.image).save(image, "PNG")
        archive.writestr(zipfile.ZipInfo(name), image.getvalue())  # of 1980: the same cells, the same bytes
    label = "normal" if formula in NORMAL_FORMULAE else "abnormal"
    return one.cell, one.case, label, formula, len(cutouts)


def write_bank(folder: Path, archive: bytes, rows: Sequence[tuple]) -> None:
    """Write the two files of a bank."""
    write_whole(folder / "chromosomes.zip", archive)
    write_whole(folder / "cells.csv", pd.DataFrame(rows, columns=list(CELL_COLUMNS)).to_csv(index=False))
