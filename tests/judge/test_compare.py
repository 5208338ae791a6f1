import numpy as np
import pandas as pd
import pytest

from karyo_lib.judge import compare_conditions, summarise_runs
from karyo_lib.judge.metrics import compute_mcnemar


def test_mcnemar_by_hand():
    y = np.ones(10, int)
    a = np.r_[np.ones(9, int), 0]
    b = np.r_[np.zeros(6, int), np.ones(4, int)]
    only_a, only_b, p_value = compute_mcnemar(y, a, b)
    assert (only_a, only_b) == (6, 1)
    assert p_value == pytest.approx(2 * (1 + 7) / 2**7)
    assert compute_mcnemar(y, a, a)[2] == 1.0


def test_paired_difference_is_zero_of_itself_and_antisymmetric():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    a = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, 80), 0, 1)
    b = np.clip(0.5 + 0.8 * (y - 0.5) + rng.normal(0, 0.2, 80), 0, 1)
    same = compare_conditions(y, a, a, n_resamples=100)
    assert same["difference"] == 0
    assert not same["excludes_zero"]
    forth = compare_conditions(y, a, b, n_resamples=500)
    back = compare_conditions(y, b, a, n_resamples=500)
    assert forth["difference"] == -back["difference"]
    np.testing.assert_allclose(forth["low"], -back["high"], atol=1e-12)
    assert forth["excludes_zero"]
    assert forth["low"] > 0
    assert "McNemar" in forth["mcnemar"]


def test_pairing_narrows_the_interval_of_nearly_equal_conditions():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 100)
    a = np.clip(0.5 + 0.4 * (y - 0.5) + rng.normal(0, 0.3, 100), 0, 1)
    b = np.clip(a + rng.normal(0, 0.01, 100), 0, 1)
    row = compare_conditions(y, a, b, n_resamples=300)
    assert row["high"] - row["low"] < 0.05


def test_comparison_without_a_class_is_nan_not_an_error():
    row = compare_conditions(np.zeros(4, int), np.full(4, 0.2), np.full(4, 0.3), n_resamples=10)
    assert np.isnan([row["difference"], row["low"], row["high"]]).all()
    assert not row["excludes_zero"]


def test_runs_summary_by_hand():
    runs = pd.DataFrame({"condition": list("aaab"), "value": [0.5, 0.6, 0.7, np.nan]})
    table = summarise_runs(runs, ["condition"], test_share=0.2).set_index("condition")
    assert table.loc["a", "mean"] == pytest.approx(0.6)
    assert table.loc["a", "sd"] == pytest.approx(0.1)
    half = 4.302652729 * 0.1 * np.sqrt(1 / 3 + 0.25)  # t(2) with Nadeau and Bengio's correction
    assert table.loc["a", "high"] - table.loc["a", "mean"] == pytest.approx(half)
    assert (table.loc["b", "runs"], table.loc["b", "undefined"]) == (0, 1)
    assert np.isnan(table.loc["b", "low"])
