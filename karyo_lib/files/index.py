"""A folder of karyograms, labelled by folders or ``metadata.csv`` -> the index, and what was left out."""

import hashlib
import os
from pathlib import Path, PurePosixPath

import imagehash
import joblib
import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm.auto import tqdm

from karyo_lib.files.images import FORMATS, UnusableImage, load_image
from karyo_lib.files.metadata import (
    METADATA,
    OUTSIDE,
    DatasetError,
    plain_name,
    read_metadata,
    real_path,
    walk_folder,
)
from karyo_lib.iscn import KaryotypeError, parse_karyotype

LABELS = ("normal", "abnormal")
LISTING_COLUMNS = ("path", "label", "iscn", "patient_id", "source")

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes if suffix}
INDEX_COLUMNS = ("image_id", "path", "label", "iscn", "patient_id", "source", "sha256")
# Karyograms of one lab share a layout and look alike to a small hash: at 8 x 8, pages of different patients
# can have the same one. With 32 x 32 coefficients, pages of different cells differ in 0.16 of the bits or
# more, re-saved, dimmed, speckled, blurred, resized, shifted or trimmed copies in 0.06 at most (both tested).
HASH_SIDE = 32
MAX_DISTANCE = 0.11  # share of differing bits
_WORKING_SIDE = 512
_INK_CONTRAST = 24
_INK_SHARE = 0.005


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
    for path, reason in walk_folder(folder):
        name = path.relative_to(folder).as_posix()
        if any("\udc80" <= letter <= "\udcff" for letter in name):  # bytes that are none in UTF-8
            refused.append((os.fsencode(name).decode("utf-8", "replace"), "file name is not valid UTF-8"))
        elif reason:
            refused.append((name, reason))
        else:
            files.append(name)
    return sorted(files), refused


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
    root = real_path(folder)
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
        return f"file name in {METADATA} {OUTSIDE}"
    try:
        if not real_path(folder / name).is_relative_to(root):
            return f"file name in {METADATA} {OUTSIDE}"
        if not (folder / name).exists():
            return f"listed in {METADATA}, but there is no such file"
    except (OSError, ValueError):  # longer than the system allows, or with a zero byte inside
        return f"listed in {METADATA}, but no possible file name"
    return ""


def index_folder(
    folder: str | os.PathLike, *, progress: bool = True, n_jobs: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index a folder of karyograms, every image opened, checked and compared with the others: images below
    ``normal/`` and ``abnormal/``, or a ``metadata.csv`` with ``file_name, label`` and, where known, ``iscn,
    patient_id, source``. Returns a row an image (``image_id`` from the content; ``patient_id``, the unit that
    splits keep together: the given one, else the image's own, shared by near duplicates) and what was left
    out with its reason: images that cannot be used, one image under two labels, second copies. Nothing
    outside the folder is opened."""
    folder = Path(folder)
    listing, quarantine = list_folder(folder)
    if listing.empty and quarantine.empty:
        raise DatasetError(
            f"Expected images below {str(folder)!r}, in folders named normal and abnormal or listed in "
            "metadata.csv. Received none."
        )
    index, unusable = _read_all(folder, listing, progress, n_jobs)
    index, rejected = _settle_copies(_note_formulae(index))
    reasons = pd.concat([quarantine, unusable, rejected], ignore_index=True).drop_duplicates()
    reasons = reasons.sort_values(["path", "reason"], ignore_index=True)
    _check_classes(index, reasons)
    return index[[*INDEX_COLUMNS, "notes"]].sort_values("path", ignore_index=True), reasons


def _read_all(
    folder: Path, listing: pd.DataFrame, progress: bool, n_jobs: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    jobs = (joblib.delayed(_read_one)(folder / path) for path in listing["path"])
    results = joblib.Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    results = list(tqdm(results, "Reading images", len(listing), unit="image", disable=not progress))
    usable = np.array([isinstance(result, dict) for result in results], bool)
    refused = listing.loc[~usable, ["path"]].assign(reason=[r for r in results if isinstance(r, str)])
    found = [result for result in results if isinstance(result, dict)]
    found = pd.DataFrame(found, columns=["sha256", "pixels_sha256", "hash", "notes"])
    return pd.concat([listing[usable].reset_index(drop=True), found], axis=1), refused


def _read_one(path: Path) -> dict | str:
    """Return what the index needs of one image, not its pixels; or the reason why it cannot be used."""
    try:
        image = load_image(path)
    except UnusableImage as error:
        return error.reason
    content = repr(image.pixels.shape).encode() + image.pixels.tobytes()
    return {
        "sha256": image.sha256,
        "pixels_sha256": hashlib.sha256(content).hexdigest(),
        "hash": compute_page_hash(image.pixels),
        "notes": "; ".join(image.notes),
    }


def _note_formulae(index: pd.DataFrame) -> pd.DataFrame:
    """Note formulae that contradict their label; the label stands, for the user to look at."""
    notes = []
    for row in index.itertuples():
        found = [row.notes] if row.notes else []
        try:
            says = parse_karyotype(row.iscn).label if row.iscn else row.label
        except KaryotypeError:
            found.append(f"formula {row.iscn!r} is not understood")
        else:
            if says != row.label:
                found.append(f"formula {row.iscn!r} is {says}, the label is {row.label}")
        notes.append("; ".join(found))
    return index.assign(notes=notes)


def _settle_copies(index: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reject contradicting and repeated images; give near duplicates one patient."""
    if index.empty:
        return index.assign(image_id=[]), pd.DataFrame(columns=["path", "reason"], dtype=str)
    index = index.assign(
        image_id="own-" + index["sha256"].str[:12],
        source=index["source"].where(index["source"] != "", "own"),
        group=find_groups(np.stack(index["hash"].to_list())),
    )
    same_pixels = index.groupby("pixels_sha256")
    contradicting = same_pixels["label"].transform("nunique") > 1
    repeated = ~contradicting & index.duplicated("pixels_sha256")
    names = same_pixels["path"].transform(lambda paths: ", ".join(sorted(set(paths))))
    told = [
        "one image under both labels: " + names,
        "same image as " + same_pixels["path"].transform("first"),
    ]
    reasons = np.select([contradicting, repeated], told, default="")
    index["patient_id"] = _join_patients(index)
    rejected = index.assign(reason=reasons)[reasons != ""][["path", "reason"]]
    return _note_near_duplicates(index[reasons == ""].reset_index(drop=True)), rejected


def _join_patients(index: pd.DataFrame) -> pd.Series:
    """Return one id for all images linked by a given patient or by near duplication, at any remove."""
    given = index["patient_id"].where(index["patient_id"] != "", index["image_id"])
    before, joined = None, given
    while not joined.equals(before):  # each pass hands the smallest id on, until both partitions agree
        before = joined
        joined = joined.groupby(index["group"]).transform("min").groupby(given).transform("min")
    return joined


def _note_near_duplicates(index: pd.DataFrame) -> pd.DataFrame:
    notes = index["notes"].to_dict()
    for _, group in index[index.duplicated("group", keep=False)].groupby("group"):
        for row in group.itertuples():
            near = group.drop(row.Index)
            found = [row.notes] if row.notes else []
            found += [f"near duplicate of {path}" for path in near["path"]]
            if (near["label"] != row.label).any():
                found.append("a near duplicate has the other label")
            notes[row.Index] = "; ".join(found)
    return index.assign(notes=pd.Series(notes))


def _check_classes(index: pd.DataFrame, quarantine: pd.DataFrame) -> None:
    counts = {label: int((index["label"] == label).sum()) for label in LABELS}
    if all(counts.values()):
        return
    kinds = quarantine.groupby("reason")["path"].agg(["size", "first"]).sort_values("size", ascending=False)
    kinds = "; ".join(f"{row.size} x {row.Index}, as {row.first}" for row in kinds.head(5).itertuples())
    more = f" Left out: {kinds}." if kinds else ""
    if not any(counts.values()):
        raise DatasetError(f"Expected usable karyograms of both labels. Received none.{more}")
    present, absent = sorted(LABELS, key=counts.get, reverse=True)
    raise DatasetError(
        f"Expected karyograms of both labels, normal and abnormal. Received {counts[present]} {present} and "
        f"no {absent} ones: add some, as a folder named {absent} or as rows of metadata.csv.{more}"
    )


def compute_page_hash(pixels: np.ndarray) -> np.ndarray:
    """Two perceptual hashes of a page, uint64 (2, 16): of all of it, and of the part that its ink spans,
    which finds copies with other margins. A median filter comes first, or speckle would decide."""
    image = Image.fromarray(pixels)
    if max(image.size) > _WORKING_SIDE:
        image.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BOX)
    image = image.filter(ImageFilter.MedianFilter(3))
    filtered = np.asarray(image)
    ink = np.abs(filtered - np.median(filtered)) > _INK_CONTRAST
    rows, columns = (np.flatnonzero(ink.mean(axis=axis) > _INK_SHARE) for axis in (1, 0))
    parts = [image]
    if len(rows) and len(columns):
        image = image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    parts.append(image)
    bits = np.stack([imagehash.phash(part, HASH_SIDE).hash.ravel() for part in parts])
    return np.packbits(bits, axis=1).view(np.uint64)


def find_groups(hashes: np.ndarray, max_distance: float = MAX_DISTANCE) -> np.ndarray:
    """Number the groups of pages that are near duplicates by either hash, directly or through others."""
    n_pages, _, words = hashes.shape
    limit = int(max_distance * words * 64)
    pairs = [np.empty((0, 2), np.intp)]
    for start in range(0, n_pages, 64):
        block = hashes[start : start + 64, None]
        near = (np.bitwise_count(block ^ hashes[None, start:]).sum(axis=3) <= limit).any(axis=2)
        pairs.append(np.argwhere(near) + start)
    rows, columns = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n_pages, n_pages))
    return connected_components(graph, directed=False)[1]
