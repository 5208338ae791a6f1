"""A cell in the browser: corrected by mouse and keys, signed, kept, saved, read back; formulae as iscn's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from signed_cells import SCRIPTS, draw_result, write_screening

from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.screening.export import open_cells
from karyo_lib.screening.review import parse_reviews

HOSTILE = "<img src=x onerror=document.title=1>.png"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="module")
def results():
    return [
        draw_result("46,XY", 1, "misnamed.png", "misnamed"),
        draw_result("47,XX,+21", 2, HOSTILE),
        draw_result("46,XX", 3, "merged.png", "merged"),
    ]


@pytest.fixture
def visit(browser):
    """Open a page; afterwards nothing may have gone wrong and nothing been asked of another host."""
    opened, complaints = [], []

    def visit(address: str, **given):
        page = browser.new_page(**({"viewport": {"width": 1280, "height": 800}} | given))
        page.set_default_timeout(120_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        allowed = ("data:", "file:", "blob:", "http://127.0.0.1:", "about:")
        page.on("request", lambda r: None if r.url.startswith(allowed) else complaints.append(r.url))
        page.goto(address)
        opened.append(page)
        return page

    yield visit
    for page in opened:
        page.close()
    assert complaints == []


def open_list(visit, folder: Path):
    page = visit((folder / "worklist.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    return page


def open_case(page, file: str):
    page.locator("tbody tr").filter(has_text=file).locator(".open").click()
    page.wait_for_selector(".cell[data-ready]")


def press(page, *keys: str):
    for key in keys:
        page.keyboard.press(key)


def shown(page) -> tuple[str, str]:
    return page.locator(".kc-count").inner_text(), page.locator(".kc-formula").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(visit, results, tmp_path, scheme):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    script = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    page = visit((write_screening(tmp_path / "out", results) / "worklist.html").as_uri(), color_scheme=scheme)
    page.wait_for_selector("html[data-ready]")

    def check():
        page.evaluate(script)
        told = page.evaluate("axe.run()")
        assert len(told["passes"]) > 10
        assert [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in told["violations"]] == []

    check()
    open_case(page, "merged.png")
    page.locator("summary", has_text="Keys and facts").click()
    check()
    page.locator(".kc-initials").fill("AB")
    press(page, "Enter", "a", "Escape")
    assert page.locator("#agreement").is_visible()
    check()


def test_formulae_are_those_of_iscn(visit):
    rng = np.random.default_rng(20)
    cells = []
    for i in range(1000):
        sets = int(rng.choice([1, 2, 2, 2, 2, 3, 4]))
        counts = {name: sets for name in CHROMOSOMES[:22]}
        for name in rng.choice(CHROMOSOMES[:22], int(rng.integers(0, 4 if i % 5 else 20))):
            counts[str(name)] = max(0, counts[str(name)] + int(rng.choice([-2, -1, 1, 2])))
        counts |= {
            "X": int(rng.integers(0, 5)),
            "Y": int(rng.integers(0, 3)),
            "mar": int(rng.choice([0, 0, 0, 1, 3])),
        }
        cells.append({name: n for name, n in counts.items() if n})
    page = visit("about:blank")
    script = (SCRIPTS / "cell.js").read_text(encoding="utf-8")
    written = page.evaluate(
        """async ([script, cells]) => {
          const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
          const cell = await import(address);
          return cells.map(cell.countFormula);
        }""",
        [script, cells],
    )
    assert written == [count_formula(counts) for counts in cells]
    assert len(set(written)) > 700


def test_a_misnamed_and_a_merged_chromosome_are_set_right_signed_and_kept(visit, results, tmp_path):
    folder = write_screening(tmp_path / "out", results)
    page = open_list(visit, folder)
    assert page.locator('.filter button[value="open"] b').inner_text() == "3"
    open_case(page, "misnamed.png")
    assert shown(page) == ("46 chromosomes, one in 4, three in 5", "46,XY,-4,+5")
    # the doubtful one, by its slot and its question mark, to 4: by keys alone
    page.locator(".kc-one.doubtful").focus()
    page.locator(".kc-one.doubtful").click()
    press(page, "4", "Enter")
    assert shown(page) == ("46 chromosomes, two in each of 1 to 22, XY", "46,XY")
    press(page, "u")
    assert shown(page)[1] == "46,XY,-4,+5"
    press(page, "r", "a")
    assert "sign as corrected" in page.locator(".kc-said").inner_text()
    press(page, "k")
    assert page.evaluate("document.activeElement.className") == "kc-initials"
    page.keyboard.type("AB")
    press(page, "Enter", "k")
    assert page.locator(".kc-signed").inner_text().startswith("corrected, AB, ")
    # two homologues taken for one: the shortest cut is proposed
    press(page, "n")
    while page.locator("h2").inner_text() != "merged.png":
        press(page, "n")
    assert shown(page) == ("45 chromosomes, one in 12", "45,XX,-12")
    page.locator('[data-slot="12"] .kc-one').click()
    press(page, "c", "Enter")
    assert shown(page)[1] == "46,XX"
    assert page.locator('[data-slot="12"] .kc-one').count() == 2
    press(page, "k", "Escape")
    assert page.evaluate("document.activeElement.className") == "open"
    assert page.title() == "karyo · worklist"
    # kept in the browser, saved as a file
    page.locator('.filter button[value="signed"]').click()
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("tbody tr:not([hidden])").count() == 2
    assert page.locator(".reviewed").all_inner_texts().count("signed as 46,XY") == 1
    assert page.locator("#agreement").is_visible()
    with page.expect_download() as started:
        page.locator("#save").click()
    saved = folder / started.value.suggested_filename
    started.value.save_as(saved)
    reviews = parse_reviews(saved.read_bytes())
    assert sorted((r.status, r.formula, r.initials) for r in reviews) == [
        ("corrected", "46,XX", "AB"), ("corrected", "46,XY", "AB"),
    ]  # fmt: skip
    signed = {cell.result.file: cell for cell in open_cells(folder)}
    assert [signed[name].formula for name in ("misnamed.png", "merged.png")] == ["46,XY", "46,XX"]
    halves = [one for one in signed["merged.png"].objects if one.name == "12"]
    assert len(halves) == 2
    assert halves[0].was == halves[1].was
    # what was saved is taken back, and nothing else is
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    wrong = json.loads(saved.read_text())
    wrong["reviews"][0]["formula"] = "46,XX,+<b>"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    page.locator("#file").set_input_files(tmp_path / "wrong.json")
    page.locator(".kept", has_text="nothing was taken").wait_for()
    page.locator("#file").set_input_files(saved)
    page.locator(".kept", has_text="2 of 2").wait_for()
    assert page.locator('.filter button[value="signed"] b').inner_text() == "2"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "worklist.png")


def test_of_many_cases_those_that_are_seen_stand_in_the_page(visit, results, tmp_path):
    many = [
        replace(results[0], file=f"cell{i:03}.png", digest=f"{i:032x}", probability=i / 200)
        for i in range(200)
    ]
    page = open_list(visit, write_screening(tmp_path / "out", many))
    rows = page.locator(".list tbody tr")
    assert rows.count() < 60
    assert rows.first.get_attribute("data-file") == "cell199.png"  # the most urgent
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator('tr[data-file="cell000.png"]').wait_for()
    page.locator('tr[data-file="cell199.png"]').wait_for(state="detached")
    assert rows.last.get_attribute("aria-rowindex") == "201"
    assert page.locator(".list").get_attribute("aria-rowcount") == "201"
    open_case(page, "cell000.png")
    press(page, "p", "Escape")  # the one before has the focus, wherever it lies
    assert page.evaluate("document.activeElement.closest('tr').dataset.file") == "cell001.png"
    page.get_by_role("searchbox").fill("cell19")
    assert page.locator(".shown").inner_text() == "10 of 200 cases"
    page.get_by_role("searchbox").fill("")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows.count() == 200  # paper shows all


def test_every_correction_by_keys_and_by_mouse(visit, results, tmp_path):
    page = open_list(visit, write_screening(tmp_path / "out", results[1:2]))
    open_case(page, HOSTILE)
    assert page.locator("h2").inner_text() == HOSTILE
    right = ("47 chromosomes, three in 21", "47,XX,+21")
    assert shown(page) == right
    press(page, "End", "d")  # keys work at once: the last one is an X
    assert shown(page) == ("46 chromosomes, three in 21, X; 1 set aside", "46,X,+21")
    press(page, "x", "Enter")
    assert shown(page) == right
    press(page, "t", "Home", "ArrowRight", "j", "ArrowLeft", "Enter")
    assert shown(page)[1] == "46,XX,-1,+21"
    press(page, "Control+z", "Control+z", "Control+z", "Control+z")
    assert shown(page) == right
    press(page, "u")
    assert page.locator(".kc-said").inner_text() == "Nothing to undo."
    # dragged from slot to slot
    one = page.locator('[data-slot="21"] .kc-one').first.bounding_box()
    there = page.locator('[data-slot="22"]').bounding_box()
    page.mouse.move(one["x"] + 5, one["y"] + 5)
    page.mouse.down()
    page.mouse.move(there["x"] + 20, there["y"] + 10, steps=4)
    page.mouse.up()
    assert shown(page)[1] == "47,XX,+22"
    # a cut drawn on the picture, and a chromosome chosen on it
    press(page, "u", "Home", "c")
    box = page.locator(".kc-picture canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    press(page, "Enter")
    assert shown(page)[1] == "48,XX,+1,+21"
    zoomed = float(page.locator(".kc-picture canvas").get_attribute("data-zoom"))
    press(page, "+")
    assert float(page.locator(".kc-picture canvas").get_attribute("data-zoom")) > zoomed
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    assert page.evaluate("document.activeElement.className").startswith("kc-one")
    page.screenshot(path=SCREENSHOTS / "cell.png")
