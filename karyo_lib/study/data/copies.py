"""Notebook 02: altered copies of the karyograms, and the splits under every protocol."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.files.augment import AugmentSettings, augment_dataset
from karyo_lib.files.pages import load_pages
from karyo_lib.files.split import PARTS, check_no_leak, make_splits
from karyo_lib.study.data.collection import count_labels, load_collection
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_datasets

COPIES = "augmented"  # folder below the run's data


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
