"""Cell lines of a case <-> one formula."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.iscn import CHROMOSOMES, KaryotypeError, load_catalogue, parse_karyotype
from karyo_lib.iscn.catalogue import formula_frequencies
from karyo_lib.iscn.changes import GROUPS
from karyo_lib.iscn.clones import (
    PRACTICES,
    Clone,
    line_formula,
    read_clones,
    same_line,
    structural_parts,
    write_clones,
)

SINGLE = [formula for formula, _ in formula_frequencies(GROUPS)]
UNMARKED = [f for f in SINGLE if "mar" not in f and "+r(" not in f]


def _cell(formula):
    return Counter((c.slot, c.segments, c.ring) for c in parse_karyotype(formula).chromosomes)


@pytest.mark.parametrize(
    ("lines", "practice", "expected"),
    [
        ([("46,XX", 20)], "constitutional", "46,XX"),
        ([("46,XX", 20)], "acquired", "46,XX[20]"),
        ([("46,XY", 8), ("47,XY,+21", 12)], "constitutional", "mos 47,XY,+21[12]/46,XY[8]"),
        (
            [("46,XX", 4), ("47,XXX", 5), ("45,X", 11)],
            "constitutional",
            "mos 45,X[11]/47,XXX[5]/46,XX[4]",
        ),
        ([("46,XY", 15), ("45,X,-Y", 5)], "acquired", "45,X,-Y[5]/46,XY[15]"),
        (
            [
                ("46,XX", 2),
                ("48,XX,+8,+19,t(9;22)(q34;q11.2)", 5),
                ("46,XX,t(9;22)(q34;q11.2)", 3),
                ("47,XX,+8,t(9;22)(q34;q11.2)", 10),
            ],
            "acquired",
            "46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[10]/48,idem,+8,+19[5]/46,XX[2]",
        ),
        # lines of another origin stand behind, the larger family first
        (
            [("47,XY,+8", 4), ("46,XY,del(5)(q13q33)", 9), ("46,XY", 1)],
            "acquired",
            "46,XY,del(5)(q13q33)[9]/47,XY,+8[4]/46,XY[1]",
        ),
    ],
)
def test_a_case_is_written_as_iscn_asks(lines, practice, expected):
    assert write_clones([Clone(*line) for line in lines], practice) == expected


@pytest.mark.parametrize(
    ("formula", "practice", "expected"),
    [
        ("45,X", "constitutional", "45,X"),
        ("47,XXY", "constitutional", "47,XXY"),
        ("47,XXY", "acquired", "47,XY,+X"),
        ("45,X,-Y", "acquired", "45,X,-Y"),
        ("47,XX,+X", "acquired", "47,XX,+X"),
        ("46,X,i(X)(q10)", "constitutional", "46,X,i(X)(q10)"),
        ("46,Y,t(X;18)(p11.2;q11.2)", "acquired", "46,Y,t(X;18)(p11.2;q11.2)"),
        ("46,XX,+21,rob(14;21)(q10;q10)", "constitutional", "46,XX,rob(14;21)(q10;q10),+21"),
        ("48,XY,+8,+19,i(17)(q10)", "acquired", "48,XY,+8,i(17)(q10),+19"),
        ("69,XXY", "constitutional", "69,XXY"),
    ],
)
def test_a_line_is_written_from_its_chromosomes(formula, practice, expected):
    sex = "XY" if practice == "acquired" and "Y" in formula else ""
    sex = "XY" if formula == "47,XXY" else sex
    counts = parse_karyotype(formula).counts
    assert line_formula(counts, structural_parts(formula), practice, sex) == expected


@pytest.mark.parametrize("practice", PRACTICES)
def test_every_line_of_the_catalogue_is_written_from_its_chromosomes(practice):
    for formula in UNMARKED:
        cell = parse_karyotype(formula)
        written = line_formula(cell.counts, structural_parts(formula), practice)
        assert _cell(written) == _cell(formula), (formula, written)


def test_what_the_catalogue_says_of_mosaics_is_read():
    for formula in load_catalogue()["formula"]:
        for number, clone in enumerate(read_clones(formula)):
            assert _cell(clone.formula) == _cell(parse_karyotype(formula, cell_line=number).formula)


_gains = st.lists(st.sampled_from([f"+{n}" for n in CHROMOSOMES[:22]]), max_size=3)
_losses = st.lists(st.sampled_from([f"-{n}" for n in CHROMOSOMES[:22]]), max_size=2, unique=True)
_structural = st.lists(
    st.sampled_from(
        ["t(9;22)(q34;q11.2)", "del(5)(q13q33)", "inv(16)(p13.1q22)", "i(17)(q10)", "dup(1)(q21q32)"]
    ),
    max_size=2,
    unique=True,
)
_sexes = st.sampled_from(["XX", "XY", "X", "XXY", "XXX"])


@st.composite
def _lines(draw):
    counts = dict.fromkeys(CHROMOSOMES[:22], 2)
    for text in draw(_gains) + draw(_losses):
        counts[text[1:]] += 1 if text[0] == "+" else -1
    sex = draw(_sexes)
    parts = [p for p in draw(_structural) if counts[p.split("(")[1].split(";")[0].rstrip(")")] > 1]
    return counts | {"X": sex.count("X"), "Y": sex.count("Y")}, tuple(parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_lines(), st.integers(2, 40)), min_size=1, max_size=4), st.sampled_from(PRACTICES))
def test_a_case_is_read_as_it_was_written(cells, practice):
    sex = "XY" if any(counts["Y"] for (counts, _), _ in cells) else "XX"
    lines = {}
    for (counts, parts), n in cells:
        lines[line_formula(counts, parts, practice, sex)] = n
    clones = [Clone(formula, n) for formula, n in lines.items()]
    text = write_clones(clones, practice)
    read = read_clones(text)
    assert len(read) == len(clones)
    for clone in clones:
        (found,) = [other for other in read if same_line(other.formula, clone.formula)]
        assert _cell(found.formula) == _cell(clone.formula)
        if len(clones) > 1 or practice == "acquired":
            assert found.cells == clone.cells
    if any(clone.normal for clone in clones):
        assert read[-1].normal


def test_a_composite_line_keeps_its_cells():
    clone = Clone("45~48,XX,+8[4],-7[3],del(5)(q13q33)[2]", 6, composite=True)
    text = write_clones([Clone("46,XX", 3), clone], "acquired")
    assert text == "45~48,XX,+8[4],-7[3],del(5)(q13q33)[2][cp6]/46,XX[3]"
    assert read_clones(text) == (clone, Clone("46,XX", 3))


@pytest.mark.parametrize(
    "text", ["", "46", "45~48,XX,+8[4],hello[2][cp6]", "45~,XX,+8[cp3]", "46,XX[3]/47,XX,+99[2]"]
)
def test_what_is_no_formula_of_a_case_is_refused(text):
    with pytest.raises(KaryotypeError):
        read_clones(text)


def test_an_unknown_practice_is_named():
    with pytest.raises(ValueError, match="constitutional or acquired"):
        write_clones([Clone("46,XX", 20)], "prenatal")
    with pytest.raises(ValueError, match="at least one cell line"):
        write_clones([])
