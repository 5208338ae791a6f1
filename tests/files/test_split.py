"""Splits: the thesis's sizes, no leak under the grouped protocols, labels permuted by parent, errors."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.files.split import PARTS, PROTOCOLS, SPLIT_COLUMNS, LeakError, check_no_leak, make_splits


def make_index(normal=105, abnormal=41, patients=None):
    ids = [f"k{i:04d}" for i in range(normal + abnormal)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "label": ["normal"] * normal + ["abnormal"] * abnormal,
            "patient_id": ids if patients is None else [f"p{p}" for p in patients],
        }
    )


def make_augmented(index, normal=376, abnormal=316):
    rows = []
    for label, total in (("normal", normal), ("abnormal", abnormal)):
        parents = index.loc[index["label"] == label, "image_id"].to_list()
        for number in range(total):
            copy, parent = divmod(number, len(parents))
            image_id = f"{parents[parent]}-c{copy}" if copy else parents[parent]
            rows.append((image_id, parents[parent], copy))
    return pd.DataFrame(rows, columns=["image_id", "parent_id", "copy"])


@pytest.fixture(scope="module")
def alpha():
    index = make_index()
    augmented = make_augmented(index)
    return index, augmented, make_splits(index, augmented, seed=7, repeats=3)


def part_sizes(splits, data, protocol, repeat=0):
    rows = splits.query("data == @data and protocol == @protocol and repeat == @repeat")
    return tuple(rows["part"].value_counts()[list(PARTS)])


def test_sizes_of_the_thesis(alpha):
    _, _, splits = alpha
    assert tuple(splits.columns) == SPLIT_COLUMNS
    for repeat in range(3):
        for protocol in PROTOCOLS:
            assert part_sizes(splits, "original", protocol, repeat) == (92, 24, 30)
        for protocol in ("thesis", "shuffled-thesis"):
            assert part_sizes(splits, "augmented", protocol, repeat) == (442, 111, 139)
        for protocol in ("grouped", "shuffled-grouped"):
            assert part_sizes(splits, "augmented", protocol, repeat)[1:] == (24, 30)


def test_stratified_by_label(alpha):
    _, _, splits = alpha
    for (data, protocol, _, part), rows in splits.groupby(["data", "protocol", "repeat", "part"]):
        abnormal = (rows["label"] == "abnormal").sum()
        if data == "original":
            assert abnormal == {"train": 26, "val": 7, "test": 8}[part]
        elif protocol == "thesis":
            assert abnormal == {"train": 202, "val": 51, "test": 63}[part]


def test_every_image_once(alpha):
    index, augmented, splits = alpha
    for (data, protocol, _), rows in splits.groupby(["data", "protocol", "repeat"]):
        assert rows["image_id"].is_unique
        if data == "original":
            assert set(rows["image_id"]) == set(index["image_id"])
        elif protocol.endswith("thesis"):
            assert set(rows["image_id"]) == set(augmented["image_id"])


def test_grouped_trains_on_all_copies_and_tests_on_originals(alpha):
    _, augmented, splits = alpha
    for protocol in ("grouped", "shuffled-grouped"):
        repeat = splits[(splits["protocol"] == protocol) & (splits["repeat"] == 1)]
        original, rows = (repeat[repeat["data"] == data] for data in ("original", "augmented"))
        parts = original.set_index("image_id")["part"]
        assert (rows["part"] == rows["parent_id"].map(parts)).all()
        train = augmented[augmented["parent_id"].map(parts) == "train"]
        assert set(rows.query("part == 'train'")["image_id"]) == set(train["image_id"])
        tested = rows.query("part != 'train'")
        assert (tested["image_id"] == tested["parent_id"]).all()


def test_thesis_protocol_leaks_and_grouped_does_not(alpha):
    _, _, splits = alpha
    rows = splits.query("data == 'augmented' and protocol == 'thesis' and repeat == 0")
    trained = set(rows.query("part == 'train'")["parent_id"])
    tested = rows.query("part == 'test'")["parent_id"]
    assert tested.isin(trained).mean() > 0.9
    check_no_leak(splits)


def test_check_no_leak_names_the_offender(alpha):
    _, _, splits = alpha
    row = splits.query("data == 'augmented' and protocol == 'grouped' and part == 'train'").index[0]
    broken = splits.copy()
    broken.loc[row, "part"] = "test"
    with pytest.raises(LeakError, match=f"{splits.loc[row, 'patient_id']} in test.train"):
        check_no_leak(broken)
    same_patient = splits.copy()
    chosen = splits.query("data == 'original' and protocol == 'grouped' and repeat == 2")
    pair = [chosen.query("part == @part").index[0] for part in ("val", "test")]
    same_patient.loc[pair, "patient_id"] = "twin"
    with pytest.raises(LeakError, match=r"patient_id.*twin in test\+val \(original, grouped, repeat 2\)"):
        check_no_leak(same_patient)


def test_shuffled_labels_are_permuted_by_parent(alpha):
    index, _, splits = alpha
    truth = index.set_index("image_id")["label"]
    for (_, protocol, _), rows in splits.groupby(["data", "protocol", "repeat"]):
        assert (rows.groupby("parent_id")["label"].nunique() == 1).all()
        given_labels = rows.drop_duplicates("parent_id").set_index("parent_id")["label"]
        assert given_labels.value_counts().to_dict() == {"normal": 105, "abnormal": 41}
        agreement = (given_labels == truth[given_labels.index]).mean()
        assert agreement < 0.75 if protocol.startswith("shuffled") else agreement == 1


def test_repeats_differ_and_seeds_repeat(alpha):
    index, augmented, splits = alpha
    pd.testing.assert_frame_equal(splits, make_splits(index, augmented, seed=7, repeats=3))
    tests = [
        frozenset(rows.query("part == 'test'")["image_id"])
        for _, rows in splits.query("data == 'original'").groupby(["protocol", "repeat"])
    ]
    assert len(set(tests)) == len(tests)
    # Asking for more repeats leaves the earlier ones as they are.
    first = make_splits(index, augmented, seed=7, repeats=1)
    pd.testing.assert_frame_equal(splits.query("repeat == 0").reset_index(drop=True), first)


def test_every_karyogram_is_tested_equally_often():
    index = make_index(30, 12)
    augmented = make_augmented(index, 30, 12)
    splits = make_splits(index, augmented, seed=0, repeats=60)
    rows = splits.query("data == 'original' and protocol == 'grouped'")
    tested = rows["part"].eq("test").groupby(rows["image_id"]).sum().loc[index["image_id"]].to_numpy()
    expected = np.where(index["label"] == "normal", 6 / 30, 3 / 12) * 60  # 9 of 42 are tested
    deviation = (tested - expected) / np.sqrt(expected)
    assert np.abs(deviation).max() < 4.5


def test_test_only_karyograms_stay_in_test():
    rng = np.random.default_rng(3)
    index = make_index(patients=rng.integers(0, 90, 146))
    held = index["image_id"].iloc[-11:].to_list()
    patients = set(index["patient_id"].iloc[-11:])
    splits = make_splits(index, make_augmented(index), seed=1, repeats=4, test_only=held)
    check_no_leak(splits)
    rows = splits[splits["protocol"].str.endswith("grouped") & splits["patient_id"].isin(patients)]
    assert set(rows["part"]) == {"test"}
    assert set(held) <= set(rows["image_id"])
    for repeat in range(4):
        assert part_sizes(splits, "original", "grouped", repeat) == (92, 24, 30)


def test_more_test_only_than_a_fifth_widens_the_test():
    index = make_index(20, 20)
    splits = make_splits(index, make_augmented(index, 20, 20), 0, test_only=index["image_id"].iloc[25:])
    assert part_sizes(splits, "original", "grouped") == (19, 5, 16)
    test = splits.query("data == 'original' and protocol == 'grouped' and part == 'test'")
    assert test["label"].value_counts().to_dict() == {"abnormal": 15, "normal": 1}


@pytest.mark.parametrize(("normal", "abnormal"), [(20, 14), (10, 10), (4, 3), (12, 3)])
def test_small_sets(normal, abnormal):
    index = make_index(normal, abnormal)
    splits = make_splits(index, make_augmented(index, 2 * normal, 2 * abnormal), seed=5, repeats=5)
    check_no_leak(splits)
    total = normal + abnormal
    n_test = -(-total // 5)
    n_val = max(2, -(-(total - n_test) // 5))
    for protocol in PROTOCOLS:
        assert part_sizes(splits, "original", protocol) == (total - n_test - n_val, n_val, n_test)
    assert (splits.groupby(["data", "protocol", "repeat", "part"])["label"].nunique() == 2).all()


def test_too_few_patients():
    index = make_index(20, 2)
    with pytest.raises(ValueError, match=r"abnormal karyograms of at least 3 patients.*Received 2"):
        make_splits(index, make_augmented(index, 40, 4), 0)
    index = make_index(20, 9, patients=[*range(20), *[20, 21] * 4, 20])
    with pytest.raises(ValueError, match="Received 2"):
        make_splits(index, make_augmented(index, 20, 9), 0)


def test_test_only_that_leaves_a_part_without_a_label():
    index = make_index(20, 6)
    with pytest.raises(ValueError, match="6 of them for the test only"):
        make_splits(index, make_augmented(index, 20, 6), 0, test_only=index["image_id"].iloc[-6:])


def test_unknown_ids():
    index = make_index(10, 10)
    augmented = make_augmented(index, 10, 10)
    with pytest.raises(ValueError, match=r"test_only.*Received gone"):
        make_splits(index, augmented, 0, test_only=["gone"])
    with pytest.raises(ValueError, match=r"parent_id.*Received k0015"):
        make_splits(index[index["image_id"] != "k0015"], augmented, 0)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_patient_in_two_parts(data):
    normal = data.draw(st.integers(12, 60))
    abnormal = data.draw(st.integers(12, 60))
    total = normal + abnormal
    patients = data.draw(st.lists(st.integers(0, total // 2), min_size=total, max_size=total))
    patients[:4] = [-1, -2, -3, -4]  # at least a few patients of each label
    patients[-4:] = [-5, -6, -7, -8]
    index = make_index(normal, abnormal, patients)
    biggest = index["patient_id"].value_counts().max()
    augmented = make_augmented(index, 2 * normal, 3 * abnormal)
    splits = make_splits(index, augmented, data.draw(st.integers(0, 99)))
    check_no_leak(splits)
    n_test = -(-total // 5)
    n_val = -(-(total - n_test) // 5)
    for protocol in PROTOCOLS:
        rows = splits.query("data == 'original' and protocol == @protocol")
        assert rows["image_id"].is_unique
        assert len(rows) == total
        tolerance = biggest if protocol.endswith("grouped") and biggest > 1 else 0
        expected = (total - n_test - n_val, n_val, n_test)
        sizes = part_sizes(splits, "original", protocol)
        assert max(abs(a - b) for a, b in zip(sizes, expected, strict=True)) <= tolerance
