"""Figures of notebooks 04 to 07: results -> displays, both protocols side by side."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from karyo_lib.conditions import CONDITIONS, get_condition
from karyo_lib.displays.classification import (
    CalibrationCurvesDisplay,
    ConfusionMatricesDisplay,
    OperatingPointDisplay,
    RocDisplay,
)
from karyo_lib.displays.confidence import RiskCoverageDisplay, ScoreHistogramDisplay
from karyo_lib.displays.diagrams import StructureDisplay
from karyo_lib.displays.dots import LeakDisplay
from karyo_lib.displays.pages import ImageGridDisplay
from karyo_lib.displays.style import PROTOCOL_TITLES, new_grid, style
from karyo_lib.models import build_model, count_parameters, describe_structure, summarize_layers
from karyo_lib.runs import Run
from karyo_lib.study.confidence import Passes, uncertainties_of, wrong_cases
from karyo_lib.study.copies import Copies, load_copy_images
from karyo_lib.study.fits import PROTOCOLS, Fits, compute_run_aucs, name_conditions, resolve_run_weights
from karyo_lib.thesis import load_models
from karyo_lib.uncertainty import UNCERTAINTIES

MOST_IMAGES = 12  # wrongly predicted pages shown


def training_curves(fits: Fits, condition: str):
    """Return loss, AUC, precision and recall by epoch under both protocols, the kept epoch marked."""
    from karyo_lib.displays.training import TrainingCurvesDisplay

    titles = {PROTOCOL_TITLES[protocol]: protocol for protocol in PROTOCOLS}
    return TrainingCurvesDisplay.from_histories(
        {title: fits.curve(condition, protocol) for title, protocol in titles.items()},
        {title: fits.best_epoch(condition, protocol) for title, protocol in titles.items()},
    )


def confusion_matrices(fits: Fits, condition: str) -> ConfusionMatricesDisplay:
    """Return the confusion matrices of the test parts at a threshold of one half."""
    matrices = {}
    for protocol in PROTOCOLS:
        rows = fits.select(condition, protocol)
        matrices[PROTOCOL_TITLES[protocol]] = confusion_matrix(
            rows["y_true"], rows["p"] >= 0.5, labels=[0, 1]
        )
    return ConfusionMatricesDisplay.from_matrices(matrices)


def roc_curves(fits: Fits, condition: str):
    """Return the ROC of training and test part, a panel a protocol."""
    return _roc_panels(
        {
            protocol: {part: fits.select(condition, protocol, part=part) for part in ("train", "test")}
            for protocol in PROTOCOLS
        }
    )


def roc_overlay(fits: Fits, frozen: Fits, condition: str):
    """Return the ROC of a fine-tuned condition over the frozen one's of the same base, a panel a protocol."""
    base = get_condition(condition).base
    reference = next(
        c.key for c in CONDITIONS if c.base == base and c.data == "augmented" and not c.fine_tuned
    )
    return _roc_panels(
        {
            protocol: {
                "frozen": frozen.select(reference, protocol),
                "trained": fits.select(condition, protocol),
            }
            for protocol in PROTOCOLS
        },
        colours={"frozen": "#595959", "trained": "#009E73"},
    )


def _roc_panels(panels: dict[str, dict[str, pd.DataFrame]], colours: dict[str, str] | None = None):
    with style():
        figure, axes = new_grid(None, 1, len(panels), height=3.3, width=6.6)
    for ax, (protocol, curves) in zip(axes[0], panels.items(), strict=True):
        drawn = {name: (rows["y_true"], rows["p"]) for name, rows in curves.items()}
        RocDisplay.from_predictions(drawn, colours=colours, ax=ax)
        ax.set_title(PROTOCOL_TITLES[protocol])
    return figure


def leak_display(fits: Fits, controls: Fits) -> LeakDisplay:
    """Return the test AUC of every condition under every protocol, each single run a dot."""
    runs = pd.concat([compute_run_aucs(fits), compute_run_aucs(controls)], ignore_index=True)
    return LeakDisplay.from_runs(runs.assign(condition=name_conditions(runs["condition"])))


def threshold_display(fits: Fits, condition: str, protocol: str, threshold: float) -> OperatingPointDisplay:
    """Return confusion matrix and ROC point of a decision threshold."""
    rows = fits.select(condition, protocol)
    return OperatingPointDisplay.from_predictions(rows["y_true"], rows["p"], threshold=threshold)


def model_summary(run: Run, base: str, start: str | None = None) -> pd.DataFrame:
    """Return the layers of a model, all or from a layer on."""
    return summarize_layers(build_model(base, resolve_run_weights(run, base)), start).drop(columns=["block"])


def parameter_counts(run: Run) -> pd.DataFrame:
    """Return the parameters with every layer trainable, ours and the thesis's."""
    rows = []
    for base, published in load_models().iterrows():
        ours = count_parameters(build_model(base, resolve_run_weights(run, base), trainable="all"))
        for name in ("total", "trainable", "non_trainable"):
            rows.append(
                {"base": base, "parameters": name, "ours": ours[name], "thesis": int(published[name])}
            )
    table = pd.DataFrame(rows)
    return table.assign(equal=np.where(table["ours"] == table["thesis"], "yes", "no"))


def structure_display(run: Run, *trainable: str) -> StructureDisplay:
    """Return the structure of the VGG16 model for each choice of what is trained."""
    weights = resolve_run_weights(run, "VGG16")
    titles = {
        "head": "base frozen",
        "last-block": "last block",
        "last-two-blocks": "last two blocks",
        "all": "all",
    }
    return StructureDisplay.from_blocks(
        {
            titles[what]: describe_structure(build_model("VGG16", weights, trainable=what))
            for what in trainable
        }
    )


def wrong_images(copies: Copies, passes: Passes, condition: str, protocol: str):
    """Return the pages of :func:`karyo_lib.study.confidence.wrong_cases`, in the order of its rows."""
    cases = wrong_cases(passes, condition, protocol).head(MOST_IMAGES)
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
    scores = uncertainties_of(rows)
    return RiskCoverageDisplay.from_scores(wrong, scores.rename(columns=UNCERTAINTIES), referral=referral)


def calibration(passes: Passes, protocol: str) -> CalibrationCurvesDisplay:
    """Return the calibration of the mean probability by base network, augmented data."""
    rows = passes.pool(protocol)
    curves = {}
    for key in ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen"):
        part = rows[rows["condition"] == key]
        if len(part):
            curves[get_condition(key).title] = (part["y_true"], part["p_mean"])
    return CalibrationCurvesDisplay.from_predictions(curves)


def referral_display(passes: Passes, condition: str, protocol: str, referred: float) -> RiskCoverageDisplay:
    """Return the risk-coverage curves of one condition with the point at a share of referred cases."""
    rows = passes.select(condition, protocol)
    wrong = (rows["label"] != rows["y_true"]).to_numpy()
    scores = uncertainties_of(rows)[["vote_share", "combined"]]
    return RiskCoverageDisplay.from_scores(wrong, scores.rename(columns=UNCERTAINTIES), referral=referred)
