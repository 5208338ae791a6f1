"""Notebook 06: how sure the reader is, on all pages of the run; what is fitted is fitted on others."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from karyo_lib.judge import CombinedScore, compute_scores, format_interval
from karyo_lib.judge.intervals import wilson
from karyo_lib.networks.conditions import READER
from karyo_lib.study.confidence.judgement import CALIBRATORS
from karyo_lib.study.confidence.methods import PROTOCOL, Comparison
from karyo_lib.study.confidence.samples import Passes, combine_scores
from karyo_lib.study.reading.tables import Readings
from karyo_lib.study.runs import Run

FOLDS = 5
METHOD = "reading"


def score_readings(run: Run, readings: Readings) -> Passes:
    """Score all readings, one answer each; the combined score of a patient is fitted on the others."""
    scores = _scores(run, readings)
    combined = np.empty(len(scores))
    for train, test in _folds(scores, run.seed):
        model = CombinedScore().fit(scores.iloc[train], scores["y_true"].to_numpy()[train])
        combined[test] = model.transform(scores.iloc[test])
    scores = scores.assign(combined=combined, part="test")
    run.save_table(scores, "scores_reading")
    name = {"condition": READER.key, "protocol": PROTOCOL, "repeat": 0}
    return Passes(scores, pd.DataFrame([name | {"seconds": readings.table["seconds"].sum()}]), 1)


def add_reader(run: Run, comparison: Comparison, readings: Readings) -> Comparison:
    """Set the reader beside the methods, on the same validation and test images of each split."""
    scores, tables = _scores(run, readings).set_index("image_id"), []
    for repeat, rows in readings.predictions(run).groupby("repeat"):
        rows = rows[rows["part"] != "train"]
        table = scores.loc[rows["image_id"]].reset_index()
        table = combine_scores(table.assign(part=rows["part"].to_numpy(), repeat=repeat))
        tables.append(table.assign(method=METHOD, title=READER.title))
    answers = {
        "method": METHOD,
        "condition": READER.key,
        "answers": 1,
        "seconds": readings.table["seconds"].sum(),
    }
    return Comparison(
        pd.concat([comparison.scores, *tables], ignore_index=True),
        pd.concat([comparison.answers, pd.DataFrame([answers])], ignore_index=True),
        comparison.panel,
    )


def calibrate_readings(run: Run, readings: Readings) -> pd.DataFrame:
    """Calibrate each karyogram on other patients: ``before, temperature, isotonic`` beside ids and truth."""
    table = readings.table[["image_id", "patient_id", "y_true"]].assign(before=readings.table["p_abnormal"])
    p, y = table["before"].to_numpy(), table["y_true"].to_numpy()
    for name, kind in CALIBRATORS.items():
        out = np.empty(len(table))
        for train, test in _folds(table, run.seed):
            out[test] = kind().fit(p[train], y[train]).transform(p[test])
        table[name] = out
    return table


def describe_referrals(readings: Readings) -> list[str]:
    """Say in words whom the reader refers of itself, and how often it is wrong on the rest."""
    table = readings.table
    wrong = ((table["p_abnormal"] >= 0.5).astype(int) != table["y_true"]).to_numpy()
    referred = (table["refer_reason"] != "").to_numpy()
    if not wrong.any():
        return [f"None of {len(table)} labels is wrong; {referred.mean():.0%} of the pages are referred."]

    def told(chosen: np.ndarray, among: np.ndarray) -> str:
        n, k = int(among.sum()), int((chosen & among).sum())
        if n == 0:
            return "none of none"
        return f"{k} of {n} ({format_interval(k / n, *wilson(k, n))})"

    return [
        f"The reader itself says of {int(referred.sum())} of {len(table)} pages why a specialist must look.",
        f"Of its wrong labels, {told(referred, wrong)} are on these pages.",
        f"Of the labels on the other pages, {told(wrong, ~referred)} are wrong.",
    ]


def _scores(run: Run, readings: Readings) -> pd.DataFrame:
    p = readings.table["p_abnormal"].to_numpy()[None]
    scores = compute_scores(p, referral_threshold=run.settings.referral_threshold)
    known = readings.table[["image_id", "patient_id", "y_true"]]
    return pd.concat([known, scores], axis=1).assign(condition=READER.key, protocol=PROTOCOL, repeat=0)


def _folds(table: pd.DataFrame, seed: int):
    y, patients = table["y_true"].to_numpy(), table["patient_id"].to_numpy()
    patients_of_each = [np.unique(patients[y == label]).size for label in (0, 1)]
    n = max(2, min(FOLDS, *patients_of_each))
    folds = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    return folds.split(np.zeros(len(y)), y, patients)
