"""Reports opened in a headless browser, as a reader would; screenshots are kept in build/screenshots."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from karyo_lib.study.present import Table, static

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

# Every piece of text against the nearest background behind it, by the WCAG formula.
CONTRAST = """
() => {
  const parse = text => {
    const m = text.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = c => { const f = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, [aria-hidden=true], .unseen")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    let behind = element, ground = [255, 255, 255, 1];
    for (; behind; behind = behind.parentElement) {
      const colour = parse(getComputedStyle(behind).backgroundColor);
      if (colour[3] > 0) { ground = colour; break; }
    }
    const style = getComputedStyle(element), a = light(parse(style.color)), b = light(ground);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5))
      low.push([element.tagName, element.className, node.textContent.trim().slice(0, 30), ratio.toFixed(2)]);
  }
  return low;
}
"""


@pytest.fixture
def visit(browser):
    """Open a page; afterwards nothing may have gone wrong and nothing been asked of another host."""
    pages, complaints = [], []

    def visit(path, **settings):
        settings = {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"} | settings
        opened = browser.new_page(**settings)
        opened.on("console", lambda message: complaints.append(f"console: {message.text}"))
        opened.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        opened.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", "file:", "blob:"))
                else complaints.append(request.url)
            ),
        )
        opened.goto(path.as_uri())
        pages.append(opened)
        return opened

    yield visit
    for opened in pages:
        opened.close()
    assert complaints == []


def keep(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def skipped_headings(page):
    """Return headings that stand more than one level below the one before; there is one of the first."""
    levels = page.eval_on_selector_all("h1, h2, h3, h4, h5, h6", "all => all.map(one => +one.tagName[1])")
    texts = page.locator("h1, h2, h3, h4, h5, h6").all_text_contents()
    assert levels.count(1) == 1
    return [texts[i] for i, level in enumerate(levels) if level > (levels[i - 1] if i else 0) + 1]


@pytest.fixture(scope="module")
def report(study):
    return study[1].dir / "01_first.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_without_complaint_and_reads_well(study, visit, scheme):
    for path in sorted(study[1].dir.glob("*.html")):
        page = visit(path, color_scheme=scheme)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate(CONTRAST) == [], path.name
        ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
        assert len(ids) == len(set(ids))
        assert page.eval_on_selector_all("img:not([alt])", "all => all.length") == 0
        assert skipped_headings(page) == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
        keep(page, f"{path.stem}-{scheme}")


def test_code_is_folded_and_one_switch_opens_it_all(report, visit):
    page = visit(report)
    opened = "all => all.filter(one => one.open).length"
    assert page.eval_on_selector_all("details.code", opened) == 0
    page.click("#code-switch")
    count = page.locator("details.code").count()
    assert page.eval_on_selector_all("details.code", opened) == count > 3
    assert page.get_attribute("#code-switch", "aria-pressed") == "true"
    page.click("#code-switch")
    assert page.eval_on_selector_all("details.code", opened) == 0


def test_contents_follow_the_reading(report, visit):
    # A window too low for two parts at once; nothing glides, for Chromium drops keys pressed meanwhile.
    page = visit(report, viewport={"width": 1360, "height": 500}, reduced_motion="reduce")
    entries = page.locator(".contents a").all_text_contents()
    assert entries == ["Top", "The collection", "Tables", "Three", "Provenance"]
    current = ".contents a[aria-current]"
    assert page.text_content(current) == "Top"
    page.click(".contents a >> text=Tables")
    page.wait_for_selector(f"{current}:text-is('Tables')")
    page.keyboard.press("End")
    page.wait_for_selector(f"{current}:text-is('Provenance')")
    page.keyboard.press("Home")
    page.wait_for_selector(f"{current}:text-is('Top')")
    assert page.locator(".contents").bounding_box()["y"] >= 0, "stays in view"


def test_a_long_table_is_filtered_its_rows_marked_and_its_columns_explained(visit, tmp_path):
    frame = pd.DataFrame({"condition": [f"network {i}" for i in range(20)], "auc": np.linspace(0.4, 0.9, 20)})
    table = Table("many", "Many rows.", None, frame, b"", rows=20, digits=2).to_html()
    file = tmp_path / "table.html"
    page = (
        f"<title>t</title><style>{static('present.css')}</style>{table}<script>{static('tables.js')}</script>"
    )
    file.write_text(page)
    page = visit(file)
    page.add_script_tag(content=static("tables.js"))
    page.fill(".karyo-filter", "NETWORK 19")
    assert page.locator("tbody tr:visible").count() == 1
    page.fill(".karyo-filter", "")
    assert page.locator("tbody tr:visible").count() == 20
    page.click("tbody tr >> nth=3")
    assert page.locator("tr.marked").count() == 1
    page.click("tbody tr >> nth=3")
    assert page.locator("tr.marked").count() == 0
    assert page.get_attribute("th.number button", "title").startswith("Area under the ROC curve")
    assert "karyo-filter" not in Table("few", "Few.", None, frame.head(3), b"", rows=20, digits=2).to_html()


def test_a_figure_opens_large_by_mouse_and_key(report, visit):
    page = visit(report)
    before = page.locator(".karyo-figure img").bounding_box()
    page.click(".karyo-figure img")
    assert page.locator("dialog#enlarged").is_visible()
    after = page.locator("dialog img").bounding_box()
    assert after["width"] > 1.5 * before["width"]
    assert page.get_attribute("dialog img", "src").startswith("data:image/svg+xml")
    assert page.get_attribute("dialog img", "alt").startswith("Loss")
    page.keyboard.press("Escape")
    assert not page.locator("dialog#enlarged").is_visible()
    page.focus(".karyo-figure .karyo-enlarge")
    page.keyboard.press("Enter")
    assert page.locator("dialog#enlarged").is_visible()
    page.click("dialog button")
    assert not page.locator("dialog#enlarged").is_visible()


def test_a_table_is_sorted_by_its_headings(report, visit):
    page = visit(report)
    column = "#first td:nth-child(2)"
    assert page.locator(column).all_text_contents() == ["0.500", "0.250", "0.750"]
    page.click("#first th:nth-child(2) button")
    assert page.locator(column).all_text_contents() == ["0.250", "0.500", "0.750"]
    page.click("#first th:nth-child(2) button")
    assert page.locator(column).all_text_contents() == ["0.750", "0.500", "0.250"]
    assert page.get_attribute("#first th:nth-child(2)", "aria-sort") == "descending"
    page.click("#first th:nth-child(1) button")
    assert page.locator("#first td:nth-child(1)").all_text_contents() == ["007", "008", "009"]


@pytest.mark.parametrize("kind", ["PNG", "SVG"])
def test_downloads_are_whole_files(report, visit, kind):
    page = visit(report)
    with page.expect_download() as started:
        page.click(f"#fig-4-8 a >> text={kind}")
    content = Path(started.value.path()).read_bytes()
    assert started.value.suggested_filename == f"curves.{kind.lower()}"
    assert content.startswith({"PNG": b"\x89PNG", "SVG": b"<?xml"}[kind])


def test_csv_download_has_every_row(report, visit):
    page = visit(report)
    with page.expect_download() as started:
        page.click("#first a >> text=CSV")
    assert Path(started.value.path()).read_text().splitlines()[0] == "image_id,auc,kind"


def test_print_is_clean(report, visit):
    page = visit(report, color_scheme="dark")
    page.emulate_media(media="print")
    for hidden in (".masthead", ".contents", "details.code", ".karyo-links"):
        assert not page.locator(hidden).first.is_visible(), hidden
    for shown in ("h1", ".karyo-headline", ".karyo-figure img", "#first table"):
        assert page.locator(shown).first.is_visible(), shown
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert page.pdf(path=SCREENSHOTS / "01_first.pdf").startswith(b"%PDF")


def test_nothing_is_wider_than_a_telephone(study, visit):
    for path in sorted(study[1].dir.glob("*.html")):
        page = visit(path, viewport={"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name


def test_failing_cell_is_reached_from_the_index(study, visit):
    page = visit(study[1].dir / "index.html")
    page.click("text=see the failing cell")
    assert page.locator(".cell.failed .traceback").is_visible()
    assert page.locator(".cell.failed").bounding_box()["y"] < 900


def test_two_runs_are_compared(fresh_study, visit):
    from karyo_lib.study.report.execute import run_study
    from karyo_lib.study.runs import Run

    notebooks, run = fresh_study
    run_study(Run.open("smoke", run_dir=str(run.dir), seed=7), only=["1"], folder=notebooks)
    page = visit(run.dir / "index.html")
    said = page.text_content("#comparison")
    assert "seed20207" in said
    assert "Numbers: no difference" in said
    assert "other settings or inputs than the latest run: 02_second, 04_fourth." in page.text_content("main")
    keep(page, "index-compare")
