"""The bank of real chromosomes: reading it, and every way in which its two files can be wrong."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from karyo_lib.files.bank import BankError, ChromosomeBank
from karyo_lib.iscn import CHROMOSOMES

HEADER = "cell,case,label,count_formula,chromosomes\n"


def png(height=12, width=6, value=90):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_bank(folder, members=None, cells='a.1,a,normal,"46,XX",2\n'):
    members = {"a.1/1_1.png": png(), "a.1/1_2.png": png(value=60)} if members is None else members
    with zipfile.ZipFile(folder / "chromosomes.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    (folder / "cells.csv").write_text(HEADER + cells)
    return folder


def test_reads_cells_and_cutouts(tmp_path):
    members = {f"a.1/{name}.png": png(value=i) for i, name in enumerate(["X_1", "10_1", "2_2", "2_1"])}
    bank = ChromosomeBank(
        write_bank(
            tmp_path, members | {"other/1_1.png": png(), "README.txt": b"x"}, 'a.1,7,abnormal,"47,XXY",4\n'
        )
    )
    cutouts = bank.cutouts("a.1")
    assert [(c.chromosome, c.copy) for c in cutouts] == [("2", 1), ("2", 2), ("10", 1), ("X", 1)]
    assert [int(c.image[0, 0]) for c in cutouts] == [3, 2, 1, 0]
    assert cutouts[0].image.dtype == np.uint8
    assert cutouts[0].image.shape == (12, 6)
    assert {c.case for c in cutouts} == {"7"}
    assert bank.cells.to_dict("records") == [
        {"cell": "a.1", "case": "7", "label": "abnormal", "count_formula": "47,XXY", "chromosomes": 4}
    ]
    with pytest.raises(KeyError, match="Received 'b'"):
        bank.cutouts("b")


def test_survives_pickling(tmp_path):
    bank = ChromosomeBank(write_bank(tmp_path))
    bank.cutouts("a.1")
    copy = pickle.loads(pickle.dumps(bank))
    np.testing.assert_array_equal(copy.cutouts("a.1")[1].image, bank.cutouts("a.1")[1].image)
    assert copy.digest == bank.digest


def test_digest_follows_the_content(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = ChromosomeBank(write_bank(tmp_path / "one"))
    two = ChromosomeBank(write_bank(tmp_path / "two", {"a.1/1_1.png": png(), "a.1/1_2.png": png(value=61)}))
    assert one.digest != two.digest


@pytest.mark.parametrize("name", ["../a/1_1.png", "/a.1/1_1.png", "a\\1_1.png", "C:/1_1.png", "a.1/../x.png"])
def test_unsafe_member_names(tmp_path, name):
    folder = write_bank(tmp_path, {"a.1/1_1.png": png(), "a.1/1_2.png": png(), name: png()})
    with pytest.raises(BankError, match="unsafe"):
        ChromosomeBank(folder)


@pytest.mark.parametrize("name", ["a.1/23_1.png", "a.1/X.png", "1_1.png", "a.1/b/1_1.png", "a.1/0_1.png"])
def test_members_that_name_no_chromosome(tmp_path, name):
    with pytest.raises(BankError, match=r"Expected members .* Received"):
        ChromosomeBank(write_bank(tmp_path, {name: png()}))


@pytest.mark.parametrize("missing", ["chromosomes.zip", "cells.csv"])
def test_missing_file(tmp_path, missing):
    (write_bank(tmp_path) / missing).unlink()
    with pytest.raises(BankError, match=f"has no {missing}"):
        ChromosomeBank(tmp_path)


def test_not_a_zip(tmp_path):
    (write_bank(tmp_path) / "chromosomes.zip").write_bytes(b"not a zip")
    with pytest.raises(BankError, match="zip archive"):
        ChromosomeBank(tmp_path)


def test_truncated_zip(tmp_path):
    archive = write_bank(tmp_path) / "chromosomes.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BankError, match="zip archive"):
        ChromosomeBank(tmp_path)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("", "empty table"),
        ('a.1,a,odd,"46,XX",2\n', "Received 'odd' at 'a.1'"),
        ('a.1,a,normal,"46,XX",two\n', "Received 'two' at 'a.1'"),
        ('a.1,,normal,"46,XX",2\n', "Expected a patient"),
        ('a.1,a,normal,"46,XX",2\na.1,a,normal,"46,XX",2\n', "repeated"),
        ('a.1,a,normal,"46,XX",3\n', "Expected 3 chromosomes for cell 'a.1'"),
        ('a.2,a,normal,"46,XX",2\n', "Expected 2 chromosomes for cell 'a.2'"),
    ],
)
def test_wrong_cell_tables(tmp_path, cells, message):
    with pytest.raises(BankError, match=message):
        ChromosomeBank(write_bank(tmp_path, cells=cells))


def test_cell_table_without_its_columns(tmp_path):
    (write_bank(tmp_path) / "cells.csv").write_text("cell,label\na.1,normal\n")
    with pytest.raises(BankError, match=r"Missing: .*case"):
        ChromosomeBank(tmp_path)


@pytest.mark.parametrize("data", [b"", b"GIF89a", png()[:50]])
def test_damaged_images(tmp_path, data):
    bank = ChromosomeBank(write_bank(tmp_path, {"a.1/1_1.png": data, "a.1/1_2.png": png()}))
    with pytest.raises(BankError, match=r"damaged 'a\.1/1_1\.png'"):
        bank.cutouts("a.1")


def test_corrupted_bytes_fail_the_checksum(tmp_path):
    archive = write_bank(tmp_path) / "chromosomes.zip"
    data = bytearray(archive.read_bytes())
    data[60] ^= 0xFF
    archive.write_bytes(bytes(data))
    with pytest.raises(BankError, match="damaged"):
        ChromosomeBank(tmp_path).cutouts("a.1")


def test_huge_images_are_refused_before_decoding(tmp_path):
    bank = ChromosomeBank(write_bank(tmp_path, {"a.1/1_1.png": png(3000, 1000), "a.1/1_2.png": png()}))
    with pytest.raises(BankError, match=r"\(1000, 3000\) pixels"):
        bank.cutouts("a.1")


def test_real_bank(bank_dir):
    bank = ChromosomeBank(bank_dir)
    assert len(bank) == 408
    assert bank.cells["case"].nunique() == 258
    assert (bank.cells["label"] == "abnormal").sum() == 11
    aneuploid = bank.cells.query("label == 'abnormal'").set_index("cell")["count_formula"]
    for cell, formula in aneuploid.items():
        cutouts = bank.cutouts(cell)
        assert len(cutouts) == 47
        if "+" in formula:
            assert [c.chromosome for c in cutouts].count(formula.split("+")[1]) == 3
        else:
            assert "".join(c.chromosome for c in cutouts if c.chromosome in "XY") == formula.split(",")[1]
    assert {c.chromosome for c in bank.cutouts("97002023.16")} == set(CHROMOSOMES) - {"Y"}
