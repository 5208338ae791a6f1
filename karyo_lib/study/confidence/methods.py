"""Notebook 06: Monte Carlo dropout, deep ensembles, both bases and test-time augmentation, all as (T, N)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from karyo_lib.files.augment import AugmentSettings, augment_image
from karyo_lib.judge import compute_scores
from karyo_lib.networks.backend import keras
from karyo_lib.networks.conditions import get_condition
from karyo_lib.networks.features import FeatureCache
from karyo_lib.networks.sampling import sample_dropout
from karyo_lib.networks.train import FitResult, fit_condition
from karyo_lib.study.confidence.samples import Passes, combine_scores
from karyo_lib.study.data.copies import load_splits
from karyo_lib.study.networks.fits import (
    RUN_COLUMNS,
    fit_store,
    load_image_map,
    resolve_run_weights,
    select_split,
    training_settings,
)
from karyo_lib.study.runs import Run

METHODS = {
    "dropout": "Monte Carlo dropout (thesis)",
    "ensemble": "Deep ensemble",
    "augmentation": "Test-time augmentation",
    "bases": "Ensembles of both bases",
}
PROTOCOL = "grouped"  # under the thesis's protocol the models know the test images, whatever the method
PAIR = ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen")
MEMBER_SEED = 1000  # apart: the seeds of repeats follow each other


def count_members(run: Run, condition: str) -> int:
    """Return how many members the ensemble of a condition has in this run; 1 is none."""
    settings = run.settings
    return settings.finetuned_members if get_condition(condition).fine_tuned else settings.members


@dataclass(frozen=True, eq=False)
class Panel:
    """The trained members of one split: what answers when a page is put to them."""

    run: Run
    repeat: int
    # By condition; they differ in the seed of the head and of the order of images.
    members: Mapping[str, tuple[FitResult, ...]]

    @property
    def pair(self) -> tuple[str, ...]:
        """Conditions of both bases, where both were trained."""
        return tuple(key for key in PAIR if key in self.members)

    def features(self, condition: str, pages: Sequence[np.ndarray]) -> np.ndarray:
        """Return the inputs of a condition's members for pages, from the cache where they are there."""
        fit = self.members[condition][0]
        weights = resolve_run_weights(self.run, fit.condition.base)
        return fit.compute_features(list(pages), weights, FeatureCache(), progress=False)

    def sample(self, method: str, condition: str, pages: Sequence[np.ndarray]) -> np.ndarray:
        """Return answers to pages, shape (T, N), T as the method has it."""
        if method == "bases":
            return np.concatenate([self.sample("ensemble", key, pages) for key in self.pair])
        if method == "augmentation":
            variants = [
                alter_pages(pages, draw, self.run.seed) for draw in range(self.run.settings.altered_copies)
            ]
            model = self.members[condition][0].model
            return np.stack([_predict(model, self.features(condition, some)) for some in (pages, *variants)])
        features = self.features(condition, pages)
        if method == "dropout":
            model, seed = self.members[condition][0].model, self.run.seed + self.repeat
            return sample_dropout(model, features, self.run.settings.passes, seed=seed)
        if method == "ensemble":
            return np.stack([_predict(member.model, features) for member in self.members[condition]])
        raise KeyError(method)


def alter_pages(pages: Sequence[np.ndarray], draw: int, seed: int) -> list[np.ndarray]:
    """Return a copy of each page altered as in training; the same page is altered the same way each time."""
    settings = AugmentSettings()
    return [
        augment_image(page, np.random.default_rng([seed, draw, int(page.sum())]), settings) for page in pages
    ]


def _predict(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Ask a member without dropout; called, not compiled: each of many members answers few times."""
    blocks = (model(features[i : i + 64], training=False) for i in range(0, len(features), 64))
    return np.concatenate([keras.ops.convert_to_numpy(block)[:, 0] for block in blocks])


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods on the same images of the same splits by patient."""

    # ``method, condition, title, repeat, part, image_id, patient_id, y_true``, the columns of
    # :func:`karyo_lib.judge.compute_scores` and ``combined``, fitted on validation as everywhere.
    scores: pd.DataFrame
    answers: pd.DataFrame  # ``method, condition, answers, seconds``: T, and what it took beyond one model
    panel: Panel  # of the first repeat

    def pool(self, method: str, condition: str) -> pd.DataFrame:
        """Return the test scores of a method and condition over all repeats."""
        return self.scores.query("method == @method and condition == @condition and part == 'test'")


def compare_methods(run: Run, passes: Passes) -> Comparison:
    """Train the missing members, alter the images, and score every method on validation and test parts."""
    known = passes.scores.query("protocol == @PROTOCOL")
    conditions = [key for key in dict.fromkeys(known["condition"]) if count_members(run, key) > 1]
    conditions = [key for key in conditions if get_condition(key).data == "augmented"]
    if not conditions:
        raise ValueError(
            f"Expected a condition on augmented data, such as {PAIR[0]}. Received a run with "
            f"{', '.join(dict.fromkeys(known['condition']))}."
        )
    splits, images = load_splits(run), load_image_map(run)
    panels, spent = _train_panels(run, conditions, splits, images, known)
    tables, sizes = [], {}
    for panel in tqdm(panels, "Methods", unit="split"):
        rows = known[known["repeat"] == panel.repeat]
        for method, condition in _list_methods(panel):
            table = rows[rows["condition"] == condition].reset_index(drop=True)
            if method != "dropout":
                began = time.perf_counter()
                pages = [images[image_id] for image_id in table["image_id"]]
                array = panel.sample(method, condition, pages)
                spent[method, condition] = spent.get((method, condition), 0) + time.perf_counter() - began
                run.save_array(array, f"answers_{method}_{condition}_{panel.repeat}")
                sizes[method, condition] = len(array)
                name = ["condition", "protocol", "repeat", "part", "image_id", "patient_id", "y_true"]
                scores = compute_scores(array, referral_threshold=run.settings.referral_threshold)
                table = combine_scores(pd.concat([table[name], scores], axis=1))
            else:
                sizes[method, condition] = passes.passes
                seconds = passes.seconds.set_index(RUN_COLUMNS)["seconds"]
                own = seconds.loc[condition, PROTOCOL, panel.repeat]
                spent[method, condition] = spent.get((method, condition), 0) + own
            tables.append(table.assign(method=method, title=name_method(method, condition)))
    scores = pd.concat(tables, ignore_index=True)
    run.save_table(scores, "scores_by_method")
    answers = [(*key, size, spent[key]) for key, size in sizes.items()]
    answers = pd.DataFrame(answers, columns=["method", "condition", "answers", "seconds"])
    return Comparison(scores, answers, panels[0])


def name_method(method: str, condition: str) -> str:
    """Return the title of a method with what it is applied to."""
    if method == "bases":
        return METHODS[method]
    found = get_condition(condition)
    base = found.base if not found.fine_tuned else found.title.removesuffix(", augmented data")
    return f"{METHODS[method]}, {base}"


def _list_methods(panel: Panel) -> list[tuple[str, str]]:
    jobs = [("dropout", key) for key in panel.members] + [("ensemble", key) for key in panel.members]
    jobs += [("augmentation", key) for key in panel.pair]
    return jobs + ([("bases", PAIR[0])] if len(panel.pair) == len(PAIR) else [])


def _train_panels(
    run: Run, conditions: Sequence[str], splits: pd.DataFrame, images: Mapping[str, np.ndarray],
    known: pd.DataFrame,
) -> tuple[list[Panel], dict[tuple[str, str], float]]:  # fmt: skip
    """Train condition after condition, so that each network is compiled once."""
    found: dict[int, dict[str, tuple[FitResult, ...]]] = {}
    spent: dict[tuple[str, str], float] = {}
    jobs = known.loc[known["condition"].isin(conditions), ["condition", "repeat"]].drop_duplicates()
    for key, repeat in tqdm(list(jobs.itertuples(index=False)), "Ensembles", unit="ensemble"):
        members = train_members(run, key, int(repeat), splits, images)
        found.setdefault(int(repeat), {})[key] = members
        further = sum(member.seconds for member in members[1:])
        spent["ensemble", key] = spent.get(("ensemble", key), 0) + further
    return [Panel(run, repeat, members) for repeat, members in sorted(found.items())], spent


def train_members(
    run: Run, key: str, repeat: int, splits: pd.DataFrame, images: Mapping[str, np.ndarray]
) -> tuple[FitResult, ...]:
    """Train the members of an ensemble (Lakshminarayanan et al. 2017); the first is its own fit."""
    condition = get_condition(key)
    settings = training_settings(run, condition, repeat)
    rows = select_split(splits, condition.data, PROTOCOL, repeat)
    own, weights = fit_store(run, key, PROTOCOL, repeat), resolve_run_weights(run, condition.base)
    members = []
    for number in range(count_members(run, key)):
        seeded = replace(settings, seed=settings.seed + MEMBER_SEED * number)
        store = own if number == 0 else own.with_name(f"{own.name}-member-{number}")
        fit = fit_condition(condition, images, rows, seeded, weights, FeatureCache(), store, progress=False)
        members.append(fit)
    return tuple(members)
