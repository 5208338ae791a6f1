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
    fill_checklist,
    format_interval,
)
from karyo_lib.networks.conditions import READER, TITLES
from karyo_lib.networks.models import INPUT_SHAPE
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.data.copies import load_splits
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.networks.fits import (
    PROTOCOLS,
    TABLE_METRICS,
    Fits,
    compare_fits,
    load_fits,
    measure_test,
    name_conditions,
    resolve_run_weights,
)
from karyo_lib.study.networks.luck import HEADLINE, story_table, worth_table
from karyo_lib.study.reading.tables import beside_networks
from karyo_lib.study.report.index import FRONT_PAGE
from karyo_lib.study.report.order import find_notebooks
from karyo_lib.study.results.facts import (
    REFERENCES,
    compute_honesty_facts,
    describe_limits,
    describe_software,
)
from karyo_lib.study.runs import Run, project_dir
from karyo_lib.study.thesis import METRIC_TITLES, compare_with_matrices, count_published_referrals, load_items

# Our metric that stands for each printed one.
PRINTED = dict(zip(("accuracy", "precision", "recall", "auc"), TABLE_METRICS, strict=True))


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that notebook 07 looks at."""

    fits: Fits  # all networks under both protocols
    judged: Fits  # the networks and, split by patient, the reader
    scores: pd.DataFrame  # Monte Carlo scores by image
    index: pd.DataFrame
    siblings: pd.DataFrame  # how much of each test part training has seen
    metrics: pd.DataFrame  # every metric with its interval by condition and protocol, test part, first repeat

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
        judged=judged,
        scores=run.load_table("scores_by_image", made_by="06_mc_dropout"),
        index=load_collection(run).index,
        siblings=run.load_table("siblings", made_by="02_augment"),
        metrics=measure_test(judged, run.settings.bootstrap),
    )


def compare_with_printed(results: Results) -> pd.DataFrame:
    """Set every printed number of Table 5.1 beside what its matrix gives and what this run finds.

    One row a condition and metric: ``condition`` (title), ``metric, printed, from_matrix``, value and 95 %
    interval of ours under the thesis's split and by patient, whether the thesis's number (that of its matrix
    where one gives it) lies in our interval under its split (``inside``: yes, no, or empty without an
    interval), and ``off_by``, its distance from the nearer limit. Below the thesis's seven conditions stands
    the reader, which the thesis does not have.
    """
    trained = set(results.judged.summary["condition"])
    rows = []
    for published in compare_with_matrices().itertuples():
        truth = published.printed if np.isnan(published.recomputed) else published.recomputed
        row = {
            "condition": published.title,
            "metric": METRIC_TITLES[published.metric],
            "printed": published.printed,
            "from_matrix": published.recomputed,
        }
        for protocol in PROTOCOLS if published.condition in trained else ():
            ours = results.metric(published.condition, protocol, PRINTED[published.metric])
            row |= dict(zip(_named(protocol), ours[["value", "low", "high"]], strict=True))
        low, high = (row.get(name, np.nan) for name in _named("thesis")[1:])
        if np.isfinite([low, high]).all():
            row["off_by"] = max(low - truth, truth - high, 0.0)
            row["inside"] = "yes" if row["off_by"] == 0 else "no"
        rows.append(row)
    for metric, ours in PRINTED.items():
        found = results.metric(READER.key, "grouped", ours)[["value", "low", "high"]]
        row = dict(zip(_named("grouped"), found, strict=True))
        rows.append({"condition": READER.title, "metric": METRIC_TITLES[metric]} | row)
    columns = [name for protocol in PROTOCOLS for name in _named(protocol)]
    return pd.DataFrame(
        rows, columns=["condition", "metric", "printed", "from_matrix", *columns, "inside", "off_by"]
    )


def _named(protocol: str) -> tuple[str, str, str]:
    name = {"thesis": "ours_thesis_split", "grouped": "ours_by_patient"}[protocol]
    return name, f"{name}_low", f"{name}_high"


def table_5_1(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return Table 5.1: a row a condition, each measure as the thesis has it and as we find it its way.

    Columns ``condition``, then for each of the four measures ``<measure>, thesis`` and ``<measure>, ours``
    with its 95 % interval, as text.
    """
    shown = comparison[comparison["printed"].notna()]
    columns = {"condition": pd.unique(shown["condition"])}
    for metric in METRIC_TITLES.values():
        rows = shown[shown["metric"] == metric]
        columns[f"{metric}, thesis"] = [f"{value:.2f}" for value in rows["printed"]]
        ours = rows[list(_named("thesis"))].to_numpy()
        columns[f"{metric}, ours"] = [format_interval(*row) for row in ours]
    return pd.DataFrame(columns)


def describe_printed(comparison: pd.DataFrame) -> str:
    """Say in words which printed numbers lie in our intervals, and how far off the others are."""
    known = comparison[comparison["inside"].notna()]
    off = known[known["inside"] == "no"].sort_values("off_by", ascending=False)
    told = (
        f"Of {len(known)} numbers of the thesis with an interval of ours, {len(known) - len(off)} lie in it; "
        "matrices are taken where they contradict the print."
    )
    if len(off):
        worst = off.iloc[0]
        told += f" The farthest off, by {worst['off_by']:.2f}: {worst['metric']}, {worst['condition']}."
    return told


def report_headline(results: Results, luck: pd.DataFrame, apart: pd.DataFrame) -> list[tuple]:
    """Return the opening numbers of notebook 07: leak, source, truth, the reader, and the published score."""
    worth = worth_table(luck, apart).pipe(lambda table: table[table["condition"] == HEADLINE])
    reader = results.metric(READER.key, "grouped", "roc_auc")[["value", "low", "high"]]
    notes = {
        "leak": "AUC lost when copies of a karyogram are held together",
        "source": "AUC lost when the test comes from another source",
        "truth": "AUC above chance that is then left",
    }
    caught = "{} of {}".format(*count_published_referrals())
    return [
        *((row.part, row.value, row.low, row.high, notes[row.part]) for row in worth.itertuples()),
        ("test AUC, the reader", *map(float, reader), f"{READER.title}; test images of the split by patient"),
        ("published errors caught", caught, None, None, "by the thesis's confidence score"),
    ]


def describe_run(
    run: Run, results: Results, luck: pd.DataFrame, apart: pd.DataFrame, formulae: pd.DataFrame
) -> list[str]:
    """Return three sentences: what the thesis printed, what is left of it, and what the reader does.

    They are kept for the front page.
    """
    story = (
        story_table(luck, apart).pipe(lambda table: table[table["condition"] == HEADLINE]).set_index("step")
    )

    def auc(step: str) -> str:
        return format_interval(*story.loc[step, ["value", "low", "high"]])

    last = "apart" if "apart" in story.index else "grouped"
    taken = "leak and source" if last == "apart" else "the leak"
    pages = {"drawn": "drawn pages", "composed": "pages of real chromosomes", "own": "your own pages"}
    reader = results.metric(READER.key, "grouped", "roc_auc")
    told = [
        f"The thesis prints an AUC of {story.loc['printed', 'value']:.2f}; done its way, a linear probe "
        f"on the same frozen network finds {auc('thesis')}.",
        f"With {taken} taken away, {auc(last)} is left; guessing gives 0.50.",
        f"The reader, which finds and counts chromosomes, has AUC "
        f"{format_interval(*reader[['value', 'low', 'high']])} on {pages[run.source]}",
    ]
    if len(formulae) and formulae["karyograms"].iloc[0]:
        row = formulae.iloc[0]
        exact = format_interval(*(100 * row[name] for name in ("exact", "exact_low", "exact_high")), digits=0)
        told[-1] += f", and the count formula of {exact} % of them exactly right"
    told[-1] += "."
    run.save_table(pd.DataFrame({"sentence": told}), FRONT_PAGE)
    return told


def headline_condition(results: Results) -> str:
    """Return the condition that the headline shows: VGG16 on augmented data where it was trained."""
    trained = list(results.fits.summary["condition"].unique())
    return "augmented-vgg16-frozen" if "augmented-vgg16-frozen" in trained else trained[0]


def describe_study(results: Results) -> str:
    """Say in words which condition is best once copies are held together."""
    aucs = results.metrics[results.metrics["metric"] == "roc_auc"]
    grouped = aucs[aucs["protocol"] == "grouped"]
    return describe_best(grouped.assign(title=name_conditions(grouped["condition"])), "Split by patient")


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
            # Of a folder of one's own nothing is known.
            "annotations_tell_label": None
            if run.source == "own"
            else settings.sources == "thesis" and settings.annotated_share > 0,
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
    table = _metrics_by(results, results.index.set_index("image_id")["group"])
    return table.assign(condition=name_conditions(table["condition"]))


def metrics_by_source(results: Results) -> pd.DataFrame:
    """Return sensitivity by where abnormal test pages come from, split by patient: real cells apart."""
    index = results.index.set_index("image_id")
    source = index["source"].mask(find_real_aneuploids(index), "real aneuploid cells")
    return _metrics_by(results, source).rename(columns={"group": "source"})


def _metrics_by(results: Results, kind: pd.Series) -> pd.DataFrame:
    tables = []
    for condition in results.judged.summary["condition"].unique():
        rows = results.judged.select(condition, "grouped")
        table = compute_metrics_by_group(
            rows["y_true"],
            rows["p"],
            rows["parent_id"].map(kind).to_numpy(),
            groups=rows["patient_id"].to_numpy(),
        )
        table.insert(0, "condition", condition)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def compare_networks(results: Results, resamples: int) -> pd.DataFrame:
    """Compare every method with the headline's network by `compare_fits`, on the first split by patient."""
    return compare_fits(results.judged, headline_condition(results), resamples)


def describe_networks(results: Results, comparison: pd.DataFrame) -> str:
    """Say in words which method differs from the headline's network."""
    return describe_differences(comparison, baseline=TITLES[headline_condition(results)])


def thesis_map(run: Run) -> pd.DataFrame:
    """Return each figure and table of the thesis, the report and place that have ours, and its picture."""
    rows = []
    for item in load_items().itertuples():
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
