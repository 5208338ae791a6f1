"""Shortcuts: what a network reads when something beside the chromosomes tells the label.

The same karyograms are laid out as several sets that differ in the shortcut and the lab styles. A linear
probe is trained on each and tested on karyograms it has not seen, within the set and across, above all on
pages in lab styles that no training set holds.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.pages import load_pages
from karyo_lib.judge import format_interval, summarise_runs
from karyo_lib.judge.checklist import associate
from karyo_lib.study.data.clean import clean_pages
from karyo_lib.study.data.recipe import REAL_ANEUPLOID, AlphaRecipe, compose_dataset, draw_dataset
from karyo_lib.study.displays.dots import DotsDisplay
from karyo_lib.study.displays.pages import ImageGridDisplay
from karyo_lib.study.networks.probe import compute_pooled, predict_probe
from karyo_lib.study.runs import Run

BASE = "VGG16"
STYLES = ("classic", "digital", "mottled", "ruled", "photocopy", "crowded")
UNSEEN_STYLES = ("textbook", "internet", "prometaphase", "patched")
ABNORMAL_SHARE = 0.4
FOLDS = 5
TITLES = {
    "annotated": "annotations on abnormal pages only",
    "annotated-clean": "the same, cleaned",
    "by-lab": "normal from one lab, abnormal from others",
    "neutral": "neither",
    "unseen": "unseen styles, no shortcut",
    "unseen-clean": "unseen styles, cleaned",
}
TRAINED = ("annotated", "annotated-clean", "by-lab", "neutral")
WITHIN, ACROSS = "within: same kind of pages", "across: unseen lab styles, no shortcut"


@dataclass(frozen=True, eq=False)
class Shortcuts:
    """The sets.

    Attributes
    ----------
    index : pandas.DataFrame
        ``set, image_id, path, label, patient_id, style, iscn, group, source``; the same
        ``image_id`` is the same karyogram in every set, ``path`` is relative to `folder`.
    folder : pathlib.Path
    """

    index: pd.DataFrame
    folder: Path

    def images(self, name: str) -> np.ndarray:
        """Return the pages of a set, uint8, shape (N, H, W)."""
        return load_pages(self.index[self.index["set"] == name], self.folder)


def prepare_shortcuts(run: Run) -> Shortcuts:
    """Draw (with a bank: compose) the sets, clean two of them, and keep the index; resumes."""
    folder = run.path("data", "shortcuts")
    abnormal = round(ABNORMAL_SHARE * run.settings.shortcut_pages)
    recipe = partial(
        AlphaRecipe,
        normal=run.settings.shortcut_pages - abnormal,
        abnormal=abnormal,
        size=(run.settings.image_size,) * 2,
        seed=run.seed + 1,  # other karyograms than those of the main study
        level=run.settings.level,
        groups=run.settings.groups,
    )
    recipes = {
        "annotated": recipe(styles=STYLES, annotate_abnormal=True),
        "by-lab": recipe(styles=STYLES[:1], abnormal_styles=STYLES[1:]),
        "neutral": recipe(styles=STYLES),
        "unseen": recipe(styles=UNSEEN_STYLES),
    }
    tables = []
    for name, chosen in recipes.items():
        if run.source == "composed":
            table = compose_dataset(chosen, ChromosomeBank(run.bank), folder / name, n_jobs=-1)
        else:
            table = draw_dataset(chosen, folder / name, n_jobs=-1)
        tables.append(table.assign(set=name, path=[f"{name}/{path}" for path in table["path"]]))
    made = {table["set"].iloc[0]: table for table in tables}
    for name in ("annotated", "unseen"):
        cleaned = clean_pages(made[name], folder, folder / f"{name}-clean", n_jobs=-1)
        paths = [f"{name}-clean/{path}" for path in cleaned["path"]]
        tables.append(cleaned.assign(set=f"{name}-clean", path=paths))
    index = pd.concat(tables, ignore_index=True)
    columns = ["set", "image_id", "path", "label", "patient_id", "style", "iscn", "group", "source", "sha256"]
    run.save_table(index[columns], "shortcut_pages")
    return Shortcuts(index[columns], folder)


def load_shortcuts(run: Run) -> Shortcuts:
    """Return the sets that notebook 02 prepared."""
    index = run.load_table("shortcut_pages", made_by="02_augment")
    return Shortcuts(index, run.path("data", "shortcuts"))


def shortcut_examples(shortcuts: Shortcuts) -> ImageGridDisplay:
    """Return one abnormal karyogram as it looks in every set."""
    index = shortcuts.index
    first = index.loc[(index["label"] == "abnormal") & (index["set"] == "annotated"), "image_id"].iloc[0]
    rows = index[index["image_id"] == first].set_index("set").loc[[*TITLES]].reset_index()
    return ImageGridDisplay.from_images(
        load_pages(rows, shortcuts.folder),
        [TITLES[name].replace(", ", ",\n") for name in rows["set"]],
        labels=list(rows["label"]),
        n_columns=3,
    )


def count_shortcuts(shortcuts: Shortcuts) -> pd.DataFrame:
    """Count pages by set and label, with the lab styles that each label has and how far they tell it."""
    rows = []
    for name, part in shortcuts.index.groupby("set", sort=False):
        styles = {label: ", ".join(sorted(mine["style"].unique())) for label, mine in part.groupby("label")}
        counts = part["label"].value_counts()
        rows.append(
            {
                "set": TITLES[name],
                "normal": int(counts["normal"]),
                "abnormal": int(counts["abnormal"]),
                "styles_normal": styles["normal"],
                "styles_abnormal": styles["abnormal"],
                "style_label_v": associate(part["style"], part["label"])[0],
            }
        )
    return pd.DataFrame(rows)


def measure_shortcuts(run: Run) -> pd.DataFrame:
    """Train the probe on each set, test it within and across, and keep the table.

    Cross-validated by patient and stratified by label, `luck_repeats` times: whoever is tested was in
    training in no set. Real aneuploid cells are tested and never trained on.

    Returns
    -------
    pandas.DataFrame
        ``trained_on, tested_on, repeat, fold, value``: test AUC of every fold.
    """
    shortcuts = load_shortcuts(run)
    features = {name: compute_pooled(run, BASE, list(shortcuts.images(name))) for name in TITLES}
    karyograms = shortcuts.index[shortcuts.index["set"] == "neutral"]
    table = cross_validate(features, karyograms, run.settings.luck_repeats, run.seed)
    run.save_table(table, "shortcut_runs")
    return table


def cross_validate(
    features: dict[str, np.ndarray], karyograms: pd.DataFrame, repeats: int, seed: int
) -> pd.DataFrame:
    """Return the AUC of every fold for each pair of training and test set.

    Parameters
    ----------
    features : dict of str to numpy.ndarray
        By set, shape (N, channels); the same row is the same karyogram in each.
    karyograms : pandas.DataFrame
        ``label, patient_id, source``, shape (N, ...).
    repeats, seed : int
    """
    y = (karyograms["label"] == "abnormal").to_numpy().astype(int)
    groups = karyograms["patient_id"].to_numpy()
    held = (karyograms["source"] == REAL_ANEUPLOID).to_numpy()
    rows = []
    for repeat in range(repeats):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fold, (train, test) in enumerate(folds.split(y, y, groups)):
            train = train[~held[train]]
            for trained in TRAINED:
                tested = [trained, *_across(trained)]
                p = predict_probe(
                    features[trained][train],
                    y[train],
                    np.concatenate([features[name][test] for name in tested]),
                )
                for name, mine in zip(tested, p.reshape(len(tested), -1), strict=True):
                    rows.append((trained, name, repeat, fold, roc_auc_score(y[test], mine)))
    return pd.DataFrame(rows, columns=["trained_on", "tested_on", "repeat", "fold", "value"])


def _across(trained: str) -> tuple[str, ...]:
    """Return the external test of a training set; a probe trained on cleaned pages is given cleaned pages."""
    return ("unseen-clean",) if trained.endswith("-clean") else ("unseen",)


def shortcut_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC within and across by training set.

    Intervals allow for the karyograms that the folds share (Nadeau and Bengio 2003).
    """
    kept = table.assign(test=_kind(table)).dropna(subset="test")
    summary = summarise_runs(kept, ["trained_on", "test"], test_share=1 / FOLDS)
    order = [(name, kind) for name in TRAINED for kind in (WITHIN, ACROSS)]
    summary = summary.set_index(["trained_on", "test"]).loc[order].reset_index()
    summary = summary.assign(low=summary["low"].clip(lower=0), high=summary["high"].clip(upper=1))
    return summary.assign(trained_on=summary["trained_on"].map(TITLES))[
        ["trained_on", "test", "mean", "low", "high", "sd", "runs"]
    ]


def _kind(table: pd.DataFrame) -> pd.Series:
    within = table["trained_on"] == table["tested_on"]
    across = [
        name in _across(trained)
        for trained, name in zip(table["trained_on"], table["tested_on"], strict=True)
    ]
    return pd.Series(np.where(within, WITHIN, np.where(across, ACROSS, None)), index=table.index)


def shortcut_display(table: pd.DataFrame) -> DotsDisplay:
    """Return within and across performance by training set; each repeat of the cross-validation is a dot."""
    kept = table.assign(test=_kind(table)).dropna(subset="test")
    dots = kept.groupby(["trained_on", "test", "repeat"], sort=False, as_index=False)["value"].mean()
    order = {name: i for i, name in enumerate(TRAINED)}
    dots = dots.sort_values("trained_on", key=lambda names: names.map(order), kind="stable")
    return DotsDisplay.from_table(
        dots.assign(trained_on=dots["trained_on"].map(TITLES)),
        row="trained_on",
        series="test",
        value="value",
        label="Test AUC",
        reference=(0.5, "chance: 0.5"),
    )


def describe_shortcuts(table: pd.DataFrame) -> str:
    """Say in words what each shortcut is worth, what is left of it elsewhere, and what cleaning does."""
    rows = shortcut_table(table).set_index(["trained_on", "test"])
    sentences = []
    for name in ("annotated", "by-lab", "neutral"):
        inside, outside = (rows.loc[TITLES[name], kind] for kind in (WITHIN, ACROSS))
        told = f"Trained with {TITLES[name]}" if name != "neutral" else "Trained without either shortcut"
        sentences.append(
            f"{told}, the probe has AUC {_told(inside)} on pages of the same kind and {_told(outside)} "
            "on unseen lab styles without a shortcut."
        )
    dirty, cleaned = (rows.loc[(TITLES[name], WITHIN)] for name in ("annotated", "annotated-clean"))
    if not dirty["low"] > 0.5:
        sentences.append(
            "The annotations are not shown to be used on so few pages: cleaning cannot be judged."
        )
        return " ".join(sentences)
    left = (
        "cannot be told from chance"
        if not cleaned["low"] > 0.5
        else "is above chance: cleaning leaves traces, or the chromosomes themselves are read"
    )
    sentences.append(
        f"Once arrows, boxes, titles and labels are found and painted over, {_told(dirty)} becomes "
        f"{_told(cleaned)} on pages of the same kind: what is left {left}."
    )
    outside, clean = (rows.loc[(TITLES[name], ACROSS)] for name in ("annotated", "annotated-clean"))
    back = "and gives" if clean["low"] > max(0.5, outside["mean"]) else "but gives no shown"
    sentences.append(
        f"On unseen styles cleaning changes the AUC by {clean['mean'] - outside['mean']:+.2f}: it takes the "
        f"false score away, {back} performance back."
    )
    return " ".join(sentences)


def _told(row: pd.Series) -> str:
    return format_interval(row["mean"], row["low"], row["high"])
