"""All seven notebooks, run by the command in the smallest profile, and their reports opened."""

import html
import json
import re

import pandas as pd
import prose
import pytest
from test_browser import CONTRAST, SCREENSHOTS, keep, skipped_headings, visit  # noqa: F401

from karyo_lib.study.report import execute
from karyo_lib.study.report.index import LARGEST
from karyo_lib.study.report.records import Records
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_items

A4 = 688  # px: 210 mm less the margins, at 96 to an inch
pytestmark = pytest.mark.timeout(1800)  # the run is made in the first test that asks for it


@pytest.fixture(scope="module")
def reports(smoke_run):
    folder, done = smoke_run
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_command_ends_with_the_index(reports, smoke_run):
    assert smoke_run[1].stdout.strip().splitlines()[-1] == str(reports / "index.html")


def test_every_notebook_is_done_and_quiet(reports):
    records = Records(reports)
    for path in sorted(reports.glob("0*.html")):
        record = records.read(path.stem)
        assert record["status"] == "done", record["error"]
        assert record["warnings"] == [], path.stem


def test_paragraphs_are_short_and_say_something(reports):
    records = Records(reports)
    for path in sorted(reports.glob("0*.html")):
        notebook = records.read_notebook(path.stem)
        assert prose.complaints(notebook) == [], path.stem
        assert prose.empty_sentences(notebook) == [], path.stem


def test_one_quantity_has_one_value(reports):
    """What leak, source and truth are worth is told in the same digits wherever it is told."""
    records, told = Records(reports), {}
    for path in sorted(reports.glob("0*.html")):
        text = "\n".join(prose.paragraphs(records.read_notebook(path.stem)))
        for part, value in re.findall(r"The (leak|source) is[^.]*? (-?\d\.\d\d \[[^\]]*\])", text):
            told.setdefault(part, set()).add(value)
    assert {part: len(values) for part, values in told.items()} == {"leak": 1, "source": 1}
    worth = pd.read_csv(reports / "tables" / "worth.csv").set_index("condition")
    assert worth.loc["VGG16 frozen, augmented data", "leak"] in told["leak"]


def test_the_front_page_answers_in_the_order_of_questions(reports):
    text = (reports / "index.html").read_text()
    sentences = pd.read_csv(reports / "tables" / "front_page.csv")["sentence"].to_list()
    assert len(sentences) == 3
    places = [text.index(html.escape(sentence)) for sentence in sentences]
    places += [text.index(f'id="{part}"') for part in ("story", "summary", "map", "reports")]
    assert places == sorted(places)
    summary = pd.read_csv(reports / "tables" / "table_5_1.csv")
    assert summary.shape == (7, 9)
    items = load_items()
    assert text[text.index('id="map"') : text.index('id="reports"')].count("<li") == len(items)


def test_every_estimate_of_a_conclusion_has_its_interval(reports):
    records = Records(reports)
    for path in sorted(reports.glob("0*.html")):
        for item in prose.headlines(records.read_notebook(path.stem)):
            measured = re.fullmatch(r"-?0?\.\d+|0\.\d+|1\.0+", item["value"])
            assert not measured or item["interval"] or item["note"], item


def test_no_notebook_overwrites_another(reports):
    records = Records(reports)
    outputs = [records.read(path.stem)["outputs"] for path in sorted(reports.glob("0*.html"))]
    assert len(set().union(*outputs)) == sum(map(len, outputs))
    assert all(records.intact({"outputs": written}) for written in outputs)


def test_a_second_run_finds_nothing_to_do(reports, smoke_run, monkeypatch, capsys):
    told = json.loads((reports / "provenance.json").read_text())
    monkeypatch.setattr(execute, "inspect_engine", lambda run: {k: told[k] for k in ("engine", "weights")})
    weights = smoke_run[1].args[-1]
    execute.run_study(Run.open("smoke", run_dir=str(reports), weights=weights))
    assert capsys.readouterr().out.count("unchanged, kept") == 7


def test_reports_are_small_offline_and_without_paths(reports):
    pages = sorted(reports.glob("*.html"))
    assert len(pages) == 8
    for path in pages:
        text = path.read_text()
        assert path.stat().st_size < LARGEST, path.name
        assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", text), path.name
        assert str(reports) not in text, path.name
        assert not re.search(r"(?<![\w.$}~<-])/(?:root|home|tmp|Users)/\w", text), path.name


def test_every_item_of_the_thesis_has_its_place(reports):
    text = {path.name: path.read_text() for path in reports.glob("*.html")}
    items = [item for item in load_items().itertuples() if item.ours]
    assert items
    missing = [item.item for item in items if f'id="{item.anchor}"' not in text[f"{item.report}.html"]]
    assert missing == []


@pytest.mark.parametrize("name", ["01_data", "02_augment", "04_transfer", "06_mc_dropout"])
def test_controls_leave_their_picture_behind(reports, name):
    text = (reports / f"{name}.html").read_text()
    tried = text[text.index('id="Try-it"') :]
    assert "With controls in JupyterLab; here as first shown." in tried
    assert f'id="try-it-{name[:2]}"' in tried
    assert text.count("With controls in JupyterLab") == 1, "a progress bar is none"
    assert not re.search(r"jupyter[-.]widget|widget-view|FloatSlider", text)


def test_links_between_reports_lead_somewhere(reports):
    text = {path.name: path.read_text() for path in reports.glob("*.html")}
    for name, content in text.items():
        for page, anchor in re.findall(r'href="(\d\d_\w+\.html)(?:#([\w.-]+))?"', content):
            assert page in text, f"{name} -> {page}"
            assert not anchor or f'id="{anchor}"' in text[page], f"{name} -> {page}#{anchor}"


def test_tables_and_provenance_are_whole(reports):
    table = pd.read_csv(reports / "tables" / "table_5_1.csv")
    assert len(table) >= 7
    provenance = json.loads((reports / "provenance.json").read_text())
    assert set(provenance["weights"]) == {"VGG16", "InceptionV3"}
    assert not list(reports.rglob(".part-*"))


def test_reports_open_without_complaint_and_fit_the_paper(reports, visit):  # noqa: F811
    """A part wider than the paper would make the browser shrink everything that it prints."""
    for path in sorted(reports.glob("*.html")):
        page = visit(path)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRAST) == [], (path.name, scheme)
        assert skipped_headings(page) == [], path.name
        assert page.eval_on_selector_all("img:not([alt])", "all => all.length") == 0
        ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
        assert len(ids) == len(set(ids)), path.name
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = false)")
        page.emulate_media(color_scheme="light")
        keep(page, f"smoke-{path.stem}")
        page.set_viewport_size({"width": A4, "height": 1000})
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.documentElement.scrollWidth") <= A4, path.name
        printed = page.pdf(path=SCREENSHOTS / f"smoke-{path.stem}.pdf", format="A4")
        assert printed.startswith(b"%PDF")
        assert path.stem != "04_transfer" or len(re.findall(rb"/Type\s*/Page\b", printed)) <= 16
        page.close()
