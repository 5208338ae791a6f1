"""Figures of notebook 06: scores, methods, calibration and shifts -> displays."""

import pandas as pd

from karyo_lib.judge import UNCERTAINTIES, compute_risk_coverage
from karyo_lib.study.columns import SPLIT_TITLES
from karyo_lib.study.confidence.judgement import CALIBRATORS
from karyo_lib.study.confidence.samples import Passes, uncertainties_of, wrong_cases
from karyo_lib.study.confidence.shifts import RULES, Shifts
from karyo_lib.study.data.copies import Copies, load_copy_images
from karyo_lib.study.data.unseen import NO_KARYOGRAMS, STRANGERS_OF_A_KIND
from karyo_lib.study.displays.classification import CalibrationCurvesDisplay
from karyo_lib.study.displays.confidence import ReferralDisplay, RiskCoverageDisplay, ScoreHistogramDisplay
from karyo_lib.study.displays.dots import DotsDisplay, MetricsForestDisplay
from karyo_lib.study.displays.pages import ImageGridDisplay
from karyo_lib.study.displays.style import new_grid, style

MOST_IMAGES = 12  # wrongly predicted pages shown


def wrong_images(copies: Copies, passes: Passes, condition: str, protocol: str):
    """Return the pages of the rows that `wrong_cases` has under a protocol, in their order."""
    cases = wrong_cases(passes, condition)
    cases = cases[cases["split"] == SPLIT_TITLES[protocol]].head(MOST_IMAGES)
    if cases.empty:
        with style():
            figure, axes = new_grid(None, 1, 1, height=0.6)
        axes[0, 0].axis("off")
        axes[0, 0].text(0, 0.5, "No test image was predicted wrongly.")
        return figure
    rows = copies.table.set_index("image_id").loc[cases["image"]].reset_index()
    captions = [
        f"{case.image}\n{case.predicted}, is {case.actual}\n{case.confidence_score:.0f} % of passes"
        for case in cases.itertuples()
    ]
    return ImageGridDisplay.from_images(
        load_copy_images(copies, rows), captions, labels=list(cases["actual"]), n_columns=4
    )


def score_histograms(passes: Passes, condition: str, protocol: str) -> ScoreHistogramDisplay:
    """Return the vote shares of right and wrong predictions of a condition's test part."""
    rows = passes.select(condition, protocol)
    return ScoreHistogramDisplay.from_predictions(
        rows["confidence"].to_numpy(), (rows["label"] != rows["y_true"]).to_numpy()
    )


def risk_coverage(passes: Passes, protocol: str, referral: float = 0.2) -> RiskCoverageDisplay:
    """Return the risk-coverage curves of all scores over all conditions' test parts under a protocol."""
    rows = passes.pool(protocol)
    wrong = (rows["label"] != rows["y_true"]).to_numpy()
    scores = uncertainties_of(rows).drop(columns="entropy")  # orders images as the mean probability does
    return RiskCoverageDisplay.from_scores(wrong, scores.rename(columns=UNCERTAINTIES), referral=referral)


def method_display(table: pd.DataFrame) -> MetricsForestDisplay:
    """Return the area under the risk-coverage curve of every method, by vote share and combined score."""
    shown = table[table["score"].isin([UNCERTAINTIES["vote_share"], UNCERTAINTIES["combined"]])]
    names = {"method": "title", "score": "series", "aurc": "value", "aurc_low": "low", "aurc_high": "high"}
    return MetricsForestDisplay.from_table(
        shown.rename(columns=names),
        label="Area under the risk-coverage curve (lower is better)",
    )


def calibration_display(calibrated: pd.DataFrame) -> CalibrationCurvesDisplay:
    """Return the calibration of the test part before and after calibration on the validation part."""
    return CalibrationCurvesDisplay.from_predictions(
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


def shift_risk_coverage(shifts: Shifts) -> RiskCoverageDisplay:
    """Return the risk-coverage curve of the combined score under each shift, with the thesis's method."""
    part = shifts.scores[(shifts.scores["method"] == shifts.methods[0]) & shifts.scores["y_true"].notna()]
    curves = {
        name: compute_risk_coverage((rows["label"] != rows["y_true"]).to_numpy(), rows["combined"].to_numpy())
        for name, rows in part.groupby("shift", sort=False)
    }
    return RiskCoverageDisplay.from_curves(curves, referral=0.2)


def referral_display(
    copies: Copies, passes: Passes, condition: str, protocol: str, referred: float, score: str
) -> ReferralDisplay:
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
    return ReferralDisplay.from_scores(
        wrong.to_numpy(), uncertainties_of(rows)[score].to_numpy(),
        list(zip(images, captions, strict=True)), referred,
        name=UNCERTAINTIES[score],
    )  # fmt: skip
