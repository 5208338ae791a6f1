"""Notebook 06: Monte Carlo passes of every trained condition, their price, and the thesis's tables."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from karyo_lib.judge import PREDICTION_COLUMNS, CombinedScore, compute_scores, compute_uncertainties
from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights, wilson
from karyo_lib.networks.conditions import TITLES, get_condition
from karyo_lib.networks.features import FeatureCache
from karyo_lib.networks.sampling import sample_dropout
from karyo_lib.networks.train import load_fit
from karyo_lib.study.columns import SPLIT_TITLES
from karyo_lib.study.networks.fits import (
    PROTOCOLS,
    RUN_COLUMNS,
    fit_store,
    load_fits,
    load_image_map,
    require_fit,
    resolve_run_weights,
)
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import (
    REFERRAL_THRESHOLD,
    count_published_referrals,
    load_datasets,
    load_wrong_cases,
)

# Columns of the scores -> those of Tables 4.1 and 4.2.
WRONG_COLUMNS = {
    "protocol": "split", "image_id": "image", "label": "predicted", "y_true": "actual",
    "p_mean": "mean_output", "confidence": "confidence_score", "entropy": "entropy",
    "mutual_information": "mutual_information", "p_std": "standard_deviation",
    "combined": "combined_probability_of_error", "referred": "referred",
}  # fmt: skip
PRICED = 12  # karyograms on which passes and forward pass are timed


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
    known = f"thesis, below {REFERRAL_THRESHOLD:g} %"
    ours = f"{int((wrong & referred).sum())} of {int(wrong.sum())}; same rule, split by patient, all fits"
    return [
        ("published errors caught", "{} of {}".format(*count_published_referrals()), None, None, known),
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
        rows.append((title, "printed", int(load_datasets().loc["augmented", "test"]), printed))
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
    cases = load_wrong_cases()
    referred = (cases["confidence"] < REFERRAL_THRESHOLD).map({True: "yes", False: "no"})
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
