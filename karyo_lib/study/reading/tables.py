"""Notebook 04, the eighth condition: every karyogram read by karyo's reader, trained on none of them."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

import karyo_lib.read
from karyo_lib.files.images import read_image
from karyo_lib.files.pages import source_digest
from karyo_lib.iscn import NORMAL_FORMULAE, KaryotypeError, count_formula, parse_karyotype
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.judge import compute_metrics, compute_metrics_by_group, describe_groups, format_interval
from karyo_lib.judge.intervals import share_row
from karyo_lib.machines import count_processes, keep_worker
from karyo_lib.networks.backend import keras  # noqa: F401  before any other import of Keras
from karyo_lib.networks.conditions import READER, TITLES
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import summary
from karyo_lib.resources import data_file
from karyo_lib.store import write_whole
from karyo_lib.study.data.clean import SEEN, keep_detections
from karyo_lib.study.data.collection import load_collection, load_splits
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.networks.fits import RUN_COLUMNS, TABLE_METRICS, Fits, compare_fits, select_split, widen
from karyo_lib.study.runs import Run

FOLDER = "readings"
UNKNOWN = "unknown"
PAGES_A_WORKER = 4  # fewer are read sooner than a further process starts
SHOWN_METRICS = ("sensitivity", "specificity", *(m for m in TABLE_METRICS if m != "sensitivity"))
ALL_PAGES, TEST_PAGES = "all karyograms", "test part of the first split"


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


def reading_metrics(run: Run, readings: Readings, fits: Fits) -> pd.DataFrame:
    """Metrics with limits of the reader on all karyograms, and of it and the networks on one test part."""
    resamples, table = run.settings.bootstrap, readings.table
    parts = [(READER.title, ALL_PAGES, table["y_true"], table["p_abnormal"], table["patient_id"])]
    both = beside_networks(fits, readings.predictions(run))
    for condition in (READER.key, *fits.summary["condition"].unique()):
        rows = both.select(condition, "grouped")
        parts.append((TITLES[condition], TEST_PAGES, rows["y_true"], rows["p"], rows["patient_id"]))
    tables = []
    for title, pages, y, p, patients in parts:
        metrics = compute_metrics(y, p, groups=patients.to_numpy(), n_resamples=resamples)
        metrics = metrics[metrics["metric"].isin(SHOWN_METRICS)].drop(columns="method")
        tables.append(metrics.assign(condition=title, karyograms=pages))
    table = pd.concat(tables, ignore_index=True).rename(columns={"condition": "method"}, errors="ignore")
    return widen(table, ["method", "karyograms"])


def reading_against_networks(run: Run, readings: Readings, fits: Fits) -> pd.DataFrame:
    """Return every network less the reader on the same test images, as ``compare_networks`` does it."""
    both = beside_networks(fits, readings.predictions(run))
    return compare_fits(both, READER.key, run.settings.bootstrap)


def formula_table(readings: Readings) -> pd.DataFrame:
    """How often the count formula is exactly right, and what counting alone finds, by lab style: ``exact``,
    ``sensitivity``, ``specificity`` (of an abnormal number) and ``referred`` with 95 % Wilson limits."""
    table = readings.table[readings.table["truth"] != ""]
    by = "style" if "style" in table else "source"
    parts = [("all", table), *table.groupby(by)] if table[by].nunique() > 1 else [("all", table)]
    rows = []
    for name, part in parts:
        numerical, called = ~part["truth"].isin(NORMAL_FORMULAE), part["p_count"] > 0.5
        row = {"pages": name, "karyograms": len(part), "chromosomes_found": part["found"].mean()}
        for measure, chosen, right in (
            ("exact", part["truth"] != "", part["formula"] == part["truth"]),
            ("sensitivity", numerical, called),
            ("specificity", ~numerical, ~called),
            ("referred", part["truth"] != "", part["refer_reason"] != ""),
        ):
            row |= share_row(measure, right[chosen])
        rows.append(row)
    return pd.DataFrame(rows)


def group_counts(readings: Readings) -> pd.DataFrame:
    """Karyograms by their group and the group read: a numerical one where the page is called abnormal, a
    marked chromosome as the kind of its change whatever the page is called."""
    table = readings.table[readings.table["group"] != UNKNOWN]
    called = table["p_abnormal"] >= 0.5
    read = table["read_group"].where(called | (table["changes"] != ""), "normal")
    # where no single abnormal formula is the best one, all of them may still add up to abnormal
    read = read.mask((read == "normal") & called, "number uncertain")
    counts = pd.crosstab(table["group"], read)
    order = table["group"].value_counts().index
    first = [name for name in ("normal", *order) if name in counts.index]
    counts = counts.loc[list(dict.fromkeys(first))]
    columns = sorted(counts.columns, key=lambda name: (name != "normal", name not in first, name))
    return counts[columns]


def reading_by_group(run: Run, readings: Readings) -> pd.DataFrame:
    """Return sensitivity by group of abnormality over all karyograms, and specificity."""
    table = readings.table
    return compute_metrics_by_group(
        table["y_true"],
        table["p_abnormal"],
        table["group"].to_numpy(),
        groups=table["patient_id"].to_numpy(),
        n_resamples=run.settings.bootstrap,
    )


def real_cells(readings: Readings) -> pd.DataFrame:
    """Return the real aneuploid cells one by one, or a note where the run has none."""
    cells = readings.table[find_real_aneuploids(readings.table)]
    if cells.empty:
        return pd.DataFrame({"note": ["This run has no real aneuploid cells: every abnormal page was made."]})
    names = {
        "image_id": "karyogram", "truth": "truth", "formula": "read", "formula_probability": "probability",
        "exact": "exact", "p_abnormal": "probability_abnormal", "found": "found", "refer_reason": "refer",
    }  # fmt: skip
    exact = np.where(cells["truth"] == cells["formula"], "yes", "no")
    found = np.where(cells["p_abnormal"] >= 0.5, "yes", "no")
    return cells.assign(exact=exact, found=found)[list(names)].rename(columns=names)


def describe_reading(run: Run, readings: Readings, fits: Fits) -> list[str]:
    """Say in words what the reader finds and misses, and how it stands to the networks."""
    table, formulae = readings.table, formula_table(readings)
    sentences = []
    if len(formulae) and formulae["karyograms"].iloc[0]:
        exact, found, right = (
            format_interval(*(100 * formulae.iloc[0][[name, f"{name}_low", f"{name}_high"]]), digits=0)
            for name in ("exact", "sensitivity", "specificity")
        )
        sentences.append(
            f"The count formula is exactly right on {exact} % of {len(table)} karyograms; an abnormal number "
            f"is found on {found} %, a normal one called normal on {right} %."
        )
        if len(formulae) > 1:
            worst = formulae.iloc[1:].sort_values("exact").iloc[0]
            sentences.append(
                f"Hardest is {worst['pages']!r}: {worst['exact']:.0%} of {worst['karyograms']} exact."
            )
    if run.source == "drawn":
        sentences.append(
            "These pages are drawn by the code that drew its training chromosomes: what it is worth on real "
            "ones, only a run with a bank or your own pages tells."
        )
    if (table["group"] != UNKNOWN).any() and table["y_true"].any():
        sentences.append(describe_groups(reading_by_group(run, readings)))
        sentences += [text for text in (describe_by_structure(table), describe_unlike(table)) if text]
    return [*sentences, describe_against(reading_against_networks(run, readings, fits))]


def describe_by_structure(table: pd.DataFrame) -> str:
    """Say of how many pages the number is abnormal, but structure alone made them abnormal; '' of none."""
    numerical = (table["truth"] != "") & ~table["truth"].isin(NORMAL_FORMULAE)
    found, counted = table["p_abnormal"] >= 0.5, table["p_count"] > 0.5
    n, k = int((numerical & found).sum()), int((numerical & found & ~counted).sum())
    if not k:
        return ""
    return (
        f"Of the {n} pages of an abnormal number that are found, counting alone does not find {k}: a "
        "chromosome that looks changed, or both doubts together, speak for abnormal there."
    )


def describe_unlike(table: pd.DataFrame) -> str:
    """Say how often a chromosome marked as changed is one; '' without structural changes."""
    structural, normal = table["changed"] != "", table["y_true"] == 0
    if not structural.any():
        return ""
    marked = table["changes"].map(lambda told: set(re.findall(r"\b(?:[1-9]|1\d|2[0-2]|X|Y)\b", told)))
    right = np.array([bool(m & set(c.split())) for m, c in zip(marked, table["changed"], strict=True)])
    some = marked.map(bool)
    return (
        f"A changed chromosome is marked on {(structural & right).sum()} of {structural.sum()} pages with a "
        f"structural change, others alone on {(structural & some & ~right).sum()}; one is marked on "
        f"{(normal & some).sum()} of {normal.sum()} normal pages."
    )


def describe_against(comparison: pd.DataFrame) -> str:
    """Say in words which networks the reader is better than on the same images."""
    known = comparison.dropna(subset="difference")
    if known.empty:
        return "The test part does not hold both labels: reader and networks cannot be set side by side."
    worse, better = known[known["high"] < 0], known[known["low"] > 0]
    reader, n = known["reference_auc"].iloc[0], int(known["images"].iloc[0])
    sentences = [
        f"On the {n} test images of the first split by patient the reader has AUC {reader:.2f}, the networks "
        f"{known['auc'].min():.2f} to {known['auc'].max():.2f}."
    ]
    for rows, text in ((worse, "worse"), (better, "better")):
        if len(rows):
            sentences.append(f"{len(rows)} are {text}, with an interval that excludes zero.")
    rest = len(known) - len(worse) - len(better)
    if rest:
        sentences.append(f"Of {rest} the difference may be chance on so few images.")
    return " ".join(sentences)


def find_examples(readings: Readings) -> dict[str, str]:
    """Pages to look at, by title: the first abnormal one found, its number exactly right if any is; the first
    missed, not even referred if any is."""
    table = readings.table
    abnormal = table[table["y_true"] == 1]
    found = abnormal[abnormal["p_abnormal"] >= 0.5]
    exact = found[(found["formula"] == found["truth"]) & ~found["truth"].isin(NORMAL_FORMULAE)]
    missed = abnormal[abnormal["p_abnormal"] < 0.5]
    unnoticed = missed[missed["refer_reason"] == ""]
    chosen = {"found": exact if len(exact) else found, "missed": unnoticed if len(unnoticed) else missed}
    return {title: rows["image_id"].iloc[0] for title, rows in chosen.items() if len(rows)}
