"""Notebook 06: Monte Carlo passes of every trained condition, and the other methods, all as (T, N)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from karyo_lib.files.augment import AugmentSettings, augment_image
from karyo_lib.judge import PREDICTION_COLUMNS, CombinedScore, compute_scores, compute_uncertainties
from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights, wilson
from karyo_lib.networks.backend import keras
from karyo_lib.networks.conditions import TITLES, get_condition
from karyo_lib.networks.features import FeatureCache
from karyo_lib.networks.inference import sample_dropout
from karyo_lib.networks.train import FitResult, fit_condition, load_fit
from karyo_lib.study import thesis
from karyo_lib.study.data.collection import load_splits
from karyo_lib.study.networks.fits import (
    PROTOCOLS,
    RUN_COLUMNS,
    fit_store,
    load_fits,
    load_image_map,
    require_fit,
    resolve_run_weights,
    select_split,
    training_settings,
)
from karyo_lib.study.present import SPLIT_TITLES
from karyo_lib.study.runs import Run

# Columns of the scores -> those of Tables 4.1 and 4.2.
WRONG_COLUMNS = {
    "protocol": "split", "image_id": "image", "label": "predicted", "y_true": "actual",
    "p_mean": "mean_output", "confidence": "confidence_score", "entropy": "entropy",
    "mutual_information": "mutual_information", "p_std": "standard_deviation",
    "combined": "combined_probability_of_error", "referred": "referred",
}  # fmt: skip
PRICED = 12  # karyograms on which passes and forward pass are timed
METHODS = {
    "dropout": "Monte Carlo dropout (thesis)",
    "ensemble": "Deep ensemble",
    "augmentation": "Test-time augmentation",
    "bases": "Ensembles of both bases",
}
PROTOCOL = "grouped"  # under the thesis's protocol the models know the test images, whatever the method
PAIR = ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen")
MEMBER_SEED = 1000  # apart: the seeds of repeats follow each other


@dataclass(frozen=True, eq=False)
class Passes:
    """Scores of every validation and test image of every fit."""

    # ``condition, protocol, repeat, part, image_id, patient_id, y_true`` and the columns of
    # `compute_scores`, with ``combined``: probability of error, fitted on the validation part of the fit.
    scores: pd.DataFrame
    seconds: pd.DataFrame  # ``condition, protocol, repeat, seconds``: how long the sampling of each fit took
    passes: int

    def select(self, condition: str, protocol: str, part: str = "test") -> pd.DataFrame:
        """Return the scores of the first repeat of a condition under a protocol."""
        rows = self.scores.query("condition == @condition and protocol == @protocol and part == @part")
        if rows.empty:
            raise ValueError(
                f"Expected a sampled condition and protocol. Received {condition!r}, {protocol!r}."
            )
        return rows[rows["repeat"] == rows["repeat"].min()]

    def pool(self, protocol: str) -> pd.DataFrame:
        """Return the test scores of all conditions and repeats under a protocol."""
        return self.scores.query("protocol == @protocol and part == 'test'")


def sample_all(run: Run) -> Passes:
    """Draw the passes of every fit of notebooks 04 and 05; the ``(T, N)`` arrays are kept with the run."""
    fits, images = load_fits(run, "transfer", "finetuned"), load_image_map(run)
    tables, seconds = [], []
    jobs = list(fits.summary[RUN_COLUMNS].itertuples(index=False, name=None))
    for condition, protocol, repeat in tqdm(jobs, "Monte Carlo dropout", unit="fit"):
        rows = fits.predictions.query(
            "condition == @condition and protocol == @protocol and repeat == @repeat"
        )
        rows = rows[rows["part"] != "train"].reset_index(drop=True)
        array, spent = _sample(run, condition, protocol, repeat, rows, images)
        scores = compute_scores(array, referral_threshold=run.settings.referral_threshold)
        known = ["image_id", "patient_id", "part", "y_true"]
        name = dict(zip(RUN_COLUMNS, (condition, protocol, repeat), strict=True))
        tables.append(combine_scores(pd.concat([rows[known], scores], axis=1).assign(**name)))
        seconds.append(name | {"seconds": spent})
    scores = pd.concat(tables, ignore_index=True)
    run.save_table(scores[list(PREDICTION_COLUMNS)], "predictions")
    run.save_table(scores, "scores_by_image")
    return Passes(scores, pd.DataFrame(seconds), run.settings.passes)


def _sample(
    run: Run, condition: str, protocol: str, repeat: int, rows: pd.DataFrame, images: dict[str, np.ndarray]
) -> tuple[np.ndarray, float]:
    fit = require_fit(run, condition, protocol, repeat)
    pictures = [images[image_id] for image_id in rows["image_id"]]
    weights = resolve_run_weights(run, fit.condition.base)
    features = fit.compute_features(pictures, weights, FeatureCache(), progress=False)
    began = time.perf_counter()
    array = sample_dropout(fit.model, features, run.settings.passes, seed=run.seed + repeat)
    spent = time.perf_counter() - began
    saved = {"passes": array, "image_id": rows["image_id"].to_numpy(str), "part": rows["part"].to_numpy(str)}
    run.save_array(saved, f"passes_{condition}_{protocol}_{repeat}")
    return array, spent


def combine_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the combined score, fitted on the validation rows alone."""
    validation = scores[scores["part"] == "val"]
    model = CombinedScore().fit(validation, validation["y_true"].to_numpy())
    return scores.assign(combined=model.transform(scores))


def confidence_headline(passes: Passes, resamples: int) -> list[tuple]:
    """Return the opening numbers of notebook 06; intervals are a bootstrap by patient."""
    test = passes.pool("grouped")
    wrong = (test["label"] != test["y_true"]).to_numpy()
    referred = test["referred"].to_numpy(dtype=bool)
    weights = draw_bootstrap_weights(len(test), resamples, 0, test["patient_id"].to_numpy())
    known = f"thesis, below {thesis.REFERRAL_THRESHOLD:g} %"
    published = thesis.count_published_referrals()
    ours = f"{int((wrong & referred).sum())} of {int(wrong.sum())}; same rule, split by patient, all fits"
    return [
        ("published errors caught", "{} of {}".format(*published), None, None, known),
        ("our errors caught", *_share(wrong & referred, wrong, weights), ours),
        ("referred for it", *_share(referred, np.ones_like(wrong), weights), "share of the test images"),
        ("seconds of sampling", passes.seconds["seconds"].sum(), None, None,
         f"{passes.passes} passes an image, {len(passes.seconds)} fits"),
    ]  # fmt: skip


def _share(counted: np.ndarray, among: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Return a share with its interval; NaN where there is nothing to count among."""
    if not among.any():
        return (float("nan"),) * 3
    with np.errstate(invalid="ignore"):  # a sample without errors has no share
        low, high = bootstrap_interval(lambda w: (w @ counted) / (w @ among), weights)
    return counted.sum() / among.sum(), low, high


def wrong_cases(passes: Passes, condition: str) -> pd.DataFrame:
    """Return the wrongly predicted test images of the first split under each protocol, with all scores."""
    parts = [
        rows[rows["label"] != rows["y_true"]].sort_values("confidence")
        for rows in (passes.select(condition, protocol) for protocol in PROTOCOLS)
    ]
    rows, named = pd.concat(parts), {1: "abnormal", 0: "normal"}
    words = {
        "protocol": SPLIT_TITLES,
        "label": named,
        "y_true": named,
        "referred": {True: "yes", False: "no"},
    }
    rows = rows.assign(**{column: rows[column].map(told) for column, told in words.items()})
    return rows[list(WRONG_COLUMNS)].rename(columns=WRONG_COLUMNS).reset_index(drop=True)


def count_wrong(passes: Passes) -> pd.DataFrame:
    """Count the errors of both frozen bases, printed and ours, and those that the thesis's rule refers."""
    cases, rows = published_wrong_cases(), []
    for key in ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen"):
        if key not in set(passes.scores["condition"]):
            continue
        title, base = TITLES[key], get_condition(key).base
        printed = cases.loc[cases["base"] == base, "referred"] == "yes"
        rows.append((title, "printed", int(thesis.load_datasets().loc["augmented", "test"]), printed))
        for protocol in PROTOCOLS:
            test = passes.select(key, protocol)
            wrong = test[test["label"] != test["y_true"]]
            rows.append((title, SPLIT_TITLES[protocol], len(test), wrong["referred"].astype(bool)))
    told = []
    for title, split, images, referred in rows:
        n, k = len(referred), int(referred.sum())
        told.append((title, split, images, n, k, k / n if n else np.nan, *wilson(k, n)))
    columns = ["model", "split", "images", "errors", "referred", "share", "low", "high"]
    return pd.DataFrame(told, columns=columns)


def published_wrong_cases() -> pd.DataFrame:
    """Return the published Tables 4.1 and 4.2 with what the 80 % threshold would have done."""
    cases = thesis.load_wrong_cases()
    referred = (cases["confidence"] < thesis.REFERRAL_THRESHOLD).map({True: "yes", False: "no"})
    return cases.assign(referred=referred)


def uncertainties_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return every score of the rows turned so that larger is less sure, the combined one included."""
    return compute_uncertainties(scores).assign(combined=scores["combined"])


def price_passes(run: Run) -> pd.DataFrame:
    """Measure what all passes cost beside one forward pass of the frozen base: at most 1.3 times it."""
    images = list(load_image_map(run).values())[:PRICED]
    rows = []
    for key in load_fits(run, "transfer").summary["condition"].unique():
        fit = load_fit(fit_store(run, key, "grouped", 0))
        if fit is None or fit.condition.data != "augmented":
            continue
        weights = resolve_run_weights(run, fit.condition.base)
        features = fit.compute_features(images, weights, progress=False)  # traces the base
        sample_dropout(fit.model, features, 2)
        began = time.perf_counter()
        features = fit.compute_features(images, weights, progress=False)
        forward = time.perf_counter() - began
        began = time.perf_counter()
        sample_dropout(fit.model, features, run.settings.passes)
        spent = time.perf_counter() - began
        times = (forward + spent) / forward
        rows.append((fit.condition.base, len(images), run.settings.passes, forward, spent, times))
    columns = ["base", "karyograms", "passes", "forward_seconds", "passes_seconds", "times_forward"]
    return pd.DataFrame(rows, columns=columns)


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
