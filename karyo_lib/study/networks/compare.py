"""Conditions compared on the same test images, paired."""

import pandas as pd

from karyo_lib.judge import compare_conditions
from karyo_lib.networks.conditions import TITLES, get_condition
from karyo_lib.study.networks.fits import Fits, load_fits
from karyo_lib.study.runs import Run


def compare_with_frozen(run: Run, fits: Fits) -> pd.DataFrame:
    """Compare each fine-tuned condition with the frozen one of its base, paired on the same test images."""
    frozen, rows = load_fits(run, "transfer"), []
    for key, protocol in fits.summary[["condition", "protocol"]].drop_duplicates().itertuples(index=False):
        reference = f"augmented-{get_condition(key).base.lower()}-frozen"
        a, b = frozen.select(reference, protocol, 0), fits.select(key, protocol, 0)
        compared = _compare(a, b, run.settings.bootstrap)
        rows.append(compared.loc[["roc_auc"]].assign(condition=TITLES[key], protocol=protocol))
    table = pd.concat(rows, ignore_index=True).rename(columns={"a": "frozen", "b": "fine_tuned"})
    return table[
        ["condition", "protocol", "frozen", "fine_tuned", "difference", "low", "high", "excludes_zero"]
    ]


def _compare(a: pd.DataFrame, b: pd.DataFrame, resamples: int, names=("", "")) -> pd.DataFrame:
    """Compare the predictions of two fits on the same images; one row a metric, which is its index."""
    pair = a.merge(b[["image_id", "p"]], on="image_id", suffixes=("_a", "_b"))
    patients = pair["patient_id"].to_numpy()
    table = compare_conditions(
        pair["y_true"], pair["p_a"], pair["p_b"], names=names, groups=patients, n_resamples=resamples
    )
    return table.set_index("metric").assign(images=len(pair))


def compare_fits(fits: Fits, reference: str, resamples: int) -> pd.DataFrame:
    """Compare every condition with one of them, split by patient, on the test images of the first split.

    Columns ``title, images, reference_auc, auc, difference, low, high`` (paired bootstrap by patient) and
    ``mcnemar``, the exact test of their labels.
    """
    base, rows = fits.select(reference, "grouped"), []
    for condition in fits.summary["condition"].unique():
        if condition == reference:
            continue
        names = (TITLES[reference], TITLES[condition])
        table = _compare(base, fits.select(condition, "grouped"), resamples, names)
        row = table.loc["roc_auc"].rename({"a": "reference_auc", "b": "auc"})
        rows.append(row.to_dict() | {"title": names[1], "mcnemar": table.loc["accuracy", "note"]})
    columns = ["title", "images", "reference_auc", "auc", "difference", "low", "high", "mcnemar"]
    return pd.DataFrame(rows, columns=columns)
