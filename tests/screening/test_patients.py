"""Cells of a screening under their patients."""

import csv
import json

import pytest

from karyo_lib.screening.journal import Entry, Names, Result, group_files
from karyo_lib.screening.patients import compose_patients, write_patients

NAN = float("nan")


def _screened(cells):
    """Entries and results of cells: (file, formula or '' for what could not be read)."""
    rows = []
    for number, (file, formula) in enumerate(cells, 1):
        told = {
            "candidates": [[formula, 1.0]], "changes": {}, "readable": [], "analysed": False,
            "excluded": "", "p_abnormal": 0.3,
        }  # fmt: skip
        result = Result(
            file, 1, "normal", 0.1, 90.0, "refer", "<b>why</b>", formula=formula, picture=b"\0" * 10,
            cell_evidence=json.dumps(told) if formula else "",
        )  # fmt: skip
        rows.append((Entry(0, file, 1, "refer", NAN, number), result))
    by_number = {entry.number: result for entry, result in rows}
    return [entry for entry, _ in rows], lambda entries: (by_number[entry.number] for entry in entries)


CELLS = [(f"p1/{n}.png", "47,XX,+21") for n in range(3)] + [(f"p2/{n}.png", "46,XY") for n in range(4)]
CELLS += [("p2/bad.png", ""), ("loose.png", "46,XX")]


def test_a_file_is_its_patient_s_by_table_pattern_or_folder():
    files = ["a/1.png", "b/12_x.png", "7.png", "c.png"]
    assert group_files(files, {"a/1.png": "P"}, r"^(\d+)") == {
        "a/1.png": "P",
        "b/12_x.png": "12",
        "7.png": "7",
    }
    assert group_files(files, {}) == {"a/1.png": "a", "b/12_x.png": "b"}
    with pytest.raises(ValueError, match="regular expression"):
        group_files(files, {}, "(")
    with pytest.raises(ValueError, match="a group"):
        group_files(files, {}, r"\d+")


def test_a_patient_s_cells_are_weighed_together():
    entries, results = _screened(CELLS)
    groups = group_files((entry.file for entry in entries), {})
    first, second = compose_patients(entries, results, groups, Names(groups, "show"))
    assert (first.name, first.case.formula) == ("p1", "47,XX,+21")
    assert (second.name, second.case.formula) == ("p2", "46,XY")
    assert [cell.excluded for cell in second.case.cells] == ["", "", "", "", "not read"]
    assert not any(result.picture for _, result in first.rows)


@pytest.mark.parametrize(("patients", "masked"), [("show", False), ("none", True), ("mask", True)])
def test_the_table_has_one_row_a_patient(tmp_path, patients, masked):
    entries, results = _screened(CELLS)
    groups = group_files((entry.file for entry in entries), {})
    names = Names(groups, patients, masked=masked, salt=b"s")
    write_patients(tmp_path, entries, results, groups, names, "acquired")
    with (tmp_path / "patients.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["karyotype"] for row in rows] == ["47,XX,+21[3]", "46,XY[4]"]
    assert [row["excluded"] for row in rows] == ["0", "1"]
    page = (tmp_path / "patients.html").read_text(encoding="utf-8")
    assert page.count("<details>") == 2
    assert "&lt;b&gt;why" in page
    assert ("p1/0.png" in page) == (not masked)
    assert (rows[0]["patient"] == "p1") == (patients == "show")
