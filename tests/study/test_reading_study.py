"""The reader in the study, on readings made by hand: kept, set beside networks, scored, told."""

from types import SimpleNamespace

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from karyo_lib import study
from karyo_lib.draw import draw_metaphase
from karyo_lib.files.pages import write_page
from karyo_lib.files.split import make_splits
from karyo_lib.iscn import CHROMOSOMES, Karyotype
from karyo_lib.judge import IsotonicCalibrator
from karyo_lib.networks.conditions import READER
from karyo_lib.study.networks.fits import Fits, select_split
from karyo_lib.study.reading import spreads
from karyo_lib.study.reading import tables as reading
from karyo_lib.study.reading.confidence import _folds
from karyo_lib.study.reading.spreads import find_errors
from karyo_lib.study.reading.tables import (
    Readings,
    beside_networks,
    describe_by_structure,
    describe_unlike,
    find_examples,
    group_counts,
)
from karyo_lib.study.runs import Run

VGG16 = "augmented-vgg16-frozen"
FORMULAE = ("46,XX", "46,XY", "47,XY,+21", "45,X", "46,XX,del(5)(p13)")


@pytest.fixture
def run(tmp_path):
    """A run of 40 pages, 16 of them abnormal, some patients with two; split, but nothing trained."""
    run = Run.open("smoke", str(tmp_path / "run"))
    rng = np.random.default_rng(3)
    formulae = [FORMULAE[i % 5] for i in range(40)]
    index = pd.DataFrame({"image_id": [f"k{i:02d}" for i in range(40)], "iscn": formulae})
    index["patient_id"] = [f"P{i if i < 30 else i - 5}" for i in range(40)]
    index["label"] = np.where(index["iscn"].isin(FORMULAE[:2]), "normal", "abnormal")
    index["path"], index["source"] = index["image_id"] + ".png", "drawn"
    index["style"] = np.where(np.arange(40) % 2, "classic", "digital")
    index["sha256"] = [
        write_page(run.path("data", "karyograms") / path, rng.integers(0, 255, (100, 100), dtype=np.uint8))
        for path in index["path"]
    ]
    run.save_table(index, "index")
    run.save_table(pd.DataFrame(columns=["path", "reason"]), "quarantine")
    copies = index[["image_id"]].assign(parent_id=index["image_id"], copy=0)
    run.save_table(make_splits(index, copies, seed=1, repeats=1), "splits")
    return run


class Clairvoyant:
    """Reads every page as 47,XY,+21, with a probability that its brightness gives."""

    def __init__(self):
        self.calls = 0

    def read(self, image):
        self.calls += 1
        p = float(image.mean() / 255)
        return SimpleNamespace(
            kind="karyogram", decision="refer", arrangement="", found=[0] * 46,
            formula="47,XY,+21", formula_probability=0.9, group="trisomy", p_abnormal=p,
            p_count=p, p_structural=0.1, changes=(), refer_reason="",
        )  # fmt: skip


@pytest.fixture
def reader(monkeypatch):
    reader = Clairvoyant()
    monkeypatch.setattr(reading, "own_reader", lambda seen: reader)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    return reader


@pytest.fixture
def readings(run):
    """Right but for five pages: k02 (a trisomy) missed, k05 called abnormal, three deletions not seen."""
    table = run.load_table("index")[["image_id", "patient_id", "source", "style", "iscn"]]
    table["y_true"] = (~table["iscn"].isin(FORMULAE[:2])).astype(int)
    truth = [reading._truth(formula) for formula in table["iscn"]]
    table["group"], table["truth"], table["changed"] = zip(*truth, strict=True)
    p_count = np.where(table["truth"].isin(FORMULAE[:2]), 0.05, 0.9)
    p_count[[2, 5]] = 0.1, 0.8
    p_structural = np.where(table["group"] == "deletion", 0.8, 0.02)
    p_structural[[4, 9, 14]] = 0.1
    table["formula"] = table["truth"].mask(table["image_id"] == "k02", "46,XY")
    table["read_group"] = [reading._truth(formula)[0] for formula in table["formula"]]
    table.loc[p_structural > 0.5, "read_group"] = "deletion"
    table["p_count"], table["p_structural"] = p_count, p_structural
    table["p_abnormal"] = 1 - (1 - p_count) * (1 - p_structural)
    table["refer_reason"] = ["count uncertain" if i in (2, 7) else "" for i in range(40)]
    table["found"], table["formula_probability"], table["changes"], table["seconds"] = 46, 0.9, "", 0.5
    return Readings(table)


@pytest.fixture
def fits(run):
    rows = select_split(run.load_table("splits"), "augmented", "grouped", 0)
    y = (rows["label"] == "abnormal").astype(int)
    p = np.random.default_rng(1).random(len(y))
    name = {"condition": VGG16, "protocol": "grouped", "repeat": 0}
    predictions = rows[["image_id", "parent_id", "patient_id", "part"]].assign(y_true=y, p=p, **name)
    return Fits(predictions.reset_index(drop=True), pd.DataFrame(), pd.DataFrame([name]))


def test_pages_are_read_once_and_again_where_they_changed(run, reader):
    first = study.reading.tables.read_collection(run)
    assert reader.calls == 40
    again = study.reading.tables.read_collection(run)
    assert reader.calls == 40
    pd.testing.assert_frame_equal(first.table, again.table)
    index = run.load_table("index")
    index.loc[3, "sha256"] = write_page(
        run.path("data", "karyograms") / index["path"][3], np.eye(100, dtype=np.uint8) * 255
    )
    run.save_table(index, "index")
    (run.path("data", "readings") / "k05.json").write_text("{cut short")
    changed = study.reading.tables.read_collection(run)
    assert reader.calls == 42
    assert changed.table["p_abnormal"][3] == pytest.approx(0.01)
    loaded = study.reading.tables.load_readings(run)
    np.testing.assert_allclose(loaded.table["p_abnormal"], changed.table["p_abnormal"])
    assert (loaded.table["refer_reason"] == "").all()


def test_predictions_are_the_same_test_parts_as_the_networks(run, readings, fits):
    predictions = readings.predictions(run)
    both = beside_networks(fits, predictions)
    ours, theirs = both.select(READER.key, "grouped"), both.select(VGG16, "grouped")
    assert set(ours["image_id"]) == set(theirs["image_id"])
    assert ours.set_index("image_id")["y_true"].equals(
        theirs.set_index("image_id")["y_true"][ours["image_id"]]
    )
    comparison = study.reading.tables.reading_against_networks(run, readings, fits)
    assert comparison["images"].tolist() == [len(ours)]


def test_metrics_and_formulae_by_hand(run, readings, fits):
    table = study.reading.tables.reading_metrics(run, readings, fits)
    everything = table[table["karyograms"] == "all karyograms"].iloc[0]
    assert everything["recall"] == pytest.approx(20 / 24)
    assert everything["recall_low"] < 20 / 24 < everything["recall_high"]
    assert everything["specificity"] == pytest.approx(15 / 16)
    formulae = study.reading.tables.formula_table(readings).set_index("pages")
    assert formulae.loc["all", "exact"] == pytest.approx(39 / 40)
    assert formulae.loc["all", "sensitivity"] == pytest.approx(15 / 16)
    assert formulae.loc["all", "specificity"] == pytest.approx(23 / 24)
    assert formulae.loc[["classic", "digital"], "karyograms"].tolist() == [20, 20]


def test_groups_are_counted_as_they_were_called(readings):
    counts = group_counts(readings)
    assert counts.loc["trisomy"].to_dict()["trisomy"] == 7
    assert counts.loc["trisomy", "normal"] == 1
    assert counts.loc["deletion", "deletion"] == 5
    assert counts.loc["deletion", "normal"] == 3
    assert counts.loc["normal", "number uncertain"] == 1
    assert counts.to_numpy().sum() == 40
    display = study.reading.figures.group_confusion(readings)
    assert display.texts_.shape == counts.shape
    plt.close(display.figure_)


def test_the_words_say_what_the_tables_say(run, readings, fits):
    told = " ".join(study.reading.tables.describe_reading(run, readings, fits))
    assert "exactly right on 98 [" in told
    assert "Of 24 abnormal images 20 are found (83%)" in told
    referrals = " ".join(study.reading.confidence.describe_referrals(readings))
    assert "of 2 of 40 pages" in referrals
    assert "1 of 5 (0.20" in referrals
    assert "4 of 38 (0.11" in referrals


def test_examples_and_unknown_karyotypes(readings):
    assert find_examples(readings) == {"found": "k03", "missed": "k04"}, "k02 is missed but referred"
    assert reading._truth("45,XX,rob(13;14)(q10;q10)")[0] == "translocation"
    assert reading._truth("no formula")[0] == "unknown"
    assert "note" in study.reading.tables.real_cells(readings)


def test_real_cells_stand_one_by_one(readings):
    readings.table.loc[[2, 3], "origin"] = "real-aneuploid"
    cells = study.reading.tables.real_cells(readings)
    assert cells["exact"].tolist() == ["no", "yes"]
    assert cells["found"].tolist() == ["no", "yes"]


def test_what_is_fitted_never_saw_the_patient(run, readings):
    table = readings.table
    tested = np.zeros(40, int)
    for train, test in _folds(table, run.seed):
        assert not set(table["patient_id"].iloc[train]) & set(table["patient_id"].iloc[test])
        tested[test] += 1
        fitted = IsotonicCalibrator().fit(table["p_abnormal"].iloc[train], table["y_true"].iloc[train])
        expected = fitted.transform(table["p_abnormal"].iloc[test])
        before = study.reading.confidence.calibrate_readings(run, readings)
        np.testing.assert_allclose(before["isotonic"].iloc[test], expected)
    assert (tested == 1).all()
    scored = study.reading.confidence.score_readings(run, readings).scores
    assert scored["combined"].between(0, 1).all()
    assert len(scored) == 40
    display = study.confidence.judgement.calibration_display(before)
    assert list(display.displays_) == ["before", "temperature", "isotonic"]
    plt.close(display.figure_)


def test_the_reader_joins_the_methods(run, readings):
    comparison = study.confidence.samples.Comparison(
        pd.DataFrame(columns=["method", "condition"]),
        pd.DataFrame(columns=["method", "condition", "answers", "seconds"]),
        None,
    )
    joined = study.reading.confidence.add_reader(run, comparison, readings)
    test = joined.pool("reading", READER.key)
    assert set(test["image_id"]) == set(readings.predictions(run).query("part == 'test'")["image_id"])
    assert joined.answers["answers"].tolist() == [1]


def test_the_words_on_changes_say_what_is_not_seen():
    table = pd.DataFrame(
        [
            ("any change", 5, 100, 0.1, 0.06, 0.17, 0.3, 0.2),
            ("any change", 40, 100, 0.8, 0.71, 0.87, 0.7, 0.9),
            ("deletion", 5, 50, 0.2, 0.11, 0.33, 0.3, 0.2),
            ("deletion", 40, 50, 1.0, 0.93, 1.0, 0.8, 0.9),
            ("inversion", 5, 50, 0.06, 0.02, 0.16, np.nan, np.nan),
            ("inversion", 40, 50, 0.6, 0.46, 0.72, 0.5, 0.9),
            ("normal", 0, 200, 0.05, 0.03, 0.09, np.nan, np.nan),
        ],
        columns=["kind", "megabases", "chromosomes", "sensitivity", "low", "high", "located", "kind_right"],
    ).assign(cells="drawn")
    told = " ".join(study.reading.figures.describe_changes(table))
    assert "5 Mb 10% [6%, 17%]; 40 Mb 80% [71%, 87%]" in told
    assert "than unchanged ones are called changed, at some size: inversions." in told
    assert "At 5 Mb and below more are missed than seen" in told
    assert "Of the seen ones of 40 Mb the named place is right for 70%, the kind for 90%" in told
    display = study.reading.figures.changes_display(table)
    assert list(display.bars_) == ["any change", "deletion", "inversion"]
    plt.close(display.figure_)


def test_a_number_that_counting_alone_misses_is_explained():
    table = pd.DataFrame(
        {
            "truth": ["47,XY,+21", "45,X", "47,XXX", "46,XX"],
            "p_count": [0.9, 0.8, 0.2, 0.1],
            "p_abnormal": [0.9, 0.8, 0.7, 0.1],
        }
    )
    assert "Of the 3 pages" in describe_by_structure(table)
    assert "does not find 1" in describe_by_structure(table)
    assert describe_by_structure(table[:2]) == ""


def test_pages_with_an_unlike_pair_are_counted():
    table = pd.DataFrame(
        {
            "y_true": [1, 1, 1, 0, 0, 1],
            "changed": ["9 22", "13 14", "5", "", "", ""],
            "changes": [
                "dup(3)(q21q26); del(22)(q12)",
                "",
                "inv(X)(p11q21)",
                "del(9)(p21)",
                "",
                "del(9)(p21)",
            ],
        }
    )
    told = describe_unlike(table)
    assert "is marked on 1 of 3 pages with a structural change, others alone on 1;" in told
    assert "one is marked on 1 of 2 normal pages" in told
    assert describe_unlike(table[3:]) == ""


@pytest.mark.parametrize(
    ("formula", "truth", "changed"),
    [
        ("46,XX,t(9;22)(q34;q11.2)", "46,XX", "9 22"),
        ("45,XX,rob(13;14)(q10;q10)", "45,XX,-14", "13 14"),
        ("46,X,i(X)(q10)", "46,XX", "X"),
        ("47,XX,+21", "47,XX,+21", ""),
        ("47,XY,+mar", "46,XY", ""),
        ("no formula", "", ""),
    ],
)
def test_classes_with_a_structural_change_are_known(formula, truth, changed):
    assert reading._truth(formula)[1:] == (truth, changed)


def _told(truth: pd.DataFrame, **changes) -> SimpleNamespace:
    """A reading that says what is true of a spread, but for some changes of its table."""
    table = truth[["x0", "y0", "x1", "y1", "chromosome"]].assign(hidden=0.0, doubtful=False)
    for column, values in changes.items():
        table.loc[list(values), column] = list(values.values())
    counts = {name: int((table["chromosome"] == name).sum()) for name in CHROMOSOMES}
    karyotype = Karyotype.from_counts(counts)
    return SimpleNamespace(
        kind="metaphase", chromosomes=table, karyotype=karyotype, formula=karyotype.count_formula,
        formula_probability=0.9, refer_reason="count uncertain",
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn_spread():
    return draw_metaphase("46,XY", seed=2, size=(900, 740))


def test_errors_of_a_spread_are_told_one_by_one(drawn_spread):
    truth = drawn_spread.truth
    assert find_errors(_told(truth), truth).empty
    chromosome = {0: "13", 1: "", 2: "13"}
    wrong = _told(truth, chromosome=chromosome, hidden={2: 0.3}, x1={3: truth["x1"][3] + 999})
    errors = find_errors(wrong, truth)
    assert errors["why"].tolist()[:3] == ["looks like it", "taken for none", "lies across another"]
    assert errors["read_as"].tolist()[:4] == ["13", "", "13", truth["chromosome"][3]]
    assert errors["why"].tolist()[3] in ("a piece of one, or two as one", "no chromosome there")
    assert errors["chromosome"].tolist() == [*truth["chromosome"][:3], "", truth["chromosome"][3]]
    assert errors["why"].tolist()[4].startswith("not found")


def test_spreads_are_drawn_where_there_are_none(run, readings, drawn_spread, monkeypatch):
    reads = SimpleNamespace(read=lambda image: _told(drawn_spread.truth, chromosome={0: "2"}))
    monkeypatch.setattr(spreads, "own_reader", lambda: reads)
    read = study.reading.spreads.read_spreads(run, readings)
    assert len(read) == spreads.SPREADS["smoke"]
    assert len(study.reading.spreads.spread_table(read)) == sum(len(one.errors) for one in read) > 0
    figure = study.reading.spreads.spread_errors(read)
    assert len(figure.axes) == 2
    plt.close(figure)
    assert "right on" in study.reading.spreads.describe_spreads(read)[0]


def test_own_spreads_come_first_those_read_wrongly_before_others(run, readings, drawn_spread, monkeypatch):
    readings.table["kind"] = ["karyogram", *["metaphase"] * 39]
    reads = SimpleNamespace(read=lambda image: _told(drawn_spread.truth, chromosome={0: "2"}))
    monkeypatch.setattr(spreads, "own_reader", lambda: reads)
    read = study.reading.spreads.read_spreads(run, readings)
    assert [one.name for one in read] == ["k02", "k01"]
    assert read[0].truth == "47,XY,+21"
    errors = read[0].errors
    assert {"21", "1"} == set(errors.loc[errors["read_as"] == "", "chromosome"])
    assert set(errors.loc[errors["read_as"] != "", "read_as"]) == {"2"}
    plt.close(study.reading.spreads.spread_errors(read))
