"""Known answers: what each rearrangement does to lengths, order, orientation and centromeres."""

import re
from itertools import accumulate

import pytest

from karyo_lib.iscn import AUTOSOMES, LEVELS, Segment, load_bands, parse_karyotype

every_level = pytest.mark.parametrize("level", LEVELS)
NORMAL_LENGTH = 2 * sum(load_bands(550).length(name) for name in (*AUTOSOMES, "X"))


def total(karyotype):
    return sum(chromosome.length for chromosome in karyotype.chromosomes)


def abnormal(formula, level=550):
    return [c for c in parse_karyotype(formula, level).chromosomes if c.abnormal]


def junctions(chromosome):
    return tuple(accumulate(segment.length for segment in chromosome.segments))[:-1]


def middle(chromosome, band, level=550):
    return sum(load_bands(level).find(chromosome, band)) / 2


@every_level
@pytest.mark.parametrize(
    "part",
    [
        "t(9;22)(q34;q11.2)",
        "t(1;16)(p36.1;q24)",
        "t(1;3)(p10;q10)",
        "t(9;22;8)(q34;q11.2;q24)",
        "inv(16)(p13.1q22)",
        "inv(3)(q21q26.2)",
        "inv(5)(q13q13)",
        "ins(2)(p13q21q31)",
        "ins(2)(p13q31q21)",
        "ins(5;2)(p14;q22q32)",
    ],
)
def test_balanced_changes_conserve_length_and_count(part, level):
    karyotype = parse_karyotype(f"46,XX,{part}", level)
    assert total(karyotype) == NORMAL_LENGTH
    assert len(karyotype.chromosomes) == 46
    assert all(len(chromosome.centromeres) == 1 for chromosome in karyotype.chromosomes)
    ((_, size),) = karyotype.change_sizes()
    assert (size.lost, size.gained) == (0, 0)
    assert size.moved > 0


@every_level
@pytest.mark.parametrize(
    ("part", "chromosome", "first", "last"),
    [
        ("del(5)(q13q33)", "5", "q13", "q33"),
        ("del(5)(q33q13)", "5", "q13", "q33"),
        ("del(5)(p15.2)", "5", "pter", "p15.2"),
        ("del(18)(q21)", "18", "q21", "qter"),
        ("del(22)(q11.2q11.2)", "22", "q11.2", "q11.2"),
        ("del(7)(q11.23q11.23)", "7", "q11.23", "q11.23"),
        ("del(18)(p10)", "18", "pter", "p10"),
    ],
)
def test_deletion_takes_exactly_the_named_bands(part, chromosome, first, last, level):
    table = load_bands(level)
    named = table.find(chromosome, last)[1] - table.find(chromosome, first)[0]
    (deleted,) = abnormal(f"46,XX,{part}", level)
    assert named > 0
    assert deleted.length == table.length(chromosome) - named
    assert len(deleted.centromeres) == 1
    ((_, size),) = parse_karyotype(f"46,XX,{part}", level).change_sizes()
    assert (size.lost, size.gained, size.moved) == (named, 0, 0)


@every_level
@pytest.mark.parametrize(("kind", "copies"), [("dup", 1), ("trp", 2), ("qdp", 3)])
@pytest.mark.parametrize("bands", ["q22q25", "q25q22"])
def test_duplication_adds_exactly_the_named_bands(kind, copies, bands, level):
    table = load_bands(level)
    named = table.find("1", "q25")[1] - table.find("1", "q22")[0]
    (changed,) = abnormal(f"46,XX,{kind}(1)({bands})", level)
    assert changed.length == 15100 + copies * named
    if bands == "q22q25":
        assert len(junctions(changed)) == copies
    else:  # every other copy is turned: junctions where mirror images meet
        assert len(junctions(changed)) == {"dup": 2, "trp": 2, "qdp": 4}[kind]
    assert changed.centromeres == (table.centromere("1"),)


def test_direction_of_duplication():
    start, stop = load_bands(550).find("1", "q22")[0], load_bands(550).find("1", "q25")[1]
    (direct,) = abnormal("46,XX,dup(1)(q22q25)")
    assert direct.segments == (Segment("1", 0, stop), Segment("1", start, 15100))
    (inverted,) = abnormal("46,XX,dup(1)(q25q22)")
    assert inverted.segments == (
        Segment("1", 0, stop),
        Segment("1", start, stop, reversed=True),
        Segment("1", stop, 15100),
    )


def test_two_way_translocation():
    nine, twenty_two = middle("9", "q34"), middle("22", "q11.2")
    first, second = abnormal("46,XX,t(9;22)(q34;q11.2)")
    assert (first.name, first.slot) == ("der(9)t(9;22)", "9")
    assert first.segments == (Segment("9", 0, nine), Segment("22", twenty_two, 3400))
    assert junctions(first) == (nine,)
    assert (second.name, second.slot) == ("der(22)t(9;22)", "22")
    assert second.segments == (Segment("22", 0, twenty_two), Segment("9", nine, 7950))


def test_translocation_between_a_short_and_a_long_arm_turns_the_pieces():
    one, nine = middle("1", "p36"), middle("9", "q34")
    first, second = abnormal("46,XX,t(1;9)(p36;q34)")
    assert first.segments == (Segment("9", nine, 7950, reversed=True), Segment("1", one, 15100))
    assert second.segments == (Segment("9", 0, nine), Segment("1", 0, one, reversed=True))


def test_three_way_translocation_goes_round():
    """The first chromosome's segment goes to the second, the second's to the third, its own to the first."""
    eight, nine, twenty_two = abnormal("46,XX,t(9;22;8)(q34;q11.2;q24)")
    assert [c.segments[1].chromosome for c in (nine, twenty_two, eight)] == ["8", "9", "22"]


def test_sex_chromosomes_in_translocations():
    """Only normal sex chromosomes are written after the count."""
    female = parse_karyotype("46,X,t(X;9)(p11;q34)")
    male = parse_karyotype("46,Y,t(X;18)(p11.2;q11.2)")
    both = parse_karyotype("46,t(X;Y)(p22.3;q11.2)")
    assert (female.sex, male.sex, both.sex) == ("XX", "XY", "XY")
    assert [c.slot for c in female.chromosomes if c.abnormal] == ["9", "X"]
    assert both.counts["X"] == both.counts["Y"] == 1


def test_whole_arm_translocation():
    p_length, q_length = load_bands(550).centromere("1"), 11700 - load_bands(550).centromere("3")
    first, second = abnormal("46,XX,t(1;3)(p10;q10)")
    assert {first.slot, second.slot} == {"1", "3"}
    assert first.length == p_length + q_length
    assert len(first.centromeres) == len(second.centromeres) == 1
    fused = abnormal("46,XX,+1,der(1;7)(q10;p10)")[-1]
    assert (fused.name, fused.slot) == ("der(1;7)", "1")
    assert fused.length == 15100 - p_length + load_bands(550).centromere("7")


@every_level
def test_robertsonian_translocation(level):
    table = load_bands(level)
    karyotype = parse_karyotype("45,XX,rob(14;21)(q10;q10)", level)
    (fused,) = [c for c in karyotype.chromosomes if c.abnormal]
    assert len(karyotype.chromosomes) == 45
    assert karyotype.counts["14"] == 2
    assert karyotype.counts["21"] == 1
    assert karyotype.count_formula == "45,XX,-21"
    lost = table.centromere("14") + table.centromere("21")
    assert fused.length == table.length("14") + table.length("21") - lost
    assert len(fused.centromeres) == 1
    assert fused.segments[0].length < fused.segments[1].length  # the longer arm below
    same = parse_karyotype("45,XX,der(14;21)(q10;q10)", level)
    assert [c.segments for c in same.chromosomes] == [c.segments for c in karyotype.chromosomes]


def test_down_syndrome_by_robertsonian_translocation():
    karyotype = parse_karyotype("46,XY,+21,rob(14;21)(q10;q10)")
    assert karyotype.group == "translocation"
    assert karyotype.counts["21"] == 2
    assert [c.name for c in karyotype.chromosomes if c.abnormal] == ["rob(14;21)"]


@every_level
@pytest.mark.parametrize(("part", "name", "arm"), [("i(X)(q10)", "X", "q"), ("i(X)(p10)", "X", "p")])
def test_isochromosome_is_symmetric(part, name, arm, level):
    table = load_bands(level)
    (iso,) = abnormal(f"46,X,{part}", level)
    upper, lower = iso.segments
    assert (upper.start, upper.stop) == (lower.start, lower.stop)
    assert upper.reversed != lower.reversed
    length = table.centromere(name) if arm == "p" else table.length(name) - table.centromere(name)
    assert iso.length == 2 * length
    assert iso.centromeres == (length,)


@every_level
@pytest.mark.parametrize("part", ["+idic(15)(q13)", "+idic(22)(q11.2)"])
def test_isodicentric_is_symmetric_with_two_centromeres(part, level):
    (idic,) = abnormal(f"47,XX,{part}", level)
    first, second = idic.centromeres
    assert first == idic.length - second
    assert junctions(idic) == (idic.length / 2,)


def test_isodicentric_of_the_long_arm_keeps_it_outside():
    (idic,) = abnormal("46,X,idic(X)(p11.2)")
    assert idic.length == 2 * (8610 - middle("X", "p11.2"))
    assert [s.reversed for s in idic.segments] == [True, False]


def test_dicentric():
    karyotype = parse_karyotype("45,XX,dic(13;15)(q22;q24)")
    (dic,) = [c for c in karyotype.chromosomes if c.abnormal]
    assert dic.length == middle("13", "q22") + middle("15", "q24")
    assert len(dic.centromeres) == 2
    assert (karyotype.counts["13"], karyotype.counts["15"]) == (2, 1)
    assert abnormal("45,XX,psu dic(13;15)(q22;q24)")[0].segments == dic.segments


def test_ring():
    (ring,) = abnormal("46,XX,r(20)(p13q13.3)")
    assert ring.ring
    assert ring.segments == (Segment("20", middle("20", "p13"), middle("20", "q13.3")),)
    (whole,) = abnormal("46,X,r(X)")
    assert whole.ring
    assert whole.length == 8610
    assert whole.rearranged


@pytest.mark.parametrize(
    ("formula", "told", "centromeres", "ring"),
    [
        ("44,XX,trc(4;12;9)(q31.2;q22p13;q34)", "4pter->q31.2 12q22->p13 9q34->pter", 3, False),
        ("45,XX,der(5;7)t(5;7)(q22;p13)", "5pter->q22 7p13->qter", 2, False),
        ("45,XX,der(5;7)t(3;5)(q21;q22)t(3;7)(q29;p13)", "5pter->q22 3q21->q29 7p13->qter", 2, False),
        ("45,XX,dic r(1;3)(p36.1q23;p24q26.2)", "1p36.1->q23 3p24->q26.2", 2, True),
        ("46,XX,der(1)r(1;3)(p36.1q23;q21q27)", "1p36.1->q23 3q21->q27", 1, True),
    ],
)
def test_chromosomes_of_several_pieces_as_iscn_describes_them(formula, told, centromeres, ring):
    (chromosome,) = abnormal(formula)
    pieces = []
    for text in told.split():
        name, first, last = re.fullmatch(r"(\d+)([pq].*)->(.*)", text).groups()
        ends = {"pter": 0.0, "qter": load_bands(550).length(name)}
        start, stop = (ends[band] if band in ends else middle(name, band) for band in (first, last))
        pieces.append(Segment(name, min(start, stop), max(start, stop), start > stop))
    assert [(s.chromosome, s.reversed) for s in chromosome.segments] == [
        (p.chromosome, p.reversed) for p in pieces
    ]
    for own, piece in zip(chromosome.segments, pieces, strict=True):
        assert (own.start, own.stop) == pytest.approx((piece.start, piece.stop), abs=0.125)
    assert len(chromosome.centromeres) == centromeres
    assert chromosome.ring == ring


def test_a_marker_that_something_known_is_joined_to():
    (marker,) = abnormal("47,XX,+der(?)t(?;9)(?;q22)")
    unknown, known = marker.segments
    assert (marker.slot, unknown.chromosome) == ("mar", "?")
    assert (known.chromosome, known.start) == ("9", pytest.approx(middle("9", "q22"), abs=0.125))


def test_inversions():
    (peri,) = abnormal("46,XX,inv(16)(p13.1q22)")
    start, stop = middle("16", "p13.1"), middle("16", "q22")
    assert peri.segments == (
        Segment("16", 0, start),
        Segment("16", start, stop, reversed=True),
        Segment("16", stop, 5120),
    )
    assert peri.centromeres == (start + stop - load_bands(550).centromere("16"),)
    (para,) = abnormal("46,XX,inv(3)(q21q26.2)")
    assert para.centromeres == (load_bands(550).centromere("3"),)


def test_direction_of_insertions():
    """The band named first lies nearer the centromere of the recipient."""
    site, near, far = middle("2", "p13"), middle("2", "q21"), middle("2", "q31")
    (direct,) = abnormal("46,XX,ins(2)(p13q21q31)")
    assert direct.segments == (
        Segment("2", 0, site),
        Segment("2", near, far, reversed=True),
        Segment("2", site, near),
        Segment("2", far, 14400),
    )
    (inverted,) = abnormal("46,XX,ins(2)(p13q31q21)")
    assert inverted.segments[1] == Segment("2", near, far)
    donor, recipient = abnormal("46,XX,ins(5;2)(p14;q22q32)")
    assert (donor.slot, recipient.slot) == ("2", "5")
    assert recipient.segments[1] == Segment("2", middle("2", "q22"), middle("2", "q32"), reversed=True)
    assert donor.length + recipient.length == 14400 + 10600
    donor, recipient = abnormal("46,XX,ins(4;2)(q21;q22q32)")
    assert recipient.segments[1] == Segment("2", middle("2", "q22"), middle("2", "q32"))


def test_unknown_material():
    (added,) = abnormal("46,XX,add(19)(p13.3)")
    assert added.segments[0].chromosome == "?"
    assert added.segments[1] == Segment("19", middle("19", "p13.3"), 4120)
    ring, marker = abnormal("48,XX,+mar,+r")
    assert (marker.slot, marker.name, ring.slot, ring.ring) == ("mar", "mar", "mar", True)
    assert marker.centromeres == (marker.length / 2,)


def test_derivatives_apply_their_changes_in_turn():
    (der,) = abnormal("46,XX,der(22)t(9;22)(q34;q11.2)")
    assert der.segments == abnormal("46,XX,t(9;22)(q34;q11.2)")[1].segments
    (both,) = abnormal("46,XX,der(1)t(1;3)(p32;q21)t(1;11)(q25;q13)")
    assert [s.chromosome for s in both.segments] == ["3", "1", "11"]
    (chain,) = abnormal("46,XX,der(1)t(1;3)(p32;q21)t(3;9)(q27;q22)")
    assert [s.chromosome for s in chain.segments] == ["9", "3", "1"]
    (turned,) = abnormal("46,XX,der(9)inv(9)(p13q22)t(9;22)(q34;q11.2)")
    assert [(s.chromosome, s.reversed) for s in turned.segments] == [
        ("9", False), ("9", True), ("9", False), ("22", False)
    ]  # fmt: skip
    (inserted,) = abnormal("46,XX,der(5)ins(5;2)(p14;q22q32)")
    assert [s.chromosome for s in inserted.segments] == ["5", "2", "5"]
    (mirrored,) = abnormal("46,XX,ider(22)(q10)t(9;22)(q34;q11.2)")
    assert [s.chromosome for s in mirrored.segments] == ["9", "22", "22", "9"]


def test_breakpoints_may_be_written_once():
    karyotype = parse_karyotype("47,XX,t(9;22)(q34;q11.2),+der(22)t(9;22)")
    first, second = [c for c in karyotype.chromosomes if c.slot == "22" and c.abnormal]
    assert first.segments == second.segments


@every_level
@pytest.mark.parametrize("part", ["t(9;9)(q12;q34)", "inv(22)(q11.21q11.23)", "inv(16)(p13.11p13.13)"])
def test_breaks_that_share_a_band_or_a_chromosome(part, level):
    karyotype = parse_karyotype(f"46,XX,{part}", level)
    assert total(karyotype) == NORMAL_LENGTH
    assert karyotype.change_sizes()[0][1].units > 0


def test_a_break_in_the_centromere_leaves_one():
    (inverted,) = abnormal("46,XX,inv(1)(p10q21)")
    assert len(inverted.centromeres) == 1
    # on an inverted stretch, the short arm's side of the centromere lies below
    (der,) = abnormal("46,XX,der(1)inv(1)(p22q31)t(1;7)(p10;q21)")
    assert [(s.chromosome, s.reversed) for s in der.segments] == [("1", False), ("1", True), ("7", False)]
    assert der.segments[1].start == load_bands(550).centromere("1")
