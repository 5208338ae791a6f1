"""What a run shows of itself for the checklists: looked up in its tables, not asserted."""

from typing import Any

import pandas as pd

from karyo_lib.runs import Run
from karyo_lib.study.fits import RUN_COLUMNS, Fits
from karyo_lib.study.helps import helps_table
from karyo_lib.study.shortcut import ACROSS, TITLES, UNSEEN_STYLES, shortcut_table


def compute_honesty_facts(run: Run, fits: Fits) -> dict[str, Any]:
    """Return the facts on test parts, search, external test, ensembles and class weights.

    Parameters
    ----------
    run : Run
        With the tables of notebooks 03 to 05.
    fits : Fits
        All fits of the run.
    """
    external = shortcut_table(run.load_table("shortcut_runs", made_by="04_transfer"))
    external = external.set_index(["trained_on", "test"]).loc[(TITLES["neutral"], ACROSS)]
    helps = helps_table(run.load_table("what_helps_runs", made_by="05_finetune"))
    helps = helps.set_index("title")
    ensemble, weighted = helps.loc["ensemble of both bases"], helps.loc["class weights"]
    trials = run.load_table("trials", made_by="03_hparam_bayes")
    return {
        "test_untouched": is_test_untouched(fits),
        "search_blind": not any("test" in column for column in trials.columns),
        "external": f"Pages in lab styles that are not trained on ({', '.join(UNSEEN_STYLES)}), linear probe",
        "external_auc": external["mean"],
        "ensembles": f"The mean of both bases (linear probe): difference in AUC {_told(ensemble)}.",
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
    return f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
