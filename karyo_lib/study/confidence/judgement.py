"""Notebook 06: every score of every method judged by the errors it sends to the specialist; figures."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from karyo_lib import judge
from karyo_lib.judge.metrics import CURVE_METRICS
from karyo_lib.study.confidence import samples
from karyo_lib.study.confidence.shifts import RULES, Shifts
from karyo_lib.study.data.collection import Copies, load_copy_images
from karyo_lib.study.data.unseen import NO_KARYOGRAMS, STRANGERS_OF_A_KIND
from karyo_lib.study.displays import classification
from karyo_lib.study.displays.diagrams import ImageGridDisplay
from karyo_lib.study.displays.dots import DotsDisplay, MetricsForestDisplay
from karyo_lib.study.displays.style import draw_words
from karyo_lib.study.present import SPLIT_TITLES

CALIBRATORS = {"temperature": judge.TemperatureCalibrator, "isotonic": judge.IsotonicCalibrator}
RATE = max(judge.REFERRAL_RATES)
MEASURES = {"aurc": "area under risk-coverage"} | {
    f"caught_{100 * rate:.0f}": f"errors caught at {rate:.0%} referral" for rate in judge.REFERRAL_RATES
}
# Columns of a judged area -> those of the table of methods.
AREA = {"value": "aurc", "low": "aurc_low", "high": "aurc_high", "difference": "against_votes"} | {
    f"difference_{end}": f"against_votes_{end}" for end in ("low", "high")
}
MOST_RESAMPLES = 500  # for the table of many rows
SAME_AUC = 0.005  # a smaller difference is no other order
MOST_IMAGES = 12  # wrongly predicted pages shown


def score_table(passes: samples.Passes, resamples: int) -> pd.DataFrame:
    """Judge every score on all test images of a protocol, paired against the vote share."""
    judged = {name: _judge(passes.pool(name), resamples) for name in passes.scores["protocol"].unique()}
    tables = [table.assign(protocol=name) for name, table in judged.items() if table is not None]
    if not tables:
        return pd.DataFrame(columns=["protocol", "score", "measure", "value", "low", "high"])
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "protocol", table.pop("protocol"))
    return table.assign(score=table["score"].map(judge.UNCERTAINTIES), measure=table["measure"].map(MEASURES))


def method_table(comparison: samples.Comparison, resamples: int) -> pd.DataFrame:
    """Judge every method and score on its test images, split by patient; referral is at 20 %."""
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
        for name, values in samples.uncertainties_of(test).items():
            before, _ = judge.compute_referral(y, label, values.to_numpy(), 0.0)
            kept, with_specialist = judge.compute_referral(y, label, values.to_numpy(), RATE)
            row = {"method": test["title"].iloc[0], "answers": int(size), "score": judge.UNCERTAINTIES[name]}
            row |= {"images": len(test), "errors": int((y != label).sum()), "auc": _auc(y, test["p_mean"])}
            row |= area.loc[name, list(AREA)].rename(AREA).to_dict()
            row |= {column: wide.loc[name, column] for column in ("caught_5", "caught_10", "caught_20")}
            row |= {"sensitivity_before": before, "sensitivity_kept": kept}
            tables.append(row | {"sensitivity_with_specialist": with_specialist})
    return pd.DataFrame(tables)


def _judge(test: pd.DataFrame, resamples: int) -> pd.DataFrame | None:
    wrong = (test["label"] != test["y_true"]).to_numpy()
    if not wrong.any():
        return None
    judged = judge.judge_scores(
        wrong, samples.uncertainties_of(test), groups=test["patient_id"].to_numpy(), n_resamples=resamples
    )
    return judged.assign(errors=int(wrong.sum()), images=wrong.size)


def _auc(y: np.ndarray, p: pd.Series) -> float:
    return float(roc_auc_score(y, p)) if len(np.unique(y)) == 2 else float("nan")


def describe_confidence(passes: samples.Passes, resamples: int) -> list[str]:
    """Say in words what the combined score is worth against the vote share, split by patient, and why."""
    test = passes.pool(samples.PROTOCOL)
    judged = _judge(test, resamples)
    if judged is None:
        return ["Split by patient, no answer is wrong: no score can be judged by the errors it catches."]
    caught = judged[(judged["score"] == "vote_share") & (judged["measure"] == f"caught_{round(100 * RATE)}")]
    return [judge.describe_referral(judged), *describe_ceiling(test, float(caught["value"].iloc[0]))]


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
    combined = table[table["score"] == judge.UNCERTAINTIES["combined"]].set_index("method")
    votes = table[table["score"] == judge.UNCERTAINTIES["vote_share"]].set_index("method")
    lowest = table.loc[table["aurc"].idxmin()]
    twice = combined["caught_20"] >= 2 * votes["caught_20"]
    smaller = combined["against_votes_high"] < 0
    return (
        "Against the vote share of the same method, the combined score has a smaller area, with an interval "
        f"that excludes zero, in {int(smaller.sum())} of {len(combined)} methods; twice the errors at "
        f"{RATE:.0%} referral in {int(twice.sum())}.\n\nThe smallest area of {len(table)} is "
        f"{judge.format_interval(*lowest[['aurc', 'aurc_low', 'aurc_high']])}: {lowest['method']}, "
        f"{lowest['score'][0].lower() + lowest['score'][1:]} (the best of many, and therefore flattered)."
    )


def calibrate(
    comparison: samples.Comparison, method: str = "bases", condition: str = samples.PAIR[0]
) -> pd.DataFrame:
    """Calibrate the mean probability on the validation part of each split, and apply it to the test part."""
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
        metrics = judge.compute_metrics(
            calibrated["y_true"], calibrated[name], groups=calibrated["patient_id"].to_numpy(),
            n_resamples=min(resamples, MOST_RESAMPLES),
        )  # fmt: skip
        tables.append(metrics[metrics["metric"].isin(["brier", "ece", "roc_auc"])].assign(calibration=name))
    return pd.concat(tables, ignore_index=True)[["calibration", "title", "value", "low", "high", "n"]]


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
    moved = [name for name in CALIBRATORS if abs(auc[name] - auc["before"]) >= SAME_AUC]
    order = (
        f"The order changes, as each split has a calibration of its own: the AUC of {auc['before']:.3f} "
        f"becomes {', '.join(f'{auc[name]:.3f} by {name}' for name in moved)}."
        if moved
        else "The order of the images stays."
    )
    return f"On images that did not fit it: {verdict[0].lower()}{verdict[1:]} {order}"


def wrong_images(copies: Copies, passes: samples.Passes, condition: str, protocol: str):
    """Return the pages of the rows that `wrong_cases` has under a protocol, in their order."""
    cases = samples.wrong_cases(passes, condition)
    cases = cases[cases["split"] == SPLIT_TITLES[protocol]].head(MOST_IMAGES)
    if cases.empty:
        return draw_words("No test image was predicted wrongly.")
    rows = copies.table.set_index("image_id").loc[cases["image"]].reset_index()
    captions = [
        f"{case.image}\n{case.predicted}, is {case.actual}\n{case.confidence_score:.0f} % of passes"
        for case in cases.itertuples()
    ]
    return ImageGridDisplay.from_images(
        load_copy_images(copies, rows), captions, labels=list(cases["actual"]), n_columns=4
    )


def score_histograms(
    passes: samples.Passes, condition: str, protocol: str
) -> classification.ScoreHistogramDisplay:
    """Return the vote shares of right and wrong predictions of a condition's test part."""
    rows = passes.select(condition, protocol)
    return classification.ScoreHistogramDisplay.from_predictions(
        rows["confidence"], rows["label"] != rows["y_true"]
    )


def risk_coverage(passes: samples.Passes, protocol: str) -> classification.RiskCoverageDisplay:
    """Return the risk-coverage curves of all scores over all conditions' test parts under a protocol."""
    rows = passes.pool(protocol)
    wrong = (rows["label"] != rows["y_true"]).to_numpy()
    scores = samples.uncertainties_of(rows).drop(
        columns="entropy"
    )  # orders images as the mean probability does
    return classification.RiskCoverageDisplay.from_scores(wrong, scores, referral=RATE)


def method_display(table: pd.DataFrame) -> MetricsForestDisplay:
    """Return the area under the risk-coverage curve of every method, by vote share and combined score."""
    shown = table[table["score"].isin([judge.UNCERTAINTIES["vote_share"], judge.UNCERTAINTIES["combined"]])]
    names = {"method": "title", "score": "series", "aurc": "value", "aurc_low": "low", "aurc_high": "high"}
    return MetricsForestDisplay.from_table(
        shown.rename(columns=names), label="Area under the risk-coverage curve (lower is better)"
    )


def calibration_display(calibrated: pd.DataFrame) -> classification.CalibrationCurvesDisplay:
    """Return the calibration of the test part before and after calibration on the validation part."""
    return classification.CalibrationCurvesDisplay.from_predictions(
        {name: (calibrated["y_true"], calibrated[name]) for name in ("before", *CALIBRATORS)}
    )


def shift_pages(shifts: Shifts) -> ImageGridDisplay:
    """Return a page of each shift, and one of each kind that is no karyogram."""
    pages, captions = [], []
    for name, of_shift in shifts.pages.items():
        step = STRANGERS_OF_A_KIND if name == NO_KARYOGRAMS else len(of_shift)
        chosen = of_shift[::step]
        pages += list(chosen)
        captions += [name.replace(", ", "\n")] * len(chosen)
    return ImageGridDisplay.from_images(pages, captions, n_columns=3)


def referral_by_shift(shifts: Shifts) -> DotsDisplay:
    """Return the share of pages that each rule refers under each shift, with the thesis's method."""
    part = shifts.scores[shifts.scores["method"] == shifts.methods[0]]
    table = pd.concat(
        [part[["shift"]].assign(rule=title, referred=part[f"by_{rule}"]) for rule, title in RULES.items()]
    )
    table = table.groupby(["shift", "rule"], sort=False)["referred"].mean().reset_index()
    return DotsDisplay.from_table(
        table, row="shift", series="rule", value="referred", label="Share of pages referred"
    )


def shift_risk_coverage(shifts: Shifts) -> classification.RiskCoverageDisplay:
    """Return the risk-coverage curve of the combined score under each shift, with the thesis's method."""
    part = shifts.scores[(shifts.scores["method"] == shifts.methods[0]) & shifts.scores["y_true"].notna()]
    curves = {
        name: judge.compute_risk_coverage(
            (rows["label"] != rows["y_true"]).to_numpy(), rows["combined"].to_numpy()
        )
        for name, rows in part.groupby("shift", sort=False)
    }
    return classification.RiskCoverageDisplay.from_curves(curves, referral=RATE)


def referral_display(
    copies: Copies, passes: samples.Passes, condition: str, protocol: str, referred: float, score: str
) -> classification.ReferralDisplay:
    """Return a share of referred test images on a score's risk-coverage curve, and the errors it meets."""
    rows = passes.select(condition, protocol).reset_index(drop=True)
    wrong = rows["label"] != rows["y_true"]
    cases = rows[wrong]
    named = {1: "abnormal", 0: "normal"}
    captions = [
        f"{case.image_id}\n{named[case.label]}, is {named[case.y_true]}" for case in cases.itertuples()
    ]
    shown = copies.table.set_index("image_id").loc[cases["image_id"]].reset_index()
    images = load_copy_images(copies, shown) if len(shown) else []
    return classification.ReferralDisplay.from_scores(
        wrong.to_numpy(), samples.uncertainties_of(rows)[score].to_numpy(),
        list(zip(images, captions, strict=True)), referred,
        name=judge.UNCERTAINTIES[score],
    )  # fmt: skip
