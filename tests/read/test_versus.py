"""A new reader is called better only where that is shown, patient by patient."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.read.train.score import compare_readers, patient_part, read_truths


class Says:
    """A reader that says one formula after another."""

    def __init__(self, formulae):
        self.formulae = iter(formulae)

    def read(self, image):
        return SimpleNamespace(formula=next(self.formulae))


def versus(old: str, new: str, cases=None):
    """Readers right ('1') or wrong ('0') on each page."""
    pages = pd.DataFrame({"file": [f"{i}.png" for i in range(len(old))], "truth": "46,XX"})
    pages["case"] = cases or pages["file"]
    readers = (Says("46,XX" if right == "1" else "47,XX,+21" for right in said) for said in (old, new))
    return compare_readers(*readers, pages, [np.zeros((1, 1), np.uint8)] * len(old))


def test_what_is_shown_and_what_is_not():
    assert versus("000000" + "1" * 20, "111111" + "1" * 20).better
    few = versus("00000" + "1" * 20, "11111" + "1" * 20)  # five alike: one chance in sixteen
    assert not few.better
    assert few.low < 0 < few.high
    assert "not shown" in str(few)
    assert "holds zero" in str(few)
    assert "worse" in str(versus("1" * 8, "0" * 8))
    same = versus("1100", "1100")
    assert np.isnan(same.low)
    assert "nothing is shown" in str(same)


def test_many_pages_of_one_patient_are_one_patient():
    result = versus("0" * 30, "1" * 30, ["one"] * 30)
    assert result.difference == 1
    assert not result.better


def test_only_held_out_patients_are_asked(tmp_path):
    cases = [f"P{i}" for i in range(60)]
    table = pd.DataFrame({"file": [f"{c}.png" for c in cases], "truth": "46,XX", "case": cases})
    table.to_csv(tmp_path / "index.csv", index=False)
    held = read_truths(tmp_path, "test")
    assert 0 < len(held) < 30
    assert {patient_part(case) for case in held["case"]} == {"test"}
    assert len(read_truths(tmp_path)) == 60
    table.assign(confidence="unsure").to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(ValueError, match="Received none"):
        read_truths(tmp_path, "test")
    table.assign(file="../x.png").to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(ValueError, match="files below"):
        read_truths(tmp_path, "test")
    with pytest.raises(ValueError, match=r"index\.csv"):
        read_truths(tmp_path / "absent")
