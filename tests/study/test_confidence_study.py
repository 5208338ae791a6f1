"""What notebook 06 tells, on scores made by hand: methods, calibration, promises, and who is referred."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from karyo_lib import study
from karyo_lib.judge import choose_threshold, compute_scores
from karyo_lib.study.confidence.judgement import describe_ceiling
from karyo_lib.study.confidence.samples import Passes, alter_pages, combine_scores, wrong_cases
from karyo_lib.study.confidence.shifts import ALPHAS, HONEST, LEAKY, NO_KARYOGRAMS, Shifts, find_strictest
from karyo_lib.study.data.unseen import Unseen, draw_strangers, halve, make_shifts

VGG16 = "augmented-vgg16-frozen"


def make_scores(rng, n=60, t=40, flipped=0.3, skill=3.0, split=(0.5, 0.5)) -> pd.DataFrame:
    """Passes whose spread is larger where the truth is missed."""
    y = rng.integers(0, 2, n)
    wrong = rng.random(n) < flipped
    centre = np.where(y ^ wrong, 1, -1) * np.where(wrong, 0.6, skill)
    passes = 1 / (1 + np.exp(-(centre + rng.normal(size=(t, n)))))
    names = [f"k{i:03}" for i in range(n)]
    known = {"image_id": names, "patient_id": names, "y_true": y, "repeat": 0, "protocol": "grouped"}
    table = compute_scores(passes).assign(**known, condition=VGG16)
    table["part"] = np.where(np.arange(n) < split[0] * n, "val", "test")
    return combine_scores(table)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def comparison(rng):
    tables = [
        make_scores(rng, flipped=share).assign(method=method, title=method)
        for method, share in (("dropout", 0.3), ("bases", 0.2))
    ]
    scores = pd.concat(tables, ignore_index=True)
    answers = pd.DataFrame(
        {"method": ["dropout", "bases"], "condition": VGG16, "answers": [40, 10], "seconds": 1.0}
    )
    return study.confidence.samples.Comparison(scores, answers, SimpleNamespace(pair=(VGG16,)))


def test_one_table_holds_every_method_and_score(comparison):
    table = study.confidence.judgement.method_table(comparison, 50)
    assert len(table) == 2 * 7
    for method, rows in table.groupby("method"):
        test = comparison.pool(method, VGG16)
        errors = int((test["label"] != test["y_true"]).sum())
        assert set(rows["errors"]) == {errors}
        found = ((test["label"] == 1) & (test["y_true"] == 1)).sum() / (test["y_true"] == 1).sum()
        assert rows["sensitivity_before"].iloc[0] == pytest.approx(found)
    votes = table[table["score"] == "Vote share (thesis)"]
    np.testing.assert_array_equal(votes["against_votes"], 0)
    assert (table["sensitivity_with_specialist"] >= table["sensitivity_before"] - 1e-12).all()


def test_the_words_on_methods_say_what_the_table_says(comparison):
    table = study.confidence.judgement.method_table(comparison, 50)
    told = study.confidence.judgement.describe_methods(table)
    assert f"is {table['aurc'].min():.2f} [" in told
    table[["against_votes_low", "against_votes_high"]] = -0.2, -0.1
    assert "excludes zero, in 2 of 2 methods" in study.confidence.judgement.describe_methods(table)
    table[["against_votes_low", "against_votes_high"]] = -0.2, 0.1
    assert "excludes zero, in 0 of 2 methods" in study.confidence.judgement.describe_methods(table)


def test_the_ceiling_by_hand():
    rows = pd.DataFrame(
        {"y_true": [1, 1, 0, 0, 0, 0, 0, 0, 0, 1], "label": [0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
         "p_mean": np.linspace(0, 1, 10), "condition": VGG16, "repeat": 0}
    )  # fmt: skip
    told = " ".join(describe_ceiling(rows, votes=0.3))
    assert "out of reach" not in told
    assert "out of reach" in describe_ceiling(rows, votes=0.4)[-1]
    assert "30% of the 10 answers are wrong" in told
    assert "a perfect score would catch 67% of the errors at 20% referral" in told


def test_calibration_looks_at_validation_alone(comparison):
    before = study.confidence.judgement.calibrate(comparison)
    scores = comparison.scores
    flipped = scores.assign(y_true=np.where(scores["part"] == "test", 1 - scores["y_true"], scores["y_true"]))
    after = study.confidence.judgement.calibrate(
        study.confidence.samples.Comparison(flipped, comparison.answers, comparison.panel)
    )
    for column in ("before", "temperature", "isotonic"):
        np.testing.assert_array_equal(before[column], after[column])
    assert set(before["image_id"]) == set(comparison.pool("bases", VGG16)["image_id"])
    table = study.confidence.judgement.calibration_table(before, 50)
    brier = table[table["title"].str.contains("Brier")].set_index("calibration")["value"]
    assert brier["before"] == pytest.approx(((before["before"] - before["y_true"]) ** 2).mean())
    display = study.confidence.judgement.calibration_display(before)
    assert list(display.displays_) == ["before", "temperature", "isotonic"]
    plt.close(display.figure_)


def test_wrong_cases_are_the_wrong_test_images_with_all_scores(rng):
    scores = make_scores(rng)
    both = pd.concat([scores.assign(protocol="thesis"), scores])
    passes = Passes(both, pd.DataFrame({"seconds": [0.1]}), 40)
    table = wrong_cases(passes, VGG16)
    test = scores[scores["part"] == "test"]
    wrong = test[test["label"] != test["y_true"]]
    for _, rows in table.groupby("split", sort=False):
        assert set(rows["image"]) == set(wrong["image_id"])
        assert rows["confidence_score"].is_monotonic_increasing
    counted = study.confidence.samples.count_wrong(passes).set_index("split")
    assert counted.index.tolist() == ["printed", "the thesis's", "by patient"]
    assert counted.loc["printed", ["images", "errors", "referred"]].tolist() == [139, 4, 0]
    assert counted.loc["by patient", "errors"] == len(wrong)
    assert counted.loc["by patient", "referred"] == wrong["referred"].sum()


def test_the_same_page_is_altered_the_same_way_in_any_company(rng):
    pages = list(rng.integers(0, 256, (3, 32, 32), dtype=np.uint8))
    together, alone = alter_pages(pages, 1, 5), alter_pages(pages[2:], 1, 5)
    np.testing.assert_array_equal(together[2], alone[0])
    assert (alter_pages(pages, 2, 5)[0] != together[0]).any()


# shifts


def make_unseen(rng, n=24) -> Unseen:
    patients = [f"P{i // 2}" for i in range(n)]  # two pages a patient
    table = pd.DataFrame(
        {"image_id": [f"u{i}" for i in range(n)], "patient_id": patients, "iscn": "46,XY",
         "label": np.where(np.arange(n) % 6 < 2, "abnormal", "normal"), "seed": range(n), "source": "drawn"}
    )  # fmt: skip
    table["y_true"] = (table["label"] == "abnormal").astype(int)
    return Unseen(halve(table, 1), rng.integers(0, 256, (n, 128, 128), dtype=np.uint8), "made", fresh=False)


def test_no_patient_stands_in_both_halves_and_each_half_has_both_labels(rng):
    table = make_unseen(rng).table
    assert table.groupby("patient_id")["half"].nunique().max() == 1
    assert (table.groupby("half")["y_true"].nunique() == 2).all()


def test_shifts_alter_pages_and_keep_their_labels(rng):
    unseen = make_unseen(rng)
    run = SimpleNamespace(seed=1, bank="", settings=SimpleNamespace(image_size=128, level=550))
    shifts = make_shifts(run, unseen)
    pages, y = shifts["as trained"]
    assert len(pages) == len(y) == (unseen.table["half"] == "check").sum()
    blurred, _ = shifts["blur, 2 px"]
    assert blurred.std() < pages.std()
    noisy, y_noisy = shifts["noise, 15 % of pixels"]
    assert len(noisy) == len(y_noisy)
    assert set(y_noisy) == {0, 1}
    assert shifts[NO_KARYOGRAMS][1] is None
    fresh = Unseen(unseen.table, unseen.images, "made", fresh=True)
    restyled, _ = make_shifts(run, fresh)["fluorescence, not trained on"]
    assert np.median(restyled[0]) < 100  # bright chromosomes on black


def test_strangers_differ_in_kind_and_are_the_same_again():
    pages = draw_strangers(128, seed=4, of_a_kind=2)
    assert pages.shape == (8, 128, 128)
    assert pages.dtype == np.uint8
    np.testing.assert_array_equal(pages, draw_strangers(128, seed=4, of_a_kind=2))
    blank, text, photograph, metaphase = pages[0], pages[2], pages[4], pages[6]
    assert blank.std() < 5 < text.std()
    assert photograph.std() > 30
    assert (metaphase < 128).any()


def make_shift_scores(rng) -> pd.DataFrame:
    tables = []
    for name, flipped in (("as trained", 0.1), ("blur, 2 px", 0.5), (NO_KARYOGRAMS, 0.3)):
        scores = make_scores(rng, n=30, flipped=flipped)
        scores = scores.assign(
            shift=name, method="dropout", title="Monte Carlo dropout", by_votes=scores["referred"],
            by_combined=False, by_novelty=name == NO_KARYOGRAMS,
        )  # fmt: skip
        tables.append(scores.assign(y_true=np.nan) if name == NO_KARYOGRAMS else scores)
    return pd.concat(tables, ignore_index=True)


def test_shift_table_and_words_by_hand(rng):
    scores = make_shift_scores(rng)
    shifts = Shifts(scores, {}, make_unseen(rng))
    table = study.confidence.shifts.shift_table(shifts).set_index("pages")
    blurred = scores[scores["shift"] == "blur, 2 px"]
    assert table.loc["blur, 2 px", "error_rate"] == (blurred["label"] != blurred["y_true"]).mean()
    assert np.isnan(table.loc[NO_KARYOGRAMS, "error_rate"])
    assert table.loc[NO_KARYOGRAMS, "referred_combined_or_novelty"] == 1
    told = study.confidence.shifts.describe_shifts(shifts)
    assert "the distance to the training pages refers 100%" in told[0]
    assert (
        told[-1]
        == "Unnoticed by the models' own doubts, more answers are wrong and no more referred: blur, 2 px."
    )
    display = study.confidence.judgement.referral_by_shift(shifts)
    rows = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert rows == ["as trained", "blur, 2 px", NO_KARYOGRAMS]
    plt.close(display.figure_)
    curves = study.confidence.judgement.shift_risk_coverage(shifts)
    assert set(curves.lines_) == {"as trained", "blur, 2 px"}
    plt.close(curves.figure_)


# promises


def test_promises_given_broken_and_refused_are_told(rng):
    y = np.r_[np.zeros(300, int), np.ones(60, int)]
    good = np.r_[rng.uniform(0, 0.6, 300), rng.uniform(0.5, 1, 60)]
    bad = rng.random(360)
    promises = {(LEAKY, a): choose_threshold(good, y, alpha=a) for a in ALPHAS}
    promises |= {(HONEST, a): choose_threshold(bad[:5], y[::72], alpha=a) for a in ALPHAS}
    checks = pd.DataFrame(
        [{"models": LEAKY, "alpha": 0.01, "checked_on": "patients not in the run", "n": 100, "n_cleared": 50,
          "misses": 20, "rate": 0.4, "low": 0.26, "high": 0.55, "verdict": "broken"}]
    )  # fmt: skip
    result = study.confidence.shifts.Promises(promises, checks, {HONEST: "one half", LEAKY: "copies"})
    assert find_strictest(promises, LEAKY).alpha == min(a for (m, a), p in promises.items()
                                                if m == LEAKY and p.threshold is not None)  # fmt: skip
    table = study.confidence.shifts.promise_table(result)
    assert len(table) == 2 * len(ALPHAS)
    told = " ".join(study.confidence.shifts.describe_promises(result))
    assert "No threshold can promise" in told
    assert "**Broken** on patients not in the run" in told


def test_a_changed_order_after_calibration_is_told():
    def table(auc):
        rows = [
            (name, title, value)
            for name, area in zip(("before", "temperature", "isotonic"), auc, strict=True)
            for title, value in (
                ("ROC-AUC", area), ("Brier score", 0.15), ("Expected calibration error", 0.1),
            )
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["calibration", "title", "value"])

    told = study.confidence.judgement.describe_calibration(table([0.835, 0.761, 0.776]))
    assert "The order changes" in told
    assert "0.835 becomes 0.761 by temperature, 0.776 by isotonic" in told
    assert "order of the images stays" in study.confidence.judgement.describe_calibration(
        table([0.8, 0.8, 0.801])
    )
