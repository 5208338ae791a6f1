"""Notebooks 04 and 07: what the reader finds, beside the networks on the same pages; tables and words."""

import re

import numpy as np
import pandas as pd

from karyo_lib.iscn import NORMAL_FORMULAE
from karyo_lib.judge import compute_metrics, compute_metrics_by_group, describe_groups, format_interval
from karyo_lib.judge.intervals import wilson
from karyo_lib.networks.conditions import READER, TITLES
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.networks.fits import TABLE_METRICS, Fits, compare_fits, widen
from karyo_lib.study.reading.tables import UNKNOWN, Readings, beside_networks
from karyo_lib.study.runs import Run

SHOWN_METRICS = ("sensitivity", "specificity", *(m for m in TABLE_METRICS if m != "sensitivity"))
ALL_PAGES, TEST_PAGES = "all karyograms", "test part of the first split"


def reading_metrics(run: Run, readings: Readings, fits: Fits) -> pd.DataFrame:
    """Metrics with limits of the reader on all karyograms, and of it and the networks on one test part."""
    resamples, table = run.settings.bootstrap, readings.table
    parts = [(READER.title, ALL_PAGES, table["y_true"], table["p_abnormal"], table["patient_id"])]
    both = beside_networks(fits, readings.predictions(run))
    for condition in (READER.key, *fits.summary["condition"].unique()):
        rows = both.select(condition, "grouped")
        parts.append((TITLES[condition], TEST_PAGES, rows["y_true"], rows["p"], rows["patient_id"]))
    tables = []
    for title, pages, y, p, patients in parts:
        metrics = compute_metrics(y, p, groups=patients.to_numpy(), n_resamples=resamples)
        metrics = metrics[metrics["metric"].isin(SHOWN_METRICS)].drop(columns="method")
        tables.append(metrics.assign(condition=title, karyograms=pages))
    table = pd.concat(tables, ignore_index=True).rename(columns={"condition": "method"}, errors="ignore")
    return widen(table, ["method", "karyograms"])


def reading_against_networks(run: Run, readings: Readings, fits: Fits) -> pd.DataFrame:
    """Return every network less the reader on the same test images, as ``compare_networks`` does it."""
    both = beside_networks(fits, readings.predictions(run))
    return compare_fits(both, READER.key, run.settings.bootstrap)


def formula_table(readings: Readings) -> pd.DataFrame:
    """How often the count formula is exactly right, and what counting alone finds, by lab style: ``exact``,
    ``sensitivity``, ``specificity`` (of an abnormal number) and ``referred`` with 95 % Wilson limits."""
    table = readings.table[readings.table["truth"] != ""]
    by = "style" if "style" in table else "source"
    parts = [("all", table), *table.groupby(by)] if table[by].nunique() > 1 else [("all", table)]
    rows = []
    for name, part in parts:
        numerical, called = ~part["truth"].isin(NORMAL_FORMULAE), part["p_count"] > 0.5
        row = {"pages": name, "karyograms": len(part), "chromosomes_found": part["found"].mean()}
        for measure, chosen, right in (
            ("exact", part["truth"] != "", part["formula"] == part["truth"]),
            ("sensitivity", numerical, called),
            ("specificity", ~numerical, ~called),
            ("referred", part["truth"] != "", part["refer_reason"] != ""),
        ):
            row |= _share(measure, chosen, right)
        rows.append(row)
    return pd.DataFrame(rows)


def _share(name: str, chosen: pd.Series, right: pd.Series) -> dict[str, float]:
    n, k = int(chosen.sum()), int((chosen & right).sum())
    low, high = (round(limit, 12) for limit in wilson(k, n)) if n else (np.nan, np.nan)  # no 3e-17
    return {name: k / n if n else np.nan, f"{name}_low": low, f"{name}_high": high}


def group_counts(readings: Readings) -> pd.DataFrame:
    """Karyograms by their group and the group read: a numerical one where the page is called abnormal, a
    marked chromosome as the kind of its change whatever the page is called."""
    table = readings.table[readings.table["group"] != UNKNOWN]
    called = table["p_abnormal"] >= 0.5
    read = table["read_group"].where(called | (table["changes"] != ""), "normal")
    # where no single abnormal formula is the best one, all of them may still add up to abnormal
    read = read.mask((read == "normal") & called, "number uncertain")
    counts = pd.crosstab(table["group"], read)
    order = table["group"].value_counts().index
    first = [name for name in ("normal", *order) if name in counts.index]
    counts = counts.loc[list(dict.fromkeys(first))]
    columns = sorted(counts.columns, key=lambda name: (name != "normal", name not in first, name))
    return counts[columns]


def reading_by_group(run: Run, readings: Readings) -> pd.DataFrame:
    """Return sensitivity by group of abnormality over all karyograms, and specificity."""
    table = readings.table
    return compute_metrics_by_group(
        table["y_true"],
        table["p_abnormal"],
        table["group"].to_numpy(),
        groups=table["patient_id"].to_numpy(),
        n_resamples=run.settings.bootstrap,
    )


def real_cells(readings: Readings) -> pd.DataFrame:
    """Return the real aneuploid cells one by one, or a note where the run has none."""
    cells = readings.table[find_real_aneuploids(readings.table)]
    if cells.empty:
        return pd.DataFrame({"note": ["This run has no real aneuploid cells: every abnormal page was made."]})
    names = {
        "image_id": "karyogram", "truth": "truth", "formula": "read", "formula_probability": "probability",
        "exact": "exact", "p_abnormal": "probability_abnormal", "found": "found", "refer_reason": "refer",
    }  # fmt: skip
    exact = np.where(cells["truth"] == cells["formula"], "yes", "no")
    found = np.where(cells["p_abnormal"] >= 0.5, "yes", "no")
    return cells.assign(exact=exact, found=found)[list(names)].rename(columns=names)


def describe_reading(run: Run, readings: Readings, fits: Fits) -> list[str]:
    """Say in words what the reader finds and misses, and how it stands to the networks."""
    table, formulae = readings.table, formula_table(readings)
    sentences = []
    if len(formulae) and formulae["karyograms"].iloc[0]:
        exact, found, right = (
            format_interval(*(100 * formulae.iloc[0][[name, f"{name}_low", f"{name}_high"]]), digits=0)
            for name in ("exact", "sensitivity", "specificity")
        )
        sentences.append(
            f"The count formula is exactly right on {exact} % of {len(table)} karyograms; an abnormal number "
            f"is found on {found} %, a normal one called normal on {right} %."
        )
        if len(formulae) > 1:
            worst = formulae.iloc[1:].sort_values("exact").iloc[0]
            sentences.append(
                f"Hardest is {worst['pages']!r}: {worst['exact']:.0%} of {worst['karyograms']} exact."
            )
    if run.source == "drawn":
        sentences.append(
            "These pages are drawn by the code that drew its training chromosomes: what it is worth on real "
            "ones, only a run with a bank or your own pages tells."
        )
    if (table["group"] != UNKNOWN).any() and table["y_true"].any():
        sentences.append(describe_groups(reading_by_group(run, readings)))
        sentences += [text for text in (describe_by_structure(table), describe_unlike(table)) if text]
    return [*sentences, describe_against(reading_against_networks(run, readings, fits))]


def describe_by_structure(table: pd.DataFrame) -> str:
    """Say of how many pages the number is abnormal, but structure alone made them abnormal; '' of none."""
    numerical = (table["truth"] != "") & ~table["truth"].isin(NORMAL_FORMULAE)
    found, counted = table["p_abnormal"] >= 0.5, table["p_count"] > 0.5
    n, k = int((numerical & found).sum()), int((numerical & found & ~counted).sum())
    if not k:
        return ""
    return (
        f"Of the {n} pages of an abnormal number that are found, counting alone does not find {k}: a "
        "chromosome that looks changed, or both doubts together, speak for abnormal there."
    )


def describe_unlike(table: pd.DataFrame) -> str:
    """Say how often a chromosome marked as changed is one; '' without structural changes."""
    structural, normal = table["changed"] != "", table["y_true"] == 0
    if not structural.any():
        return ""
    marked = table["changes"].map(lambda told: set(re.findall(r"\b(?:[1-9]|1\d|2[0-2]|X|Y)\b", told)))
    right = np.array([bool(m & set(c.split())) for m, c in zip(marked, table["changed"], strict=True)])
    some = marked.map(bool)
    return (
        f"A changed chromosome is marked on {(structural & right).sum()} of {structural.sum()} pages with a "
        f"structural change, others alone on {(structural & some & ~right).sum()}; one is marked on "
        f"{(normal & some).sum()} of {normal.sum()} normal pages."
    )


def describe_against(comparison: pd.DataFrame) -> str:
    """Say in words which networks the reader is better than on the same images."""
    known = comparison.dropna(subset="difference")
    if known.empty:
        return "The test part does not hold both labels: reader and networks cannot be set side by side."
    worse, better = known[known["high"] < 0], known[known["low"] > 0]
    reader, n = known["reference_auc"].iloc[0], int(known["images"].iloc[0])
    sentences = [
        f"On the {n} test images of the first split by patient the reader has AUC {reader:.2f}, the networks "
        f"{known['auc'].min():.2f} to {known['auc'].max():.2f}."
    ]
    for rows, text in ((worse, "worse"), (better, "better")):
        if len(rows):
            sentences.append(f"{len(rows)} are {text}, with an interval that excludes zero.")
    rest = len(known) - len(worse) - len(better)
    if rest:
        sentences.append(f"Of {rest} the difference may be chance on so few images.")
    return " ".join(sentences)


def find_examples(readings: Readings) -> dict[str, str]:
    """Pages to look at, by title: the first abnormal one found, its number exactly right if any is; the first
    missed, not even referred if any is."""
    table = readings.table
    abnormal = table[table["y_true"] == 1]
    found = abnormal[abnormal["p_abnormal"] >= 0.5]
    exact = found[(found["formula"] == found["truth"]) & ~found["truth"].isin(NORMAL_FORMULAE)]
    missed = abnormal[abnormal["p_abnormal"] < 0.5]
    unnoticed = missed[missed["refer_reason"] == ""]
    chosen = {"found": exact if len(exact) else found, "missed": unnoticed if len(unnoticed) else missed}
    return {title: rows["image_id"].iloc[0] for title, rows in chosen.items() if len(rows)}
