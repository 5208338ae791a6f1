"""The leak counted on splits small enough to count by hand, and the fits' tables."""

import numpy as np
import pandas as pd
import pytest

from karyo_lib import study
from karyo_lib.networks.conditions import READER
from karyo_lib.study.networks.fits import Fits, compute_run_aucs, measure_test
from karyo_lib.study.reading.tables import beside_networks
from karyo_lib.study.results.tables import Results, report_headline, table_5_1
from karyo_lib.study.runs import Run


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
    counted = study.count_siblings(splits).set_index("protocol")
    assert counted.loc["thesis", ["test_images", "same_karyogram", "same_patient"]].tolist() == [3, 1, 2]
    assert counted.loc["thesis", "share"] == pytest.approx(2 / 3)
    assert counted.loc["grouped", "share"] == 0


def test_the_leak_is_told_in_the_numbers_of_the_table(splits):
    told = study.describe_leak(study.count_siblings(splits))
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


def test_run_aucs_and_table_5_1_hold_what_the_predictions_say():
    fits = make_fits(np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7]))
    aucs = compute_run_aucs(fits).set_index("protocol")["value"]
    assert aucs["thesis"] == 1
    assert aucs["grouped"] == pytest.approx(12 / 16)  # 4 x 4 pairs, four of them in the wrong order
    grouped = fits.predictions.query("protocol == 'grouped'")
    judged = beside_networks(fits, grouped.assign(condition=READER.key))
    empty = pd.DataFrame()
    results = Results(fits, fits, judged, empty, empty, empty, measure_test(judged, 50))
    told = {label: value for label, value, *_ in report_headline(results)}
    assert told["test AUC, the reader"] == pytest.approx(12 / 16)
    table = table_5_1(results).set_index(["condition", "metric"])
    rows = table.xs("Recall", level="metric")
    ours = rows.dropna(subset=["grouped"])
    assert list(ours.index) == ["VGG16 frozen, augmented data", READER.title]
    assert ours["grouped"].iloc[1] == pytest.approx(3 / 4)
    assert ours.iloc[1][["printed", "from_matrix", "thesis"]].isna().all()
    assert ours["printed"].iloc[0] == 0.95
    assert ours["from_matrix"].iloc[0] == pytest.approx(56 / 59)
    assert ours["grouped"].iloc[0] == pytest.approx(3 / 4)
    assert ours["thesis"].iloc[0] == 1


def test_an_untrained_condition_is_named_with_those_that_are_trained():
    with pytest.raises(ValueError, match="augmented-vgg16-frozen"):
        make_fits(np.full(8, 0.5)).select("original-vgg16-frozen", "thesis")


def test_the_control_is_told_beside_the_leak():
    fits = make_fits(np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7]))
    shuffled = fits.predictions.assign(protocol="shuffled-" + fits.predictions["protocol"])
    controls = Fits(shuffled, fits.history, shuffled[["condition", "protocol", "repeat"]].drop_duplicates())
    told = study.describe_protocols(fits, controls)
    assert "0.75" in told
    assert "1.00" in told


def test_controls_that_a_run_leaves_out_are_empty_and_change_no_number(tmp_path):
    run = Run.open("smoke", str(tmp_path / "run"))
    off = study.fit_controls(run, study.FINETUNED, table="finetuned_controls")
    assert len(off.predictions) == len(off.summary) == 0
    fits = make_fits(np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7]))
    assert compute_run_aucs(fits, off).equals(compute_run_aucs(fits))
    for kind, table in zip(
        ("predictions", "history", "fits"), (fits.predictions, fits.history, fits.summary), strict=True
    ):
        run.save_table(table, f"{kind}_controls")
    loaded = study.load_fits(run, "controls", "finetuned_controls")
    assert compute_run_aucs(loaded).equals(compute_run_aucs(fits))
