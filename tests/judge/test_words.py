import numpy as np
import pandas as pd
import pytest

from karyo_lib.judge import (
    compute_metrics,
    compute_metrics_by_group,
    describe_best,
    describe_differences,
    describe_groups,
    describe_referral,
    format_interval,
    judge_scores,
)


def conditions(low):
    return pd.DataFrame(
        {
            "title": ["VGG16 frozen", "InceptionV3 frozen", "failed"],
            "value": [0.56, 0.52, np.nan],
            "low": [low, 0.40, np.nan],
            "high": [0.70, 0.66, np.nan],
        }
    )


def test_the_best_condition_and_chance():
    assert describe_best(conditions(0.41), "Split by patient") == (
        "Split by patient, the best condition is VGG16 frozen with AUC 0.56 [0.41, 0.70] "
        "(the best of 2, and therefore flattered), an interval that includes chance (0.5)."
    )
    assert "an interval above chance" in describe_best(conditions(0.51), "Split by patient")
    assert describe_best(conditions(0.4)[2:], "Here") == "Here, no condition has a defined AUC."
    alone = describe_best(conditions(0.41)[:1], "Here")
    assert "the condition is" in alone
    assert "flattered" not in alone


def test_what_helped_and_what_cannot_be_told():
    table = pd.DataFrame(
        {
            "title": ["416 px", "compact layout", "ensemble", "not run"],
            "difference": [0.2, 0.01, -0.1, np.nan],
            "low": [0.1, -0.05, -0.2, np.nan],
            "high": [0.3, 0.07, -0.02, np.nan],
        }
    )
    text = describe_differences(table, baseline="150 px")
    assert "Better than 150 px in AUC: 416 px (+0.20 [+0.10, +0.30])." in text
    assert "Worse: ensemble (-0.10 [-0.20, -0.02])." in text
    assert "Of 1 others the interval of the difference includes zero." in text
    assert "not corrected for the number of comparisons" in text
    assert "Nothing is shown to help against 150 px." in describe_differences(table[1:2], baseline="150 px")
    assert "No change can be set" in describe_differences(table[3:])


def test_groups_in_words():
    y = np.r_[np.zeros(10, int), np.ones(14, int)]
    kinds = np.array(["normal"] * 10 + ["trisomy"] * 11 + ["inversion"] * 3)
    p = np.r_[np.full(10, 0.1), np.full(11, 0.9), np.full(3, 0.2)]
    text = describe_groups(compute_metrics_by_group(y, p, kinds, n_resamples=20))
    assert "Of 14 abnormal images 11 are found (79%)." in text
    assert "Not one image is found of inversion." in text
    assert "1 of 2 groups have fewer than ten images" in text
    assert "no abnormal image" in describe_groups(compute_metrics_by_group(y[:10], p[:10], kinds[:10]))


@pytest.mark.parametrize(("signal", "verdict"), [(2.0, "both aims are met."), (0.0, "neither aim is met.")])
def test_referral_in_words(signal, verdict):
    rng = np.random.default_rng(3)
    wrong = rng.random(300) < 0.15
    scores = pd.DataFrame({"vote_share": rng.random(300), "combined": signal * wrong + rng.random(300)})
    text = describe_referral(judge_scores(wrong, scores, n_resamples=200))
    assert verdict in text.split(" At 20 %")[0]
    assert "At 20 % referral the combined score catches" in text


def test_referral_without_errors():
    table = judge_scores(
        np.zeros(20, bool), pd.DataFrame({"vote_share": np.zeros(20), "combined": np.arange(20.0)})
    )
    assert "No answer is wrong" in describe_referral(table)


def test_values_in_words():
    assert format_interval(0.5555, 0.409, 0.7) == "0.56 [0.41, 0.70]"
    assert format_interval(0.5, np.nan, 1) == format_interval(0.5) == "0.50"
    assert format_interval(np.nan, 0, 1) == "not defined"


def test_an_interval_without_width_is_not_called_above_chance():
    y, p = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.1, 0.3, 0.8, 0.9])
    auc = compute_metrics(y, p).query("metric == 'roc_auc'").assign(title="reader")
    assert describe_best(auc, "Here") == (
        "Here, the condition is reader with AUC 1.00, an interval that cannot be told from so few."
    )
    table = pd.DataFrame({"title": ["class weights"], "difference": [0.0], "low": np.nan, "high": np.nan})
    assert "Of 1 the interval cannot be told from so few." in describe_differences(table)
