"""Notebook 03: the Bayesian search on cached features, under the thesis's protocol and split by patient."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.fitting import Examples, TrainSettings
from karyo_lib.networks.models import get_cut
from karyo_lib.networks.search import (
    HeadObjective,
    SearchSettings,
    choose_best,
    compute_partial_dependence,
    run_search,
)
from karyo_lib.networks.train import LABELS
from karyo_lib.study.data.collection import load_splits
from karyo_lib.study.displays.training import ConvergenceDisplay, PartialDependenceDisplay, SearchDisplay
from karyo_lib.study.networks.fits import (
    PROTOCOLS,
    fill_cache,
    is_trained,
    load_image_map,
    resolve_run_weights,
    select_split,
)
from karyo_lib.study.runs import Run

BASE, DATA = "VGG16", "augmented"
# Section 3.2: "Learning rates in the range [7e-4,3e-2]", "a batch size of 16 or 32", chosen 1e-3 and 16.
PUBLISHED = {"learning_rate": 1e-3, "batch_size": 16}
PUBLISHED_RANGE = {"learning_rate": "7e-4 to 3e-2", "batch_size": "16 or 32; not 512 or more"}


@dataclass(frozen=True, eq=False)
class Search:
    # ``protocol, trial, learning_rate, batch_size, val_loss, val_accuracy, status, seconds, message``.
    trials: pd.DataFrame
    settings: SearchSettings

    def select(self, protocol: str) -> pd.DataFrame:
        return self.trials[self.trials["protocol"] == protocol]


def search_hyperparameters(run: Run) -> Search:
    """Search under both protocols on the training and validation parts; test images are not read."""
    settings = SearchSettings(
        trials=run.settings.search_trials, points_at_once=run.settings.search_points_at_once, seed=run.seed
    )
    splits, images = load_splits(run), load_image_map(run)
    weights = resolve_run_weights(run, BASE)
    # in the one pass that the search needs: what notebook 05 trains on, too
    fill_cache(run, images, [c for c in CONDITIONS if c.base == BASE and is_trained(run, c.key)])
    tables = {}
    for protocol in PROTOCOLS:
        rows = select_split(splits, DATA, protocol, 0)
        parts = {part: rows[rows["part"] == part] for part in ("train", "val")}
        examples = {}
        for part, table in parts.items():
            pictures = [images[image_id] for image_id in table["image_id"]]
            features = compute_features(BASE, weights, pictures, get_cut(BASE, "head"), FeatureCache())
            examples[part] = Examples(features, table["label"].map(LABELS).to_numpy())
        training = TrainSettings(epochs=run.settings.search_epochs, seed=run.seed)
        objective = HeadObjective(BASE, weights, examples["train"], examples["val"], training)
        key = hashlib.sha256(
            repr((weights.digest, training, *(table.to_csv() for table in parts.values()))).encode()
        ).hexdigest()
        store = run.path("models", f"search-{protocol}.json")
        tables[protocol] = run_search(objective, settings, store, key)
    search = Search(pd.concat(tables, names=["protocol"]).reset_index(0).reset_index(drop=True), settings)
    run.save_table(search.trials, "trials")
    return search


def search_headline(search: Search) -> list[tuple]:
    best = choose_best(search.select("thesis"))
    failed = int((search.trials["status"] != "ok").sum())
    thesis = {name: f"thesis: {value:g}" for name, value in PUBLISHED.items()}
    return [
        ("best learning rate", float(best["learning_rate"]), None, None, thesis["learning_rate"]),
        ("best batch size", int(best["batch_size"]), None, None, thesis["batch_size"]),
        ("its validation loss", float(best["val_loss"]), None, None, "chosen for being low: optimistic"),
        ("trials", len(search.trials), None, None,
         f"{failed} failed; {search.trials['seconds'].sum():.0f} s in all"),
    ]  # fmt: skip


def search_display(search: Search, parameter: str) -> SearchDisplay:
    """Return validation loss against a parameter, accuracy as colour (Figs 3.3 and 3.4)."""
    trials = search.select("thesis")
    chosen = float(choose_best(trials)[parameter])
    return SearchDisplay.from_trials(trials, parameter, chosen=chosen, published=PUBLISHED[parameter])


def convergence_display(search: Search) -> ConvergenceDisplay:
    """Return the best validation loss so far, trial by trial."""
    return ConvergenceDisplay.from_trials(search.select("thesis"))


def partial_dependence_display(search: Search) -> PartialDependenceDisplay:
    """Return what the surrogate believes about each parameter, one standard deviation about it."""
    curves = compute_partial_dependence(search.select("thesis"), search.settings)
    mean, std = curves["val_loss"], curves["std"]
    return PartialDependenceDisplay.from_curves(curves.assign(mean=mean, low=mean - std, high=mean + std))


def chosen_hyperparameters(search: Search) -> pd.DataFrame:
    """Return the values chosen under each protocol beside the thesis's."""
    best = {protocol: choose_best(search.select(protocol)) for protocol in PROTOCOLS}
    rows = []
    for parameter, published in PUBLISHED.items():
        row = {"parameter": parameter, "thesis": published, "thesis_good_range": PUBLISHED_RANGE[parameter]}
        rows.append(row | {f"ours_{protocol}": float(best[protocol][parameter]) for protocol in PROTOCOLS})
    return pd.DataFrame(rows)


def describe_search(search: Search) -> list[str]:
    """Say in words whether the search comes to the thesis's values, and how sharp its choice is."""
    told = []
    for protocol in PROTOCOLS:
        trials = search.select(protocol)
        good = trials[trials["status"] == "ok"]
        best, near = choose_best(trials), good[good["val_loss"] <= good["val_loss"].min() * 1.05]
        found = any(
            all(0.5 < getattr(row, name) / value < 2 for name, value in PUBLISHED.items())
            for row in near.itertuples()
        )
        way = "the thesis's way" if protocol == "thesis" else "by patient"
        told.append(
            f"Split {way}: the thesis's values {'come out' if found else 'do not come out'}. The best "
            f"learning rate is {best['learning_rate']:.1e}, the best batch size {int(best['batch_size'])}; "
            f"{len(near)} of {len(good)} trials come within 5 % of its loss."
        )
    good = search.select("thesis").query("status == 'ok'")
    correlation = (
        np.corrcoef(np.log(good["learning_rate"]), good["val_loss"])[0, 1] if len(good) > 2 else np.nan
    )
    told.append(
        "The thesis sees a negative correlation between learning rate and validation loss (section 3.2); on "
        f"the rate's logarithm ours is {correlation:+.2f}."
    )
    return told
