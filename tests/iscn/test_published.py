"""Formulae as ISCN, laboratories and journals print them: read, read with a note, or refused."""

import csv
from pathlib import Path

import pytest

from karyo_lib.iscn import KaryotypeError, load_catalogue, parse_karyotype, write_karyotype
from karyo_lib.iscn.notation import read_cell_lines

with (Path(__file__).parent / "published.tsv").open(encoding="utf-8", newline="") as _file:
    ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))


def outcome(formula):
    try:
        lines = [parse_karyotype(formula, cell_line=n) for n in range(len(read_cell_lines(formula)))]
    except KaryotypeError:
        return "refused"
    return "note" if any(line.notes for line in lines) else "read"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["formula"])
def test_published_formulae(row):
    assert outcome(row["formula"]) == row["expected"]


FORMULAE = [row["formula"] for row in ROWS if row["expected"] in ("read", "note")]


@pytest.mark.parametrize("formula", [*FORMULAE, *load_catalogue()["formula"]])
def test_writing_inverts_parsing(formula):
    for number in range(len(read_cell_lines(formula))):
        karyotype = parse_karyotype(formula, cell_line=number)
        written = write_karyotype(karyotype)
        assert parse_karyotype(written) == karyotype
        assert write_karyotype(parse_karyotype(written)) == written


def test_the_catalogue_is_in_normal_form():
    for formula in load_catalogue()["formula"]:
        first = formula.removeprefix("mos ").split("[")[0].split("/")[0]
        assert write_karyotype(parse_karyotype(formula, cell_line=0)) == first
