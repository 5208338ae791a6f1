import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from karyo_lib.judge.intervals import bootstrap_interval, compute_effective_n, draw_bootstrap_weights, wilson


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(counts, confidence):
    k, n = counts
    reference = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson(k, n, confidence) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_wilson_of_the_published_recall():
    low, high = wilson(5, 9)
    assert (round(low, 2), round(high, 2)) == (0.27, 0.81)


def test_wilson_of_nothing_is_nan_and_of_nonsense_an_error():
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match="successes=5"):
        wilson(5, 3)


def test_effective_n_is_the_number_of_patients_when_their_images_agree():
    patients = np.repeat(np.arange(40), 5)
    right = np.repeat(np.arange(40) % 4 != 0, 5)
    assert compute_effective_n(right, patients) == pytest.approx(39, abs=1e-6)  # G - 1 of G patients
    assert compute_effective_n(right, None) == 200
    assert compute_effective_n(np.ones(200, bool), patients) == 40


def test_effective_n_is_near_n_when_images_are_independent():
    rng = np.random.default_rng(0)
    values = [compute_effective_n(rng.random(400) < 0.7, np.repeat(np.arange(200), 2)) for _ in range(50)]
    assert np.mean(values) > 370


def test_bootstrap_weights_keep_patients_together_and_the_number_of_patients():
    groups = np.array(["a", "b", "a", "c", "c", "c"])
    weights = draw_bootstrap_weights(6, 50, 1, groups)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, draw_bootstrap_weights(6, 50, 1, groups))


def test_bootstrap_interval_of_a_mean_covers_as_promised():
    rng = np.random.default_rng(3)
    weights = draw_bootstrap_weights(80, 400, 0)
    hits = 0
    for _ in range(200):
        x = rng.normal(2, 1, 80)
        low, high = bootstrap_interval(lambda w, x=x: w @ x / w.sum(axis=1), weights)
        hits += low <= 2 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_samples_that_all_agree_give_no_interval():
    weights = draw_bootstrap_weights(6, 200, 0)
    assert np.isnan(bootstrap_interval(lambda w: np.ones(len(w)), weights)).all()


def test_bootstrap_interval_is_nan_where_most_samples_are_undefined():
    low, high = bootstrap_interval(
        lambda w: np.where(np.arange(len(w)) % 3 == 0, 1.0, np.nan), np.ones((30, 2))
    )
    assert np.isnan(low)
    assert np.isnan(high)
