"""Notebook 01: the karyograms of a run, from whichever source, as one index and one folder of pages."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import index_folder
from karyo_lib.files.listing import LABELS
from karyo_lib.files.pages import load_pages, prepare_dataset
from karyo_lib.study.data.clean import clean_pages
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset, find_real_aneuploids
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_datasets

PAGES, CLEANED = "karyograms", "cleaned"  # folders below the run's data
QUARANTINE_COLUMNS = ["path", "reason"]


@dataclass(frozen=True, eq=False)
class Collection:
    # One row a karyogram: ``image_id, path, label, iscn, patient_id, source, sha256`` and more where known.
    index: pd.DataFrame
    quarantine: pd.DataFrame  # ``path, reason`` of images that cannot be used
    pages: Path  # folder that ``path`` is relative to


def prepare_collection(run: Run) -> Collection:
    """Draw, compose or read the karyograms of a run and write their index; resumes where it was stopped."""
    pages = run.path("data", PAGES)
    size = (run.settings.image_size,) * 2
    quarantine = pd.DataFrame(columns=QUARANTINE_COLUMNS)
    if run.source == "own":
        found, quarantine = index_folder(run.data)
        index = prepare_dataset(found, run.data, pages, size=size)
    else:
        index = make_dataset(run, make_recipe(run), pages)
    if run.settings.clean:
        index = clean_pages(index, pages, _folder(run), n_jobs=-1)
    run.save_table(index, "index")
    run.save_table(quarantine, "quarantine")
    return Collection(index, quarantine, _folder(run))


def make_recipe(run: Run, **changes) -> AlphaRecipe:
    """Return the recipe of a run's karyograms, with fields of it replaced."""
    told = {
        name: getattr(run.settings, name) for name in ("normal", "abnormal", "level", "sources", "groups")
    }
    told |= {"size": (run.settings.image_size,) * 2, "annotated": run.settings.annotated_share}
    return AlphaRecipe(**(told | {"seed": run.seed} | changes))


def make_dataset(run: Run, recipe: AlphaRecipe, folder: Path, only=None) -> pd.DataFrame:
    """Draw or, in a run with a bank, compose the pages of a recipe, all or some of them."""
    bank = ChromosomeBank(run.bank) if run.bank else None
    return draw_dataset(recipe, folder, bank, only=only, n_jobs=-1)


def _folder(run: Run) -> Path:
    return run.path("data", CLEANED if run.settings.clean else PAGES)


def load_collection(run: Run) -> Collection:
    return Collection(
        run.load_table("index", made_by="01_data"),
        run.load_table("quarantine", made_by="01_data"),
        _folder(run),
    )


def load_images(collection: Collection, table: pd.DataFrame | None = None) -> np.ndarray:
    """Return the pages of a table (the whole index without one), uint8, shape (N, H, W)."""
    return load_pages(collection.index if table is None else table, collection.pages)


def first_abnormal(collection: Collection) -> Path:
    index = collection.index
    return collection.pages / index.loc[index["label"] == "abnormal", "path"].iloc[0]


def show_index(collection: Collection) -> pd.DataFrame:
    """Return the index as a reader needs it: without file names and digests in full."""
    index = collection.index
    return index.drop(columns=["path"]).assign(sha256=index["sha256"].str[:12])


def count_collection(collection: Collection) -> pd.DataFrame:
    """Count karyograms and patients by source and label, beside the thesis's data sets (section 3.1)."""
    index = collection.index
    parts = {"this run, all sources": index} if index["source"].nunique() > 1 else {}
    parts |= {f"this run, {source}": part for source, part in index.groupby("source", sort=True)}
    rows = [
        count_labels(name, part["label"].value_counts()) | {"patients": part["patient_id"].nunique()}
        for name, part in parts.items()
    ]
    titles = {"first": "thesis, first delivery", "original": "thesis, alpha-dataset"}
    rows += [count_labels(title, load_datasets().loc[key]) for key, title in titles.items()]
    return pd.DataFrame(rows).astype({"patients": "Int64"})


def count_labels(name: str, counts: pd.Series) -> dict:
    """Return a row of a table of sets from the counts of their labels."""
    normal, abnormal = (int(counts.get(label, 0)) for label in LABELS)
    return {"set": name, "normal": normal, "abnormal": abnormal, "total": normal + abnormal}


def collection_headline(collection: Collection) -> list[tuple]:
    index = collection.index
    return [
        ("karyograms", len(index)),
        *((label, int((index["label"] == label).sum())) for label in LABELS),
        ("patients", index["patient_id"].nunique()),
        ("not usable", len(collection.quarantine)),
    ]


def describe_collection(collection: Collection) -> list[str]:
    index = collection.index
    abnormal = index[index["label"] == "abnormal"]
    share = len(abnormal) / len(index)
    sentences = [
        f"{share:.0%} are abnormal, far more than a laboratory sees: accuracy and precision here say nothing "
        "about a laboratory's case mix."
    ]
    if index["source"].nunique() > 1:
        by = pd.crosstab(index["source"], index["label"], normalize="index")["abnormal"]
        shares = ", ".join(f"{source} {share:.0%}" for source, share in by.items())
        sentences.append(f"Abnormal by source: {shares}. Where these differ, the source tells the label.")
    if "origin" in index and (index["origin"] == "drawn").all():
        sentences.append(
            "All are drawn: results say how a method deals with drawings whose truth is known, "
            "not how it would do in a laboratory."
        )
    elif count := int(find_real_aneuploids(index).sum()):
        sentences.append(f"{count} abnormal karyograms are real aneuploid cells as they are.")
    if len(collection.quarantine):
        sentences.append(f"{len(collection.quarantine)} images could not be used; the table below says why.")
    return sentences
