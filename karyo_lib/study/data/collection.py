"""Notebook 01: the karyograms of a run, from whichever source, as one index and one folder of pages."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import index_folder
from karyo_lib.files.pages import load_pages, prepare_dataset
from karyo_lib.study.data.clean import clean_pages
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset, find_real_aneuploids
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_datasets

PAGES, CLEANED = "karyograms", "cleaned"  # folders below the run's data
QUARANTINE_COLUMNS = ["path", "reason"]


@dataclass(frozen=True, eq=False)
class Collection:
    """The karyograms of a run."""

    # One row a karyogram: ``image_id, path, label, iscn, patient_id, source, sha256`` and more where known.
    index: pd.DataFrame
    quarantine: pd.DataFrame  # ``path, reason`` of images that cannot be used
    pages: Path  # folder that ``path`` is relative to


def prepare_collection(run: Run) -> Collection:
    """Draw, compose or read the karyograms of a run and write their index; resumes where it was stopped.

    With the setting ``clean`` what is not a chromosome is then painted over on every page.
    """
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
    settings = run.settings
    recipe = AlphaRecipe(
        normal=settings.normal,
        abnormal=settings.abnormal,
        size=(settings.image_size, settings.image_size),
        seed=run.seed,
        level=settings.level,
        sources=settings.sources,
        annotated=settings.annotated_share,
        groups=settings.groups,
    )
    return replace(recipe, **changes)


def make_dataset(run: Run, recipe: AlphaRecipe, folder: Path, only=None) -> pd.DataFrame:
    """Draw or, in a run with a bank, compose the pages of a recipe, all or some of them."""
    bank = ChromosomeBank(run.bank) if run.bank else None
    return draw_dataset(recipe, folder, bank, only=only, n_jobs=-1)


def _folder(run: Run) -> Path:
    return run.path("data", CLEANED if run.settings.clean else PAGES)


def load_collection(run: Run) -> Collection:
    """Return the collection that notebook 01 prepared."""
    return Collection(
        run.load_table("index", made_by="01_data"),
        run.load_table("quarantine", made_by="01_data"),
        _folder(run),
    )


def load_images(collection: Collection, table: pd.DataFrame | None = None) -> np.ndarray:
    """Return the pages of a table (the whole index without one), uint8, shape (N, H, W)."""
    return load_pages(collection.index if table is None else table, collection.pages)


def first_abnormal(collection: Collection) -> Path:
    """Return the path of the first abnormal karyogram."""
    index = collection.index
    return collection.pages / index.loc[index["label"] == "abnormal", "path"].iloc[0]


def show_index(collection: Collection) -> pd.DataFrame:
    """Return the index as a reader needs it: without file names and digests in full."""
    index = collection.index
    return index.drop(columns=["path"]).assign(sha256=index["sha256"].str[:12])


def count_collection(collection: Collection) -> pd.DataFrame:
    """Count karyograms and patients by source and label, beside the thesis's data sets (section 3.1)."""
    index = collection.index
    rows = [
        _row("this run, all sources", index),
        *(_row(f"this run, {source}", part) for source, part in index.groupby("source", sort=True)),
    ]
    if index["source"].nunique() == 1:
        rows.pop(0)
    titles = {"first": "thesis, first delivery", "original": "thesis, alpha-dataset"}
    for key, published in load_datasets().loc[list(titles)].iterrows():
        normal, abnormal = int(published["normal"]), int(published["abnormal"])
        rows.append({"set": titles[key], "normal": normal, "abnormal": abnormal, "total": normal + abnormal})
    return pd.DataFrame(rows).astype({"patients": "Int64"})


def _row(name: str, part: pd.DataFrame) -> dict:
    counts = part["label"].value_counts()
    return {
        "set": name,
        "normal": int(counts.get("normal", 0)),
        "abnormal": int(counts.get("abnormal", 0)),
        "total": len(part),
        "patients": part["patient_id"].nunique(),
    }


def collection_headline(collection: Collection) -> list[tuple]:
    """Return the opening numbers of notebook 01."""
    index = collection.index
    counts = index["label"].value_counts()
    return [
        ("karyograms", len(index)),
        ("normal", int(counts.get("normal", 0))),
        ("abnormal", int(counts.get("abnormal", 0))),
        ("patients", index["patient_id"].nunique()),
        ("not usable", len(collection.quarantine)),
    ]


def describe_collection(collection: Collection) -> list[str]:
    """Say in words what the collection is, and what it is not."""
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
