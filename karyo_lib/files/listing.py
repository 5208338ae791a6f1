"""Which files of a user's folder carry which label: `normal/` and `abnormal/` folders, or `metadata.csv`."""

import os
from pathlib import Path, PurePosixPath

import pandas as pd

from karyo_lib.files.images import FORMATS
from karyo_lib.files.metadata import METADATA, DatasetError, plain_name, read_metadata

LABELS = ("normal", "abnormal")
LISTING_COLUMNS = ("path", "label", "iscn", "patient_id", "source")

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes if suffix}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
_OUTSIDE = "leads out of the data folder"


def list_folder(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List a data folder without opening any image: rows of `LISTING_COLUMNS` ('' if not given), and what is
    left out, ``path`` and ``reason``."""
    if not folder.is_dir():
        raise DatasetError(f"Expected a folder with karyograms. Received {str(folder)!r}, which is none.")
    files, refused = _walk(folder)
    if (folder / METADATA).is_file():
        rows, more = _from_metadata(folder, files)
    else:
        rows, more = _from_folders(files)
    listing = pd.DataFrame(rows, columns=list(LISTING_COLUMNS), dtype=str)
    return listing, pd.DataFrame(refused + more, columns=["path", "reason"], dtype=str)


def list_images(folder: Path) -> list[str]:
    """Image files below a folder, relative and sorted; nothing is opened."""
    if not folder.is_dir():
        raise DatasetError(f"Expected a folder with images. Received {folder.name!r}, which is none.")
    return [path for path in _walk(folder)[0] if PurePosixPath(path).suffix.lower() in _SUFFIXES]


def _walk(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the files that may be opened, sorted, and those that may not with the reason."""
    files, refused = [], []
    root = _real(folder)

    def refuse_folder(error: OSError) -> None:
        refused.append((_relative(folder, error.filename), f"folder cannot be opened ({error.strerror})"))

    for directory, subfolders, names in os.walk(folder, onerror=refuse_folder):
        linked = [name for name in subfolders if os.path.islink(os.path.join(directory, name))]
        refused += [(_relative(folder, directory, name), "linked folder, not followed") for name in linked]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in linked)
        for name in names:
            path = _relative(folder, directory, name)
            if name.startswith(".") or name.lower() in _SYSTEM_FILES:
                continue
            if any("\udc80" <= letter <= "\udcff" for letter in path):  # bytes that are none in UTF-8
                refused.append((os.fsencode(path).decode("utf-8", "replace"), "file name is not valid UTF-8"))
            # realpath, unlike Path.resolve, bears links that lead to themselves
            elif os.path.islink(folder / path) and not _real(folder / path).is_relative_to(root):
                refused.append((path, f"symbolic link that {_OUTSIDE}"))
            else:
                files.append(path)
    return sorted(files), refused


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _relative(folder: Path, *parts: str) -> str:
    return Path(os.path.relpath(os.path.join(*parts), folder)).as_posix()


def _from_folders(files: list[str]) -> tuple[list[tuple], list[tuple[str, str]]]:
    rows, refused = [], []
    for path in files:
        found = {part.lower() for part in PurePosixPath(path).parent.parts} & set(LABELS)
        if len(found) == 1:
            rows.append((path, found.pop(), "", "", ""))
        elif found:
            refused.append((path, "below a folder of each label"))
        elif PurePosixPath(path).suffix.lower() in _SUFFIXES:
            refused.append((path, "not below a folder named normal or abnormal"))
    return rows, refused


def _from_metadata(folder: Path, files: list[str]) -> tuple[list[tuple], list[tuple[str, str]]]:
    table = read_metadata(folder, "file_name", "label")
    spelt = {plain_name(path): path for path in files}  # names may differ in the form of their letters
    rows, refused, named = [], [], {}
    root = _real(folder)
    for row in table.to_dict("records"):
        path = name = spelt.get(row["file_name"], row["file_name"])
        label = row["label"].strip().lower()
        if reason := _why_not(folder, root, name):
            refused.append((name, reason))
        elif label not in LABELS:
            refused.append((name, f"unknown label {row['label']!r} (expected normal or abnormal)"))
        elif named.get(path) == label:
            refused.append((name, f"listed more than once in {METADATA}"))
        else:
            details = (row.get(column, "").strip() for column in LISTING_COLUMNS[2:])
            rows.append((path, label, *details))
        named[path] = label
    images = (path for path in files if PurePosixPath(path).suffix.lower() in _SUFFIXES)
    unlisted = (path for path in images if path not in named)
    return rows, refused + [(path, f"not listed in {METADATA}") for path in unlisted]


def _why_not(folder: Path, root: Path, name: str) -> str:
    if not name:
        return f"no file name in this row of {METADATA}"
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        return f"file name in {METADATA} {_OUTSIDE}"
    try:
        if not _real(folder / name).is_relative_to(root):
            return f"file name in {METADATA} {_OUTSIDE}"
        if not (folder / name).exists():
            return f"listed in {METADATA}, but there is no such file"
    except (OSError, ValueError):  # longer than the system allows, or with a zero byte inside
        return f"listed in {METADATA}, but no possible file name"
    return ""
