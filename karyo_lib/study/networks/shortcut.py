"""Shortcuts: what a network reads when source, lab style or print tells the label."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import LABELS
from karyo_lib.files.pages import load_pages
from karyo_lib.judge import format_interval, summarise_runs
from karyo_lib.judge.words import associate
from karyo_lib.study.data.clean import clean_pages
from karyo_lib.study.data.collection import load_collection, load_images, make_dataset, make_recipe
from karyo_lib.study.data.recipe import (
    INTERNET,
    INTERNET_STYLES,
    LAB_STYLES,
    find_real_aneuploids,
    plan_dataset,
)
from karyo_lib.study.displays.diagrams import ImageGridDisplay
from karyo_lib.study.displays.dots import DotsDisplay, MetricsForestDisplay
from karyo_lib.study.networks.luck import auc_within, compute_pooled, predict_probe
from karyo_lib.study.runs import Run

BASE = "VGG16"
STYLES = (*LAB_STYLES, *INTERNET_STYLES)
UNSEEN_STYLES = ("prometaphase", "patched", "crowded")
ABNORMAL_SHARE = 0.4
FOLDS = 5
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the internet's abnormal pages that are annotated
TITLES = {
    "thesis": "the thesis's two sources",
    "thesis-clean": "the same, cleaned",
    "balanced": "one source for both labels",
    "unseen": "unseen styles, no shortcut",
    "unseen-clean": "unseen styles, cleaned",
}
SET_COLUMNS = [
    "set", "image_id", "path", "label", "patient_id", "source", "origin", "style", "iscn", "sha256",
]  # fmt: skip
TRAINED = ("thesis", "thesis-clean", "balanced")
WITHIN, ACROSS = "within: same kind of pages", "across: unseen lab styles, no shortcut"


@dataclass(frozen=True, eq=False)
class Shortcuts:
    # ``set, image_id`` (a karyogram, in all sets), ``path, label, patient_id, source, origin, style, iscn``.
    index: pd.DataFrame
    folder: Path

    def images(self, name: str) -> np.ndarray:
        """Return the pages of a set, uint8, shape (N, H, W)."""
        return load_pages(self.index[self.index["set"] == name], self.folder)


def prepare_shortcuts(run: Run) -> Shortcuts:
    """Draw (with a bank: compose) the sets, clean two of them, and keep the index; resumes."""
    folder = run.path("data", "shortcuts")
    n = run.settings.shortcut_pages
    abnormal = round(ABNORMAL_SHARE * n)
    # other karyograms than those of the main study
    recipe = partial(make_recipe, run, normal=n - abnormal, abnormal=abnormal, seed=run.seed + 1)
    recipes = {
        "thesis": recipe(sources="thesis"),
        "balanced": recipe(sources="balanced", styles=STYLES),
        "unseen": recipe(sources="balanced", styles=UNSEEN_STYLES),
    }
    tables = {name: make_dataset(run, chosen, folder / name) for name, chosen in recipes.items()}
    for name in ("thesis", "unseen"):
        clean = f"{name}-clean"
        tables[clean] = clean_pages(tables[name], folder / name, folder / clean, n_jobs=-1)
    index = pd.concat(
        [t.assign(set=name, path=[f"{name}/{path}" for path in t["path"]]) for name, t in tables.items()],
        ignore_index=True,
    )[SET_COLUMNS]
    run.save_table(index, "shortcut_pages")
    return Shortcuts(index, folder)


def shortcut_examples(shortcuts: Shortcuts) -> ImageGridDisplay:
    """Return one abnormal karyogram as it looks in every set."""
    index = shortcuts.index
    first = index.loc[(index["label"] == "abnormal") & (index["source"] == INTERNET), "image_id"].iloc[0]
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
        v = associate(part["style"], part["label"])[0]
        rows.append((TITLES[name], *(t[label] for t in (counts, styles) for label in LABELS), v))
    columns = [*LABELS, *(f"styles_{label}" for label in LABELS)]
    return pd.DataFrame(rows, columns=["set", *columns, "style_label_v"])


def measure_shortcuts(run: Run) -> pd.DataFrame:
    """Train the probe on each set, test it within and across, by patient, `luck_repeats` times: the AUC of
    every fold. Real aneuploid cells are tested and never trained on."""
    index = run.load_table("shortcut_pages", made_by="02_augment")
    shortcuts = Shortcuts(index, run.path("data", "shortcuts"))
    features = {name: compute_pooled(run, BASE, list(shortcuts.images(name))) for name in TITLES}
    karyograms = shortcuts.index[shortcuts.index["set"] == "balanced"]
    table = cross_validate(features, karyograms, run.settings.luck_repeats, run.seed)
    run.save_table(table, "shortcut_runs")
    return table


def cross_validate(
    features: dict[str, np.ndarray], karyograms: pd.DataFrame, repeats: int, seed: int
) -> pd.DataFrame:
    """Return the AUC of every fold for each pair of training and test set."""
    y = (karyograms["label"] == "abnormal").to_numpy().astype(int)
    groups = karyograms["patient_id"].to_numpy()
    held = find_real_aneuploids(karyograms).to_numpy()
    rows = []
    for repeat, fold, train, test in _split_folds(y, groups, repeats, seed):
        train = train[~held[train]]
        for trained in TRAINED:
            # a probe trained on cleaned pages is given cleaned pages of styles it has not seen
            tested = [trained, "unseen-clean" if trained.endswith("-clean") else "unseen"]
            x = np.concatenate([features[name][test] for name in tested])
            p = predict_probe(features[trained][train], y[train], x)
            for name, mine in zip(tested, p.reshape(len(tested), -1), strict=True):
                rows.append((trained, name, repeat, fold, roc_auc_score(y[test], mine)))
    return pd.DataFrame(rows, columns=["trained_on", "tested_on", "repeat", "fold", "value"])


def _split_folds(y: np.ndarray, groups: np.ndarray, repeats: int, seed: int):
    """Yield repeat, fold, and the positions of training and test karyograms, patients held together."""
    for repeat in range(repeats):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fold, (train, test) in enumerate(folds.split(y, y, groups)):
            yield repeat, fold, train, test


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with the title of the training set, and whether the test was within it or across."""
    test = np.where(table["trained_on"] == table["tested_on"], WITHIN, ACROSS)
    return table.assign(trained_on=table["trained_on"].map(TITLES), test=test)


def shortcut_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC within and across by training set."""
    summary = summarise_runs(_named(table), ["trained_on", "test"], test_share=1 / FOLDS, within=(0, 1))
    return summary[["trained_on", "test", "mean", "low", "high", "sd", "runs"]]


def shortcut_display(table: pd.DataFrame) -> DotsDisplay:
    """Return within and across performance by training set; each repeat of the cross-validation is a dot."""
    by = ["trained_on", "test", "repeat"]
    return DotsDisplay.from_table(
        _named(table).groupby(by, sort=False, as_index=False)["value"].mean(), row="trained_on",
        series="test", value="value", label="Test AUC", reference=(0.5, "chance: 0.5"),
    )  # fmt: skip


def describe_shortcuts(table: pd.DataFrame) -> str:
    """Say in words what the sources are worth, what is left of it elsewhere, and what cleaning does."""
    rows = shortcut_table(table).set_index(["trained_on", "test"])
    told = []
    for name in ("thesis", "balanced"):
        inside, outside = (rows.loc[TITLES[name], kind] for kind in (WITHIN, ACROSS))
        told.append(
            f"Trained on {TITLES[name]}: AUC {_told(inside)} on such pages, {_told(outside)} on unseen lab "
            "styles."
        )
    dirty, cleaned = (rows.loc[(TITLES[name], WITHIN)] for name in ("thesis", "thesis-clean"))
    if not dirty["low"] > 0.5:
        told.append("No shortcut is shown to be used on so few pages: cleaning cannot be judged.")
    else:
        left = (
            "what is left cannot be told from chance"
            if not cleaned["low"] > 0.5
            else "what is left is above chance: print is not all that tells the source"
        )
        told.append(f"Print and arrows painted over, {_told(dirty)} becomes {_told(cleaned)}: {left}.")
    return "\n\n".join(told)


def measure_annotations(run: Run) -> pd.DataFrame:
    """Measure the probe, by patient, with more and fewer karyograms annotated, the fewer among the more."""
    columns = ["share", "repeat", "fold", "test", "value"]
    if run.source == "own" or run.settings.sources != "thesis":
        run.save_table(table := pd.DataFrame(columns=columns), "annotations")
        return table
    collection = load_collection(run)
    index = collection.index
    bank = ChromosomeBank(run.bank) if run.bank else None
    features = {False: [], True: []}  # of pages without and with annotations
    own = compute_pooled(run, BASE, list(load_images(collection)))
    for annotated, share in ((False, 0.0), (True, 1.0)):
        plan = plan_dataset(make_recipe(run, annotated=share), bank)
        differs = (plan["annotated"] != index["annotated"]).to_numpy()
        features[annotated] = own.copy()
        if differs.any():
            folder = run.path("data", "annotated" if annotated else "plain")
            made = make_dataset(run, make_recipe(run, annotated=share), folder, plan.loc[differs, "image_id"])
            features[annotated][differs] = compute_pooled(run, BASE, list(load_pages(made, folder)))
    y, groups = (index["label"] == "abnormal").to_numpy().astype(int), index["patient_id"].to_numpy()
    internet = (index["source"] == INTERNET).to_numpy()
    rows = []
    for share in SHARES:
        plan = plan_dataset(make_recipe(run, annotated=share), bank)
        x = np.where(plan["annotated"].to_numpy()[:, None], features[True], features[False])
        for repeat, fold, train, test in _split_folds(y, groups, run.settings.luck_repeats, run.seed):
            p, near = predict_probe(x[train], y[train], x[test]), internet[test]
            rows.append((share, repeat, fold, "all", roc_auc_score(y[test], p)))
            within = auc_within(y[test][near], p[near], np.ones(near.sum()))[0]
            rows.append((share, repeat, fold, "within the internet", within))
    table = pd.DataFrame(rows, columns=columns)
    run.save_table(table, "annotations")
    return table


def annotation_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC with its interval by share of annotated pages."""
    if table.empty:
        return pd.DataFrame(
            {"note": ["The karyograms of this run do not come from the thesis's two sources."]}
        )
    summary = summarise_runs(table, ["share", "test"], test_share=1 / FOLDS, within=(0, 1))
    return summary[["share", "test", "mean", "low", "high", "runs"]]


def annotation_display(table: pd.DataFrame) -> MetricsForestDisplay:
    """Return AUC against the share of annotated pages; an empty figure without such pages."""
    rows = annotation_table(table) if len(table) else table.assign(mean=0.0, low=0.0, high=0.0)
    rows = rows.assign(title=[f"{share:.0%} annotated" for share in rows["share"]], series=rows["test"])
    rows = rows.drop(columns="value", errors="ignore").rename(columns={"mean": "value"})
    return MetricsForestDisplay.from_table(rows, label="Test AUC", reference=(0.5, "chance: 0.5"))


def describe_annotations(table: pd.DataFrame) -> str:
    """Say in words what arrows and titles are worth within the internet source."""
    if table.empty:
        return ""
    rows = annotation_table(table).set_index(["test", "share"]).loc["within the internet"]
    none, every = rows.loc[SHARES[0]], rows.loc[SHARES[-1]]
    verdict = "Arrows and titles tell" if every["low"] > none["mean"] else "Arrows and titles hardly tell"
    return (
        f"{verdict}: within the internet's karyograms the AUC is {_told(none)} when no abnormal one has "
        f"them, {_told(every)} when all have."
    )


def _told(row: pd.Series) -> str:
    return format_interval(row["mean"], row["low"], row["high"])
