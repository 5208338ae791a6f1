"""Notebook 07: networks compared on the same test images, and by where abnormal pages come from."""

import pandas as pd

from karyo_lib.judge import compare_conditions, compute_metrics_by_group, describe_differences
from karyo_lib.networks.conditions import TITLES
from karyo_lib.study.data.recipe import REAL_ANEUPLOID
from karyo_lib.study.networks.fits import Fits
from karyo_lib.study.results.tables import Results, headline_condition


def compare_networks(results: Results, resamples: int) -> pd.DataFrame:
    """Compare every method with the headline's network, split by patient, on the first split's test part.

    Returns
    -------
    pandas.DataFrame
        As of :func:`compare_fits`.
    """
    return compare_fits(results.judged, headline_condition(results), resamples)


def compare_fits(fits: Fits, reference: str, resamples: int) -> pd.DataFrame:
    """Compare every condition with one of them, split by patient, on the test images of the first split.

    Returns
    -------
    pandas.DataFrame
        ``title, images, reference_auc, auc, difference, low, high`` (paired bootstrap by patient) and
        ``mcnemar``, the exact test of their labels.
    """
    base = fits.select(reference, "grouped")
    rows = []
    for condition in fits.summary["condition"].unique():
        if condition == reference:
            continue
        pair = base.merge(
            fits.select(condition, "grouped")[["image_id", "p"]], on="image_id", suffixes=("_a", "_b")
        )
        table = compare_conditions(
            pair["y_true"],
            pair["p_a"],
            pair["p_b"],
            groups=pair["patient_id"].to_numpy(),
            n_resamples=resamples,
        ).set_index("metric")
        auc = table.loc["roc_auc"]
        rows.append(
            {
                "title": TITLES[condition],
                "images": len(pair),
                "reference_auc": auc["a"],
                "auc": auc["b"],
                "difference": auc["difference"],
                "low": auc["low"],
                "high": auc["high"],
                "mcnemar": table.loc["accuracy", "note"],
            }
        )
    return pd.DataFrame(rows)


def describe_networks(results: Results, comparison: pd.DataFrame) -> str:
    """Say in words which method differs from the headline's network."""
    return describe_differences(comparison, baseline=TITLES[headline_condition(results)])


def metrics_by_source(results: Results) -> pd.DataFrame:
    """Return sensitivity by where abnormal test pages come from, split by patient: real cells apart."""
    source = results.index.set_index("image_id")["source"]
    tables = []
    for condition in results.judged.summary["condition"].unique():
        rows = results.judged.select(condition, "grouped")
        table = compute_metrics_by_group(
            rows["y_true"],
            rows["p"],
            rows["parent_id"].map(source).to_numpy(),
            groups=rows["patient_id"].to_numpy(),
        )
        tables.append(table.rename(columns={"group": "source"}).assign(condition=condition))
    table = pd.concat(tables, ignore_index=True)
    return table[["condition", *[column for column in table.columns if column != "condition"]]]


def describe_sources(results: Results) -> str:
    """Say in words whether real aneuploid cells are among the test images, and how they fare."""
    table = metrics_by_source(results)
    rows = table[(table["condition"] == headline_condition(results)) & (table["source"] == REAL_ANEUPLOID)]
    if rows.empty:
        return "This run has no real aneuploid cells; every abnormal page was made."
    row = rows.iloc[0]
    return (
        f"All {int(row['n'])} real aneuploid cells stand in the test part and in no training part: "
        f"{int(row['called_abnormal'])} are found, sensitivity {row['share_right']:.2f} "
        f"[{row['low']:.2f}, {row['high']:.2f}]."
    )
