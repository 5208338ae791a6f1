"""A folder in, a worklist out: resumed, stopped, masked, escaped, and the same every time."""

import csv
import io
import json
import os
import re
import shutil
import signal
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from screening_stubs import draw_bars, make_package

from karyo_lib.screening import worklist
from karyo_lib.screening.folder import ScreenOptions, screen_folder
from karyo_lib.screening.journal import DECISIONS, Journal, JournalError
from karyo_lib.screening.package import save_package
from karyo_lib.screening.screener import Screener
from karyo_lib.screening.worklist import CSV_COLUMNS, Worklist
from karyo_lib.store import BusyError

QUIET = ScreenOptions(progress=False)


def _rows(out) -> list[dict]:
    text = (out / "worklist.csv").read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def _tree(folder) -> dict:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def test_every_file_is_in_the_worklist_most_urgent_first(stub, stub_model, pages_dir, tmp_path):
    (pages_dir / "readme.txt").write_text("no karyogram")
    before = _tree(pages_dir)
    screen_folder(stub_model, pages_dir, tmp_path / "out", QUIET)
    rows = _rows(tmp_path / "out")
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 13
    assert [int(row["rank"]) for row in rows] == list(range(1, 14))
    order = [DECISIONS.index(row["decision"]) for row in rows]
    assert order == sorted(order)
    for decision in ("abnormal", "refer", "cleared"):
        p = [float(row["probability"]) for row in rows if row["decision"] == decision]
        assert p
        assert p == sorted(p, reverse=True)
    assert all(float(r["probability"]) < 0.2 for r in rows if r["decision"] == "cleared")
    assert [r["file"] for r in rows if r["decision"] == "quarantined"] == ["readme.txt"]
    assert _tree(pages_dir) == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "journal.jsonl", "worklist.csv", "worklist.html",
    ]  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "out" / "worklist.html").read_text()


def test_the_same_input_gives_the_same_output(stub, stub_model, pages_dir, tmp_path):
    for name in ("one", "two"):
        workers = 1 if name == "one" else 4
        screen_folder(stub_model, pages_dir, tmp_path / name, ScreenOptions(progress=False, workers=workers))
    for file in ("worklist.csv", "worklist.html", "journal.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_stop_leaves_a_worklist_and_the_same_call_goes_on(stub, stub_model, pages_dir, tmp_path):
    out = tmp_path / "out"
    stub.stop_after = 6
    with pytest.raises(KeyboardInterrupt):
        screen_folder(stub_model, pages_dir, out, QUIET)
    partial = _rows(out)
    assert 0 < len(partial) < 12
    assert "Not finished" in (out / "worklist.html").read_text()
    stub.stop_after, stub.seen = 10**9, 0
    screen_folder(stub_model, pages_dir, out, QUIET)
    assert stub.seen == 12 - len(partial)  # nothing is judged twice
    screen_folder(stub_model, pages_dir, tmp_path / "whole", QUIET)
    assert _rows(out) == _rows(tmp_path / "whole")
    assert (out / "worklist.html").read_bytes() == (tmp_path / "whole" / "worklist.html").read_bytes()


def test_ctrl_c_never_strikes_in_the_middle_of_a_network_step(
    stub, stub_model, pages_dir, tmp_path, monkeypatch, capfd
):
    """An exception inside TensorFlow can damage its memory: the step ends first, then the screening does."""

    def never(*_):
        raise AssertionError("the screening's own handler is in place while it runs")

    before, look, finished = signal.signal(signal.SIGTERM, never), stub.look, []

    def stopped_within(pages):
        found = look(pages)
        signal.raise_signal(signal.SIGTERM)
        finished.append(len(found))
        return found

    monkeypatch.setattr(stub, "look", stopped_within)
    try:
        with pytest.raises(KeyboardInterrupt):
            screen_folder(stub_model, pages_dir, tmp_path / "out", QUIET)
        assert signal.getsignal(signal.SIGTERM) is never
    finally:
        signal.signal(signal.SIGTERM, before)
    assert finished == [stub.batch]
    assert "Stopping after the images at hand" in capfd.readouterr().err
    assert 0 < len(_rows(tmp_path / "out")) <= stub.batch


@pytest.mark.parametrize("cut", [1, 40, 3000])
def test_a_journal_cut_short_is_continued(stub, stub_model, pages_dir, tmp_path, cut):
    out = tmp_path / "out"
    screen_folder(stub_model, pages_dir, out, QUIET)
    whole = _rows(out)
    journal = out / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    screen_folder(stub_model, pages_dir, out, QUIET)
    assert _rows(out) == whole


def test_changed_and_new_files_are_screened_again_and_lost_ones_leave(stub, stub_model, pages_dir, tmp_path):
    out = tmp_path / "out"
    screen_folder(stub_model, pages_dir, out, QUIET)
    Image.fromarray(draw_bars(99, dark=200)).save(pages_dir / "page00.png", compress_level=1)
    Image.fromarray(draw_bars(98)).save(pages_dir / "new.png")
    (pages_dir / "page11.png").unlink()
    stub.seen = 0
    screen_folder(stub_model, pages_dir, out, QUIET)
    assert stub.seen == 2
    rows = {row["file"]: row for row in _rows(out)}
    assert len(rows) == 12
    assert "page11.png" not in rows
    assert rows["page00.png"]["decision"] == "abnormal"


def test_a_file_of_fewer_pages_leaves_no_stale_ones(stub, stub_model, pages_dir, tmp_path):
    """Three pages of a TIFF are replaced by one of the same name, size of file and time of change."""
    out, path = tmp_path / "out", pages_dir / "three.tif"
    pages = [Image.fromarray(draw_bars(i)) for i in (50, 51, 52)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    screen_folder(stub_model, pages_dir, out, QUIET)
    assert sum(row["file"] == "three.tif" for row in _rows(out)) == 3
    status = path.stat()
    pages[1].save(tmp_path / "one.tif")
    with open(tmp_path / "one.tif", "ab") as file:
        file.truncate(status.st_size)
    os.utime(tmp_path / "one.tif", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "one.tif").replace(path)
    for _ in range(2):
        screen_folder(stub_model, pages_dir, out, QUIET)
        assert [row["page"] for row in _rows(out) if row["file"] == "three.tif"] == ["1"]
        assert len(Journal.finished(out).entries) == 13
    assert len({row["case"] for row in _rows(out)}) == 13


def test_two_screenings_cannot_share_a_folder(stub, stub_model, pages_dir, tmp_path):
    out = tmp_path / "out"
    screen_folder(stub_model, pages_dir, out, QUIET)
    before, rows = _tree(out), _rows(out)
    at_work = Journal(out, json.loads((out / "journal.jsonl").read_text().splitlines()[0]))
    for fresh in (False, True):
        with pytest.raises(BusyError, match="another karyo is at work"):
            screen_folder(stub_model, pages_dir, out, ScreenOptions(progress=False, fresh=fresh))
    assert _tree(out) == before
    at_work.close()
    screen_folder(stub_model, pages_dir, out, QUIET)
    assert _rows(out) == rows


def test_results_of_another_model_are_not_continued(stub, stub_model, pages_dir, tmp_path):
    screen_folder(stub_model, pages_dir, tmp_path / "out", QUIET)
    other = tmp_path / "other.karyo"
    save_package(make_package(threshold=0.3), other)
    with pytest.raises(JournalError, match="--fresh"):
        screen_folder(other, pages_dir, tmp_path / "out", QUIET)
    options = ScreenOptions(progress=False, clear_below=0.4)
    with pytest.raises(JournalError, match="--fresh"):
        screen_folder(stub_model, pages_dir, tmp_path / "out", options)
    screen_folder(other, pages_dir, tmp_path / "out", ScreenOptions(progress=False, fresh=True))
    assert len(_rows(tmp_path / "out")) == 12


def test_the_out_folder_may_lie_inside(stub, stub_model, pages_dir):
    for _ in range(2):
        screen_folder(stub_model, pages_dir, pages_dir / "out", QUIET)
    assert len(_rows(pages_dir / "out")) == 12
    with pytest.raises(ValueError, match="other than the folder"):
        screen_folder(stub_model, pages_dir, pages_dir, QUIET)


def test_nothing_is_cleared_without_a_promise_or_a_users_word(stub, pages_dir, tmp_path):
    model = tmp_path / "m.karyo"
    save_package(make_package(threshold=None), model)
    screen_folder(model, pages_dir, tmp_path / "a", QUIET)
    assert {row["decision"] for row in _rows(tmp_path / "a")} == {"abnormal", "refer"}
    own = ScreenOptions(progress=False, clear_below=0.3)
    screen_folder(model, pages_dir, tmp_path / "b", own)
    cleared = [row for row in _rows(tmp_path / "b") if row["decision"] == "cleared"]
    assert cleared
    assert all("without a promise" in row["reason"] for row in cleared)
    assert "Nothing is promised" in (tmp_path / "b" / "worklist.html").read_text()


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.handlers = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags += [tag] if ("type", "application/json") not in attrs else []
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        self.handlers += [value for name, value in attrs if name.startswith("on")]


EVIL = [
    "<script>alert(1)</script>.png", "\"onmouseover='alert(1)'.png",
    "</script><img src=x onerror=alert(1)>.png",
    "{{7*7}}{% raw %}.png", "=cmd|' !A0.png", "@SUM(A1).png", "ünïcode 染色体 &amp;.png", "a'b\"c`d.png",
]  # fmt: skip


def test_names_are_shown_as_text_and_nothing_else(stub, stub_model, tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    names = [name.replace("/", "\u2215") for name in EVIL]
    for i, name in enumerate(names):
        Image.fromarray(draw_bars(i)).save(folder / name)
    out = tmp_path / "out"
    screen_folder(stub_model, folder, out, QUIET)
    page = _Page()
    page.feed((out / "worklist.html").read_text(encoding="utf-8"))
    harmless = tmp_path / "harmless"
    harmless.mkdir()
    Image.fromarray(draw_bars(0)).save(harmless / "plain.png")
    screen_folder(stub_model, harmless, tmp_path / "plain", QUIET)
    plain = _Page()
    plain.feed((tmp_path / "plain" / "worklist.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == plain.tags.count("script")  # the page's own
    assert all(link.startswith("data:") for link in page.links)
    assert page.handlers == ["window.print()"]
    assert "<b>sentence</b>" not in (out / "worklist.html").read_text(encoding="utf-8")
    rows = _rows(out)
    assert {row["file"].removeprefix("'") for row in rows} == set(names)
    for row in rows:
        assert row["file"][0] not in "=+-@"
    table = Worklist(Screener(stub_model).screen(folder))
    shown = _Page()
    shown.feed(table._repr_html_())
    assert "script" not in shown.tags


def test_patients_and_names_can_be_masked(stub, stub_model, pages_dir, tmp_path):
    named = [f"page{i:02}.png" for i in range(12)]
    patients = [f"Jane Doe {i // 2}" for i in range(12)]
    pd.DataFrame({"file_name": named, "patient_id": patients}).to_csv(pages_dir / "metadata.csv", index=False)
    screen_folder(stub_model, pages_dir, tmp_path / "none", QUIET)
    assert "Jane" not in (tmp_path / "none" / "worklist.html").read_text()
    screen_folder(stub_model, pages_dir, tmp_path / "show", ScreenOptions(progress=False, patients="show"))
    assert {row["patient_id"] for row in _rows(tmp_path / "show")} == set(patients)
    masked = ScreenOptions(progress=False, patients="mask", mask_names=True)
    out = tmp_path / "mask"
    screen_folder(stub_model, pages_dir, out, masked)
    for file in ("worklist.csv", "worklist.html"):
        text = (out / file).read_text(encoding="utf-8-sig")
        assert "Jane" not in text
        assert not re.search(r"page\d\d\.png", text)
    codes = {row["patient_id"] for row in _rows(out)}
    assert len(codes) == 6
    key = pd.read_csv(out / "names.csv", encoding="utf-8-sig")
    assert sorted(key["file"]) == named
    assert (out / "names.csv").stat().st_mode & 0o077 == 0
    with pytest.raises(ValueError, match="none, show, mask"):
        screen_folder(stub_model, pages_dir, out, ScreenOptions(progress=False, patients="all"))


def test_pictures_lie_in_the_page_beside_it_or_nowhere(stub, stub_model, pages_dir, tmp_path, monkeypatch):
    def screen(out: str, pictures: str) -> str:
        options = ScreenOptions(progress=False, pictures=pictures)
        screen_folder(stub_model, pages_dir, tmp_path / out, options)
        return (tmp_path / out / "worklist.html").read_text()

    inside = screen("inside", "auto")
    assert inside.count("data:image/webp") == 24  # each small and at its own resolution
    assert "data:image" not in screen("none", "none").replace('"data:,"', "")
    beside = screen("beside", "beside")
    assert "data:image" not in beside
    shown = re.findall(r'"(pictures/[^"]+)"', beside)
    assert len(shown) == len(set(shown)) == 36
    for name in shown:
        with Image.open(tmp_path / "beside" / name) as image:
            image.load()
    monkeypatch.setattr(worklist, "MOST_INSIDE", 1000)
    assert screen("auto", "auto") == beside
    with pytest.raises(ValueError, match="auto, inside, beside, none"):
        ScreenOptions(pictures="all")


def test_a_folder_without_files_is_an_error(stub, stub_model, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="without files"):
        screen_folder(stub_model, tmp_path / "empty", tmp_path / "out", QUIET)
    with pytest.raises(ValueError, match="which is none"):
        screen_folder(stub_model, tmp_path / "absent", tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_screening_reads_only_a_little_ahead(stub, pages_dir, tmp_path):
    """Files are asked for as they are needed: a folder of any size holds a few pages in memory."""
    many = tmp_path / "many"
    many.mkdir()
    for i in range(300):
        (many / f"{i:03}.png").hardlink_to(pages_dir / "page03.png")
    from karyo_lib.screening.cases import find_files

    asked = []

    def files():
        for file in find_files(many):
            asked.append(file.name)
            yield file

    results = Screener(make_package(), workers=2).screen_files(files())
    for done in range(1, 100):
        next(results)
        assert len(asked) <= done + 2 * 4 + stub.batch + 1
    results.close()
    assert len(asked) < 150


def test_results_are_yielded_in_the_order_of_the_files(stub, pages_dir):
    files = [pages_dir / f"page{i:02}.png" for i in (7, 2, 9)]
    results = list(Screener(make_package(), workers=3).screen(files))
    assert [r.file for r in results] == ["page07.png", "page02.png", "page09.png"]
    table = Worklist(results)
    assert len(table) == 3
    assert list(table.to_frame()["probability"]) == sorted((r.probability for r in results), reverse=True)
    assert "research tool" in table._repr_html_().lower()


def test_unlike_pages_are_referred_whatever_their_probability(monkeypatch, stub, pages_dir):
    package = make_package(threshold=0.99, reference=True)
    assert {r.decision for r in Screener(package).screen(pages_dir)} == {"abnormal", "cleared"}
    look = stub.look

    def elsewhere(pages):
        looks = look(pages)
        for found in looks:
            found.embedding[:] = np.array([-1, 0, 0, 0])
        return looks

    monkeypatch.setattr(stub, "look", elsewhere)
    results = list(Screener(package).screen(pages_dir))
    assert {r.decision for r in results} == {"refer"}
    assert all("unlike the training karyograms" in r.reason for r in results)


def test_journals_hold_pictures_and_numbers_alike(stub, stub_model, pages_dir, tmp_path):
    screen_folder(stub_model, pages_dir, tmp_path / "out", QUIET)
    lines = (tmp_path / "out" / "journal.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert told[0]["format"] == 4
    assert sum("done" in line for line in told) == 12
    shutil.rmtree(tmp_path / "out")


def test_screener_says_what_it_needs(stub, stub_model, tmp_path):
    with pytest.raises(ValueError, match="at least 1 worker"):
        Screener(stub_model, workers=0)
    with pytest.raises(ValueError, match="clearing threshold"):
        Screener(stub_model, clear_below=1.5)


def test_a_page_without_chromosomes_is_quarantined(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (416, 416), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (result,) = Screener("reading").screen(tmp_path)
    assert result.decision == "quarantined"
    assert result.reason.startswith("no chromosomes found")
    assert np.isnan(result.probability)
    assert result.picture
