"""A case on one sheet, and as JSON."""

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_record import CaseSettings, CellSource
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.reading import OBJECT_COLUMNS, unreadable
from karyo_lib.screening.case_figures import best_source, changed_chromosomes, draw_line
from karyo_lib.screening.case_report import FORMAT, describe_case, render_case, write_case

sys.path.insert(0, str(Path(__file__).parents[1] / "read"))
from case_simulation import draw_cells, read_cell

SCHEMA = json.loads((files("karyo_lib.screening") / "templates/case.schema.json").read_text("utf-8"))


def _reading(page):
    """A reading of a drawn page with the names that were drawn."""
    found = find_chromosomes(page.image)
    names = []
    for box in found.boxes.itertuples():
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        truth = page.truth
        inside = truth[(truth["x0"] <= x) & (x <= truth["x1"]) & (truth["y0"] <= y) & (y <= truth["y1"])]
        names.append(str(inside["chromosome"].iloc[0]) if len(inside) else "")
    reading = unreadable(found, "")
    table = reading.chromosomes.assign(chromosome=names, doubtful=False, readable=True)
    assert set(OBJECT_COLUMNS) <= set(table)
    return replace(reading, kind="karyogram", chromosomes=table, formula_probability=0.9)


@pytest.fixture(scope="module")
def mosaic():
    """A case of four cells with +21 and four without, the first two with their pictures."""
    formulae = ["47,XY,+21"] * 4 + ["46,XY"] * 4
    rng = np.random.default_rng(0)
    cells = [read_cell(f"p7/cell {n}.png", f, rng) for n, f in enumerate(formulae, 1)]
    cells = [replace(cell, doubts=f"count uncertain in {cell.name}") for cell in cells]
    unread = replace(cells[0], name="p7/<b>pale</b>.png", excluded="too pale <script>alert(1)</script>")
    pages = [draw_karyogram("47,XY,+21", seed=number, size=(416, 416)) for number in range(2)]
    sources = [
        CellSource(cell.name, page.image, _reading(page), "cd" * 32)
        for page, cell in zip(pages, cells, strict=False)
    ]
    sources += [CellSource(cell.name) for cell in cells[2:]]
    sources.append(CellSource(unread.name, reason=unread.excluded))
    case = compose_case([*cells, unread])
    return replace(case, name="Patient <7>", sources=tuple(sources))


def test_the_json_follows_its_schema(mosaic):
    cases = [mosaic, compose_case([]), compose_case(draw_cells([("46,XX", 3)], np.random.default_rng(1)))]
    for case in cases:
        told = describe_case(case, "ab" * 32)
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(told, allow_nan=False)))
    assert describe_case(mosaic)["format"] == FORMAT
    assert describe_case(cases[1])["karyotypic_sex"] == "UNKNOWN_KARYOTYPE"
    assert describe_case(cases[2])["karyotypic_sex"] == "XX"


def test_page_and_json_say_the_same(mosaic, tmp_path):
    page = write_case(mosaic, tmp_path, "ab" * 32)
    told = json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert told["karyotype"] == "mos 47,XY,+21[4]/46,XY[4]"
    assert told["counts"] == {"cells": 9, "counted": 8, "analysed": 8, "excluded": 1}
    for said in (
        told["karyotype"],
        told["exclusion"]["sentence"],
        "not a medical device",
        "ISCN 2024",
        "abab",
        "Cells to look at",
        told["cells"][1]["doubts"],
        "5 more in the JSON file",
    ):
        assert said in text
    assert {path.name for path in tmp_path.iterdir()} == {"case.html", "case.json"}


def test_names_and_reasons_stay_text_and_nothing_is_fetched(mosaic):
    page, _ = render_case(mosaic)
    tags = []

    class Seen(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append((tag, dict(attributes)))

    Seen().feed(page)
    assert "script" not in {tag for tag, _ in tags}
    assert "&lt;b&gt;pale" in page
    sources = [a[name] for _, a in tags for name in ("src", "href") if name in a]
    assert sources
    assert all(source.startswith("data:") for source in sources)


def test_the_chromosomes_of_a_line_are_shown(mosaic):
    abnormal, normal = mosaic.lines
    assert changed_chromosomes(abnormal.formula) == ("21",)
    assert changed_chromosomes("46,XX,t(9;22)(q34;q11.2)") == ("9", "22")
    assert draw_line(mosaic, abnormal).startswith(b"\x89PNG")
    assert draw_line(mosaic, normal) == b""
    assert best_source(mosaic).name in abnormal.cells


def test_a_metaphase_is_laid_out(mosaic):
    source = mosaic.sources[0]
    lying = replace(source, reading=replace(source.reading, kind="metaphase"))
    case = replace(mosaic, sources=(lying,))
    page, _ = render_case(case)
    assert page.count("data:image/png") >= 2


def test_a_case_without_a_readable_cell_says_so():
    page, told = render_case(compose_case([]))
    assert "no karyotype" in page
    assert json.loads(told)["probability"] is None


def test_the_page_prints_as_one_sheet(mosaic, browser, tmp_path):
    many = [("46,XX", 13), ("45,X", 5), ("47,XX,+8", 1), ("47,XX,+9", 1)]
    crowded = compose_case(draw_cells(many, np.random.default_rng(2)), CaseSettings("acquired"))
    crowded = replace(crowded, sources=mosaic.sources, name="long name " * 8)
    faults = []
    for number, case in enumerate((mosaic, crowded)):
        path = write_case(case, tmp_path / str(number))
        page = browser.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("request", lambda request: faults.append(request.url))
        page.goto(path.as_uri())
        content = page.pdf(prefer_css_page_size=True)
        page.close()
        assert len(re.findall(rb"/Type /Page[^s]", content)) == 1
    assert not [fault for fault in faults if not fault.startswith(("file:", "data:"))]


def test_what_is_read_of_a_cell_goes_through_json(mosaic):
    from karyo_lib.read.case_reading import gather_cells, tell_evidence
    from karyo_lib.read.reader import Reader

    reading = replace(
        mosaic.sources[0].reading,
        candidates=pd.DataFrame({"formula": ["47,XY,+21"], "probability": [1.0], "n": [47]}),
    )
    told = json.loads(json.dumps(tell_evidence(reading, Reader())))
    assert told["excluded"] == "not read"  # a reading without a karyotype
    cells = gather_cells(["a", "b"], [told | {"excluded": "", "changes": {"del(5)(q13q33)": 4.0}}, None])
    assert cells[0].changes == {"del(5)(q13q33)": 4.0}
    assert cells[1].excluded == "not read"
    assert compose_case(cells).formula == "47,XY,+21"
