import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from karyo_lib.judge import (
    CombinedScore,
    IsotonicCalibrator,
    TemperatureCalibrator,
    compute_metrics,
    compute_risk_coverage,
    compute_scores,
    compute_uncertainties,
)


def too_sure(n, seed, factor=3.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, n)
    return expit(factor * z), (rng.random(n) < expit(z)).astype(int)


def test_temperature_is_found():
    p, y = too_sure(4000, 0)
    calibrator = TemperatureCalibrator().fit(p, y)
    assert calibrator.temperature_ == pytest.approx(3, rel=0.1)
    fresh, labels = too_sure(2000, 1)
    better = calibrator.transform(fresh)
    assert log_loss(labels, better) < log_loss(labels, np.clip(fresh, 1e-9, 1 - 1e-9))
    assert (np.diff(better[np.argsort(fresh)]) >= 0).all()
    assert better.min() >= 0
    assert better.max() <= 1


def test_temperature_stays_finite_without_errors_and_at_the_edges():
    p = np.array([0.0, 0.2, 0.8, 1.0])
    calibrator = TemperatureCalibrator().fit(p, np.array([0, 0, 1, 1]))
    assert 0.1 < calibrator.temperature_ < 1.5
    assert np.isfinite(calibrator.transform(p)).all()


def test_isotonic_calibrates_and_stays_off_the_edges():
    p, y = too_sure(3000, 2)
    calibrator = IsotonicCalibrator().fit(p, y)
    fresh, labels = too_sure(3000, 3)

    def error_of(probabilities):
        table = compute_metrics(labels, probabilities, n_resamples=2).set_index("metric")
        return table.loc["ece", "value"]

    assert error_of(calibrator.transform(fresh)) < 0.5 * error_of(fresh)
    few = IsotonicCalibrator().fit(np.array([0.1, 0.9]), np.array([0, 1]))
    assert few.transform(np.array([0.0, 1.0])).tolist() == [0.25, 0.75]
    assert (np.diff(calibrator.transform(np.linspace(0, 1, 50))) >= 0).all()


def test_calibrators_refuse_unequal_lengths():
    with pytest.raises(ValueError, match=r"Received \(2,\) and \(3,\)"):
        TemperatureCalibrator().fit(np.ones(2), np.ones(3))


def passes_with_errors(n, seed, n_passes=30):
    """Passes that agree with each other and err where the mean is near one half: the thesis's situation."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    y = (rng.random(n) < expit(z)).astype(int)
    return expit(z + rng.normal(0, 0.15, (n_passes, n))), y


def test_combined_score_beats_the_vote_share_where_passes_agree_on_errors():
    val, y_val = passes_with_errors(60, 0)
    test, y_test = passes_with_errors(500, 1)
    combined = CombinedScore().fit(compute_scores(val), y_val)
    scores = compute_scores(test)
    wrong = scores["label"].to_numpy() != y_test
    ours = compute_risk_coverage(wrong, combined.transform(scores))
    votes = compute_risk_coverage(wrong, compute_uncertainties(scores)["vote_share"])
    assert ours.aurc < votes.aurc


def test_combined_score_is_a_probability_near_the_error_rate():
    val, y_val = passes_with_errors(3000, 4)
    combined = CombinedScore().fit(compute_scores(val), y_val)
    test, y_test = passes_with_errors(3000, 5)
    scores = compute_scores(test)
    error = combined.transform(scores)
    wrong = (scores["label"] != y_test).to_numpy()
    assert error.mean() == pytest.approx(wrong.mean(), abs=0.02)
    for low, high in [(0, 0.1), (0.1, 0.3), (0.3, 0.6)]:
        some = (error >= low) & (error < high)
        assert wrong[some].mean() == pytest.approx(error[some].mean(), abs=0.05)


def test_no_uncertainty_may_lower_the_error_probability():
    rng = np.random.default_rng(7)
    for seed in range(5):
        val, _ = passes_with_errors(24, seed)
        combined = CombinedScore().fit(compute_scores(val), rng.integers(0, 2, 24))  # labels of pure noise
        assert (combined.weights_.drop("called_abnormal") >= 0).all()
        assert np.isfinite(combined.transform(compute_scores(val))).all()


def test_without_errors_it_says_so_and_still_orders_by_uncertainty():
    val = np.array([[0.1, 0.9, 0.2], [0.1, 0.8, 0.3]])
    combined = CombinedScore().fit(compute_scores(val), np.array([0, 1, 0]))
    assert combined.n_errors_ == 0
    np.testing.assert_allclose(combined.weights_.drop("called_abnormal"), 1 / 6)  # nothing to fit
    error = combined.transform(compute_scores(np.array([[0.01, 0.3, 0.45], [0.01, 0.2, 0.55]])))
    assert error[0] < error[1] < error[2]
    assert error[0] < 0.5


def test_combined_score_looks_at_validation_only():
    val, y_val = passes_with_errors(40, 8)
    scores = compute_scores(val)
    combined = CombinedScore().fit(scores, y_val)
    test = compute_scores(passes_with_errors(50, 9)[0])
    whole = combined.transform(test)
    np.testing.assert_allclose(combined.transform(test.iloc[:10]), whole[:10])  # row by row
    pd.testing.assert_series_equal(combined.weights_, CombinedScore().fit(scores, y_val).weights_)
