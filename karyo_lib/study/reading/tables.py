"""Notebook 04, the eighth condition: every karyogram read by karyo's reader, trained on none of them."""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import joblib
import pandas as pd
from tqdm.auto import tqdm

import karyo_lib.read
from karyo_lib.files.images import read_image
from karyo_lib.files.pages import source_digest
from karyo_lib.iscn import KaryotypeError, count_formula, parse_karyotype
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.machines import count_processes, keep_worker
from karyo_lib.networks.backend import keras  # noqa: F401  before any other import of Keras
from karyo_lib.networks.conditions import READER
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import summary
from karyo_lib.resources import data_file
from karyo_lib.store import write_whole
from karyo_lib.study.data.clean import SEEN, keep_detections
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.data.copies import load_splits
from karyo_lib.study.networks.fits import RUN_COLUMNS, Fits, select_split
from karyo_lib.study.runs import Run

FOLDER = "readings"
UNKNOWN = "unknown"
PAGES_A_WORKER = 4  # fewer are read sooner than a further process starts


@dataclass(frozen=True, eq=False)
class Readings:
    # One row a karyogram, in the order of the index: ``image_id, patient_id, source, style, y_true, iscn,
    # group, truth`` (count formula, '' where the karyotype is not known), ``changed`` (classes with a
    # structural change, such as '9 22') and what :func:`karyo_lib.read.reading.summary` says: ``found,
    # formula, formula_probability, read_group, p_abnormal, p_count, p_structural, changes, refer_reason``,
    # and ``seconds``.
    table: pd.DataFrame

    def predictions(self, run: Run) -> pd.DataFrame:
        """Return ``p_abnormal`` as the predictions of a condition on every split by patient of the run."""
        p = self.table.set_index("image_id")[["p_abnormal", "y_true"]]
        splits = load_splits(run)
        tables = []
        for repeat in range(run.settings.repeats):
            rows = select_split(splits, "original", "grouped", repeat)
            known = rows[["image_id", "parent_id", "patient_id", "part"]]
            name = dict(zip(RUN_COLUMNS, (READER.key, "grouped", repeat), strict=True))
            found = p.loc[known["image_id"]].rename(columns={"p_abnormal": "p"}).reset_index(drop=True)
            tables.append(pd.concat([known.reset_index(drop=True), found], axis=1).assign(**name))
        return pd.concat(tables, ignore_index=True)


def read_collection(run: Run) -> Readings:
    """Read every karyogram of the run; what is finished stays, unless page, reader or code have changed."""
    collection = load_collection(run)
    index, folder = collection.index, run.path("data", FOLDER)
    keys = [hashlib.sha256(f"{page} {_reader_digest()}".encode()).hexdigest() for page in index["sha256"]]
    files = [folder / f"{image_id}.json" for image_id in index["image_id"]]
    known = [_load(file, key) for file, key in zip(files, keys, strict=True)]
    missing = [i for i, record in enumerate(known) if record is None]
    jobs = count_processes(len(missing), PAGES_A_WORKER)
    work = (
        joblib.delayed(_read_page)(collection.pages / index["path"].iloc[i], files[i], keys[i])
        for i in missing
    )
    done = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
    bar = tqdm(done, "Reading karyograms", len(index), initial=len(index) - len(missing), unit="page")
    for i, record in zip(missing, bar, strict=True):
        known[i] = record
    readings = Readings(_describe(index, known))
    run.save_table(readings.table, "readings")
    run.save_table(readings.predictions(run), "predictions_reading")
    return readings


def load_readings(run: Run) -> Readings:
    table = run.load_table("readings", made_by="04_transfer")
    texts = [column for column in ("changes", "changed", "refer_reason", "truth", "group") if column in table]
    table = table.assign(**{column: table[column].astype(object).fillna("") for column in texts})
    return Readings(table)


def beside_networks(fits: Fits, predictions: pd.DataFrame) -> Fits:
    """Return the networks' fits with the reader as a further condition; it has no epochs and no history."""
    named = predictions[RUN_COLUMNS].drop_duplicates()
    return Fits(
        pd.concat([fits.predictions, predictions], ignore_index=True),
        fits.history,
        pd.concat([fits.summary, named], ignore_index=True),
    )


@lru_cache(maxsize=1)
def _reader_digest() -> str:
    digest = hashlib.sha256(source_digest(karyo_lib.read).encode())
    for file in sorted(data_file("reader").iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def own_reader(seen: Path | None = None) -> Reader:
    """The shipped reader; what its detector sees is kept in a folder, if one is given."""
    reader = Reader.load()
    reader.detector = keep_detections(seen) if seen else reader.detector
    return reader


def _read_page(page: Path, file: Path, key: str) -> dict:
    keep_worker()
    began = time.perf_counter()
    reading = own_reader(file.parents[1] / SEEN).read(read_image(page))
    record = summary(reading) | {"seconds": time.perf_counter() - began, "key": key}
    write_whole(file, json.dumps(record))
    return record


def _load(file: Path, key: str) -> dict | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if record.get("key") == key else None


def _describe(index: pd.DataFrame, records: list[dict]) -> pd.DataFrame:
    """Set what was read beside what is true."""
    read = pd.DataFrame(records).drop(columns="key").rename(columns={"group": "read_group"})
    true = pd.DataFrame([_truth(formula) for formula in index["iscn"]], columns=["group", "truth", "changed"])
    known = index[[name for name in _KNOWN if name in index]].reset_index(drop=True)
    y = (index["label"] == "abnormal").astype(int).to_numpy()
    return pd.concat([known.assign(y_true=y), true, read], axis=1)


_KNOWN = ("image_id", "patient_id", "source", "origin", "style", "iscn")


@lru_cache(maxsize=1024)
def _truth(formula: str) -> tuple[str, str, str]:
    """Group, count formula and changed classes of a karyotype; of markers nothing is asked."""
    try:
        karyotype = parse_karyotype(formula)
    except KaryotypeError:
        return UNKNOWN, "", ""
    # a whole extra chromosome is called by its class alone, a changed one as in del(5)
    parts = {part.chromosome for one in karyotype.chromosomes if "(" in one.name for part in one.segments}
    changed = " ".join(name for name in CLASSES if name in parts)
    return karyotype.group, count_formula({name: karyotype.counts[name] for name in CLASSES}), changed
