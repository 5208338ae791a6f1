"""Figures of notebooks 04, 05 and 07: results -> displays, both protocols side by side."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from karyo_lib.networks.conditions import CONDITIONS, get_condition
from karyo_lib.networks.models import build_model, count_parameters, describe_structure, summarize_layers
from karyo_lib.study.displays.classification import (
    ConfusionMatricesDisplay,
    OperatingPointDisplay,
    RocDisplay,
)
from karyo_lib.study.displays.diagrams import StructureDisplay
from karyo_lib.study.displays.style import PROTOCOL_TITLES, SEQUENCE, new_grid, style
from karyo_lib.study.displays.training import TrainingCurvesDisplay
from karyo_lib.study.networks.fits import PROTOCOLS, Fits, resolve_run_weights
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_conditions, load_models


def training_curves(fits: Fits, condition: str):
    """Return loss, AUC, precision and recall by epoch under both protocols, the kept epoch marked."""
    titles = {PROTOCOL_TITLES[protocol]: protocol for protocol in PROTOCOLS}
    return TrainingCurvesDisplay.from_histories(
        {title: fits.curve(condition, protocol) for title, protocol in titles.items()},
        {title: fits.best_epoch(condition, protocol) for title, protocol in titles.items()},
    )


def confusion_matrices(fits: Fits, condition: str) -> ConfusionMatricesDisplay:
    """Return the printed confusion matrix, and those of our test parts at a threshold of one half."""
    printed = load_conditions().loc[condition]
    matrices = {"printed": np.array([[printed["tn"], printed["fp"]], [printed["fn"], printed["tp"]]], int)}
    for protocol in PROTOCOLS:
        rows = fits.select(condition, protocol)
        matrices[PROTOCOL_TITLES[protocol]] = confusion_matrix(
            rows["y_true"], rows["p"] >= 0.5, labels=[0, 1]
        )
    return ConfusionMatricesDisplay.from_matrices(matrices)


def roc_curves(fits: Fits, condition: str):
    """Return the ROC of training and test part, a panel a protocol."""
    return _roc_panels(
        lambda protocol: {part: fits.select(condition, protocol, part=part) for part in ("train", "test")}
    )


def roc_overlay(fits: Fits, frozen: Fits, condition: str):
    """Return the ROC of a fine-tuned condition over those of the same base that train less, by protocol."""
    base, trained = get_condition(condition).base, set(fits.summary["condition"])
    curves = {}
    for one in CONDITIONS:  # in the order of what is trained
        if one.base == base and one.data == "augmented" and (not one.fine_tuned or one.key in trained):
            curves[one.trainable.replace("head", "frozen").replace("-", " ")] = one
            if one.key == condition:
                break
    return _roc_panels(
        lambda protocol: {
            name: (fits if one.fine_tuned else frozen).select(one.key, protocol)
            for name, one in curves.items()
        },
        colours=dict(zip(curves, SEQUENCE, strict=False)),
    )


def _roc_panels(select: Callable[[str], dict[str, pd.DataFrame]], colours: dict[str, str] | None = None):
    with style():
        figure, axes = new_grid(None, 1, len(PROTOCOLS), height=3.7)
        for ax, protocol in zip(axes[0], PROTOCOLS, strict=True):
            drawn = {name: (rows["y_true"], rows["p"]) for name, rows in select(protocol).items()}
            RocDisplay.from_predictions(drawn, colours=colours, ax=ax)
            ax.set_title(PROTOCOL_TITLES[protocol])
    return figure


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
        rows += [(base, name, count, int(published[name])) for name, count in ours.items()]
    table = pd.DataFrame(rows, columns=["base", "parameters", "ours", "thesis"])
    return table.assign(equal=np.where(table["ours"] == table["thesis"], "yes", "no"))


def structure_display(run: Run, *trainable: str) -> StructureDisplay:
    """Return the structure of the VGG16 model for each choice of what is trained."""
    weights = resolve_run_weights(run, "VGG16")
    blocks = {what: describe_structure(build_model("VGG16", weights, trainable=what)) for what in trainable}
    titles = {what: what.replace("head", "base frozen").replace("-", " ") for what in trainable}
    return StructureDisplay.from_blocks({titles[what]: table for what, table in blocks.items()})
