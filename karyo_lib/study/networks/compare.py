"""Conditions compared on the same test images, paired."""

import pandas as pd

from karyo_lib.judge import compare_conditions
from karyo_lib.networks.conditions import CONDITIONS, TITLES, get_condition
from karyo_lib.study.networks.fits import Fits, load_fits, name_conditions
from karyo_lib.study.runs import Run


def compare_with_frozen(run: Run, fits: Fits) -> pd.DataFrame:
    """Compare each fine-tuned condition with the frozen one of its base, paired on the same test images."""
    frozen = load_fits(run, "transfer")
    rows = []
    for key, protocol in fits.summary[["condition", "protocol"]].drop_duplicates().itertuples(index=False):
        base = get_condition(key).base
        reference = next(
            c.key for c in CONDITIONS if c.base == base and c.data == "augmented" and not c.fine_tuned
        )
        pair = frozen.select(reference, protocol, 0).merge(
            fits.select(key, protocol, 0),
            on=["image_id", "y_true", "patient_id"],
            suffixes=("_frozen", "_tuned"),
        )
        compared = compare_conditions(
            pair["y_true"],
            pair["p_frozen"],
            pair["p_tuned"],
            groups=pair["patient_id"].to_numpy(),
            n_resamples=run.settings.bootstrap,
        )
        compared = compared[compared["metric"] == "roc_auc"]
        rows.append(compared.assign(condition=key, protocol=protocol, reference=reference))
    table = pd.concat(rows, ignore_index=True)
    table = table.rename(columns={"a": "frozen", "b": "fine_tuned"})
    table = table.assign(condition=name_conditions(table["condition"]))
    return table[
        ["condition", "protocol", "frozen", "fine_tuned", "difference", "low", "high", "excludes_zero"]
    ]


def compare_fits(fits: Fits, reference: str, resamples: int) -> pd.DataFrame:
    """Compare every condition with one of them, split by patient, on the test images of the first split.

    Columns ``title, images, reference_auc, auc, difference, low, high`` (paired bootstrap by patient) and
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
            names=(TITLES[reference], TITLES[condition]),
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
