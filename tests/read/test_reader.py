"""The reader as a whole: tiny trainings, files, displays, real material where it is present."""

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

mpl.use("Agg")

from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import parse_karyotype
from karyo_lib.read.alter import KINDS, alter_cells, alter_chromosome, megabases
from karyo_lib.read.evidence import PairDisplay, ReadingDisplay
from karyo_lib.read.name import Namer, Names, NamingSettings, class_indices
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import summary
from karyo_lib.read.train.score import (
    score_cells,
    score_comparison,
    score_finding,
    score_pages,
    summarise_pages,
)
from karyo_lib.read.train.training import draw_cells, patient_part, strips_of_bank
from karyo_lib.shape.straighten import STRIP_LENGTH, STRIP_WIDTH
from karyo_lib.shape.strips import CLASSES


@pytest.fixture(scope="module")
def drawn():
    return draw_cells(4, seed=5)


@pytest.fixture(scope="module")
def tiny(drawn):
    """A reader trained for seconds: its answers are poor, its mechanics are those of a good one."""
    return Reader().fit(drawn, drawn, NamingSettings(channels=(4, 6, 8, 8), epochs=2, batch_size=32))


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("47,XY,+21", style="classic", seed=11)


def test_drawn_pages_become_labelled_strips(drawn):
    assert drawn.strips.images.shape == (len(drawn), STRIP_LENGTH, STRIP_WIDTH)
    assert np.isfinite(drawn.strips.images).all()
    assert set(drawn.names) == set(CLASSES)
    size = drawn.strips.sizes[:, 0]
    assert size[drawn.names == "1"].min() > size[drawn.names == "21"].max()


def test_training_lowers_the_loss(drawn):
    losses = []
    quick = NamingSettings(channels=(4, 6, 8, 8), epochs=4, batch_size=32)
    Namer(quick).fit(drawn.strips, drawn.names, on_epoch=lambda _, logs: losses.append(logs["loss"]))
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_unknown_classes_and_untrained_readers_are_refused(drawn, page):
    with pytest.raises(ValueError, match=r"1\.\.22, X, Y.*'23'"):
        class_indices(np.array(["1", "23"]))
    with pytest.raises(ValueError, match="fit"):
        Reader().read(page.image)
    with pytest.raises(ValueError, match="at least 24"):
        Namer().fit(drawn.strips.take([0, 1]), drawn.names[:2])


def test_a_reader_saved_and_loaded_reads_the_same(tiny, page, tmp_path):
    tiny.save(tmp_path)
    again = Reader.load(tmp_path)
    assert not list(tmp_path.glob("*.pkl"))
    first, second = tiny.read(page.image, passes=3), again.read(page.image, passes=3)
    assert first.formula == second.formula
    assert first.p_abnormal == pytest.approx(
        second.p_abnormal, abs=0.05
    )  # weights are kept in half precision
    assert first.passes.shape == (3,)
    assert list(summary(first)) == list(summary(second))
    with pytest.raises(ValueError, match=r"naming\.npz"):
        Reader.load(tmp_path / "nowhere")


def test_a_page_without_chromosomes_is_referred(tiny):
    reading = tiny.read(np.full((100, 100), 255, np.uint8), passes=4)
    assert reading.refer_reason == "no chromosomes found"
    assert reading.passes.tolist() == [0.5] * 4


def test_half_a_page_is_referred(tiny, page):
    reading = tiny.read(page.image[: page.image.shape[0] // 2])
    assert "chromosomes found" in reading.refer_reason


def test_displays_keep_their_artists(tiny, page):
    reading = tiny.read(page.image)
    display = ReadingDisplay.from_reading(page.image, reading).plot()
    assert len(display.boxes_) == len(display.names_) == len(reading.chromosomes)
    pair = PairDisplay.from_reading(reading).plot()
    assert len(pair.lines_) == 1 + len(reading.evidence.profiles)
    assert pair.bands_[-1].get_x() + pair.bands_[-1].get_width() == pytest.approx(1)
    with pytest.raises(ValueError, match="0 or more Monte Carlo passes"):
        tiny.read(page.image, passes=-1)
    mpl.pyplot.close("all")


def test_changes_have_the_size_asked_for(drawn):
    rng = np.random.default_rng(0)
    image, sizes = drawn.strips.images[0], drawn.strips.sizes[0]
    for kind, factor in (("deletion", 0.75), ("duplication", 1.25), ("inversion", 1.0)):
        changed, size, start = alter_chromosome(image, sizes, 0.25, kind, rng)
        assert changed.shape == image.shape
        assert np.exp(size[0] - sizes[0]) == pytest.approx(factor)
        assert 0 <= start <= 0.75
    with pytest.raises(ValueError, match=r"0 to 0\.8"):
        alter_chromosome(image, sizes, 0.9, "deletion", rng)
    cells = alter_cells(drawn, sizes=(20,))
    assert (cells.megabases[cells.altered == 1] == 20).all()
    assert np.isnan(cells.start[cells.altered == 0]).all()
    altered = cells.altered == 1
    np.testing.assert_allclose(
        (cells.stop - cells.start)[altered], (cells.megabases / megabases()[cells.labels])[altered]
    )


def test_scores_have_their_columns(tiny, drawn, page):
    scores = score_pages(tiny, [page])
    assert scores["truth"].item() == "47,XY,+21"
    assert "sensitivity_low" in summarise_pages(scores)
    cells, accuracy = score_cells(tiny, drawn)
    assert len(cells) == 4
    assert 0 <= accuracy["alone"] <= 1


def test_pairs_are_scored_anew_where_names_change(tiny, drawn):
    cell = drawn.take(np.flatnonzero(drawn.cells == drawn.cells[0]))
    names, assigned = tiny.namer.predict(cell.strips), class_indices(cell.names)
    compared = tiny.comparison.compare(cell.strips, names, assigned, 0.05)
    assert len(compared.pairs) == len(set(cell.names))
    features = compared.named_otherwise(names)
    np.testing.assert_allclose(features, compared.features, rtol=1e-5)
    other = Names(names.log_proba[::-1], names.log_none[::-1], names.p_upside_down)
    assert np.abs(compared.named_otherwise(other) - features).max() > 0
    same, changed = tiny.comparison.compare_anew(compared, [names, other], 0.05)
    assert same == pytest.approx(compared.p_structural, rel=1e-4)
    assert 0 < changed < 1


def test_one_normal_cell_in_twenty_has_a_pair_above_zero(tiny, drawn):
    comparison = tiny.comparison.calibrated(tiny.namer, drawn, seed=5)
    cells = alter_cells(drawn, seed=5)
    scores, _ = comparison.score(cells, tiny.namer)
    normal = cells.altered == 0
    highest = [scores[normal & (cells.cells == cell)].max() for cell in set(cells.cells)]
    assert np.quantile(highest, 0.95) == pytest.approx(0, abs=1e-4)
    assert comparison.slope >= 0


def test_sensitivity_by_kind_and_size_adds_up(tiny, drawn):
    changes = score_comparison(tiny, drawn)
    assert set(changes["kind"]) == {*KINDS, "any change", "normal"}
    assert set(changes.loc[changes["kind"] != "normal", "megabases"]) == {5, 10, 20, 40}
    assert changes["located"].dropna().between(0, 1).all()
    assert changes.loc[changes["kind"] == "normal", ["located", "kind_right"]].isna().all(axis=None)
    exchanges = changes.loc[changes["kind"] == "exchange", "kind_right"].dropna()
    assert (exchanges == 0).all(), "no exchange is among the changes that are tried"
    assert changes["sensitivity"].between(changes["low"] - 1e-9, changes["high"] + 1e-9).all()
    every = changes[changes["kind"] == "any change"].set_index("megabases")["pairs"]
    by_kind = changes[changes["kind"].isin(KINDS)].groupby("megabases")["pairs"].sum()
    assert by_kind.equals(every)
    normal = changes[changes["kind"] == "normal"]
    assert normal["pairs"].item() == sum(len(set(drawn.names[drawn.cells == c])) for c in set(drawn.cells))


@pytest.mark.parametrize("style", ["classic", "digital", "photocopy", "prometaphase"])
def test_chromosomes_of_a_drawn_page_are_found(style):
    page = draw_karyogram("46,XX", style=style, seed=4, size=None, annotate=False)
    score = score_finding(Reader.load().read(page.image).found.boxes, page.truth)
    assert score["found"] >= 45
    assert score["false"] <= 1


def test_patients_stay_in_their_part():
    parts = [patient_part(f"case-{i}") for i in range(500)]
    assert parts == [patient_part(f"case-{i}") for i in range(500)]
    assert 0.14 < np.mean(np.array(parts) == "test") < 0.27


def test_the_shipped_reader_names_real_chromosomes_it_never_saw(bank_dir):
    bank = ChromosomeBank(bank_dir)
    cells = bank.cells[bank.cells["label"] == "normal"]["cell"].iloc[::60]
    table, accuracy = score_cells(Reader.load(), strips_of_bank(bank, cells))
    assert accuracy["alone"] > 0.75
    assert accuracy["assigned"] > 0.85
    assert len(table) == len(cells)


def test_the_shipped_reader_reads_a_real_page(real_karyogram):
    reading = Reader.load().read(np.asarray(Image.open(real_karyogram).convert("L")))
    assert len(reading.found) == 46
    assert (reading.formula, reading.kind) == ("46,XY", "karyogram")
    assert reading.karyotype == parse_karyotype("46,XY")
    assert (reading.chromosomes.groupby(["row", "slot"]).size() == 2).all()


def test_a_damaged_file_of_a_reader_is_named(tiny, tmp_path):
    for file in ("naming.npz", "reader.json", "distance.npz", "comparison.npz"):
        tiny.save(tmp_path)
        (tmp_path / file).write_bytes(b"{}"[:1] + b"x")
        with pytest.raises(ValueError, match=rf"{file}.*damaged.*again"):
            Reader.load(tmp_path)
    tiny.save(tmp_path)
    with np.load(tmp_path / "comparison.npz") as arrays:
        earlier = {name: arrays[name] for name in arrays.files if name != "calibration"}
    np.savez(tmp_path / "comparison.npz", **earlier)
    with pytest.raises(ValueError, match="earlier version: train the reader again"):
        Reader.load(tmp_path)
    with pytest.raises(ValueError, match="karyo reader train -o DIR"):
        Reader.load(tmp_path / "none")


def test_a_page_of_noise_is_no_karyogram():
    noise = np.random.default_rng(0).integers(0, 256, (416, 416), dtype=np.uint8)
    reading = Reader.load().read(noise)
    assert reading.refer_reason
    assert len(reading.found) < 100


def test_a_page_of_clouds_is_told_in_seconds(monkeypatch):
    noise = np.random.default_rng(0).normal(128, 40, (60, 60)).clip(0, 255).astype(np.uint8)
    clouds = np.asarray(Image.fromarray(noise).resize((400, 400)))
    reader, counts = Reader.load(), []
    monkeypatch.setattr(reader, "_weigh", lambda *given: counts.append(given) or 0.0)
    reading = reader.read(clouds)
    assert "more than any cell has chromosomes" in reading.refer_reason
    assert (reading.kind, reading.formula, reading.group) == ("unreadable", "?", "unreadable")
    assert (reading.p_count, len(reading.chromosomes)) == (0.5, len(reading.found))
    assert counts == [], "each division of it would take a second to weigh"


def test_reverse_bands_are_referred_as_unlike():
    page = draw_karyogram("46,XX", style="reverse", seed=1, size=(416, 416))
    assert "banding unlike" in Reader.load().read(page.image).refer_reason
