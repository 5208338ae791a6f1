import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from karyo_lib.judge import compute_metrics, compute_metrics_by_group, metrics
from karyo_lib.judge.intervals import wilson
from karyo_lib.judge.metrics import METRIC_COLUMNS, compute_ppv_at_prevalence


def one_row(y):
    return np.ones((1, len(y)))


def predictions(seed, n=60, distinct=7):
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, rng.integers(0, 2, n - 2)]
    return y, rng.integers(0, distinct, n) / (distinct - 1)


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_areas_equal_scikit_learn_ties_and_weights_included(seed, distinct):
    y, p = predictions(seed, distinct=distinct)
    w = np.random.default_rng(seed + 1).integers(0, 4, (3, y.size)).astype(float)
    w[:, :2] = 1
    for i in range(3):
        assert metrics.roc_auc(y, p, w)[i] == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w[i]))
        expected = sk.average_precision_score(y, p, sample_weight=w[i])
        assert metrics.average_precision(y, p, w)[i] == pytest.approx(expected)
        assert metrics.brier(y, p, w)[i] == pytest.approx(sk.brier_score_loss(y, p, sample_weight=w[i]))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_operating_points_equal_a_search_over_all_thresholds(seed):
    y, p = predictions(seed)
    tpr, fpr = [0.0], [0.0]
    for t in np.unique(p)[::-1]:
        tpr.append(np.mean(p[y == 1] >= t))
        fpr.append(np.mean(p[y == 0] >= t))
    tpr, fpr = np.array(tpr), np.array(fpr)
    best = tpr[1 - fpr >= 0.95 - 1e-12].max()
    assert metrics.sensitivity_at_specificity(y, p, one_row(y))[0] == pytest.approx(best)
    cleared = (1 - fpr[tpr >= 0.99 - 1e-12]).max()
    assert metrics.normal_cleared_at_sensitivity(y, p, one_row(y))[0] == pytest.approx(cleared)


def test_calibration_error_by_hand():
    y = np.array([0, 1, 1, 1])
    p = np.array([0.05, 0.05, 0.95, 0.95])  # first bin: 0.5 seen, 0.05 said; last bin: 1 seen, 0.95 said
    assert metrics.expected_calibration_error(y, p, one_row(y))[0] == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)


def test_table_by_hand():
    y = np.array([1] * 9 + [0] * 21)
    p = np.array([0.9] * 5 + [0.1] * 4 + [0.8] + [0.2] * 20)  # the published matrix: 5 TP, 4 FN, 1 FP, 20 TN
    table = compute_metrics(y, p, n_resamples=200).set_index("metric")
    assert list(table.reset_index().columns) == METRIC_COLUMNS
    assert table.loc["sensitivity", "value"] == pytest.approx(5 / 9)
    assert tuple(table.loc["sensitivity", ["low", "high"]]) == pytest.approx(wilson(5, 9))
    assert table.loc["specificity", "value"] == pytest.approx(20 / 21)
    assert table.loc["ppv", "value"] == pytest.approx(5 / 6)
    assert table.loc["npv", "value"] == pytest.approx(20 / 24)
    assert table.loc["accuracy", "value"] == pytest.approx(25 / 30)
    expected = (5 / 9 * 0.01) / (5 / 9 * 0.01 + 1 / 21 * 0.99)
    assert table.loc["ppv_at_0.01", "value"] == pytest.approx(expected)
    inside = (table["low"] <= table["value"] + 1e-12) & (table["value"] <= table["high"] + 1e-12)
    unknown = table.index[table["low"].isna()]  # nought in every bootstrap sample
    assert unknown.tolist() == ["normal_cleared_at_99_sensitivity"]
    assert "cannot be told from so few" in table.loc[unknown[0], "note"]
    assert inside.drop(unknown).all()
    wide = table.drop(
        index="normal_cleared_at_99_sensitivity"
    )  # 0 in every sample: no threshold clears anything
    assert (wide["low"] < wide["high"]).all()


@pytest.mark.parametrize(
    ("y", "undefined", "reason"),
    [
        (np.zeros(5, int), ["sensitivity", "roc_auc", "pr_auc", "ppv_at_0.1"], "no abnormal image"),
        (np.ones(5, int), ["specificity", "roc_auc", "normal_cleared_at_99_sensitivity"], "no normal image"),
        (np.array([], int), ["accuracy", "brier", "roc_auc"], "no image"),
    ],
)
def test_missing_class_gives_nan_with_a_reason(y, undefined, reason):
    table = compute_metrics(y, np.linspace(0.1, 0.4, y.size), n_resamples=20).set_index("metric")
    for metric in undefined:
        assert np.isnan(table.loc[metric, "value"]), metric
        assert table.loc[metric, "note"] in (reason, "no abnormal image"), metric
        assert np.isnan(table.loc[metric, "low"])


def test_perfect_separation_says_that_the_bootstrap_is_blind():
    table = compute_metrics([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], n_resamples=50).set_index("metric")
    assert table.loc["roc_auc", "value"] == 1
    assert "cannot see" in table.loc["roc_auc", "note"]
    assert table.loc["sensitivity", "low"] < 0.6


def test_copies_of_one_patient_widen_the_intervals():
    y, p = predictions(4, n=40)
    y5, p5, patient = np.repeat(y, 5), np.repeat(p, 5), np.repeat(np.arange(40), 5)
    naive = compute_metrics(y5, p5, n_resamples=400).set_index("metric")
    honest = compute_metrics(y5, p5, groups=patient, n_resamples=400).set_index("metric")
    for metric in ("sensitivity", "accuracy", "roc_auc", "brier", "ppv_at_0.1"):
        width = honest.loc[metric, "high"] - honest.loc[metric, "low"]
        assert width > 1.5 * (naive.loc[metric, "high"] - naive.loc[metric, "low"]), metric
        assert honest.loc[metric, "value"] == pytest.approx(naive.loc[metric, "value"])


def test_same_seed_same_table():
    y, p = predictions(9)
    assert compute_metrics(y, p, n_resamples=50).equals(compute_metrics(y, p, n_resamples=50))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.5], r"Received \(2,\) and \(1,\)"),
        ([0, 2], [0.5, 0.5], r"Received \[2\]"),
        ([0, 1], [0.5, np.nan], "Received nan"),
        ([0, 1], [0.5, 1.5], r"Received 1\.5"),
    ],
)
def test_bad_input_is_named(y, p, message):
    with pytest.raises(ValueError, match=message):
        compute_metrics(np.array(y), np.array(p))


@pytest.mark.parametrize(("sens", "spec"), [(0.85, 0.9), (0.95, 0.99), (0.3, 0.95)])
def test_ppv_interval_covers_near_its_level(sens, spec):
    rng = np.random.default_rng(5)
    prevalence, hits = 0.1, 0
    truth = sens * prevalence / (sens * prevalence + (1 - spec) * (1 - prevalence))
    for _ in range(400):
        a, b = rng.binomial(59, sens) / 59, rng.binomial(80, spec) / 80
        value, low, high = compute_ppv_at_prevalence(a, 59, b, 80, prevalence)
        assert low <= value <= high
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.99


def test_groups_of_abnormality_show_what_the_pool_hides():
    y = np.array([0] * 20 + [1] * 20)
    kinds = np.array(["whatever"] * 20 + ["trisomy"] * 12 + ["inversion"] * 8)
    p = np.r_[np.linspace(0, 0.4, 20), np.full(12, 0.9), np.linspace(0, 0.4, 8)]
    table = compute_metrics_by_group(y, p, kinds, n_resamples=200)
    assert table["group"].tolist() == ["trisomy", "inversion", "normal"]
    by = table.set_index("group")
    assert by.loc["trisomy", "share_right"] == 1
    assert by.loc["trisomy", "roc_auc"] == 1
    assert by.loc["inversion", "share_right"] == 0
    assert by.loc["inversion", "roc_auc_low"] < 0.5 < by.loc["inversion", "roc_auc_high"]
    assert by.loc["normal", "share_right"] == 1
    assert by["n"].tolist() == [12, 8, 20]
    with pytest.raises(ValueError, match="kinds of shape"):
        compute_metrics_by_group(y, p, kinds[:3])
