"""What more cells of a patient are worth."""

import json

import pandas as pd

from karyo_lib.study.reading.confidence import cases_coverage, cases_table, compose_cases, describe_cases


def _cells():
    """Two patients of five cells; one cell of each is read wrongly, and not surely."""
    rows = []
    for patient, truth, wrong in (("a", "46,XX", "47,XX,+21"), ("b", "47,XX,+21", "46,XX")):
        for cell in range(5):
            best, other, p = (wrong, truth, 0.9) if cell == 3 else (truth, wrong, 0.9999)
            told = {
                "candidates": [[best, p], [other, 1 - p]], "p_abnormal": 0.3, "changes": {},
                "readable": [], "excluded": "",
            }  # fmt: skip
            rows.append((patient, cell + 1, truth, json.dumps(told)))
    return pd.DataFrame(rows, columns=["patient", "cell", "truth", "evidence"])


def test_five_cells_are_surer_than_one():
    cases = compose_cases(_cells())
    assert cases.groupby("cells").size().to_dict() == {1: 10, 2: 10, 3: 10, 4: 10, 5: 2}
    table = cases_table(cases).set_index("cells")
    assert table.loc[1, "exact"] < 1
    assert table.loc[5, "exact"] == 1
    assert table.loc[5, "sensitivity"] == table.loc[5, "specificity"] == 1
    assert (table["patients"] == 2).all()
    assert table.loc[5, "area"] <= table.loc[1, "area"]
    assert list(cases_coverage(cases).curves) == ["1 cell", "2 cells", "5 cells"]
    assert "Of 2 patients" in describe_cases(table.reset_index())[0]


def test_a_patient_without_a_readable_cell_is_neither():
    cells = _cells().head(1)
    told = json.loads(cells["evidence"].iloc[0]) | {"candidates": [], "excluded": "too pale"}
    (row,) = compose_cases(cells.assign(evidence=json.dumps(told))).itertuples()
    assert row.p_abnormal == 0.5
    assert not row.exact
