"""From labelled folder to worklist, with a real network; the worklist in a real browser; the command."""

import csv
import io
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from screening_stubs import SMALL
from typer.testing import CliRunner

from karyo_lib.cli import app
from karyo_lib.networks.weights import resolve_weights
from karyo_lib.resources import data_file
from karyo_lib.screening import folder as folder_module
from karyo_lib.screening.folder import ScreenOptions, screen_folder
from karyo_lib.screening.journal import DECISIONS
from karyo_lib.screening.judges import NetworkJudge, set_flat_weights
from karyo_lib.screening.package import (
    Calibration,
    Package,
    PackageError,
    load_package,
    save_package,
    shipped_reader,
)
from karyo_lib.screening.packing import train_package
from karyo_lib.screening.screener import Screener


@pytest.fixture(scope="session")
def trained_model(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.karyo"
    save_package(trained, path)
    return path


def test_training_keeps_its_parts_apart(trained):
    card = {section["title"]: section for section in trained.facts["sections"]}
    rows = card["What it was made from"]["rows"][1:]
    assert sum(int(row[1]) + int(row[2]) for row in rows) == 22
    assert "random" in trained.facts["warning"]
    assert trained.promise.n == int(rows[2][1]) + int(rows[2][2]) or trained.promise.threshold is None
    assert trained.reference.n == 22 - int(rows[2][1]) - int(rows[2][2])
    assert not any("/" in text for section in trained.facts["sections"] for text in section["text"])


def test_the_trained_network_comes_back_from_its_file(trained, trained_model, drawn_dir):
    a = list(Screener(trained).screen(drawn_dir))
    b = list(Screener(trained_model).screen(drawn_dir))
    assert [repr(result) for result in a] == [repr(result) for result in b]  # nan is nan
    judged = [r for r in a if r.label]
    assert len(judged) == 22
    assert all(0 <= r.probability <= 1 and 50 <= r.confidence <= 100 for r in judged)
    assert all(r.picture[:4] == b"RIFF" and r.picture[8:12] == b"WEBP" for r in judged)


def test_probabilities_are_those_of_the_whole_network(trained, drawn_dir):
    """The package's network, run in one piece by Keras, agrees with the judge where dropout is off."""
    from dataclasses import replace

    from karyo_lib.networks.features import preprocess
    from karyo_lib.networks.models import build_model
    from karyo_lib.screening.cases import find_files, read_pages

    pages = [next(read_pages(f, 200)) for f in find_files(drawn_dir) if f.name.endswith("png")][:5]
    recipe = trained.recipe
    whole = build_model("VGG16", resolve_weights("VGG16", "random"), input_shape=recipe.input_shape)
    set_flat_weights(whole, trained.weights)
    inputs = preprocess("VGG16", [p.fitted for p in pages], recipe.input_shape)
    expected = np.asarray(whole(inputs, training=False))[:, 0]
    certain = NetworkJudge(replace(recipe, dropout=0.0), trained.weights)
    np.testing.assert_allclose([look.p for look in certain.look(pages)], expected, atol=1e-5)
    with pytest.raises(ValueError, match="weights for this network"):
        set_flat_weights(whole, trained.weights[:-1])


def test_the_heat_map_leaves_the_answer_alone(trained, drawn_dir):
    pages = sorted((drawn_dir / "pages").glob("*.png"))[:2]
    plain = list(Screener(trained).screen(pages))
    covered = list(Screener(trained, heat_map="occlusion").screen(pages))
    for a, b in zip(plain, covered, strict=True):
        assert (a.file, a.probability, a.decision, a.reason) == (b.file, b.probability, b.decision, b.reason)
        assert b.heat
        assert a.heat != b.heat
    with pytest.raises(ValueError, match="grad-cam, occlusion"):
        Screener(trained, heat_map="saliency")


def test_training_again_gives_the_same_package(trained, drawn_dir, tmp_path):
    again = train_package(drawn_dir, SMALL, weights="random", work=tmp_path / "work", progress=False)
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"pages", "copies", "features"}
    for name, package in (("a", trained), ("b", again)):
        save_package(package, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_network_are_refused(trained, tmp_path):
    wrong = Package(trained.recipe, trained.weights[:1000], Calibration(), None, None)
    save_package(wrong, tmp_path / "wrong.karyo")
    with pytest.raises((PackageError, ValueError), match="weights for this network"):
        Screener(tmp_path / "wrong.karyo")


def test_ctrl_c_leaves_a_worklist_and_resume_completes_it(trained_model, drawn_dir, tmp_path):
    """The command in a process of its own, interrupted once the first results are on the disk."""
    many = tmp_path / "many"
    many.mkdir()
    page = next((drawn_dir / "pages").glob("*.png"))
    for i in range(240):
        (many / f"{i:03}.png").hardlink_to(page)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "karyo_lib.cli", "screen", str(trained_model), str(many), "-o", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    journal, deadline = out / "journal.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.is_file() and journal.stat().st_size > 20_000):
        time.sleep(0.05)
    # A shell that runs this in the background takes Ctrl-C away; being asked to end must do the same.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-500:]
    assert b"Stopped" in errors
    done = len(_csv(out))
    assert 0 < done < 240
    assert "Not finished" in (out / "worklist.html").read_text()
    screen_folder(trained_model, many, out, ScreenOptions(progress=False))
    rows = _csv(out)
    assert sorted(row["file"] for row in rows) == [f"{i:03}.png" for i in range(240)]
    assert len({(r["probability"], r["decision"]) for r in rows}) == 1  # the same page every time


def test_the_command_says_what_is_wrong(tmp_path, drawn_dir):
    bad = tmp_path / "bad.karyo"
    bad.write_bytes(b"no model")
    result = CliRunner().invoke(app, ["screen", str(bad), str(drawn_dir), "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "bad.karyo" in result.output
    assert not (tmp_path / "out").exists()


def test_the_command_sums_up(stub, stub_model, pages_dir, tmp_path):
    (pages_dir / "notes.txt").write_text("no image")
    command = ["screen", str(stub_model), str(pages_dir), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    counts = Counter(row["decision"] for row in _csv(tmp_path / "out"))
    said = ", ".join(f"{counts[decision]} {decision}" for decision in DECISIONS)
    assert f"13 cases from 13 files: {said}" in result.output
    assert "worklist.html" in result.output
    assert "Nothing is cleared" not in result.output


@pytest.mark.parametrize("given", [["a.karyo"], ["a.karyo", "DIR", "--method", "reading"], ["reading"]])
def test_a_model_or_the_reader_but_not_both(given, pages_dir, tmp_path):
    given = [str(pages_dir) if word == "DIR" else word for word in given]
    result = CliRunner().invoke(app, ["screen", *given, "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "Expected" in result.output
    assert not (tmp_path / "out").exists()


def test_the_reader_needs_no_model(stub, pages_dir, tmp_path):
    command = ["screen", "--method", "reading", str(pages_dir), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "0 cleared" in result.output  # the stub's looks say nothing of a reader's own promise
    page = (tmp_path / "out" / "worklist.html").read_text(encoding="utf-8")
    assert "are cleared for number, with 95 % confidence" in page
    assert ">Formula<" in page
    assert "Model: the reader that comes with karyo; method reading" in page
    assert shipped_reader().digest[:16] in page
    assert ">Confidence<" not in page  # no passes to agree


def test_a_reader_of_your_own_screens(stub, pages_dir, tmp_path):
    command = ["screen", "--method", "reading", str(pages_dir), "-o", str(tmp_path / "out"), "--reader"]
    result = CliRunner().invoke(app, [*command, str(tmp_path)])
    assert result.exit_code == 1
    assert "Expected a folder written by Reader.save" in result.output
    own = shutil.copytree(data_file("reader"), tmp_path / "own")
    record = (own / "reader.json").read_text(encoding="utf-8").replace("at most", "I say at most")
    (own / "reader.json").write_text(record, encoding="utf-8")
    result = CliRunner().invoke(app, [*command, str(own)])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "worklist.html").read_text(encoding="utf-8")
    assert "Model: a reader of your own; method reading" in page
    assert "I say at most" in page
    assert shipped_reader(own).digest[:16] in page
    assert shipped_reader().digest[:16] not in page
    result = CliRunner().invoke(app, ["screen", "m.karyo", str(pages_dir), "-o", "out", "--reader", str(own)])
    assert "Expected --reader with --method reading" in result.output


def test_a_mistyped_method_is_named_with_the_valid_one(pages_dir, tmp_path):
    command = ["screen", "--method", "readng", str(pages_dir), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "Expected --method reading" in result.output
    assert "Did you mean 'reading'?" in result.output


def test_without_dask_the_scheduler_option_says_so(trained_model, drawn_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = ScreenOptions(progress=False, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"karyo\[cluster\]"):
        screen_folder(trained_model, drawn_dir, tmp_path / "out", options)
    with pytest.raises(ValueError, match="save it with save_package first"):
        folder_module.screen_folder(load_package(trained_model), drawn_dir, tmp_path / "out", options)


def _csv(out) -> list[dict]:
    return list(csv.DictReader(io.StringIO((out / "worklist.csv").read_text(encoding="utf-8-sig"))))


@pytest.fixture
def mixed_out(stub, stub_model, pages_dir, tmp_path) -> Path:
    content = (pages_dir / "page05.png").read_bytes()
    (pages_dir / "<img src=x onerror=document.title=1>.png").write_bytes(content)
    (pages_dir / "broken.png").write_bytes(b"nothing")
    Image.fromarray(np.full((200, 300), 255, np.uint8)).save(pages_dir / "blank.png")
    screen_folder(stub_model, pages_dir, tmp_path / "out", ScreenOptions(progress=False))
    return tmp_path / "out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_worklist_in_a_browser(browser, mixed_out, scheme):
    page = browser.new_page(color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((mixed_out / "worklist.html").as_uri())
    rows = page.locator(".list tbody tr")
    rank = {d: i for i, d in enumerate(DECISIONS)}

    def column(name: str) -> list[str]:
        return rows.evaluate_all(f"rows => rows.map(row => row.dataset.{name})")

    assert rows.count() == 15
    order = [rank[d] for d in column("decision")]
    assert order == sorted(order)
    # sort: highest probability first, then lowest; unread files stay last
    page.get_by_role("button", name="P(abnormal)").click()
    p = [float(v) for v in column("probability") if v]
    assert p == sorted(p, reverse=True)
    assert column("probability")[-2:] == ["", ""]
    page.get_by_role("button", name="P(abnormal)").click()
    assert [float(v) for v in column("probability") if v] == sorted(p)
    page.get_by_role("button", name="File", exact=True).click()
    assert column("file")[-1] == "page11.png"
    # filter
    page.locator(".filter .quarantined").click()
    assert set(column("decision")) == {"quarantined"}
    assert page.locator(".shown").inner_text() == f"{len(column('file'))} of 15 cases"
    page.locator(".filter .quarantined").click()
    page.keyboard.press("/")
    page.keyboard.type("page0")
    assert len(column("file")) == 10
    assert page.locator(".shown").inner_text() == "10 of 15 cases"
    page.get_by_role("searchbox").fill("no such")
    assert page.locator(".empty").is_visible()
    page.get_by_role("searchbox").fill("")
    # a case: picture, heat map, facts, next
    rows.nth(3).locator("button").click()
    dialog = page.locator("dialog")
    page.wait_for_selector(".cell[data-ready]")
    first = dialog.locator("h2").inner_text()
    assert first == rows.nth(3).locator(".file").inner_text()
    assert dialog.locator(".kc-why").inner_text() == rows.nth(3).get_attribute("data-reason")
    assert dialog.locator(".kc-where").inner_text() == "4 of 15"
    assert "200 by 200 pixels" in dialog.locator(".kc-picture canvas").get_attribute("aria-label")
    dialog.locator("input[type=range]").fill("80")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    rows.nth(3).locator("button").click()
    page.keyboard.press("n")  # at once: no click before
    assert dialog.locator("h2").inner_text() == rows.nth(4).locator(".file").inner_text()
    page.reload()
    assert dialog.locator("h2").inner_text() == rows.nth(4).locator(".file").inner_text()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    # filters survive a reload
    page.locator(".filter .refer").click()
    page.get_by_role("searchbox").fill("page")
    kept = page.locator(".shown").inner_text(), column("file")
    page.reload()
    assert (page.locator(".shown").inner_text(), column("file")) == kept
    page.emulate_media(media="print")
    assert not page.locator(".tools").is_visible()
    assert page.title() == "karyo · worklist"
    assert said == []
    asked = {url.split("#")[0] for url in asked if not url.startswith("data:")}
    assert asked == {(mixed_out / "worklist.html").as_uri()}


def test_the_card_is_whole_and_asks_for_nothing(trained, browser, tmp_path):
    from karyo_lib.screening.card import render_card

    markdown, html = render_card(trained.facts)
    assert re.search(r"^\| ROC-AUC \|", markdown, re.MULTILINE)
    (tmp_path / "card.html").write_text(html, encoding="utf-8")
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "card.html").as_uri())
    assert page.locator("h2").count() == len(trained.facts["sections"])
    assert len(asked) == 1
