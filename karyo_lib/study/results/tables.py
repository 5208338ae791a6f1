"""Notebook 07: what the run found, beside what the thesis printed; computed from the kept tables alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from karyo_lib.judge import (
    compute_metrics_by_group,
    compute_split_facts,
    describe_best,
    describe_differences,
    describe_groups,
    describe_leak,
    fill_checklist,
    summarise_runs,
)
from karyo_lib.judge import (
    compute_sample_size_table as compute_sample_size_table,
)
from karyo_lib.networks.conditions import CONDITIONS, READER, TITLES
from karyo_lib.networks.models import INPUT_SHAPE
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.data.copies import load_splits
from karyo_lib.study.networks.fits import (
    TABLE_METRICS,
    Fits,
    auc_headline,
    compute_run_aucs,
    load_fits,
    measure_test,
    name_conditions,
    resolve_run_weights,
)
from karyo_lib.study.reading.tables import beside_networks
from karyo_lib.study.report.order import find_notebooks
from karyo_lib.study.results.facts import (
    REFERENCES,
    compute_honesty_facts,
    describe_limits,
    describe_software,
)
from karyo_lib.study.runs import Run, project_dir
from karyo_lib.study.thesis import (
    METRIC_TITLES,
    compare_with_matrices,
    count_published_referrals,
    load_items,
)

# Our metric that stands for each printed one.
PRINTED = dict(zip(("accuracy", "precision", "recall", "auc"), TABLE_METRICS, strict=True))


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that notebook 07 looks at.

    Attributes
    ----------
    fits, controls : Fits
        All networks under both protocols; the same on labels drawn at random.
    judged : Fits
        The networks and, split by patient, the reader.
    scores : pandas.DataFrame
        Monte Carlo scores by image.
    index : pandas.DataFrame
    siblings : pandas.DataFrame
        How much of each test part training has seen.
    metrics : pandas.DataFrame
        Every metric with its interval by condition and protocol, test part, first repeat.
    """

    fits: Fits
    controls: Fits
    judged: Fits
    scores: pd.DataFrame
    index: pd.DataFrame
    siblings: pd.DataFrame
    metrics: pd.DataFrame

    def metric(self, condition: str, protocol: str, metric: str) -> pd.Series:
        """Return value and interval of one metric."""
        return self.metrics.query(
            "condition == @condition and protocol == @protocol and metric == @metric"
        ).iloc[0]


def collect_results(run: Run) -> Results:
    """Read the tables of notebooks 01 to 06; nothing is trained."""
    fits = load_fits(run, "transfer", "finetuned")
    judged = beside_networks(fits, run.load_table("predictions_reading", made_by="04_transfer"))
    return Results(
        fits=fits,
        controls=load_fits(run, "controls", "finetuned_controls"),
        judged=judged,
        scores=run.load_table("scores_by_image", made_by="06_mc_dropout"),
        index=load_collection(run).index,
        siblings=run.load_table("siblings", made_by="02_augment"),
        metrics=measure_test(judged, run.settings.bootstrap),
    )


def table_5_1(results: Results) -> pd.DataFrame:
    """Set the printed Table 5.1 beside what its matrices give and what this run finds.

    Returns
    -------
    pandas.DataFrame
        One row a condition and metric: ``condition, metric, printed, from_matrix, from_matrix_low,
        from_matrix_high``, then value and 95 % interval under the ``thesis`` and ``grouped`` protocols. Below
        the thesis's seven conditions stands the reader, which the thesis does not have.
    """
    trained = set(results.fits.summary["condition"])
    rows = []
    for published in compare_with_matrices().itertuples():
        row = {
            "condition": published.title,
            "metric": METRIC_TITLES[published.metric],
            "printed": published.printed,
            "from_matrix": published.recomputed,
            "from_matrix_low": published.low,
            "from_matrix_high": published.high,
        }
        for protocol in ("thesis", "grouped"):
            ours = {"value": np.nan, "low": np.nan, "high": np.nan}
            if published.condition in trained:
                ours = results.metric(published.condition, protocol, PRINTED[published.metric])
            row |= {
                f"{protocol}": ours["value"],
                f"{protocol}_low": ours["low"],
                f"{protocol}_high": ours["high"],
            }
        rows.append(row)
    for metric, ours in PRINTED.items():
        found = results.metric(READER.key, "grouped", ours)[["value", "low", "high"]]
        row = dict(zip(("grouped", "grouped_low", "grouped_high"), found, strict=True))
        rows.append({"condition": READER.title, "metric": METRIC_TITLES[metric]} | row)
    return pd.DataFrame(rows)


def mean_aucs(results: Results) -> pd.DataFrame:
    """Return mean, spread and range of the test AUC over all runs by condition and protocol."""
    runs = compute_run_aucs(results.fits, results.controls)
    return summarise_runs(runs, ["condition", "protocol"], test_share=0.2)


def report_headline(results: Results) -> list[tuple]:
    """Return the opening numbers of notebook 07: the leak, the reader, and the published score."""
    key = headline_condition(results)
    aucs = results.metrics.query("condition == @key and metric == 'roc_auc'").set_index("protocol")
    reader = results.metric(READER.key, "grouped", "roc_auc")[["value", "low", "high"]]
    same = f"{READER.title}; test images of the split by patient"
    referrals = count_published_referrals()
    caught = f"{referrals.referred} of {referrals.errors}"
    return [
        *auc_headline(key, aucs),
        ("test AUC, the reader", *map(float, reader), same),
        ("published errors caught", caught, None, None, "by the thesis's confidence score"),
    ]


def headline_condition(results: Results) -> str:
    """Return the condition that the headline shows: VGG16 on augmented data where it was trained."""
    trained = list(results.fits.summary["condition"].unique())
    return "augmented-vgg16-frozen" if "augmented-vgg16-frozen" in trained else trained[0]


def describe_study(results: Results) -> str:
    """Say in words what the run found, from its numbers: the leak, the best honest condition, the groups."""
    sentences = [describe_protocols(results.fits, results.controls)]
    aucs = results.metrics[results.metrics["metric"] == "roc_auc"]
    grouped = aucs[aucs["protocol"] == "grouped"]
    sentences.append(
        describe_best(grouped.assign(title=name_conditions(grouped["condition"])), "Split by patient")
    )
    if "group" in results.index.columns:
        by_group = metrics_by_group(results)
        shown = name_conditions(pd.Series([headline_condition(results)]))[0]
        told = describe_groups(by_group[by_group["condition"] == shown])
        sentences.append(f"{shown}, split by patient. {told}")
    return "\n\n".join(sentences)


def describe_protocols(fits: Fits, controls: Fits) -> str:
    """Say in words what the leak is worth: test AUC by protocol, real and shuffled labels."""
    runs = compute_run_aucs(fits, controls)
    augmented = {c.key for c in CONDITIONS if c.data == "augmented"}
    return describe_leak(runs[runs["condition"].isin(augmented)])


def describe_finetuning(comparison: pd.DataFrame) -> str:
    """Say in words whether fine-tuning helped once the leak is closed, from the paired differences."""
    grouped = comparison[comparison["protocol"] == "grouped"]
    table = grouped.rename(columns={"condition": "title"})
    return describe_differences(table, baseline="the frozen base, split by patient")


def leakage_checklist(run: Run, results: Results) -> pd.DataFrame:
    """Return the model info sheet for leakage (Kapoor and Narayanan 2023), answered from this run."""
    return fill_checklist("leakage", _facts(run, results))


def reporting_checklist(run: Run, results: Results) -> pd.DataFrame:
    """Return the CLAIM and TRIPOD+AI items, answered from this run or marked not met."""
    return fill_checklist("reporting", _facts(run, results))


def _facts(run: Run, results: Results) -> dict[str, Any]:
    """What this run can say of itself; anything not listed counts as not met."""
    settings = run.settings
    key = headline_condition(results)
    grouped, thesis = (results.metric(key, protocol, "roc_auc") for protocol in ("grouped", "thesis"))
    facts = compute_split_facts(results.index, load_splits(run))
    sources = {base: resolve_run_weights(run, base) for base in ("VGG16", "InceptionV3")}
    facts |= compute_honesty_facts(run, results.fits)
    facts["limitations"] = describe_limits(run, facts, sources)
    return (
        facts
        | REFERENCES.get(run.source, {})
        | {
            "software": describe_software(),
            "n_reports": len(find_notebooks(project_dir() / "notebooks")),
            "n_quarantined": len(run.load_table("quarantine", made_by="01_data")),
            "headline_condition": TITLES[key],
            "auc_grouped": grouped["value"],
            "auc_grouped_low": grouped["low"],
            "auc_grouped_high": grouped["high"],
            "auc_thesis": thesis["value"],
            "calibration_error": results.metric(key, "grouped", "ece")["value"],
            "bases": " and ".join(sources),
            "weights": "; ".join(f"{base}: {source.purity}" for base, source in sources.items()),
            "epochs": settings.epochs_head,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "repeats": settings.repeats,
            "seed": run.seed,
            "bootstrap": settings.bootstrap,
            "image_size": settings.image_size,
            "input_size": INPUT_SHAPE[0],
            "referral_threshold": settings.referral_threshold,
            # The recipes print no annotation unless told to; of a folder of one's own nothing is known.
            "annotations_tell_label": None if run.source == "own" else False,
            "no_identifiers": True,
            "data_available": "Yes: the karyograms are drawn from the seed; each report's command does it."
            if run.source == "drawn"
            else None,
        }
    )


def metrics_by_group(results: Results) -> pd.DataFrame:
    """Return sensitivity by group of abnormality of every condition, split by patient, with intervals."""
    if "group" not in results.index.columns:
        return pd.DataFrame({"note": ["The karyograms of this run have no group of abnormality."]})
    group = results.index.set_index("image_id")["group"]
    tables = []
    for condition in results.judged.summary["condition"].unique():
        rows = results.judged.select(condition, "grouped")
        table = compute_metrics_by_group(
            rows["y_true"],
            rows["p"],
            rows["parent_id"].map(group).to_numpy(),
            groups=rows["patient_id"].to_numpy(),
        )
        tables.append(table.assign(condition=condition))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(condition=name_conditions(table["condition"]))
    return table[["condition", *[column for column in table.columns if column != "condition"]]]


def thesis_map(run: Run) -> pd.DataFrame:
    """Return each figure and table of the thesis, the report and place that have ours, and its picture."""
    rows = []
    for item in load_items():
        drawn = item.ours and run.path("figures", f"{item.anchor}.png").exists()
        rows.append(
            {
                "thesis": item.item,
                "thumbnail": item.anchor if drawn else "",
                "title": item.title,
                "place": f"{item.report}.html#{item.anchor}" if item.ours else "others' work, described only",
            }
        )
    return pd.DataFrame(rows)
