"""What a run shows of itself for the checklists: looked up in its tables, not asserted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from karyo_lib.judge.intervals import NO_INTERVAL
from karyo_lib.networks.backend import backend_facts
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.study.data.unseen import NO_KARYOGRAMS
from karyo_lib.study.networks.fits import RUN_COLUMNS, Fits
from karyo_lib.study.networks.helps import helps_table
from karyo_lib.study.networks.shortcut import ACROSS, TITLES, UNSEEN_STYLES, shortcut_table
from karyo_lib.study.report.provenance import versions
from karyo_lib.study.runs import Run

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
    external = external.set_index(["trained_on", "test"]).loc[(TITLES["balanced"], ACROSS)]
    helps = helps_table(run.load_table("what_helps_runs", made_by="05_finetune"))
    helps = helps.set_index("title")
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
    """Whether each kept epoch is the best by validation AUC, and no image has two parts of one split.

    Where several epochs share the highest validation AUC, the kept one must be among them.
    """
    parts = fits.predictions.groupby([*RUN_COLUMNS, "image_id"])["part"].nunique()
    if (parts > 1).any():
        return False
    best = fits.history.groupby(RUN_COLUMNS)["val_auc"].max()
    kept = fits.history.merge(
        fits.summary[[*RUN_COLUMNS, "best_epoch"]],
        left_on=[*RUN_COLUMNS, "epoch"],
        right_on=[*RUN_COLUMNS, "best_epoch"],
    ).set_index(RUN_COLUMNS)["val_auc"]
    return len(kept) == len(fits.summary) and bool((kept >= best.reindex(kept.index) - 1e-9).all())


def _told(row: pd.Series) -> str:
    interval = NO_INTERVAL if np.isnan(row["low"]) else f"{row['low']:+.2f}, {row['high']:+.2f}"
    return f"{row['difference']:+.2f} [{interval}]"
