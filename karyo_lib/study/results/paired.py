"""Notebook 07: networks compared on the same test images, and by where abnormal pages come from."""

import pandas as pd

from karyo_lib.judge import compute_metrics_by_group, describe_differences
from karyo_lib.networks.conditions import TITLES
from karyo_lib.study.data.recipe import find_real_aneuploids
from karyo_lib.study.networks.compare import compare_fits
from karyo_lib.study.results.tables import Results, headline_condition


def compare_networks(results: Results, resamples: int) -> pd.DataFrame:
    """Compare every method with the headline's network, split by patient, on the first split's test part.

    As of :func:`karyo_lib.study.networks.compare.compare_fits`.
    """
    return compare_fits(results.judged, headline_condition(results), resamples)


def describe_networks(results: Results, comparison: pd.DataFrame) -> str:
    """Say in words which method differs from the headline's network."""
    return describe_differences(comparison, baseline=TITLES[headline_condition(results)])


def metrics_by_source(results: Results) -> pd.DataFrame:
    """Return sensitivity by where abnormal test pages come from, split by patient: real cells apart."""
    index = results.index.set_index("image_id")
    source = index["source"].mask(find_real_aneuploids(index), "real aneuploid cells")
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
