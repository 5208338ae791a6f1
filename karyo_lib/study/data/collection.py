"""Notebooks 01 and 02: the karyograms of a run as one index, their altered copies, and their splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.files.augment import AugmentSettings, augment_dataset
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import LABELS, index_folder
from karyo_lib.files.pages import load_pages, prepare_dataset
from karyo_lib.files.split import PARTS, check_no_leak, make_splits
from karyo_lib.study.data.clean import clean_pages
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset, find_real_aneuploids
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_datasets

PAGES, CLEANED = "karyograms", "cleaned"  # folders below the run's data
QUARANTINE_COLUMNS = ["path", "reason"]
COPIES = "augmented"  # folder below the run's data


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


@dataclass(frozen=True, eq=False)
class Copies:
    """The augmented collection: every original as copy 0, and its altered copies."""

    table: pd.DataFrame  # ``image_id, parent_id, path, label, patient_id, copy``, alterations, ``sha256``
    folder: Path  # what ``path`` is relative to


def prepare_copies(run: Run) -> Copies:
    """Augment the collection off line, as section 3.1.2 does; resumes where it was stopped."""
    collection = load_collection(run)
    # A collection of one's own has its own size: it grows in the thesis's proportions instead.
    totals = {
        label: getattr(run.settings, f"augmented_{label}") if run.source != "own" else None
        for label in ("normal", "abnormal")
    }
    settings = AugmentSettings(**totals)
    folder = run.path("data", COPIES)
    table = augment_dataset(collection.index, collection.pages, folder, settings, seed=run.seed)
    run.save_table(table, "augmented")
    return Copies(table, folder)


def load_copies(run: Run) -> Copies:
    """Return the augmented collection that notebook 02 prepared."""
    return Copies(run.load_table("augmented", made_by="02_augment"), run.path("data", COPIES))


def prepare_splits(run: Run) -> pd.DataFrame:
    """Split the collection as often as networks are fitted, and keep the table."""
    splits = split_copies(run, run.settings.repeats)
    run.save_table(splits, "splits")
    return splits


def split_copies(run: Run, repeats: int) -> pd.DataFrame:
    """Split the collection under every protocol, and check that the grouped ones do not leak."""
    index = load_collection(run).index
    held_out = tuple(index.loc[find_real_aneuploids(index), "image_id"])
    splits = make_splits(index, load_copies(run).table, run.seed, repeats=repeats, test_only=held_out)
    check_no_leak(splits)
    return splits


def load_splits(run: Run) -> pd.DataFrame:
    return run.load_table("splits", made_by="02_augment")


def load_copy_images(copies: Copies, table: pd.DataFrame) -> np.ndarray:
    """Return the pages of rows of the augmented table, uint8, shape (N, H, W)."""
    return load_pages(table, copies.folder)


def count_copies(copies: Copies) -> pd.DataFrame:
    """Count karyograms before and after augmentation, beside the thesis's numbers."""
    table, published = copies.table, load_datasets()
    rows = {
        "this run, before": table.loc[table["copy"] == 0, "label"].value_counts(),
        "this run, after": table["label"].value_counts(),
        "thesis, before": published.loc["original"],
        "thesis, after": published.loc["augmented"],
    }
    return pd.DataFrame([count_labels(name, counts) for name, counts in rows.items()])


def augmentation_headline(copies: Copies) -> list[tuple]:
    originals = int((copies.table["copy"] == 0).sum())
    return [
        ("karyograms", originals, None, None, "before augmentation"),
        ("images", len(copies.table), None, None, "after augmentation, originals included"),
    ]


def count_splits(splits: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each part of the first repeat, with the thesis's sizes."""
    first = splits[splits["repeat"] == splits["repeat"].min()]
    counts = first.groupby(["data", "protocol", "part"], sort=False).size().unstack("part").reset_index()
    published = load_datasets()
    counts = counts[["data", "protocol", *PARTS]]
    sizes = [" / ".join(str(int(published.loc[data, part])) for part in PARTS) for data in counts["data"]]
    return counts.assign(thesis=sizes)


def count_siblings(splits: pd.DataFrame) -> pd.DataFrame:
    """Count, per split, the test images that training has already seen in another form, and their share."""
    first = splits[splits["repeat"] == splits["repeat"].min()]
    rows = []
    for (data, protocol), part in first.groupby(["data", "protocol"], sort=False):
        train, test = part[part["part"] == "train"], part[part["part"] == "test"]
        karyogram = test["parent_id"].isin(train["parent_id"])
        patient = test["patient_id"].isin(train["patient_id"])
        seen = (int(karyogram.sum()), int(patient.sum()), float((karyogram | patient).mean()))
        rows.append((data, protocol, len(test), *seen))
    columns = ["data", "protocol", "test_images", "same_karyogram", "same_patient", "share"]
    return pd.DataFrame(rows, columns=columns)


def leak_headline(siblings: pd.DataFrame) -> list[tuple]:
    """Return how much of the augmented test parts training has already seen."""
    rows = siblings[siblings["data"] == "augmented"].set_index("protocol")
    items = []
    for protocol, name in (("thesis", "the thesis's split"), ("grouped", "split by patient")):
        share, tested = rows.loc[protocol, "share"], int(rows.loc[protocol, "test_images"])
        note = f"{share * tested:.0f} of {tested}: a copy, or the same patient, stands in training"
        items.append((f"test images seen in training, {name}", f"{share:.0%}", None, None, note))
    return items


def describe_leak(siblings: pd.DataFrame) -> str:
    """Say in words how much of each test part the training part has already seen."""
    rows = siblings[~siblings["protocol"].str.startswith("shuffled")].set_index(["data", "protocol"])["share"]
    leaky, closed = rows.get(("augmented", "thesis")), rows.get(("augmented", "grouped"))
    return (
        f"Split after augmentation, **{leaky:.0%} of the test images have a relative in the training part**; "
        f"split by patient first, {closed:.0%}. A network that merely remembers its training images passes "
        "the first test and fails the second."
    )
