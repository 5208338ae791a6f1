import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from karyo_lib.study.displays.style import PALETTE
from karyo_lib.study.displays.training import (
    ConvergenceDisplay,
    PartialDependenceDisplay,
    SearchDisplay,
    TrainingCurvesDisplay,
)

METRICS = ("loss", "auc", "precision", "recall")


def history(n=5, best=3):
    table = {prefix + metric: np.linspace(0.2, 0.8, n) for metric in METRICS for prefix in ("", "val_")}
    table["epoch"] = np.arange(1, n + 1)
    table["val_auc"] = np.where(np.arange(1, n + 1) == best, 0.9, 0.5)
    return pd.DataFrame(table)


def trials():
    return pd.DataFrame(
        {
            "trial": [0, 1, 2, 3],
            "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1],
            "batch_size": [16, 32, 64, 512],
            "val_loss": [0.6, 0.3, 0.5, np.nan],
            "val_accuracy": [0.6, 0.9, 0.7, np.nan],
            "status": ["ok", "ok", "ok", "out of memory"],
        }
    )


def test_curves_draw_the_histories_side_by_side_and_mark_the_epoch_that_is_kept():
    both = {"leaky": history(best=2), "by patient": history(best=4).assign(epoch=[11, 12, 13, 14, 15])}
    shown = TrainingCurvesDisplay.from_histories(both, {"leaky": 2, "by patient": 15})
    for title, table in both.items():
        for metric in METRICS:
            for prefix, part in (("", "train"), ("val_", "val")):
                line = shown.lines_[title, metric, part]
                np.testing.assert_array_equal(line.get_xdata(), table["epoch"])
                np.testing.assert_allclose(line.get_ydata(), table[prefix + metric])
                assert line.get_color() == PALETTE[part]
    assert shown.axes_.shape == (4, 2)
    assert [ax.get_title(loc="left") for ax in shown.axes_[0]] == ["leaky", "by patient"]
    assert shown.axes_[3, 1].get_xlabel() == "Epoch (best: 15)"
    assert list(shown.axes_[3, 1].lines[-1].get_xdata()) == [15, 15]
    assert "best epoch" in [text.get_text() for text in shown.figure_.legends[0].get_texts()]
    assert "leaky: 5 epochs, best 2: Loss 0.35 training and 0.35 validation" in shown.alt_


def test_axes_may_be_given():
    _, axes = plt.subplots(4, 1)
    shown = TrainingCurvesDisplay.from_histories({"": history()}, {"": 3}, ax=axes)
    assert shown.axes_[0, 0] is axes[0]
    with pytest.raises(ValueError, match="Expected 4 axes"):
        TrainingCurvesDisplay.from_histories({"": history()}, {"": 3}, ax=axes[:2])


@pytest.mark.parametrize("parameter", ["learning_rate", "batch_size"])
def test_search_draws_trials_colours_and_failures(parameter):
    shown = SearchDisplay.from_trials(trials(), parameter, chosen=32, published=16)
    drawn = shown.points_.get_offsets()
    np.testing.assert_allclose(drawn[:, 0], trials()[parameter][:3])
    np.testing.assert_allclose(drawn[:, 1], [0.6, 0.3, 0.5])
    np.testing.assert_allclose(shown.points_.get_array(), [0.6, 0.9, 0.7])
    np.testing.assert_allclose(shown.failed_.get_xdata(), trials()[parameter][3:])
    legend = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    assert legend == ["failed (1)", "chosen here: 32", "thesis: 16"]
    assert [line.get_xdata()[0] for line in shown.ax_.lines[1:]] == [32, 16]
    assert shown.ax_.get_xscale() == "log"
    assert shown.figure_.axes[1].get_ylabel() == "Validation accuracy"


def test_search_without_failures():
    shown = SearchDisplay.from_trials(trials()[:3], "learning_rate", chosen=1e-3, published=1e-3)
    assert len(shown.ax_.get_legend().get_texts()) == 2


def test_convergence_is_the_best_so_far():
    shown = ConvergenceDisplay.from_trials(trials().iloc[::-1])
    np.testing.assert_allclose(shown.line_.get_ydata(), [0.6, 0.3, 0.3])
    np.testing.assert_allclose(shown.points_.get_ydata(), [0.6, 0.3, 0.5])


def test_partial_dependence():
    curves = pd.DataFrame(
        {
            "parameter": ["learning_rate"] * 2 + ["batch_size"] * 2,
            "value": [1e-4, 1e-2, 16, 64],
            "mean": [0.5, 0.4, 0.3, 0.2],
            "low": [0.4, 0.3, 0.2, 0.1],
            "high": [0.6, 0.5, 0.4, 0.3],
        }
    )
    shown = PartialDependenceDisplay.from_curves(curves)
    np.testing.assert_allclose(shown.lines_["batch_size"].get_ydata(), [0.3, 0.2])
    assert set(shown.bands_) == {"learning_rate", "batch_size"}
