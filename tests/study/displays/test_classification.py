import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.metrics import roc_auc_score

from karyo_lib.judge.intervals import wilson
from karyo_lib.study.displays.classification import (
    CalibrationCurvesDisplay,
    ConfusionMatricesDisplay,
    OperatingPointDisplay,
    RocDisplay,
)

Y = np.array([0, 0, 0, 0, 1, 1, 1, 0, 1, 1])
P = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.35, 0.9, 0.2])


def words(texts):
    return [text.get_text() for text in texts.ravel()]


def test_confusion_matrix_tells_counts_and_row_shares():
    shown = ConfusionMatricesDisplay.from_matrices({"thesis": [[79, 1], [3, 56]], "ours": [[15, 6], [6, 3]]})
    assert words(shown.texts_["thesis"]) == ["79\n99%", "1\n1%", "3\n5%", "56\n95%"]
    assert words(shown.texts_["ours"]) == ["15\n71%", "6\n29%", "6\n67%", "3\n33%"]
    assert shown.alt_.startswith("thesis: 79 of 80 normal called normal, 56 of 59 abnormal called abnormal.")
    ax = shown.axes_[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["normal", "abnormal"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    shades = shown.axes_[1].collections[0].get_array().ravel()
    np.testing.assert_allclose(shades, [15 / 21, 6 / 21, 6 / 9, 3 / 9])


def test_confusion_from_predictions_with_an_absent_class():
    shown = ConfusionMatricesDisplay.from_predictions([0, 0, 0], [0, 1, 0])
    assert words(shown.texts_[""]) == ["2\n67%", "1\n33%", "0\n0%", "0\n0%"]


def test_roc_draws_the_curve_its_area_and_the_operating_point():
    shown = RocDisplay.from_predictions({"train": (Y, Y.astype(float)), "test": (Y, P)}, threshold=0.5)
    assert shown.displays_["test"].roc_auc == pytest.approx(roc_auc_score(Y, P))
    line = shown.displays_["test"].line_
    assert (line.get_xdata()[0], line.get_ydata()[-1]) == (0, 1)
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(roc_auc_score(Y, P))
    legend = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    assert legend == ["train: AUC 1.00", f"test: AUC {area:.2f}", "Chance level (AUC = 0.5)"]
    point = shown.points_["test"]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1 / 5, 3 / 5)
    with pytest.raises(ValueError, match="ROC of 'test'"):
        RocDisplay.from_predictions({"test": (np.zeros(3), np.ones(3))})


def test_operating_point_moves_with_the_threshold():
    strict = OperatingPointDisplay.from_predictions(Y, P, threshold=0.85)
    loose = OperatingPointDisplay.from_predictions(Y, P, threshold=0.15)
    assert words(next(iter(strict.matrix_.texts_.values())))[3].startswith("1\n")
    assert words(next(iter(loose.matrix_.texts_.values())))[3].startswith("5\n")
    assert strict.roc_.points_["test"].get_ydata()[0] == 1 / 5
    assert loose.roc_.points_["test"].get_ydata()[0] == 1


def test_calibration_bins_bars_and_counts():
    p = np.repeat([0.1, 0.9], 10)
    y = np.r_[np.zeros(8, int), 1, 1, np.ones(9, int), 0]
    _, ax = plt.subplots()
    shown = CalibrationCurvesDisplay.from_predictions({"as trained": (y, p)}, ax=ax)
    assert shown.ax_ is ax
    np.testing.assert_allclose(shown.displays_["as trained"].line_.get_ydata(), [0.2, 0.9])
    assert shown.counts_["as trained"].tolist() == [10, 10]
    lower, upper = shown.bars_["as trained"].lines[2][0].get_segments()[0][:, 1]
    assert (lower, upper) == pytest.approx(wilson(2, 10))
