import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from karyo_lib.study.displays import (
    PALETTE,
    ConvergenceDisplay,
    PartialDependenceDisplay,
    SearchDisplay,
    TrainingCurvesDisplay,
)

METRICS = ("loss", "auc", "precision", "recall")


def history(n=5, best=3):
    table = {prefix + metric: np.linspace(0.2, 0.8, n) for metric in METRICS for prefix in ("", "val_")}
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


def test_curves_draw_the_history_and_mark_the_best_epoch():
    shown = TrainingCurvesDisplay.from_histories(history())
    for metric in METRICS:
        for prefix, part in (("", "train"), ("val_", "val")):
            line = shown.lines_["", metric, part]
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
            np.testing.assert_allclose(line.get_ydata(), history()[prefix + metric])
            assert line.get_color() == PALETTE[part]
        assert list(shown.best_lines_["", metric].get_xdata()) == [3, 3]
    assert "best epoch 3" in [text.get_text() for text in shown.figure_.legends[0].get_texts()]


def test_two_protocols_stand_side_by_side_and_a_given_best_epoch_counts():
    shown = TrainingCurvesDisplay.from_histories(
        {"leaky": history(best=2), "by patient": history(best=4)}, {"leaky": 2, "by patient": 5}
    )
    assert shown.axes_.shape == (4, 2)
    assert [ax.get_title(loc="left") for ax in shown.axes_[0]] == ["leaky", "by patient"]
    assert shown.axes_[3, 1].get_xlabel() == "Epoch (best: 5)"


def test_epoch_column_and_given_axes():
    _, axes = plt.subplots(2, 2)
    table = history().assign(epoch=[11, 12, 13, 14, 15])
    shown = TrainingCurvesDisplay.from_histories(table, axes=axes)
    assert shown.axes_[0, 0] is axes[0, 0]
    assert shown.lines_["", "loss", "train"].get_xdata()[0] == 11
    assert shown.best_lines_["", "loss"].get_xdata()[0] == 13
    with pytest.raises(ValueError, match="Expected 4 axes"):
        TrainingCurvesDisplay.from_histories(table, axes=axes[0])
    with pytest.raises(ValueError, match="val_recall"):
        TrainingCurvesDisplay.from_histories(table.drop(columns="val_recall"))


@pytest.mark.parametrize("parameter", ["learning_rate", "batch_size"])
def test_search_draws_trials_colours_and_failures(parameter):
    shown = SearchDisplay.from_trials(trials(), parameter, chosen=32, published=16)
    drawn = shown.points_.get_offsets()
    np.testing.assert_allclose(drawn[:, 0], trials()[parameter][:3])
    np.testing.assert_allclose(drawn[:, 1], [0.6, 0.3, 0.5])
    np.testing.assert_allclose(shown.points_.get_array(), [0.6, 0.9, 0.7])
    np.testing.assert_allclose(shown.failed_.get_xdata(), trials()[parameter][3:])
    assert shown.chosen_line_.get_xdata()[0] == 32
    assert shown.published_line_.get_label() == "thesis: 16"
    assert shown.ax_.get_xscale() == "log"
    assert shown.colorbar_.ax.get_ylabel() == "Validation accuracy"


def test_search_without_failures_or_marks():
    shown = SearchDisplay.from_trials(trials()[:3], "learning_rate")
    assert shown.failed_ is None
    assert shown.ax_.get_legend() is None
    with pytest.raises(ValueError, match="Received 'epochs'"):
        SearchDisplay.from_trials(trials(), "epochs")


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
    assert PartialDependenceDisplay.from_curves(curves.drop(columns=["low", "high"])).bands_ == {}
