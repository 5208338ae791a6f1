"""The reader as a whole: files, what it says of pages and of what is none, real material if present."""

import json
from types import SimpleNamespace

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

mpl.use("Agg")

from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import parse_karyotype
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.iscn.segments import Segment
from karyo_lib.read.evidence import ReadingDisplay, find_odd
from karyo_lib.read.network_files import READER_FILES
from karyo_lib.read.reader import Reader, _laid_out
from karyo_lib.read.reading import STRUCTURE_COLUMNS, summary
from karyo_lib.read.train.score import patient_part, score_cells, score_pages, summarise
from karyo_lib.shape.boxes import match_boxes


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("47,XY,+21", style="digital", seed=11, size=(600, 475))


@pytest.fixture(scope="module")
def reading(shipped, page):
    return shipped.read(page.image)


def test_a_sorted_page_is_read_and_said_to_be_laid_out_so(reading):
    assert (reading.kind, reading.formula, reading.arrangement) == ("karyogram", "47,XY,+21", "47,XY,+21")
    assert reading.karyotype == parse_karyotype("47,XY,+21")
    assert (reading.group, reading.decision) == ("trisomy", "abnormal")
    table = reading.chromosomes
    assert (table["printed"] == table["chromosome"]).all()
    assert table["chromosome"].value_counts()["21"] == 3
    assert table["segments"].map(lambda s: s[0].chromosome in CLASSES).all()
    assert find_odd(reading)[table["chromosome"] == "21"].all()


def pieces(*stretches):
    return tuple(Segment(name, start, stop) for name, start, stop in stretches)


def test_what_chromosomes_show_becomes_changes(shipped, reading):
    table = pd.DataFrame(
        [
            ("5", 20.0, pieces(("5", 0, 5300), ("5", 7500, 10600))),
            ("9", 12.0, pieces(("9", 0, 6000), ("22", 1500, 3500))),
            ("22", 9.0, pieces(("22", 0, 1500), ("9", 6000, 7950))),
            ("4", 30.0, pieces(("4", 0, 6000), ("12", 5000, 8000))),
            ("1", 11.0, pieces(("1", 0, 8400), ("1", 7600, 15100))),
            ("3", 50.0, pieces(("3", 0, 5000), ("3", 8000, 11700))),
            ("2", 0.5, pieces(("2", 0, 14400))),
        ],
        columns=["chromosome", "score", "segments"],
    ).assign(readable=[True] * 5 + [False, True])
    changes = shipped.mark_changes(table)
    share = shipped.settings.unanswered
    assert list(changes.columns) == STRUCTURE_COLUMNS
    assert changes["score"].tolist() == [21.0, 20.0, 30 * share, 11.0]
    assert changes["iscn"].str.startswith(("t(9;22)", "del(5)", "der(4)t(4;12)", "1qh+")).all()
    assert sorted(changes["objects"][0]) == [1, 2]
    p = [shipped._p_structural(changes[changes["kind"].isin(kinds)]) for kinds in (["variant"], ["deletion"])]
    assert p[0] < 0.06
    assert p[1] > 0.5
    # on a metaphase as high a score says less: normal ones reach it more often
    scores = pd.DataFrame([("5", "del(5)(q13q33)", "deletion", 15.0, (4,))], columns=STRUCTURE_COLUMNS)
    page, spread = (shipped._p_structural(scores, laid_out) for laid_out in (True, False))
    assert spread < 0.5 < page
    assert reading.chromosomes["readable"].mean() > 0.9
    assert f"of {len(reading.found)} chromosomes readable" in str(reading)


def test_what_lies_in_the_slot_of_another_is_named(shipped, page):
    image, truth = page.image.copy(), page.truth
    (i, five), (j, eight) = (next(truth[truth["chromosome"] == name].iterrows()) for name in ("15", "17"))
    pieces = []
    for number, row, other in ((i, five, eight), (j, eight, five)):
        where = slice(int(row.y0), int(row.y1) + 1), slice(int(row.x0), int(row.x1) + 1)
        own = page.labels[where] == number + 1
        pieces.append((np.where(own, page.image[where], 255).astype(np.uint8), other))
        image[where] = np.where(own, 255, image[where])
    for piece, other in pieces:
        top, left = int(other.y1) - piece.shape[0], int(other.x0)
        part = image[top : top + piece.shape[0], left : left + piece.shape[1]]
        part[:] = np.minimum(part, piece[: part.shape[0], : part.shape[1]])
    reading = shipped.read(image)
    assert reading.formula == "47,XY,+21"
    assert "of slot 15 looks like a 17" in reading.refer_reason
    assert "of slot 17 looks like a 15" in reading.refer_reason


@pytest.fixture(scope="module")
def clearing(shipped):
    return shipped.with_settings(clear_below=0.05, promise="kept")


def test_a_normal_page_is_cleared_for_number_and_structure_is_told_apart(clearing):
    page = draw_karyogram("46,XX", style="digital", seed=11, size=(600, 475), annotate=False)
    reading = clearing.read(page.image)
    assert (reading.decision, reading.formula) == ("cleared for number", "46,XX")
    assert "Cleared for number" in str(reading)
    assert reading.sight
    # smeared as no page that the threshold was fitted on: found and counted, but not cleared
    unlike = cv2.GaussianBlur(page.image, (0, 0), 3.2)
    unlike = clearing.read(unlike)
    assert unlike.decision == "refer"
    assert "unlike" in unlike.refer_reason


def test_an_abnormal_number_is_never_cleared(clearing, reading, page):
    assert clearing.read(page.image).decision == "abnormal"


def test_two_chromosomes_taken_for_one_are_too_large_for_their_class(clearing, reading):
    table = reading.chromosomes
    classes = table["chromosome"].map(CLASSES.index).to_numpy()
    seen = SimpleNamespace(log_proba=np.log(np.where(np.eye(24)[classes] > 0, 0.9, 0.1 / 23)))

    def doubts(factor):
        area = np.where(table.index == 20, factor, 1.0) * table["area"]
        sized = table.assign(area=area)
        return clearing._unlike(sized, SimpleNamespace(assigned=classes), seen, np.full(len(table), -9.0))

    assert doubts(1.0) == []
    name = table["chromosome"][20]
    assert doubts(1.9) == [f"what is counted as {name} looks like no chromosome of its class"]


def test_a_reader_saved_and_loaded_is_the_same(shipped, tmp_path):
    shipped.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(READER_FILES)
    again = Reader.load(tmp_path)
    names = ("settings", "counting", "spread_counting")
    assert [getattr(again, n) for n in names] == [getattr(shipped, n) for n in names]
    for mine, its in zip(shipped.decoder.model.get_weights(), again.decoder.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-4)  # kept in half precision
    with pytest.raises(ValueError, match="--drawings -o drawn"):
        Reader.load(tmp_path / "nowhere")
    for file in ("decoding.npz", "reader.json"):
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(b"{x")
        with pytest.raises(ValueError, match=rf"{file}.*damaged.*again"):
            Reader.load(tmp_path)
        (tmp_path / file).write_bytes(content)
    record = json.loads((tmp_path / "reader.json").read_text())
    record["settings"]["position_weight"] = 0.7
    (tmp_path / "reader.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="earlier version: train the reader"):
        Reader.load(tmp_path)


def test_what_is_no_cell_is_unreadable(shipped, page):
    blank = shipped.read(np.full((100, 100), 255, np.uint8))
    assert (blank.kind, blank.formula, blank.group) == ("unreadable", "?", "unreadable")
    assert blank.refer_reason == "no chromosomes found"
    part = shipped.read(page.image[: page.image.shape[0] // 3])
    assert (part.kind, part.decision) == ("unreadable", "refer")
    assert "no whole cell" in part.refer_reason
    noise = np.random.default_rng(0).normal(128, 40, (60, 60)).clip(0, 255).astype(np.uint8)
    clouds = np.asarray(Image.fromarray(noise).resize((400, 400)))
    assert shipped.read(clouds).kind == "unreadable"


def test_objects_that_no_karyotype_explains_get_no_formula(shipped, page):
    reading = shipped.read(np.concatenate([page.image, page.image], axis=1))
    assert reading.karyotype is None or reading.refer_reason
    assert reading.decision == "refer" or reading.formula_probability < 0.99


def test_displays_keep_their_artists(reading, page):
    display = ReadingDisplay.from_reading(page.image, reading).plot()
    assert len(display.boxes_) == len(display.names_) == len(reading.chromosomes)
    mpl.pyplot.close("all")


def test_scores_have_their_columns(shipped, page):
    scores = score_pages(shipped, [page])
    assert scores["exact"].all()
    shares = summarise(scores).set_index("measure")["share"]
    assert shares["chromosomes found"] == shares["count formula exact"] == 1


@pytest.mark.parametrize("style", ["classic", "digital", "photocopy", "prometaphase"])
def test_chromosomes_of_a_drawn_page_are_found(shipped, style):
    page = draw_karyogram("46,XX", style=style, seed=4, size=None, annotate=False)
    match = match_boxes(shipped.read(page.image).found.boxes, page.truth, 0.5)
    assert (match >= 0).sum() >= 45
    assert (match < 0).sum() <= 1


def test_patients_stay_in_their_part():
    parts = [patient_part(f"case-{i}") for i in range(500)]
    assert parts == [patient_part(f"case-{i}") for i in range(500)]
    assert 0.14 < np.mean(np.array(parts) == "test") < 0.27


def test_the_shipped_reader_names_real_chromosomes_it_never_saw(shipped, bank_dir):
    bank = ChromosomeBank(bank_dir)
    cells = bank.cells[bank.cells["label"] == "normal"]["cell"].iloc[::90]
    table, accuracy = score_cells(shipped, bank, cells)
    assert accuracy["alone"] > 0.9
    assert accuracy["assigned"] > 0.95
    assert len(table) == len(cells)


def test_the_shipped_reader_reads_a_real_page(shipped, real_karyogram):
    reading = shipped.read(np.asarray(Image.open(real_karyogram).convert("L")))
    assert len(reading.found) == 46
    assert (reading.formula, reading.kind) == ("46,XY", "karyogram")
    assert (reading.chromosomes.groupby(["row", "slot"]).size() == 2).all()
    told = pd.DataFrame([summary(reading)])
    assert told["decision"].isin(["cleared for number", "refer"]).all()


def test_slots_that_were_misread_lay_nothing_out():
    names = [str(k) for k in range(1, 23) for _ in range(2)] + ["X", "Y"]
    table = pd.DataFrame({"chromosome": names, "printed": [*names[:-2], "XY", "XY"]})
    assert _laid_out(table) == "46,XY"
    slip = table.assign(printed=["2", *table["printed"][1:]])
    assert _laid_out(slip) == "46,XY,-1,+2"
    shifted = table.assign(printed=[*table["printed"][2:], "1", "1"])
    assert _laid_out(shifted) == ""
