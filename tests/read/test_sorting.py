"""A spread becomes a karyogram and a bank's cell: by a reading that knows the truth of a drawing."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_metaphase
from karyo_lib.files.bank import BankError, ChromosomeBank
from karyo_lib.read import image
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.sorting import add_to_bank, cut_upright, lay_out
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.shape.centreline import chromosome_mask, find_centreline


@pytest.fixture(scope="module")
def reading():
    """What a reader without a fault would make of a drawn spread."""
    page = draw_metaphase("46,XX", style="classic", seed=2, size=(760, 620), crossing=0.0)
    found = find_chromosomes(page.image)
    match = match_boxes(found.boxes, page.truth, 0.5).to_numpy()
    truth = page.truth.iloc[np.maximum(match, 0)].reset_index(drop=True)
    table = found.boxes.assign(
        chromosome=np.where(match >= 0, truth["chromosome"], ""), upside_down=truth["polarity"].to_numpy() < 0
    )
    return SimpleNamespace(found=found, chromosomes=table, formula="46,XX")


def test_cutouts_stand_upright(reading):
    for one in cut_upright(reading):
        line = find_centreline(chromosome_mask(one.image))
        down, across = line[-1] - line[0]
        assert abs(across) < 0.5 * down


def test_a_spread_is_laid_out_with_all_its_chromosomes(reading):
    page = lay_out(reading, "digital")
    named = reading.chromosomes["chromosome"]
    assert sorted(page.truth["chromosome"]) == sorted(named[named != ""])
    found = find_chromosomes(page.image)
    assert found.kind == "karyogram"
    assert abs(len(found) - len(page.truth)) <= 1


def test_a_reading_without_names_is_not_laid_out(reading):
    nameless = SimpleNamespace(found=reading.found, chromosomes=reading.chromosomes.assign(chromosome=""))
    with pytest.raises(ValueError, match="could be read"):
        lay_out(nameless)


def test_cells_are_added_to_a_bank(reading, tmp_path):
    for number in (1, 2):
        add_to_bank(reading, tmp_path, f"cell{number}", "patient")
    bank = ChromosomeBank(tmp_path)
    assert bank.cells["cell"].tolist() == ["cell1", "cell2"]
    assert bank.cells["label"].tolist() == ["normal", "normal"]
    first, second = (bank.cutouts(f"cell{number}") for number in (1, 2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    with pytest.raises(BankError, match="has"):
        add_to_bank(reading, tmp_path, "cell1", "patient")
    with pytest.raises(BankError, match="without slashes"):
        add_to_bank(reading, tmp_path, "../cell", "patient")
    assert len(ChromosomeBank(tmp_path)) == 2


def test_doubtful_objects_without_a_class_are_counted():
    rows = pd.DataFrame({"chromosome": ["Y", "", "3", ""]})
    assert image._names(rows) == "3, Y, 2 objects left out"
    assert image._names(rows[:2]) == "Y, 1 object left out"
    assert image._names(rows[:1]) == "Y"
