import numpy as np
import pandas as pd

from karyo_lib.judge import compute_risk_coverage
from karyo_lib.study.displays.classification import RiskCoverageDisplay, ScoreHistogramDisplay


def test_risk_coverage_draws_each_curve_and_the_referral():
    wrong = np.array([False, True, False, False, True])
    scores = pd.DataFrame({"vote_share": [0.0, 0.0, 0.1, 0.2, 0.9], "mine": [0.1, 0.9, 0.2, 0.3, 0.8]})
    shown = RiskCoverageDisplay.from_scores(wrong, scores, referral=0.2)
    assert list(shown.lines_) == ["Vote share (thesis)", "mine"]
    curve = compute_risk_coverage(wrong, scores["mine"])
    np.testing.assert_allclose(shown.lines_["mine"].get_xdata(), [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(shown.lines_["mine"].get_ydata(), curve.risk)
    assert shown.lines_["mine"].get_label() == f"mine: area {curve.aurc:.3f}"
    assert (shown.points_["mine"].get_xdata()[0], shown.points_["mine"].get_ydata()[0]) == (0.8, 0.25)


def test_risk_coverage_without_errors_is_flat():
    shown = RiskCoverageDisplay.from_scores(np.zeros(4, bool), {"entropy": np.arange(4.0)})
    assert not shown.lines_["Predictive entropy"].get_ydata().any()
    assert not shown.points_


def test_histogram_counts_right_and_wrong_apart():
    score = np.array([100, 100, 99, 54, 100, 79.9, 80])
    wrong = np.array([False, False, False, True, True, True, True])
    shown = ScoreHistogramDisplay.from_predictions(score, wrong)
    right, wrong = ([bar.get_height() for bar in ax.patches] for ax in shown.axes_)
    assert (sum(right), sum(wrong), right[-1]) == (3, 4, 3)
    assert shown.caught_text_.get_text() == "2 of 4 below the threshold of 80"
    assert [ax.get_title(loc="left") for ax in shown.axes_] == ["3 right answers", "4 wrong answers"]
    assert all(ax.lines[0].get_xdata()[0] == 80 for ax in shown.axes_)
