"""Leak, luck, shortcut and switches on small sets whose answers are known beforehand."""

import numpy as np
import pandas as pd
import pytest

from karyo_lib.files.split import make_splits
from karyo_lib.study.networks import helps, luck, shortcut
from karyo_lib.study.networks.helps import Variant, View
from karyo_lib.study.networks.luck import predict_probe

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
    source = pd.Series("drawn", index["image_id"])
    predicted = luck.predict_splits({"VGG16": features}, pd.Index(copies["image_id"]), splits)
    return luck.measure_repeats(predicted, source)


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


@pytest.fixture(scope="module")
def by_source():
    """Karyograms of two sources that can be told apart, one of them mostly abnormal; nothing is true."""
    rng = np.random.default_rng(3)
    label = np.repeat(["normal", "abnormal", "normal", "abnormal"], [75, 9, 30, 32])
    source = np.repeat(["lab", "internet"], [84, 62])
    index = pd.DataFrame({"image_id": [f"k{i:03d}" for i in range(146)], "label": label, "source": source})
    index["patient_id"] = index["image_id"]
    copies = index.loc[index.index.repeat(COPIES), ["image_id"]].rename(columns={"image_id": "parent_id"})
    copies["copy"] = np.tile(np.arange(COPIES), 146)
    copies["image_id"] = copies["parent_id"].where(
        copies["copy"] == 0, copies["parent_id"] + "-c" + copies["copy"].astype(str)
    )
    parents = rng.normal(size=(146, CHANNELS))
    parents[:, 0] += 8 * (source == "lab")
    features = parents.repeat(COPIES, axis=0) + 0.3 * rng.normal(size=(146 * COPIES, CHANNELS))
    splits = make_splits(index, copies, seed=5, repeats=10)
    ids, where = pd.Index(copies["image_id"]), index.set_index("image_id")["source"]
    predicted = luck.predict_splits({"VGG16": features}, ids, splits)
    return luck.measure_repeats(predicted, where), luck.measure_apart(predicted, where, 200)


def test_leak_source_and_truth_are_told_apart(by_source):
    worth = luck.worth_table(*by_source)
    worth = worth[worth["condition"] == luck.HEADLINE].set_index("part")
    assert worth.loc["leak", "low"] > 0
    assert worth.loc["source", "value"] > 0.05
    assert worth.loc["truth", "low"] < 0 < worth.loc["truth", "high"]
    story = luck.story_table(*by_source)
    story = story[story["condition"] == luck.HEADLINE].set_index("step")["value"]
    assert story["printed"] == 0.99
    assert story["thesis"] > story["grouped"] > story["apart"]
    assert worth["value"].sum() == pytest.approx(story["thesis"] - luck.CHANCE)
    assert story["within"] == pytest.approx(0.5, abs=0.15)
    told = luck.describe_story(*by_source)
    assert told[0].startswith("The leak is worth 0.")
    assert "it measures memory" in told[1]
    assert told[2].startswith("The source is worth 0.")
    assert told[3].startswith("Nothing true is shown to be left")


def test_where_the_source_says_nothing_there_is_none_to_tell(random_luck):
    told = luck.describe_story(random_luck, pd.DataFrame(columns=["condition", "away"]))
    assert told[-1] == "All karyograms come from one source, so that none can be held apart."
    assert list(luck.show_worth(random_luck, pd.DataFrame()).columns) == ["condition", "printed", "leak"]


def test_auc_within_counts_pairs_of_one_source_alone():
    y, p = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.8, 0.7])
    source = np.array(["a", "a", "b", "b"])
    assert luck.auc_within(y, p, source)[0] == 0.5  # right in a, wrong in b
    assert luck.auc_within(y, np.array([0.1, 0.2, 0.3, 0.7]), np.full(4, "a"))[0] == 0.75
    assert np.isnan(luck.auc_within(y, p, np.arange(4))[0])
    weights = np.array([[1, 1, 0, 1], [1, 1, 1, 1]])
    assert luck.auc_within(y, p, source, weights).tolist() == [1.0, 0.5]


def test_without_copies_there_is_nothing_to_leak(random_luck):
    table = luck.luck_table(random_luck).set_index(["condition", "protocol"])
    row = table.loc[("original-vgg16-frozen", "shuffled-thesis")]
    assert row["low"] < 0.5 < row["high"]


def test_the_conclusion_names_range_and_interval(random_luck):
    told = luck.describe_luck(random_luck)
    assert "20 splits by patient" in told
    assert "Nothing is shown to help" in told


def test_paired_differences_are_those_of_the_columns():
    wide = pd.DataFrame({"a": [0.5, 0.6, 0.7], "b": [0.6, 0.8, 0.7]})
    row = luck.compare_columns(wide, {"b": "a"}).iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert (row["better_in"], row["splits"]) == (2, 3)
    assert row["low"] < 0.1 < row["high"]


def make_sets(seed: int, n: int = 60):
    """Noise, with one feature that tells the label on the set with the thesis's sources and on no other."""
    rng = np.random.default_rng(seed)
    label = np.array(["normal", "abnormal"] * (n // 2))
    noise = rng.normal(size=(n, 16))
    sign = 6 * (label == "abnormal")
    features = {name: noise + 0.5 * rng.normal(size=noise.shape) for name in shortcut.TITLES}
    features["thesis"] = features["thesis"].copy()
    features["thesis"][:, 0] += sign
    karyograms = pd.DataFrame({"label": label, "patient_id": np.arange(n).astype(str), "origin": "drawn"})
    return features, karyograms


@pytest.fixture(scope="module")
def shortcut_runs():
    return shortcut.cross_validate(*make_sets(3), repeats=4, seed=0)


def test_a_shortcut_shows_within_and_not_across(shortcut_runs):
    rows = shortcut.shortcut_table(shortcut_runs).set_index(["trained_on", "test"])
    assert rows.loc[(shortcut.TITLES["thesis"], shortcut.WITHIN), "low"] > 0.9
    assert rows.loc[(shortcut.TITLES["thesis"], shortcut.ACROSS), "low"] < 0.5
    clean = rows.loc[(shortcut.TITLES["thesis-clean"], shortcut.WITHIN)]
    assert clean["low"] < 0.5 < clean["high"]
    told = shortcut.describe_shortcuts(shortcut_runs)
    assert "cannot be told from chance" in told


def test_real_aneuploid_cells_are_tested_and_not_trained_on():
    features, karyograms = make_sets(4)
    held = (karyograms["label"] == "abnormal") & (karyograms.index < 20)
    karyograms.loc[held, "origin"] = "real-aneuploid"
    plain = shortcut.cross_validate(features, karyograms.assign(origin="drawn"), repeats=1, seed=0)
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
