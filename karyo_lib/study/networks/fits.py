"""Notebooks 04 and 05: conditions trained under every protocol, kept in the run's folder, computed once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from karyo_lib.judge import compare_conditions, compute_metrics
from karyo_lib.machines import on_cluster
from karyo_lib.networks.conditions import CONDITIONS, TITLES, Condition, get_condition
from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.fitting import TrainSettings
from karyo_lib.networks.models import CUTS
from karyo_lib.networks.train import FitResult, fit_condition, load_fit
from karyo_lib.networks.weights import WeightsSource, resolve_weights
from karyo_lib.study.data.collection import load_copies, load_copy_images, load_splits
from karyo_lib.study.present import SPLIT_TITLES
from karyo_lib.study.runs import MissingInput, Run
from karyo_lib.study.thesis import load_conditions

PROTOCOLS = ("thesis", "grouped")
TRANSFER = tuple(c.key for c in CONDITIONS if not c.fine_tuned)
FINETUNED = tuple(c.key for c in CONDITIONS if c.fine_tuned)
PUBLISHED_EPOCHS = 30
TABLES = {"transfer": "04_transfer", "finetuned": "05_finetune"}
RUN_COLUMNS = ["condition", "protocol", "repeat"]
# The metrics that Table 5.1 prints.
TABLE_METRICS = ("accuracy", "ppv", "sensitivity", "roc_auc")
NAMES = {"ppv": "precision", "sensitivity": "recall", "roc_auc": "auc"}  # as the thesis calls them


@dataclass(frozen=True, eq=False)
class Fits:
    # ``condition, protocol, repeat, image_id, part, y_true, p``, with ``parent_id`` and ``patient_id``.
    predictions: pd.DataFrame
    history: pd.DataFrame  # a row an epoch: ``condition, protocol, repeat, epoch, loss, val_loss, auc, ...``
    # One row a fit: ``condition, protocol, repeat, best_epoch, images, seconds, feature_seconds, purity``.
    summary: pd.DataFrame

    def select(
        self, condition: str, protocol: str, repeat: int | None = None, part: str = "test"
    ) -> pd.DataFrame:
        """Return the predictions of one fit and part (first repeat without a number)."""
        rows = self.predictions.query("condition == @condition and protocol == @protocol and part == @part")
        if rows.empty:
            known = ", ".join(self.summary["condition"].unique())
            raise ValueError(
                f"Expected a trained condition, one of {known}, and one of its protocols. "
                f"Received {condition!r} under {protocol!r}."
            )
        return rows[rows["repeat"] == (rows["repeat"].min() if repeat is None else repeat)]

    def curve(self, condition: str, protocol: str) -> pd.DataFrame:
        """Return the history of the first repeat of a condition under a protocol."""
        rows = self.history.query("condition == @condition and protocol == @protocol")
        return rows[rows["repeat"] == rows["repeat"].min()]

    def best_epoch(self, condition: str, protocol: str) -> int:
        """Return the epoch that was kept in the first repeat."""
        rows = self.summary.query("condition == @condition and protocol == @protocol")
        return int(rows.sort_values("repeat")["best_epoch"].iloc[0])


@lru_cache(maxsize=8)
def resolve_run_weights(run: Run, base: str) -> WeightsSource:
    """Return the pretrained weights of a base that this run uses."""
    return resolve_weights(base, run.weights or None)


def fit_heading(fits: Fits, key: str) -> str:
    """Return a condition's heading, with the epochs that this run trained of those that the thesis did."""
    if key not in set(fits.summary["condition"]):
        return f"## {TITLES[key]}"
    epochs = len(fits.curve(key, "thesis"))
    return f"## {TITLES[key]}: {epochs} of the thesis's {PUBLISHED_EPOCHS} epochs"


def weights_warning(run: Run, bases: Sequence[str] = ("VGG16", "InceptionV3")) -> str:
    """Return what every page touched by these bases' weights must say; empty for full ImageNet weights."""
    return " ".join(warning for base in bases if (warning := resolve_run_weights(run, base).warning))


def training_settings(run: Run, condition: Condition, repeat: int = 0) -> TrainSettings:
    part = {"all": "full"}.get(condition.trainable, condition.trainable.replace("-", "_"))
    return TrainSettings(
        epochs=getattr(run.settings, f"epochs_{part}"),
        learning_rate=run.settings.learning_rate,
        batch_size=run.settings.batch_size,
        seed=run.seed + repeat,
        # a head on cached features trains in a second: all epochs, as the thesis did
        patience=run.settings.patience if condition.fine_tuned else None,
    )


def is_trained(run: Run, condition: str) -> bool:
    """Whether a condition is one of those that the run trains."""
    return not run.settings.conditions or condition in run.settings.conditions


def fit_store(run: Run, condition: str, protocol: str, repeat: int) -> Path:
    return run.path("models", condition) / f"{protocol}-{repeat}"


def require_fit(run: Run, condition: str, protocol: str, repeat: int = 0) -> FitResult:
    """Return a fit that notebook 04 or 05 trained; raises MissingInput, which names the command."""
    fit = load_fit(fit_store(run, condition, protocol, repeat))
    if fit is None:
        made_by = "04_transfer" if condition in TRANSFER else "05_finetune"
        raise MissingInput(
            f"Expected the trained model of {condition} ({protocol}, repeat {repeat}) in the run folder. "
            f"Received none. Make it with: {run.command(only=made_by)}"
        )
    return fit


def fit_conditions(run: Run, conditions: Sequence[str], table: str = "transfer") -> Fits:
    """Train what is not trained yet under both protocols; keep predictions, histories and a summary. Frozen
    bases on every split of the run, fine-tuned ones once a protocol: each costs many times as much."""
    chosen = [key for key in conditions if is_trained(run, key)]
    if not chosen:
        raise ValueError(
            f"Expected conditions among {', '.join(conditions)}. "
            f"Received {run.settings.conditions}: none left to train."
        )
    stamp = run.require("tables/splits.csv", "02_augment").stat().st_mtime_ns
    _, images = _load_material(run, stamp)
    jobs = [
        (get_condition(key), protocol, repeat)
        for key in chosen
        for protocol in PROTOCOLS
        for repeat in range(1 if get_condition(key).fine_tuned else run.settings.repeats)
    ]
    fill_cache(run, images, {condition for condition, *_ in jobs})
    sources = {condition.base: resolve_run_weights(run, condition.base) for condition, *_ in jobs}
    with on_cluster():
        work = (joblib.delayed(_fit_one)(run, stamp, sources[job[0].base], *job) for job in jobs)
        done = joblib.Parallel(n_jobs=1, return_as="generator")(work)  # one by one unless on a cluster
        fits = list(tqdm(done, "Conditions", len(jobs), unit="fit"))
    tables = [pd.concat(parts, ignore_index=True) for parts in zip(*fits, strict=True)]
    for kind, made in zip(("predictions", "history", "fits"), tables, strict=True):
        run.save_table(made, f"{kind}_{table}")
    return Fits(*tables)


def load_fits(run: Run, *tables: str) -> Fits:
    def load(kind: str) -> pd.DataFrame:
        parts = [run.load_table(f"{kind}_{name}", made_by=TABLES[name]) for name in tables]
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    return Fits(load("predictions"), load("history"), load("fits"))


@lru_cache(maxsize=1)
def _load_material(run: Run, stamp: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return splits and images, kept by a worker for its next fit; `stamp` tells other ones apart."""
    return load_splits(run), load_image_map(run)


def _fit_one(
    run: Run, stamp: int, weights: WeightsSource, condition: Condition, protocol: str, repeat: int
) -> tuple[pd.DataFrame, ...]:
    """Train one condition on one split, what a worker does: rows of predictions, history and summary."""
    splits, images = _load_material(run, stamp)
    rows = select_split(splits, condition.data, protocol, repeat)
    settings, store = (
        training_settings(run, condition, repeat),
        fit_store(run, condition.key, protocol, repeat),
    )
    fit = fit_condition(
        condition, images, rows, settings, weights, FeatureCache(), store, progress=condition.fine_tuned
    )
    name = dict(zip(RUN_COLUMNS, (condition.key, protocol, repeat), strict=True))
    summary = pd.DataFrame({
        "best_epoch": [fit.best_epoch], "images": len(fit.predictions), "seconds": fit.seconds,
        "feature_seconds": fit.feature_seconds, "purity": fit.purity,
    })  # fmt: skip
    predictions = fit.predictions.merge(rows[["image_id", "parent_id", "patient_id"]], on="image_id")
    return tuple(
        pd.concat([pd.DataFrame(name, index=table.index), table], axis=1)
        for table in (predictions, fit.history, summary)
    )


def select_split(splits: pd.DataFrame, data: str, protocol: str, repeat: int) -> pd.DataFrame:
    return splits.query("data == @data and protocol == @protocol and repeat == @repeat")


def load_image_map(run: Run) -> dict[str, np.ndarray]:
    """Return every image of the augmented collection by its id; originals are copy 0."""
    copies = load_copies(run)
    return dict(zip(copies.table["image_id"], load_copy_images(copies, copies.table), strict=True))


def fill_cache(run: Run, images: Mapping[str, np.ndarray], conditions: Collection[Condition]) -> None:
    """Compute the features that conditions ask for in one pass of each base, all cuts on the way, so that no
    fit waits for them."""
    for base in sorted({condition.base for condition in conditions}):
        cuts = {CUTS[base][condition.trainable] for condition in conditions if condition.base == base}
        ordered = [cut for cut in CUTS[base].values() if cut in cuts and cut != "input"]
        if ordered:
            weights, pages = resolve_run_weights(run, base), list(images.values())
            compute_features(base, weights, pages, ordered[0], FeatureCache(), keep_cuts=ordered[1:])


def measure_test(fits: Fits, resamples: int) -> pd.DataFrame:
    """Return every metric with its interval for each condition and protocol, test part, first repeat."""
    tables = {}
    for key in fits.summary[["condition", "protocol"]].drop_duplicates().itertuples(index=False, name=None):
        rows = fits.select(*key)
        tables[key] = compute_metrics(
            rows["y_true"], rows["p"], groups=rows["patient_id"].to_numpy(), n_resamples=resamples
        )
    return pd.concat(tables, names=["condition", "protocol"]).reset_index(level=[0, 1]).reset_index(drop=True)


def metrics_table(fits: Fits, resamples: int) -> pd.DataFrame:
    """Return the metrics of Table 5.1 with their limits, one row a condition and split."""
    table = measure_test(fits, resamples)
    table = table.assign(condition=table["condition"].map(TITLES), split=table["protocol"].map(SPLIT_TITLES))
    return widen(table[table["metric"].isin(TABLE_METRICS)], ["condition", "split"])


def widen(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row for each of *by*: a column a metric, each followed by its limits."""
    rows = []
    for key, part in table.groupby(by, sort=False):
        row = dict(zip(by, key, strict=True))
        for metric in part.itertuples():
            name = NAMES.get(metric.metric, metric.metric)
            row |= {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
        rows.append(row)
    return pd.DataFrame(rows)


def fits_headline(fits: Fits, condition: str, resamples: int) -> list[tuple]:
    """Return the opening numbers of notebooks 04 and 05: one condition's test AUC under both protocols."""
    one = (part[part["condition"] == condition] for part in (fits.predictions, fits.history, fits.summary))
    metrics = measure_test(Fits(*one), resamples)
    aucs = metrics[metrics["metric"] == "roc_auc"].set_index("protocol")[["value", "low", "high"]]
    title, printed = get_condition(condition).title, load_conditions().loc[condition, "auc"]
    abnormal = int(fits.select(condition, "grouped")["y_true"].sum())
    seconds = float(fits.summary["seconds"].sum())
    return [
        ("test AUC, split by patient", *aucs.loc["grouped"], f"{title}; guessing gives one half"),
        ("test AUC, the thesis's split", *aucs.loc["thesis"], f"{title}; the thesis prints {printed:.2f}"),
        ("abnormal test images", abnormal, None, None, "split by patient: so few make wide intervals"),
        ("seconds of training", seconds, None, None, f"{len(fits.summary)} fits, features not counted"),
    ]


def compare_with_frozen(run: Run, fits: Fits) -> pd.DataFrame:
    """Compare each fine-tuned condition with the frozen one of its base, paired on the same test images."""
    frozen, rows = load_fits(run, "transfer"), []
    for key, protocol in fits.summary[["condition", "protocol"]].drop_duplicates().itertuples(index=False):
        a = frozen.select(f"augmented-{get_condition(key).base.lower()}-frozen", protocol, 0)
        row = _compare(a, fits.select(key, protocol, 0), run.settings.bootstrap)
        rows.append({"condition": TITLES[key], "protocol": protocol, **row})
    columns = ["condition", "protocol", "a", "b", "difference", "low", "high", "excludes_zero"]
    return pd.DataFrame(rows)[columns].rename(columns={"a": "frozen", "b": "fine_tuned"})


def compare_fits(fits: Fits, reference: str, resamples: int) -> pd.DataFrame:
    """Compare every condition with one of them, split by patient, on the test images of the first split."""
    base, rows = fits.select(reference, "grouped"), []
    for condition in fits.summary["condition"].unique():
        if condition != reference:
            names = (TITLES[reference], TITLES[condition])
            row = _compare(base, fits.select(condition, "grouped"), resamples, names)
            rows.append({"title": names[1], **row.rename({"a": "reference_auc", "b": "auc"})})
    columns = ["title", "images", "reference_auc", "auc", "difference", "low", "high", "mcnemar"]
    return pd.DataFrame(rows, columns=columns)


def _compare(a: pd.DataFrame, b: pd.DataFrame, resamples: int, names=("", "")) -> pd.Series:
    """Compare the predictions of two fits on the same images."""
    pair = a.merge(b[["image_id", "p"]], on="image_id", suffixes=("_a", "_b"))
    y, p, patients = pair["y_true"], (pair["p_a"], pair["p_b"]), pair["patient_id"].to_numpy()
    row = compare_conditions(y, *p, names=names, groups=patients, n_resamples=resamples)
    return pd.concat([pd.Series({"images": len(pair)}), row])
