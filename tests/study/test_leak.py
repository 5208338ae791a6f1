"""The leak counted on splits small enough to count by hand, and the fits' tables."""

import numpy as np
import pandas as pd
import pytest

from karyo_lib import study
from karyo_lib.networks.conditions import READER
from karyo_lib.study.networks.fits import Fits, measure_test
from karyo_lib.study.reading.tables import beside_networks
from karyo_lib.study.results.tables import Results, compare_with_printed, describe_printed, table_5_1


def make_split(protocol: str, parts: dict[str, tuple[str, str, str]]) -> pd.DataFrame:
    rows = [
        {"image_id": image, "parent_id": parent, "patient_id": patient, "part": part}
        for image, (parent, patient, part) in parts.items()
    ]
    return pd.DataFrame(rows).assign(data="augmented", protocol=protocol, repeat=0, label="normal")


@pytest.fixture
def splits() -> pd.DataFrame:
    leaky = {
        "a": ("a", "P1", "train"),
        "a-c1": ("a", "P1", "test"),  # a copy of a training karyogram
        "b": ("b", "P1", "test"),  # another karyogram of a training patient
        "c": ("c", "P2", "test"),  # nothing in training
        "d": ("d", "P3", "val"),
    }
    closed = {"a": ("a", "P1", "train"), "c": ("c", "P2", "test"), "d": ("d", "P3", "val")}
    return pd.concat([make_split("thesis", leaky), make_split("grouped", closed)], ignore_index=True)


def test_siblings_are_counted_by_karyogram_and_by_patient(splits):
    counted = study.data.collection.count_siblings(splits).set_index("protocol")
    assert counted.loc["thesis", ["test_images", "same_karyogram", "same_patient"]].tolist() == [3, 1, 2]
    assert counted.loc["thesis", "share"] == pytest.approx(2 / 3)
    assert counted.loc["grouped", "share"] == 0


def test_the_leak_is_told_in_the_numbers_of_the_table(splits):
    told = study.data.collection.describe_leak(study.data.collection.count_siblings(splits))
    assert "67% of the test images" in told
    assert "0%" in told


def make_fits(grouped_p: np.ndarray) -> Fits:
    """Eight test images a protocol: perfect order under ``thesis``, given order under ``grouped``."""
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    rows = []
    for protocol, p in (("thesis", np.linspace(0.1, 0.9, 8)), ("grouped", grouped_p)):
        for i, (truth, value) in enumerate(zip(y, p, strict=True)):
            rows.append(
                {"protocol": protocol, "image_id": f"i{i}", "parent_id": f"i{i}", "patient_id": f"i{i}",
                 "part": "test", "y_true": truth, "p": value}
            )  # fmt: skip
    predictions = pd.DataFrame(rows).assign(condition="augmented-vgg16-frozen", repeat=0)
    summary = predictions[["condition", "protocol", "repeat"]].drop_duplicates().assign(best_epoch=1)
    return Fits(predictions, pd.DataFrame(columns=["condition", "protocol", "repeat"]), summary)


def test_table_5_1_holds_what_the_predictions_say():
    fits = make_fits(np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7]))
    grouped = fits.predictions.query("protocol == 'grouped'")
    judged = beside_networks(fits, grouped.assign(condition=READER.key))
    metrics = measure_test(judged, 50)
    aucs = metrics[metrics["metric"] == "roc_auc"].groupby("protocol")["value"].first()
    assert aucs.to_dict() == {"grouped": pytest.approx(12 / 16), "thesis": 1}  # four of 16 pairs are wrong
    results = Results(fits, judged, pd.DataFrame(), metrics)
    printed = compare_with_printed(results)
    rows = printed.set_index(["condition", "metric"]).xs("Recall", level="metric")
    ours = rows.dropna(subset=["ours_by_patient"])
    assert list(ours.index) == ["VGG16 frozen, augmented data", READER.title]
    assert ours["ours_by_patient"].iloc[1] == pytest.approx(3 / 4)
    assert ours.iloc[1][["printed", "from_matrix", "ours_thesis_split"]].isna().all()
    assert ours["printed"].iloc[0] == 0.95
    assert ours["from_matrix"].iloc[0] == pytest.approx(56 / 59)
    assert ours["ours_by_patient"].iloc[0] == pytest.approx(3 / 4)
    assert ours["ours_thesis_split"].iloc[0] == 1
    # Four of four found: from .51 on, and the thesis's 56 of 59 lie inside.
    assert ours["inside"].iloc[0] == "yes"
    moved = printed.assign(inside=printed["inside"].replace("yes", "no"), off_by=0.25)
    assert "0 lie in it" in describe_printed(moved)
    assert "by 0.25" in describe_printed(moved)
    shown = table_5_1(printed)
    assert len(shown) == 7
    assert list(shown.columns) == [
        "condition",
        *(f"{m}, {w}" for m in ("Accuracy", "Precision", "Recall", "AUC") for w in ("thesis", "ours")),
    ]
    row = shown.set_index("condition").loc["VGG16 frozen, augmented data"]
    assert row["Recall, thesis"] == "0.95"
    assert row["Recall, ours"].startswith("1.00 [")


def test_an_untrained_condition_is_named_with_those_that_are_trained():
    with pytest.raises(ValueError, match="augmented-vgg16-frozen"):
        make_fits(np.full(8, 0.5)).select("original-vgg16-frozen", "thesis")
