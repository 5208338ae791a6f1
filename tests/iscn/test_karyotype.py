"""Whole formulae: counts, sex chromosomes, cell lines, groups, sizes, and errors that name part and rule."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from karyo_lib.iscn import (
    AUTOSOMES,
    CHROMOSOMES,
    LEVELS,
    Karyotype,
    KaryotypeError,
    count_formula,
    load_bands,
    parse_karyotype,
    write_karyotype,
)
from karyo_lib.iscn.clones import read_clones, write_clones


@pytest.mark.parametrize(
    ("formula", "label", "group", "count_formula", "total"),
    [
        ("46,XX", "normal", "normal", "46,XX", 46),
        ("46,XY", "normal", "normal", "46,XY", 46),
        ("47,XY,+21", "abnormal", "trisomy", "47,XY,+21", 47),
        ("48,XY,+18,+21", "abnormal", "trisomy", "48,XY,+18,+21", 48),
        ("45,XX,-7", "abnormal", "monosomy", "45,XX,-7", 45),
        ("46,XX,-7,+8", "abnormal", "complex", "46,XX,-7,+8", 46),
        ("45,X", "abnormal", "sex-chromosome", "45,X", 45),
        ("47,XXY", "abnormal", "sex-chromosome", "47,XXY", 47),
        ("47,XYY", "abnormal", "sex-chromosome", "47,XYY", 47),
        ("49,XXXXY", "abnormal", "sex-chromosome", "49,XXXXY", 49),
        ("45,X,-Y", "abnormal", "sex-chromosome", "45,X", 45),
        ("47,XX,+X", "abnormal", "sex-chromosome", "47,XXX", 47),
        ("48,XXYc,+X", "abnormal", "sex-chromosome", "48,XXXY", 48),
        ("46,XXYc,-X", "normal", "normal", "46,XY", 46),
        ("69,XXY", "abnormal", "polyploidy", "69,XXY", 69),
        ("92,XXXX", "abnormal", "polyploidy", "92,XXXX", 92),
        ("23,X", "abnormal", "polyploidy", "23,X", 23),
        ("59<2n>,XX,+1,+2,+3,+4,+5,+6,+7,+8,+9,+10,+11,+12,+14", "abnormal", "trisomy", None, 59),
        ("46,XX,t(9;22)(q34;q11.2)", "abnormal", "translocation", "46,XX", 46),
        ("46,X,i(X)(q10)", "abnormal", "ring/isochromosome/marker", "46,XX", 46),
        ("47,XY,+mar", "abnormal", "ring/isochromosome/marker", "47,XY,+mar", 47),
        ("48,XY,+2mar", "abnormal", "ring/isochromosome/marker", "48,XY,+2mar", 48),
        ("48,XX,+i(12)(p10)x2", "abnormal", "ring/isochromosome/marker", "48,XX,+12,+12", 48),
        ("46,XX,del(5)(p15.2)", "abnormal", "deletion", "46,XX", 46),
        ("46,XX,dup(1)(q22q25)", "abnormal", "duplication", "46,XX", 46),
        ("46,XX,inv(16)(p13.1q22)", "abnormal", "inversion", "46,XX", 46),
        ("46,XX,ins(2)(p13q21q31)", "abnormal", "insertion", "46,XX", 46),
        ("47,XX,+8,t(9;22)(q34;q11.2)", "abnormal", "complex", "47,XX,+8", 47),
    ],
)
def test_formulae(formula, label, group, count_formula, total):
    karyotype = parse_karyotype(formula)
    assert (karyotype.label, karyotype.group) == (label, group)
    assert len(karyotype.chromosomes) == sum(karyotype.counts.values()) == total
    assert count_formula in (None, karyotype.count_formula)
    assert karyotype.formula == formula


@given(st.integers(1, 4), st.lists(st.integers(-1, 2), min_size=22, max_size=22), st.data())
def test_numbers_of_chromosomes_survive_being_written(sets, gained, data):
    changed = data.draw(
        st.sets(st.integers(0, 21), max_size=10)
    )  # most autosomes say how many sets there are
    numbers = [max(0, sets + gain * (i in changed)) for i, gain in enumerate(gained)]
    numbers += [data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))]
    counts = dict(zip(CHROMOSOMES, numbers, strict=True))
    assume(23 <= sum(numbers) <= 92)  # what ISCN's grammar has numbers for
    karyotype = Karyotype.from_counts(counts)
    assert karyotype.counts == counts
    assert karyotype.formula == karyotype.count_formula == count_formula(counts)


def test_a_cell_without_x_is_none():
    with pytest.raises(KaryotypeError, match="at least one X"):
        Karyotype.from_counts({name: 2 for name in AUTOSOMES} | {"Y": 1})


def test_a_normal_cell():
    karyotype = parse_karyotype("46,XY")
    assert [c.name for c in karyotype.chromosomes] == [*(n for n in AUTOSOMES for _ in range(2)), "X", "Y"]
    assert not any(c.abnormal or c.rearranged or c.ring or len(c.segments) > 1 for c in karyotype.chromosomes)
    assert all(c.centromeres == (load_bands(550).centromere(c.name),) for c in karyotype.chromosomes)
    assert karyotype.change_sizes() == ()


def test_the_copy_gained_is_marked():
    for formula, slot, marks in (
        ("47,XY,+21", "21", [False, False, True]),
        ("47,XXY", "X", [False, True]),
        ("47,XYY", "Y", [False, True]),
    ):
        assert [c.abnormal for c in parse_karyotype(formula).chromosomes if c.slot == slot] == marks
    assert not any(c.abnormal for c in parse_karyotype("69,XXX").chromosomes)


@pytest.mark.parametrize(
    ("formula", "line", "expected"),
    [
        ("45,X[5]/46,XX[15]", 0, "45,X"),
        ("mos 45,X[5]/46,XX[15]", 1, "46,XX"),
        ("chi 46,XX//46,XY", 1, "46,XY"),
        ("46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[4]/48,sdl,+19[2]", 1, "47,XX,+8,t(9;22)(q34;q11.2)"),
        ("46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[4]/48,sdl,+19[2]", 2, "48,XX,+8,t(9;22)(q34;q11.2),+19"),
        ("46,XX,t(9;22)(q34;q11.2)[3]/47,sl,+8[cp4]", 1, "47,XX,+8,t(9;22)(q34;q11.2)"),
        ("46,XY,t(9;22)(q34;q11.2)[3]/45,idem,-Y[4]", 1, "45,X,-Y,t(9;22)(q34;q11.2)"),
        ("46,XX,t(8;21)(q22;q22)[9]/45,sl,-X[9]/46,sdl1,+8[5]/46,sdl1,+9", 3, "46,X,-X,t(8;21)(q22;q22),+9"),
        ("45,X,-Y[3]/46,idem,+Y[2]", 1, "46,XY"),
        ("47,XXY[3]/46,idem,-Y[2]", 1, "46,XX"),
        ("48,XXYc,+8[3]/47,idem,-Y[2]", 1, "47,XXYc,-Y,+8"),
        ("26,X,+4,+6,+21[3]/52<2n>,idemx2[8]", 1, "52,XX,+4,+4,+6,+6,+21,+21"),
        ("46,XX,t(9;22)(q34;q11.2)[5]/92,slx2[6]", 1, "92,XXXX,t(9;22)(q34;q11.2)x2"),
        ("47,XX,+8[9]/46,sl,-8[4]", 1, "46,XX"),
        (
            "57,XX,+1,+2,+3,+4,+5,+6,+7,+8,+9,+10,+11[9]/58,sl,+12[4]",
            1,
            "58<2n>,XX,+1,+2,+3,+4,+5,+6,+7,+8,+9,+10,+11,+12",
        ),
        ("47,XX,t(9;22)(q34;q11.2),+der(22)t(9;22)[9]/46,sl,-der(22)t(9;22)", 1, "46,XX,t(9;22)(q34;q11.2)"),
        ("46,XX,t(9;22)(q34;q11.2)[9]/45,sl,-der(9)t(9;22)", 1, "45,XX,-9,der(22)t(9;22)(q34;q11.2)"),
        ("46,X,i(X)(q10)[9]/45,sl,-i(X)(q10)[2]", 1, "45,X,-X"),
        ("48,XX,+2mar[9]/47,sl,-mar[2]", 1, "47,XX,+mar"),
    ],
)
def test_cell_lines(formula, line, expected):
    assert parse_karyotype(formula, cell_line=line).formula == expected


def test_cell_lines_are_not_lost_in_silence():
    karyotype = parse_karyotype("46,XX[10]/47,XX,+8[5]")
    assert karyotype.formula == "46,XX"
    with pytest.raises(KaryotypeError, match=r"first of 2 cell lines.*read_clones"):
        write_karyotype(karyotype)
    assert write_clones(read_clones("46,XX[10]/47,XX,+8[5]"), "acquired") == "47,XX,+8[5]/46,XX[10]"


def test_a_cell_line_that_is_not_there():
    with pytest.raises(KaryotypeError, match="from 0 to 1"):
        parse_karyotype("45,X/46,XX", cell_line=2)


@pytest.mark.parametrize("suffix", ["mat", "pat", "dn", "inh", "dmat", "dpat", "dinh", "c"])
def test_inheritance_does_not_change_the_cell(suffix):
    plain = parse_karyotype("46,XX,t(9;22)(q34;q11.2)")
    assert parse_karyotype(f"46,XX,t(9;22)(q34;q11.2){suffix}").chromosomes == plain.chromosomes


def test_spaces_and_typeset_signs():
    assert parse_karyotype(" 45, XX, \u22127 ").count_formula == "45,XX,-7"
    assert parse_karyotype("48,XX,+del(6)(q21)\u00d72").counts["6"] == 4


@pytest.mark.parametrize(
    ("formula", "part", "rule"),
    [
        ("", "''", "Received no text"),
        (None, "None", "Received no text"),
        ("banana", "banana", "parted by a comma"),
        ("46", "46", "parted by a comma"),
        ("46,XX,", ",", "after each comma"),
        ("46,XX,banana", "banana", "cannot be applied"),
        ("46,XX,t(9:22)(q34;q11.2)", "(9:22)", "parted by ';': (9;22)"),
        ("46,XX,t(9,22)(q34,q11.2)", "(9,22)", "parted by ';': (9;22)"),
        ("46,XX,t(9;22)(q34:q11.2)", "(q34:q11.2)", "parted by ';': (q34;q11.2)"),
        ("46,XX,del(5)(q13;q33)", "del(5)(q13;q33)", "without ';' between"),
        ("46,XX,+", "+", "cannot be applied"),
        ("46,,del(5)(q13)", ",", "after each comma"),
        ("47~48,XX,-5", "47~48", "make 45 chromosomes"),
        ("48~45,XX,-5", "48~45", "the lower one first"),
        ("22,X", "22", "make 23 chromosomes"),
        ("201,XX", "201", "outside the range"),
        ("46,XZ", "XZ", "X first"),
        ("46,U", "U", "undisclosed"),
        ("46,YY", "YY", "at least one X"),
        ("45,Y", "Y", "at least one X"),
        ("47,XX", "47", "make 46 chromosomes"),
        ("46,XXY", "46", "make 47 chromosomes"),
        ("45,XX,-Y", "XX", "normal complement of 2"),
        ("47,XXX,+X", "XXX", "48,XXYc"),
        ("46,XX,i(X)(q10)", "46", "the normal ones alone"),
        ("43,XX,-21,-21,-21", "-21", "No normal chromosome 21 is left"),
        ("44,XX,-5,-5,del(5)(q13)", "del(5)(q13)", "No normal chromosome 5 is left"),
        ("46,XX,-der(9)t(9;22)(q34;q11.2)", "-der(9)t(9;22)(q34;q11.2)", "whole normal chromosome"),
        ("47,XX,+23", "+23", "'23'"),
        ("46,XX,del(99)(q13)", "del(99)(q13)", "'99'"),
        ("46,XX,t(9;99)(q34;q11)", "t(9;99)(q34;q11)", "'99'"),
        ("46,XX,t(9;22)(q44;q11.2)", "t(9;22)(q44;q11.2)", "Chromosome 9 has no band q44"),
        ("46,XX,t(9;22)(q34)", "t(9;22)(q34)", "2 chromosomes but 1 breakpoints"),
        ("46,XX,t(9)(q34)", "t(9)(q34)", "two or more chromosomes"),
        ("46,XX,del(5)(p13q13)", "del(5)(p13q13)", "same arm"),
        ("46,XX,del(5)(q1)", "del(5)(q1)", "bands such as q34"),
        ("46,XX,del(5)", "del(5)", "Expected the bands"),
        ("46,XX,del(5)(q?)", "del(5)(q?)", "bands such as q34"),
        ("46,XX,dup(1)(q32)", "dup(1)(q32)", "two bands"),
        ("46,XX,dup(1)(q10q10)", "dup(1)(q10q10)", "no band to copy"),
        ("46,XX,del(1)(q10q10)", "del(1)(q10q10)", "no band to lose"),
        ("46,XX,inv(1)(p10q10)", "inv(1)(p10q10)", "two different breaks"),
        ("46,XX,i(17)(p11)", "i(17)(p11)", "write idic"),
        ("46,XX,idic(17)(q10)", "idic(17)(q10)", "write i,"),
        ("45,XX,dic(13;14)(q10;q10)", "dic(13;14)(q10;q10)", "off the centromere"),
        ("45,XX,rob(1;14)(q10;q10)", "rob(1;14)(q10;q10)", "13, 14, 15, 21, 22"),
        ("45,XX,rob(13;14)(p10;q10)", "rob(13;14)(p10;q10)", "q10;q10"),
        ("45,XX,der(13;14)(q10;q11)", "der(13;14)(q10;q11)", "der(A;B)(q10;q10)"),
        ("44,XX,trc(4;12;9)(q31.2;q22q13;q34)", "trc(4;12;9)(q31.2;q22q13;q34)", "three centromeres"),
        ("45,XX,r(1;3)(p36.1q23;q21)", "r(1;3)(p36.1q23;q21)", "r is written as in r(1;3)"),
        ("45,XX,der(5;7)t(5;12)(p15;q13)", "der(5;7)t(5;12)(p15;q13)", "what joins its chromosomes"),
        ("47,XX,+der(?)del(?)(q22)", "+der(?)del(?)(q22)", "from 1 to 22"),
        ("46,XX,der(?)", "der(?)", "one more: +der(?)"),
        ("46,XX,r(7)(q36q22)", "r(7)(q36q22)", "a break in p, then one in q"),
        ("46,XX,der(9)", "der(9)", "followed by the changes"),
        ("46,XX,der(9)t(1;3)(p32;q21)", "der(9)t(1;3)(p32;q21)", "None of its chromosomes"),
        ("46,XX,der(1)t(1;7)(q10;p10)", "der(1)t(1;7)(q10;p10)", "der(A;B)"),
        ("46,XX,der(1)del(1)(p22)t(1;9)(p36;q34)", "der(1)del(1)(p22)t(1;9)(p36;q34)", "no longer on"),
        ("46,XX,der(1)inv(9)(p12q13)", "der(1)inv(9)(p12q13)", "Expected a change of chromosome 1"),
        ("46,XX,ins(2)(q21q13q31)", "ins(2)(q21q13q31)", "point of insertion"),
        ("46,XX,ins(1;2;3)(q21;q13q31)", "ins(1;2;3)(q21;q13q31)", "one or two chromosomes"),
        ("47,XX,+999mar", "+999mar", "1 to 200"),
        ("46,XX,del(5)(q13\u2192q33)", "del(5)(q13->q33)", "a centromere"),
        ("46,XX,del(5)(pter->q13:", "del(5)", "')' for every '('"),
        ("46,XX, or q32", "or q32", "cannot be applied"),
        ("46,XX,5q-", "5q-", "write del(5)(q...)"),
        ("46,XX,t(9;22)", "t(9;22)", "Expected the bands"),
        ("nuc ish(D21S65x3)", "nuc ish", "another technique"),
        ("arr[GRCh38] 22q11.2x1", "arr", "another technique"),
        ("46,XX[3]/47,sdl4,+8[2]", "sdl4", "one of the 1 cell lines"),
        ("46,XX[3]/45,sl,-mar[2]", "-mar", "one that the line has"),
        ("46,XX[3]/45,sl,-Y[2]", "-Y", "No normal chromosome Y"),
        ("46\u00b2,XX", "\u00b2", "plain letters"),
        ("47,idem,+8", "idem", "this is the first"),
        ("46,XX[10]/47,XX,+99[10]", "+99", "'99'"),
        ("46,XX[10]/48,XX,+21[10]", "48", "make 47 chromosomes"),
        ("46,XX" + ",+1" * 400, "46,XX,+1", "at most 1000"),
    ],
)
def test_impossible_formulae_name_the_part_and_the_rule(formula, part, rule):
    with pytest.raises(KaryotypeError) as caught:
        parse_karyotype(formula)
    assert part in str(caught.value)
    assert rule in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_sizes():
    table = load_bands(550)
    ((text, size),) = parse_karyotype("46,XX,del(5)(p15.2)").change_sizes()
    assert text == "del(5)(p15.2)"
    assert size.units == table.find("5", "p15.2")[1]
    assert size.megabases == pytest.approx(table.bp("5", size.units) / 1e6)
    ((_, size),) = parse_karyotype("47,XY,+21").change_sizes()
    assert (size.units, size.megabases) == (3200, pytest.approx(46.709983))
    ((_, size),) = parse_karyotype("46,X,i(X)(q10)").change_sizes()
    assert size.lost == table.centromere("X")
    assert size.gained == 8610 - table.centromere("X")
    ((_, size),) = parse_karyotype("46,XX,t(9;22)(q34;q11.2)").change_sizes()
    assert size.moved == 7950 - 7454 + 3400 - 1629
    ((_, size),) = parse_karyotype("46,XX,inv(16)(p13.1q22)").change_sizes()
    assert size.moved == np.diff([sum(table.find("16", band)) / 2 for band in ("p13.1", "q22")])
    ((_, size),) = parse_karyotype("47,XX,+mar").change_sizes()
    assert size.units == 1800
    assert math.isnan(size.megabases)


@pytest.mark.parametrize("level", LEVELS)
def test_level_is_carried_into_the_chromosomes(level):
    karyotype = parse_karyotype("46,XX,t(9;22)(q34;q11.2)", level)
    assert karyotype.level == level
    assert {c.level for c in karyotype.chromosomes} == {level}


@pytest.mark.parametrize(
    ("formula", "remedy"),
    [
        ("46,xx", "written in capitals: XX"),
        ("46,XX,t(9;22(q34;q11.2)", r"a '\)' for every '\('"),
        ("46,XX,t9;22(q34;q11.2)", r"as in t\(9;22\)"),
    ],
)
def test_a_formula_that_is_written_wrongly_is_told_how(formula, remedy):
    with pytest.raises(KaryotypeError, match=remedy):
        parse_karyotype(formula)


@pytest.mark.parametrize(
    ("formula", "normal_form", "note"),
    [
        ("46,XX,t(22;9)(q11.2;q34)", "46,XX,t(9;22)(q34;q11.2)", "is written t(9;22)(q34;q11.2)"),
        ("46,XX,i(17q)", "46,XX,i(17)(q10)", "is written i(17)(q10)"),
        ("46,XX,+8,-8", "46,XX", "-8 undoes a part before it"),
        ("46,XX,r(7)(q36p22)", "46,XX,r(7)(p22q36)", "is written r(7)(p22q36)"),
        ("46,XX,del(5)(q33q13)", "46,XX,del(5)(q13q33)", "is written del(5)(q13q33)"),
        ("46,XX,add(10)(q22 or q32)", "46,XX,add(10)(q22 or q32)", "uncertain: read as add(10)(q22)"),
        ("46,XX,del(5)(q13~15)", "46,XX,del(5)(q13~15)", "uncertain: read as del(5)(q13)"),
        ("46,XX,?del(5)(q13)", "46,XX,?del(5)(q13)", "uncertain: read as del(5)(q13)"),
        ("45~48,XX,-5[3]", "45~48,XX,-5", "range of counts"),
        ("49~51,XX,+3~5mar", "49~51,XX,+3~5mar", "uncertain: read as +3mar"),
        ("47,XX,+21c?", "47,XX,+21c", "uncertain: read as +21c"),
        ("46,XX,dmin", "46,XX,dmin", "dmin: kept, not drawn"),
        ("46,Y,fra(X)(q27.3)", "46,Y,fra(X)(q27.3)", "kept, not drawn"),
        ("46,XX,upd(15)mat", "46,XX,upd(15)mat", "upd(15): kept, not drawn"),
        ("46,XX,add(5)(q13),inc", "46,XX,add(5)(q13),inc", "incomplete"),
        (
            "46,XX.ish del(22)(q11.2q11.2)(D22S75-)",
            "46,XX.ish del(22)(q11.2q11.2)(D22S75-)",
            "another technique",
        ),
        ("47,XX,+21,9qh+", "47,XX,9qh+,+21", "9qh+ is a normal variant"),
        ("59,XX" + ",+1" * 13, "59<2n>,XX" + ",+1" * 13, "counted against 2 sets"),
        (
            "59,XX,+X,+4,+6,+8,+9,+10,+11,+14,+14,+17,+18,+21,+21",
            "59<2n>,XX,+X,+4,+6,+8,+9,+10,+11,+14,+14,+17,+18,+21,+21",
            "counted against 2 sets",
        ),
        (
            "47,XX,t(9;22)(q34;q11.2),+der(22)",
            "47,XX,t(9;22)(q34;q11.2),+der(22)t(9;22)",
            "is written +der(22)t(9;22)(q34;q11.2)",
        ),
    ],
)
def test_what_labs_write_otherwise_is_read_with_a_note(formula, normal_form, note):
    karyotype = parse_karyotype(formula)
    assert any(note in told for told in karyotype.notes)
    assert write_karyotype(karyotype) == normal_form
    assert parse_karyotype(normal_form) == karyotype


@pytest.mark.parametrize(
    ("formula", "label", "group"),
    [
        ("46,XX,inv(9)(p12q13)", "normal", "variant"),
        ("46,XX,inv(9)(p11q13)mat", "normal", "variant"),
        ("46,XX,inv(9)(p22q13)", "abnormal", "inversion"),
        ("46,X,inv(Y)(p11.2q11.2)", "normal", "variant"),
        ("46,XY,1qh+,21pss", "normal", "variant"),
        ("46,X,Yqh+", "normal", "variant"),
        ("47,XX,inv(9)(p12q13),+21", "abnormal", "trisomy"),
        ("46,XX,dmin", "abnormal", "ring/isochromosome/marker"),
        ("46,XX,hsr(1)(p22)", "abnormal", "duplication"),
        ("46,XX,upd(15)mat", "abnormal", "complex"),
        ("46,XX.ish 22q11.2(TUPLE1x2)", "normal", "normal"),
    ],
)
def test_normal_variants_and_what_is_not_drawn(formula, label, group):
    karyotype = parse_karyotype(formula)
    assert (karyotype.label, karyotype.group) == (label, group)
    assert len(karyotype.chromosomes) == int(formula[:2])
    if group == "variant":
        assert not any(chromosome.abnormal for chromosome in karyotype.chromosomes)


@pytest.mark.parametrize("total", [93, 96, 103, 115])
def test_counts_above_tetraploid(total):
    sets = 4 if total <= 103 else 5
    extra = ",+1" * (total - 23 * sets)
    karyotype = parse_karyotype(f"{total},{'X' * sets}{extra}")
    assert len(karyotype.chromosomes) == total
    assert karyotype.counts["2"] == sets


def test_an_insertion_at_a_deletions_breakpoint():
    """der(1)del(1)(p22p34)ins(1;17)(p22;q11q25): what was cut out of 17 stands where 1p34 to p22 is gone."""
    table = load_bands(550)
    formula = "46,XX,der(1)del(1)(p22p34)ins(1;17)(p22;q11q25)"
    (derivative,) = (c for c in parse_karyotype(formula).chromosomes if c.abnormal)
    one, inserted, other = derivative.segments
    assert (one.chromosome, inserted.chromosome, other.chromosome) == ("1", "17", "1")
    assert one.stop == table.find("1", "p34")[0]
    assert other.start == table.find("1", "p22")[1]
    assert inserted.reversed  # q11 comes to lie nearer the centromere


def test_the_detailed_system_says_the_same():
    short = parse_karyotype("46,XX,der(9)t(9;22)(q34;q11.2)")
    long = parse_karyotype("46,XX,der(9)(9pter\u21929q34::22q11.2\u219222qter)")
    assert [c.segments for c in long.chromosomes] == [c.segments for c in short.chromosomes]
    assert long.formula == "46,XX,der(9)(9pter->9q34::22q11.2->22qter)"


def test_a_recombinant_has_one_end_twice():
    table = load_bands(550)
    (changed,) = (
        c for c in parse_karyotype("46,XX,rec(6)dup(6p)inv(6)(p22.2q25.2)").chromosomes if c.abnormal
    )
    (whole, twice) = changed.segments
    assert (whole.start, whole.stop) == (0, sum(table.find("6", "q25.2")) / 2)
    assert (twice.start, twice.stop, twice.reversed) == (0, sum(table.find("6", "p22.2")) / 2, True)
