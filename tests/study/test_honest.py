"""Leak, luck, shortcut and switches on small sets whose answers are known beforehand."""

import numpy as np
import pandas as pd
import pytest

from karyo_lib.files.split import make_splits
from karyo_lib.study.data import helps, luck, shortcut
from karyo_lib.study.data.helps import Variant, View
from karyo_lib.study.networks.probe import predict_probe

N_NORMAL, N_ABNORMAL, COPIES, CHANNELS = 60, 40, 4, 64


@pytest.fixture(scope="module")
def random_collection():
    """Karyograms whose features are noise: labels cannot be told, copies can be told by their parent."""
    rng = np.random.default_rng(7)
    index = pd.DataFrame({"image_id": [f"k{i:03d}" for i in range(N_NORMAL + N_ABNORMAL)]})
    index["patient_id"] = index["image_id"]
    index["label"] = ["normal"] * N_NORMAL + ["abnormal"] * N_ABNORMAL
    copies = pd.DataFrame(
        [
            {"image_id": parent if copy == 0 else f"{parent}-c{copy}", "parent_id": parent, "copy": copy}
            for parent in index["image_id"]
            for copy in range(COPIES)
        ]
    )
    parents = rng.normal(size=(len(index), CHANNELS)).repeat(COPIES, axis=0)
    features = parents + 0.3 * rng.normal(size=parents.shape)
    return index, copies, features


@pytest.fixture(scope="module")
def random_luck(random_collection):
    index, copies, features = random_collection
    splits = make_splits(index, copies, seed=5, repeats=20)
    return luck.measure_repeats({"VGG16": features}, pd.Index(copies["image_id"]), splits)


def test_on_shuffled_labels_the_leaky_protocol_still_looks_good_and_the_grouped_one_falls_to_chance(
    random_luck,
):
    table = luck.luck_table(random_luck).set_index(["condition", "protocol"])
    leaky = table.loc[("augmented-vgg16-frozen", "shuffled-thesis")]
    grouped = table.loc[("augmented-vgg16-frozen", "shuffled-grouped")]
    assert leaky["low"] > 0.7
    assert leaky["min"] > 0.65  # in every single run
    # Chance within four standard errors of the mean of twenty runs, and nowhere near the leaky protocol.
    assert abs(grouped["mean"] - 0.5) < 4 * grouped["sd"] / np.sqrt(grouped["runs"])
    assert grouped["low"] < 0.5 < grouped["high"]
    assert grouped["mean"] < leaky["mean"] - 0.2


def test_without_copies_there_is_nothing_to_leak(random_luck):
    table = luck.luck_table(random_luck).set_index(["condition", "protocol"])
    row = table.loc[("original-vgg16-frozen", "shuffled-thesis")]
    assert row["low"] < 0.5 < row["high"]


def test_the_conclusion_names_range_and_interval(random_luck):
    told = luck.describe_luck(random_luck)
    assert "20 splits by patient" in told
    assert "includes zero" in told


def test_paired_differences_are_those_of_the_columns():
    wide = pd.DataFrame({"a": [0.5, 0.6, 0.7], "b": [0.6, 0.8, 0.7]})
    row = luck.compare_columns(wide, {"b": "a"}).iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert (row["better_in"], row["splits"]) == (2, 3)
    assert row["low"] < 0.1 < row["high"]


def make_sets(seed: int, n: int = 60):
    """Noise, with one feature that tells the label on the annotated set and on no other."""
    rng = np.random.default_rng(seed)
    label = np.array(["normal", "abnormal"] * (n // 2))
    noise = rng.normal(size=(n, 16))
    sign = 6 * (label == "abnormal")
    features = {name: noise + 0.5 * rng.normal(size=noise.shape) for name in shortcut.TITLES}
    for name in ("annotated", "by-lab"):
        features[name] = features[name].copy()
        features[name][:, 0] += sign
    karyograms = pd.DataFrame({"label": label, "patient_id": np.arange(n).astype(str), "source": "drawn"})
    return features, karyograms


@pytest.fixture(scope="module")
def shortcut_runs():
    return shortcut.cross_validate(*make_sets(3), repeats=4, seed=0)


def test_a_shortcut_shows_within_and_not_across(shortcut_runs):
    rows = shortcut.shortcut_table(shortcut_runs).set_index(["trained_on", "test"])
    for name in ("annotated", "by-lab"):
        assert rows.loc[(shortcut.TITLES[name], shortcut.WITHIN), "low"] > 0.9
        assert rows.loc[(shortcut.TITLES[name], shortcut.ACROSS), "low"] < 0.5
    clean = rows.loc[(shortcut.TITLES["annotated-clean"], shortcut.WITHIN)]
    assert clean["low"] < 0.5 < clean["high"]
    told = shortcut.describe_shortcuts(shortcut_runs)
    assert "cannot be told from chance" in told
    assert "no shown performance back" in told


def test_real_aneuploid_cells_are_tested_and_not_trained_on():
    features, karyograms = make_sets(4)
    held = (karyograms["label"] == "abnormal") & (karyograms.index < 20)
    karyograms.loc[held, "source"] = "real-aneuploid"
    plain = shortcut.cross_validate(features, karyograms.assign(source="drawn"), repeats=1, seed=0)
    apart = shortcut.cross_validate(features, karyograms, repeats=1, seed=0)
    assert len(plain) == len(apart)
    assert not np.allclose(plain["value"], apart["value"])


def make_variants(rng, index):
    truth = (index["label"] == "abnormal").to_numpy()
    ids = index["image_id"].to_numpy()
    noise = rng.normal(size=(len(index), 8))
    telling = noise.copy()
    telling[:, 0] += 4 * truth
    plain, good = View(noise, ids, noise), View(telling, ids, telling)
    return [
        Variant(helps.BASELINE, (plain,), "", False, 0.1, "imagenet"),
        Variant("telling", (good,), helps.BASELINE, False, 0.1, "imagenet"),
        Variant("both", (plain, good), helps.BASELINE, True, 0.2, "random"),
    ]


def test_what_helps_is_found_and_told(random_collection):
    index, copies, _ = random_collection
    splits = make_splits(index, copies, seed=1, repeats=4)
    grouped = splits.query("protocol == 'grouped' and data == 'original'")
    table = helps.score_variants(make_variants(np.random.default_rng(2), index), index, grouped)
    rows = helps.helps_table(table).set_index("title")
    assert rows.loc["telling", "low"] > 0.2
    assert rows.loc["telling", "better_in"] == 4
    assert np.isnan(rows.loc[helps.BASELINE, "difference"])
    told = helps.describe_what_helps(table)
    assert "Better than its own reference" in told
    assert "both: from random weights" in told


def test_balanced_weights_raise_the_probability_of_the_rare_class():
    rng = np.random.default_rng(0)
    y = np.array([0] * 45 + [1] * 5)
    x = rng.normal(size=(50, 3)) + y[:, None]
    assert predict_probe(x, y, x, balanced=True).mean() > predict_probe(x, y, x).mean() + 0.1
