import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.judge import compute_referral, compute_risk_coverage, judge_scores


def test_curve_by_hand():
    curve = compute_risk_coverage([False, True, False, True], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(curve.risk, [0, 1 / 2, 1 / 3, 1 / 2])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


@given(st.integers(0, 5000))
@settings(max_examples=30, deadline=None)
def test_ties_count_with_their_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    wrong, uncertainty = rng.random(12) < 0.4, rng.integers(0, 3, 12)
    risks = []
    for _ in range(3000):
        order = np.lexsort([rng.random(12), uncertainty])
        risks.append(np.cumsum(wrong[order]) / np.arange(1, 13))
    np.testing.assert_allclose(
        compute_risk_coverage(wrong, uncertainty).risk, np.mean(risks, axis=0), atol=0.05
    )


def test_perfect_order_keeps_errors_to_the_last_and_constant_score_has_no_merit():
    wrong = np.r_[np.zeros(15, bool), np.ones(5, bool)]
    np.testing.assert_allclose(
        compute_risk_coverage(wrong, wrong.astype(float)).risk, np.cumsum(wrong) / np.arange(1, 21)
    )
    constant = compute_risk_coverage(wrong, np.zeros(20))
    np.testing.assert_allclose(constant.risk, 0.25)
    assert compute_risk_coverage(np.zeros(5), np.arange(5)).aurc == 0


def test_referral_by_hand():
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    label = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])  # two missed, one false alarm
    unsure = np.array([0.1, 0.9, 0.3, 0.8, 0.2, 0.0, 0.05, 0.15, 0.12, 0.11])
    assert compute_referral(y, label, unsure, 0.2) == pytest.approx((1 / 2, 2 / 3))  # one missed is referred
    assert compute_referral(y, label, unsure, 0.05) == pytest.approx((1 / 3, 1 / 3))  # no whole image is


def test_the_published_errors_at_ten_percent():
    """InceptionV3, Table 4.2: eight errors of 139, seven of them at 100 %, as sure as the right answers."""
    y = np.r_[np.ones(8, int), np.zeros(131, int)]
    unsure = np.r_[0.46, np.zeros(138)]
    _, found = compute_referral(y, np.zeros(139, int), unsure, 0.1)
    assert 8 * found == pytest.approx(1 + 7 * 12 / 138)  # the other 12 referrals are drawn blindly


def test_nothing_wrong_is_nan_not_an_error():
    assert np.isnan(compute_referral([0, 0, 0], [0, 0, 0], [0.1, 0.2, 0.3], 0.4)).all()


def judged(n=400, seed=0):
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.2
    scores = pd.DataFrame({"vote_share": rng.random(n), "good": wrong + rng.normal(0, 0.5, n)})
    scores["same"] = scores["vote_share"]
    table = judge_scores(wrong, scores, n_resamples=200)
    return wrong, scores, table.set_index(["score", "measure"])


def test_judging_finds_the_better_score_and_only_that():
    wrong, scores, table = judged()
    assert table.loc[("good", "aurc"), "value"] == pytest.approx(
        compute_risk_coverage(wrong, scores["good"]).aurc
    )
    assert table.loc[("good", "aurc"), "difference_high"] < 0
    assert table.loc[("good", "caught_20"), "difference_low"] > 0
    assert table.loc[("good", "caught_20"), "excludes_zero"]
    for measure in ("aurc", "caught_20"):
        row = table.loc[("same", measure)]
        assert row["difference"] == 0
        assert row[["difference_low", "difference_high"]].isna().all()  # the same in every sample
        assert not row["excludes_zero"]
    _, expected = compute_referral(wrong, np.zeros(400, int), scores["good"], 0.2)
    assert table.loc[("good", "caught_20"), "value"] == pytest.approx(expected)
    inside = (table["low"] <= table["value"]) & (table["value"] <= table["high"])
    assert inside.all()


def test_patients_are_drawn_together():
    n = 60
    rng = np.random.default_rng(2)
    wrong, score = rng.random(n) < 0.3, rng.random(n)
    patients = np.repeat(np.arange(n), 4)
    wide = judge_scores(
        np.repeat(wrong, 4),
        pd.DataFrame({"vote_share": np.repeat(score, 4)}),
        groups=patients,
        n_resamples=200,
    )
    narrow = judge_scores(
        np.repeat(wrong, 4), pd.DataFrame({"vote_share": np.repeat(score, 4)}), n_resamples=200
    )
    assert wide["high"][0] - wide["low"][0] > 1.5 * (narrow["high"][0] - narrow["low"][0])


def test_no_errors_give_nan_shares():
    table = judge_scores(np.zeros(10, bool), pd.DataFrame({"vote_share": np.arange(10.0)}), n_resamples=20)
    assert table.set_index("measure").loc["aurc", "value"] == 0
    assert np.isnan(table.set_index("measure").loc["caught_20", "value"])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"Received \['votes'\]"):
        judge_scores([True], pd.DataFrame({"votes": [0.1]}))
    with pytest.raises(ValueError, match="Received nan"):
        compute_risk_coverage([True, False], [0.1, np.nan])
    with pytest.raises(ValueError, match=r"Received 1\.0"):
        compute_referral([1], [1], [0.2], 1.0)
