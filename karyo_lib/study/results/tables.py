"""Notebook 07: what the run found, beside what the thesis printed; computed from the kept tables alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from karyo_lib import judge
from karyo_lib.judge.intervals import NO_INTERVAL
from karyo_lib.networks.backend import backend_facts
from karyo_lib.networks.conditions import READER, TITLES
from karyo_lib.networks.models import INPUT_SHAPE
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.study.data.collection import load_collection, load_splits
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.data.unseen import NO_KARYOGRAMS
from karyo_lib.study.networks.fits import (
    PROTOCOLS,
    RUN_COLUMNS,
    TABLE_METRICS,
    Fits,
    compare_fits,
    load_fits,
    measure_test,
    resolve_run_weights,
)
from karyo_lib.study.networks.helps import helps_table
from karyo_lib.study.networks.luck import HEADLINE, story_table, worth_table
from karyo_lib.study.networks.shortcut import ACROSS, UNSEEN_STYLES, shortcut_table
from karyo_lib.study.networks.shortcut import TITLES as SETS
from karyo_lib.study.reading.tables import beside_networks
from karyo_lib.study.report.index import FRONT_PAGE
from karyo_lib.study.report.kernel import find_notebooks
from karyo_lib.study.report.records import versions
from karyo_lib.study.runs import Run, project_dir
from karyo_lib.study.thesis import METRIC_TITLES, compare_with_matrices, count_published_referrals, load_items

# Our metric that stands for each printed one.
PRINTED = dict(zip(("accuracy", "precision", "recall", "auc"), TABLE_METRICS, strict=True))
# By source of the karyograms; of a folder of one's own nothing is known.
REFERENCES = {
    "drawn": {
        "reference_standard": "The karyotype formula that the page was drawn from.",
        "reference_reason": "The formula comes before the picture: no label rests on anyone's reading.",
    },
    "composed": {
        "reference_standard": "The karyotype formula that the page was composed from.",
        "reference_reason": "The formula says which real chromosomes were laid out and how they were "
        "changed; the class of each is the bank's.",
    },
}
SOURCE_LIMITS = {
    "drawn": "the karyograms are drawn, and say little of real ones",
    "composed": "the pages are laid out by a program, from real chromosomes",
    "own": "the karyograms come from one folder, and how it was collected is not known",
}


@dataclass(frozen=True, eq=False)
class Results:
    fits: Fits  # all networks under both protocols
    judged: Fits  # the networks and, split by patient, the reader
    index: pd.DataFrame
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
    return Results(fits, judged, load_collection(run).index, measure_test(judged, run.settings.bootstrap))


def compare_with_printed(results: Results) -> pd.DataFrame:
    """Set every printed number of Table 5.1 beside what its matrix gives and what this run finds. ``inside``:
    whether the thesis's (or its matrix's) lies in our interval under its split; ``off_by``: how far not."""
    trained = set(results.judged.summary["condition"])
    rows = []
    for published in compare_with_matrices().itertuples():
        truth = published.printed if np.isnan(published.recomputed) else published.recomputed
        row = {"condition": published.title, "metric": METRIC_TITLES[published.metric]}
        row |= {"printed": published.printed, "from_matrix": published.recomputed}
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
    """Return Table 5.1: a row a condition, each measure as the thesis has it and as we find it its way."""
    shown = comparison[comparison["printed"].notna()]
    columns = {"condition": pd.unique(shown["condition"])}
    for metric in METRIC_TITLES.values():
        rows = shown[shown["metric"] == metric]
        columns[f"{metric}, thesis"] = [f"{value:.2f}" for value in rows["printed"]]
        ours = rows[list(_named("thesis"))].to_numpy()
        columns[f"{metric}, ours"] = [judge.format_interval(*row) for row in ours]
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
    worth = worth_table(luck, apart).loc[lambda table: table["condition"] == HEADLINE]
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
    """Return three sentences, kept for the front page: print, what is left of it, what the reader does."""
    story = story_table(luck, apart).loc[lambda table: table["condition"] == HEADLINE].set_index("step")

    def auc(step: str) -> str:
        return judge.format_interval(*story.loc[step, ["value", "low", "high"]])

    last = "apart" if "apart" in story.index else "grouped"
    taken = "leak and source" if last == "apart" else "the leak"
    pages = {"drawn": "drawn pages", "composed": "pages of real chromosomes", "own": "your own pages"}
    reader = results.metric(READER.key, "grouped", "roc_auc")
    told = [
        f"The thesis prints an AUC of {story.loc['printed', 'value']:.2f}; done its way, a linear probe "
        f"on the same frozen network finds {auc('thesis')}.",
        f"With {taken} taken away, {auc(last)} is left; guessing gives 0.50.",
        f"The reader, which finds and counts chromosomes, has AUC "
        f"{judge.format_interval(*reader[['value', 'low', 'high']])} on {pages[run.source]}",
    ]
    if len(formulae) and formulae["karyograms"].iloc[0]:
        row = formulae.iloc[0]
        exact = judge.format_interval(
            *(100 * row[name] for name in ("exact", "exact_low", "exact_high")), digits=0
        )
        told[-1] += f", and the count formula of {exact} % of them exactly right"
    told[-1] += "."
    run.save_table(pd.DataFrame({"sentence": told}), FRONT_PAGE)
    return told


def headline_condition(results: Results) -> str:
    """Return the condition that the headline shows: VGG16 on augmented data where it was trained."""
    trained = list(results.fits.summary["condition"].unique())
    return HEADLINE if HEADLINE in trained else trained[0]


def describe_study(results: Results) -> str:
    """Say in words which condition is best once copies are held together."""
    aucs = results.metrics[results.metrics["metric"] == "roc_auc"]
    grouped = aucs[aucs["protocol"] == "grouped"]
    return judge.describe_best(grouped.assign(title=grouped["condition"].map(TITLES)), "Split by patient")


def describe_finetuning(comparison: pd.DataFrame) -> str:
    """Say in words whether fine-tuning helped once the leak is closed, from the paired differences."""
    grouped = comparison[comparison["protocol"] == "grouped"]
    table = grouped.rename(columns={"condition": "title"})
    return judge.describe_differences(table, baseline="the frozen base, split by patient")


def answer_checklist(run: Run, results: Results, name: str) -> pd.DataFrame:
    """Answer from this run, or mark as not met, the ``leakage`` sheet or the ``reporting`` items."""
    return judge.fill_checklist(name, _facts(run, results))


def _facts(run: Run, results: Results) -> dict[str, Any]:
    """What this run can say of itself; anything not listed counts as not met."""
    settings, key = run.settings, headline_condition(results)
    grouped, thesis = (results.metric(key, protocol, "roc_auc") for protocol in ("grouped", "thesis"))
    sources = {base: resolve_run_weights(run, base) for base in ("VGG16", "InceptionV3")}
    facts = asdict(settings) | judge.compute_split_facts(results.index, load_splits(run))
    facts |= compute_honesty_facts(run, results.fits) | REFERENCES.get(run.source, {})
    facts |= {
        "limitations": describe_limits(run, facts, sources),
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
        "seed": run.seed,
        "input_size": INPUT_SHAPE[0],
        "no_identifiers": True,
    }
    if run.source != "own":  # of a folder of one's own nothing is known
        facts["annotations_tell_label"] = settings.sources == "thesis" and settings.annotated_share > 0
    if run.source == "drawn":
        again = "Yes: the karyograms are drawn from the seed; each report's command does it."
        facts["data_available"] = again
    return facts


def metrics_by_group(results: Results) -> pd.DataFrame:
    """Return sensitivity by group of abnormality of every condition, split by patient, with intervals."""
    if "group" not in results.index.columns:
        return pd.DataFrame({"note": ["The karyograms of this run have no group of abnormality."]})
    table = _metrics_by(results, results.index.set_index("image_id")["group"])
    return table.assign(condition=table["condition"].map(TITLES))


def metrics_by_source(results: Results) -> pd.DataFrame:
    """Return sensitivity by where abnormal test pages come from, split by patient: real cells apart."""
    index = results.index.set_index("image_id")
    source = index["source"].mask(find_real_aneuploids(index), "real aneuploid cells")
    return _metrics_by(results, source).rename(columns={"group": "source"})


def _metrics_by(results: Results, kind: pd.Series) -> pd.DataFrame:
    tables = []
    for condition in results.judged.summary["condition"].unique():
        rows = results.judged.select(condition, "grouped")
        kinds, patients = rows["parent_id"].map(kind).to_numpy(), rows["patient_id"].to_numpy()
        tables.append(judge.compute_metrics_by_group(rows["y_true"], rows["p"], kinds, groups=patients))
        tables[-1].insert(0, "condition", condition)
    return pd.concat(tables, ignore_index=True)


def compare_networks(results: Results, resamples: int) -> pd.DataFrame:
    """Compare every method with the headline's network by `compare_fits`, on the first split by patient."""
    return compare_fits(results.judged, headline_condition(results), resamples)


def describe_networks(results: Results, comparison: pd.DataFrame) -> str:
    """Say in words which method differs from the headline's network."""
    return judge.describe_differences(comparison, baseline=TITLES[headline_condition(results)])


def thesis_map(run: Run) -> pd.DataFrame:
    """Return each figure and table of the thesis, the report and place that have ours, and its picture."""
    rows = []
    for item in load_items().itertuples():
        drawn = item.ours and run.path("figures", f"{item.anchor}.png").exists()
        place = f"{item.report}.html#{item.anchor}" if item.ours else "others' work, described only"
        rows.append((item.item, item.anchor if drawn else "", item.title, place))
    return pd.DataFrame(rows, columns=["thesis", "thumbnail", "title", "place"])


def describe_software() -> str:
    """Return the versions of what computes, in words."""
    found, engine = versions(), backend_facts()
    return (
        f"karyo {found['karyo']}, Python {found['python']}, Keras {engine['keras_version']} on "
        f"{engine['backend']} {engine['backend_version']}; each report's end lists all."
    )


def describe_limits(run: Run, facts: Mapping[str, Any], weights: Mapping[str, WeightsSource]) -> str:
    """Say what the run's numbers cannot carry."""
    limits = [
        SOURCE_LIMITS[run.source],
        f"{facts['n_test']} test images, {facts['n_test_abnormal']} of them abnormal, make wide intervals",
        "fine-tuned networks are trained on one split",
        "no other laboratory's karyograms were read",
        *(f"the weights of {base} are {some.purity}" for base, some in weights.items() if some.warning),
    ]
    told = "; ".join(limits)
    return f"{told[0].upper()}{told[1:]}."


def compute_honesty_facts(run: Run, fits: Fits) -> dict[str, Any]:
    """Return the facts on test parts, search, external test, ensembles, class weights and foreign pages."""
    external = shortcut_table(run.load_table("shortcut_runs", made_by="04_transfer"))
    external = external.set_index(["trained_on", "test"]).loc[(SETS["balanced"], ACROSS)]
    helps = helps_table(run.load_table("what_helps_runs", made_by="05_finetune")).set_index("title")
    ensemble, weighted = helps.loc["ensemble of both bases"], helps.loc["class weights"]
    trials = run.load_table("trials", made_by="03_hparam_bayes")
    shifts = run.load_table("shifts", made_by="06_mc_dropout")
    foreign = shifts.loc[shifts["pages"] == NO_KARYOGRAMS, "referred_combined_or_novelty"]
    return {
        "test_untouched": is_test_untouched(fits),
        "search_blind": not any("test" in column for column in trials.columns),
        "external": f"Pages in lab styles that are not trained on ({', '.join(UNSEEN_STYLES)}), linear probe",
        "external_auc": external["mean"],
        "ensembles": f"The mean of both bases (linear probe): difference in AUC {_told(ensemble)}.",
        "ood_referred": float(foreign.iloc[0]) if len(foreign) else None,
        "imbalance": "Parts are stratified by label; weighing the classes changes the AUC by "
        f"{_told(weighted)}.",
    }


def is_test_untouched(fits: Fits) -> bool:
    """Whether each kept epoch is the best by validation AUC, and no image has two parts of one split."""
    parts = fits.predictions.groupby([*RUN_COLUMNS, "image_id"])["part"].nunique()
    if (parts > 1).any():
        return False
    best = fits.history.groupby(RUN_COLUMNS)["val_auc"].max()
    epochs = fits.summary[[*RUN_COLUMNS, "best_epoch"]].rename(columns={"best_epoch": "epoch"})
    kept = fits.history.merge(epochs).set_index(RUN_COLUMNS)["val_auc"]
    return len(kept) == len(fits.summary) and bool((kept >= best.reindex(kept.index) - 1e-9).all())


def _told(row: pd.Series) -> str:
    interval = NO_INTERVAL if np.isnan(row["low"]) else f"{row['low']:+.2f}, {row['high']:+.2f}"
    return f"{row['difference']:+.2f} [{interval}]"
