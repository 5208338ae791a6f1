import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from karyo_lib.judge import (
    UNCERTAINTIES,
    compute_scores,
    compute_uncertainties,
)

PASSES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.floats(0, 1, width=32),
)


def test_scores_by_hand():
    scores = compute_scores(np.array([[0.9, 0.4, 0.0], [0.7, 0.6, 0.0], [0.2, 0.3, 0.0], [0.8, 0.2, 0.0]]))
    assert scores["votes"].tolist() == [3, 1, 0]
    assert scores["label"].tolist() == [1, 0, 0]
    assert scores["confidence"].tolist() == [75, 75, 100]
    assert scores["p_mean"].to_numpy() == pytest.approx([0.65, 0.375, 0])
    assert scores["p_std"][0] == pytest.approx(np.std([0.9, 0.7, 0.2, 0.8]))
    assert scores["entropy"][0] == pytest.approx(entropy([0.65, 0.35], base=2))
    expected = np.mean([entropy([p, 1 - p], base=2) for p in (0.9, 0.7, 0.2, 0.8)])
    assert scores["expected_entropy"][0] == pytest.approx(expected)
    assert scores["mutual_information"][0] == pytest.approx(entropy([0.65, 0.35], base=2) - expected)
    assert scores["referred"].tolist() == [True, True, False]
    assert scores.loc[2, ["entropy", "mutual_information", "variance"]].eq(0).all()


def test_the_thesis_example_54_votes_of_100():
    passes = np.where(np.arange(100) < 54, 0.4, 0.6)[:, None]  # Table 4.2, image 0
    row = compute_scores(passes).iloc[0]
    assert (row["label"], row["confidence"], row["referred"]) == (0, 54, True)


def test_a_tie_goes_to_abnormal():
    assert compute_scores(np.array([[0.4], [0.6]]))["label"].tolist() == [1]


@given(PASSES)
@settings(max_examples=80, deadline=None)
def test_bounds_and_order_of_passes(passes):
    scores = compute_scores(passes)
    assert len(scores) == passes.shape[1]
    assert scores["confidence"].between(50, 100).all()
    assert (scores["mutual_information"] >= 0).all()
    assert (scores["mutual_information"] <= scores["entropy"] + 1e-9).all()
    np.testing.assert_allclose(
        scores["entropy"], (scores["expected_entropy"] + scores["mutual_information"]), atol=1e-9
    )
    turned = compute_uncertainties(scores)
    assert ((turned >= -1e-9) & (turned <= 1 + 1e-9)).all().all()
    shuffled = compute_scores(passes[::-1])
    np.testing.assert_allclose(shuffled["p_mean"], scores["p_mean"], atol=1e-12)
    assert shuffled["votes"].equals(scores["votes"])


@given(PASSES)
@settings(max_examples=40, deadline=None)
def test_uncertainty_is_the_same_for_the_opposite_class(passes):
    near_half = np.abs(passes - 0.5) < 1e-3  # a pass at the threshold votes abnormal both ways
    passes = np.where(near_half, 0.25, passes).astype(float)
    here, there = (compute_uncertainties(compute_scores(x)) for x in (passes, 1 - passes))
    np.testing.assert_allclose(here, there, atol=1e-9)


def test_one_member_has_no_disagreement():
    scores = compute_scores(np.array([[0.2, 0.8]], dtype=np.float32))
    assert scores["mutual_information"].eq(0).all()
    assert scores["confidence"].eq(100).all()


def test_titles_cover_the_uncertainties():
    turned = compute_uncertainties(compute_scores(np.full((3, 2), 0.3)))
    assert set(UNCERTAINTIES) == {*turned.columns, "combined"}


@pytest.mark.parametrize(
    ("passes", "message"),
    [
        (np.zeros(3), r"Received shape \(3,\)"),
        (np.zeros((0, 3)), r"Received shape \(0, 3\)"),
        (np.array([[0.1, 1.2]]), r"Received 1\.2 in pass 0, image 1"),
        (np.array([[0.1], [np.nan]]), "Received nan in pass 1, image 0"),
    ],
)
def test_bad_passes_are_named(passes, message):
    with pytest.raises(ValueError, match=message):
        compute_scores(passes)
