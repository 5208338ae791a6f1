"""Notebook 06: every score of every method judged by the errors it sends to the specialist; calibration."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from karyo_lib.judge import (
    REFERRAL_RATES,
    UNCERTAINTIES,
    IsotonicCalibrator,
    TemperatureCalibrator,
    compute_metrics,
    compute_referral,
    describe_referral,
    format_interval,
    judge_scores,
)
from karyo_lib.judge.metrics import CURVE_METRICS
from karyo_lib.study.confidence.methods import PAIR, PROTOCOL, Comparison
from karyo_lib.study.confidence.samples import Passes, uncertainties_of

CALIBRATORS = {"temperature": TemperatureCalibrator, "isotonic": IsotonicCalibrator}
RATE = max(REFERRAL_RATES)
MEASURES = {"aurc": "area under risk-coverage"} | {
    f"caught_{100 * rate:.0f}": f"errors caught at {rate:.0%} referral" for rate in REFERRAL_RATES
}
# Columns of a judged area -> those of the table of methods.
AREA = {"value": "aurc", "low": "aurc_low", "high": "aurc_high", "difference": "against_votes"} | {
    f"difference_{end}": f"against_votes_{end}" for end in ("low", "high")
}
MOST_RESAMPLES = 500  # for the table of many rows
SAME_AUC = 0.005  # a smaller difference is no other order


def score_table(passes: Passes, resamples: int) -> pd.DataFrame:
    """Judge every score on all test images of a protocol, paired against the vote share."""
    tables = []
    for protocol in passes.scores["protocol"].unique():
        judged = _judge(passes.pool(protocol), resamples)
        if judged is not None:
            tables.append(judged[judged["measure"] != "excess_aurc"].assign(protocol=protocol))
    if not tables:
        return pd.DataFrame(columns=["protocol", "score", "measure", "value", "low", "high"])
    table = pd.concat(tables, ignore_index=True)
    return table.assign(score=table["score"].map(UNCERTAINTIES), measure=table["measure"].map(MEASURES))[
        ["protocol", "score", "measure", "value", "low", "high", "difference", "difference_low",
         "difference_high", "excludes_zero", "errors", "images"]
    ]  # fmt: skip


def method_table(comparison: Comparison, resamples: int) -> pd.DataFrame:
    """Set methods and scores beside each other: one row a method and score, test images split by patient.

    Columns ``method, answers, score, images, errors, auc``; area under the risk-coverage curve with interval
    and paired difference to the vote share of the same method; ``caught_5, caught_10, caught_20``, shares of
    the errors; ``sensitivity_before``, and at 20 % referral ``sensitivity_kept`` (of the images kept) and
    ``sensitivity_with_specialist`` (referred abnormal ones count as found).
    """
    tables = []
    sizes = comparison.answers.set_index(["method", "condition"])["answers"]
    for (method, condition), size in sizes.items():
        test = comparison.pool(method, condition)
        judged = _judge(test, min(resamples, MOST_RESAMPLES))
        if judged is None:
            continue
        wide = judged.pivot(index="score", columns="measure", values="value")
        area = judged[judged["measure"] == "aurc"].set_index("score")
        y, label = test["y_true"].to_numpy(), test["label"].to_numpy()
        for name, values in uncertainties_of(test).items():
            after = compute_referral(y, label, values.to_numpy(), (0.0, RATE)).set_index("rate")
            row = {"method": test["title"].iloc[0], "answers": int(size), "score": UNCERTAINTIES[name]}
            row |= {"images": len(test), "errors": int((y != label).sum()), "auc": _auc(y, test["p_mean"])}
            row |= area.loc[name, list(AREA)].rename(AREA).to_dict()
            row |= {column: wide.loc[name, column] for column in ("caught_5", "caught_10", "caught_20")}
            row |= {"sensitivity_before": after.loc[0.0, "sensitivity_kept"]}
            row |= after.loc[RATE, ["sensitivity_kept", "sensitivity_with_specialist"]].to_dict()
            tables.append(row)
    return pd.DataFrame(tables)


def _judge(test: pd.DataFrame, resamples: int) -> pd.DataFrame | None:
    wrong = (test["label"] != test["y_true"]).to_numpy()
    if not wrong.any():
        return None
    judged = judge_scores(
        wrong, uncertainties_of(test), groups=test["patient_id"].to_numpy(), n_resamples=resamples
    )
    return judged.assign(errors=int(wrong.sum()), images=wrong.size)


def _auc(y: np.ndarray, p: pd.Series) -> float:
    return float(roc_auc_score(y, p)) if len(np.unique(y)) == 2 else float("nan")


def describe_confidence(passes: Passes, resamples: int) -> list[str]:
    """Say in words what the combined score is worth against the vote share, split by patient, and why."""
    test = passes.pool(PROTOCOL)
    judged = _judge(test, resamples)
    if judged is None:
        return ["Split by patient, no answer is wrong: no score can be judged by the errors it catches."]
    caught = judged[(judged["score"] == "vote_share") & (judged["measure"] == f"caught_{round(100 * RATE)}")]
    return [describe_referral(judged), *describe_ceiling(test, float(caught["value"].iloc[0]))]


def describe_ceiling(test: pd.DataFrame, votes: float) -> list[str]:
    """Say why a score catches what it catches: how common errors are, and what the models know."""
    rate = (test["label"] != test["y_true"]).mean()
    best = min(1.0, RATE / rate)
    aucs = [_auc(part["y_true"], part["p_mean"]) for _, part in test.groupby(["condition", "repeat"])]
    told = [
        f"{rate:.0%} of the {len(test)} answers are wrong: a perfect score would catch {best:.0%} of the "
        f"errors at {RATE:.0%} referral.",
        f"The models' mean test AUC is {np.nanmean(aucs):.2f}: a score can only order what a model knows.",
    ]
    if 2 * votes > best:
        told.append("Twice what the vote share catches is out of reach until fewer answers are wrong.")
    return told


def describe_methods(table: pd.DataFrame) -> str:
    """Say in words which method errs least, which orders its errors best, and whether the aims are met."""
    if table.empty:
        return "No method gave a wrong answer, so that none can be judged by the errors it catches."
    combined = table[table["score"] == UNCERTAINTIES["combined"]].set_index("method")
    votes = table[table["score"] == UNCERTAINTIES["vote_share"]].set_index("method")
    lowest = table.loc[table["aurc"].idxmin()]
    twice = combined["caught_20"] >= 2 * votes["caught_20"]
    smaller = combined["against_votes_high"] < 0
    return (
        "Against the vote share of the same method, the combined score has a smaller area, with an interval "
        f"that excludes zero, in {int(smaller.sum())} of {len(combined)} methods; twice the errors at "
        f"{RATE:.0%} referral in {int(twice.sum())}.\n\nThe smallest area of {len(table)} is "
        f"{format_interval(*lowest[['aurc', 'aurc_low', 'aurc_high']])}: {lowest['method']}, "
        f"{lowest['score'][0].lower() + lowest['score'][1:]} (the best of many, and therefore flattered)."
    )


def calibrate(comparison: Comparison, method: str = "bases", condition: str = PAIR[0]) -> pd.DataFrame:
    """Calibrate the mean probability on the validation part of each split, and apply it to the test part.

    Columns ``image_id, patient_id, repeat, y_true, before, temperature, isotonic``, test images of all
    repeats.
    """
    scores = comparison.scores
    rows = scores[(scores["method"] == method) & (scores["condition"] == condition)]
    if rows.empty:  # one base alone was trained
        rows = scores[scores["title"] == scores.loc[scores["method"] == "ensemble", "title"].iloc[0]]
    tables = []
    for _, split in rows.groupby("repeat"):
        validation, test = split[split["part"] == "val"], split[split["part"] == "test"]
        table = test[["image_id", "patient_id", "repeat", "y_true", "title"]].assign(before=test["p_mean"])
        for name, kind in CALIBRATORS.items():
            fitted = kind().fit(validation["p_mean"].to_numpy(), validation["y_true"].to_numpy())
            table[name] = fitted.transform(test["p_mean"].to_numpy())
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def calibration_table(calibrated: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Return Brier score and calibration error before and after, with intervals by patient."""
    tables = []
    for name in ("before", *CALIBRATORS):
        metrics = compute_metrics(
            calibrated["y_true"],
            calibrated[name],
            groups=calibrated["patient_id"].to_numpy(),
            n_resamples=min(resamples, MOST_RESAMPLES),
        )
        metrics = metrics[metrics["metric"].isin(["brier", "ece", "roc_auc"])]
        tables.append(metrics[["title", "value", "low", "high", "n"]].assign(calibration=name))
    table = pd.concat(tables, ignore_index=True)
    return table[["calibration", "title", "value", "low", "high", "n"]]


def describe_calibration(table: pd.DataFrame) -> str:
    """Say in words whether calibration helped on images that did not fit it, and whether order changed."""
    values = table.pivot(index="calibration", columns="title", values="value")
    values = values.loc[["before", *CALIBRATORS]]
    brier, auc = (values[CURVE_METRICS[metric][0]] for metric in ("brier", "roc_auc"))
    best = brier.idxmin()
    verdict = (
        "No calibration lowers the Brier score here."
        if best == "before"
        else f"The {best} calibration has the lowest Brier score, {brier[best]:.3f} after "
        f"{brier['before']:.3f}."
    )
    order = (
        "The order of the images stays."
        if (auc - auc["before"]).abs().max() < SAME_AUC
        else f"The order changes, as each split has a calibration of its own: the AUC of {auc['before']:.3f} "
        f"becomes {', '.join(f'{auc[name]:.3f} by {name}' for name in CALIBRATORS)}."
    )
    return f"On images that did not fit it: {verdict[0].lower()}{verdict[1:]} {order}"
