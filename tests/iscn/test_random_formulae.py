"""Random formulae made from the band tables: all are understood, the books balance, noise is turned away."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.iscn import (
    AUTOSOMES,
    LEVELS,
    Karyotype,
    KaryotypeError,
    load_bands,
    parse_karyotype,
    write_karyotype,
)
from karyo_lib.iscn.bands import ACROCENTRICS
from karyo_lib.iscn.edits import ADDED_LENGTH
from karyo_lib.iscn.operations import read_change

KINDS = ("+", "-", "del", "del2", "dup", "trp", "inv", "t", "t3", "whole arms", "ins", "ins2", "i", "idic")
KINDS += ("dic", "r", "add", "der", "+der", "mar")
BALANCED = {"t", "t3", "whole arms", "inv", "ins"}


@st.composite
def bands(draw, chromosome, arms="pq", number=1):
    """Different band names of one chromosome, of any level, all in one arm."""
    table = load_bands(draw(st.sampled_from(LEVELS)))
    arm = draw(st.sampled_from(arms))
    names = [band.name for band in table.bands(chromosome) if band.arm == arm and band.stain != "acen"]
    if len(names) < number:  # Yp at 400 bands has two
        names = [band.name for band in load_bands(850).bands(chromosome) if band.arm == arm]
    chosen = draw(st.lists(st.sampled_from(names), min_size=number, max_size=number, unique=True))
    return chosen


@st.composite
def change(draw, free):
    """One part of a formula, its kind, the change in chromosome number; takes its autosomes out of `free`."""

    def take(candidates=None):
        name = draw(st.sampled_from([c for c in free if candidates is None or c in candidates]))
        free.remove(name)
        return name

    def band(chromosome, arms="pq"):
        return draw(bands(chromosome, arms))[0]

    def pair(chromosome):
        return "".join(draw(bands(chromosome, number=2)))

    enough = sum(name in ACROCENTRICS for name in free) > 1
    kind = draw(st.sampled_from(KINDS + ("rob",) * enough))
    if kind == "mar":
        return "+mar", kind, 1
    a = take(ACROCENTRICS if kind == "rob" else None)
    if kind in "+-":
        return f"{kind}{a}", kind, 1 if kind == "+" else -1
    if kind == "del":
        return f"del({a})({band(a)})", kind, 0
    if kind == "del2":
        return f"del({a})({pair(a)})", kind, 0
    if kind in ("dup", "trp"):
        return f"{kind}({a})({pair(a)})", kind, 0
    if kind == "inv":
        return f"inv({a})({draw(st.sampled_from([pair(a), band(a, 'p') + band(a, 'q')]))})", kind, 0
    if kind == "i":
        return f"i({a})({draw(st.sampled_from(['p10', 'q10']))})", kind, 0
    if kind in ("idic", "add"):
        return f"{kind}({a})({band(a)})", kind, 0
    if kind == "r":
        return f"r({a})({band(a, 'p')}{band(a, 'q')})", kind, 0
    if kind == "ins2":
        return f"ins({a})({band(a, 'p')}{''.join(draw(bands(a, 'q', 2)))})", "ins", 0
    b = take(ACROCENTRICS if kind == "rob" else None)
    if kind == "rob":
        return f"rob({a};{b})(q10;q10)", kind, -1
    if kind == "whole arms":
        return f"t({a};{b})({draw(st.sampled_from(['p10;p10', 'p10;q10', 'q10;p10', 'q10;q10']))})", kind, 0
    if kind == "ins":
        return f"ins({a};{b})({band(a)};{pair(b)})", kind, 0
    if kind == "t":
        return f"t({a};{b})({band(a)};{band(b)})", kind, 0
    if kind == "dic":
        return f"dic({a};{b})({band(a)};{band(b)})", kind, -1
    if kind.endswith("der"):
        return f"{kind}({a})t({a};{b})({band(a)};{band(b)})", kind, 1 if kind == "+der" else 0
    c = take()
    return f"t({a};{b};{c})({band(a)};{band(b)};{band(c)})", kind, 0


@st.composite
def formulae(draw):
    """A valid formula with up to three changes on different autosomes."""
    free = list(AUTOSOMES)
    parts = [draw(change(free)) for _ in range(draw(st.integers(1, 3)))]
    sex = draw(st.sampled_from(["XX", "XY", "X", "XXY", "XYY", "XXX"]))
    count = 44 + len(sex) + sum(delta for _, _, delta in parts)
    formula = ",".join([str(count), sex, *(text for text, _, _ in parts)])
    return formula, {_normal(text): kind for text, kind, _ in parts}


def _normal(text):
    part, _ = read_change(text, [])
    return part.sign + part.text


@given(formulae(), st.sampled_from(LEVELS))
@settings(max_examples=400, deadline=None)
def test_every_formula_is_understood_and_the_books_balance(drawn, level):
    formula, kinds = drawn
    karyotype = parse_karyotype(formula, level)
    table = load_bands(level)
    assert karyotype.label == "abnormal"
    assert len(karyotype.chromosomes) == int(formula.split(",")[0])

    written = write_karyotype(karyotype)
    assert parse_karyotype(written, level) == karyotype
    assert write_karyotype(parse_karyotype(written, level)) == written

    sizes = [(kinds[text], size) for text, size in karyotype.change_sizes() if text in kinds]
    normal = 2 * sum(table.length(name) for name in AUTOSOMES)
    normal += sum(table.length(name) for name in karyotype.sex)
    expected = normal + sum(size.gained - size.lost for _, size in sizes)
    assert sum(chromosome.length for chromosome in karyotype.chromosomes) == expected

    for kind, size in sizes:
        if kind in BALANCED:
            assert size.lost == size.gained == 0
            assert size.moved > 0
        else:
            assert size.lost + size.gained > 0
        if kind == "add":
            assert size.gained == ADDED_LENGTH

    for chromosome in karyotype.chromosomes:
        assert 1 <= len(chromosome.centromeres) <= 2
        assert all(0 <= position <= chromosome.length for position in chromosome.centromeres)
        assert all(segment.length > 0 for segment in chromosome.segments)
        for segment in chromosome.segments:
            assert segment.length > 0
            if segment.chromosome != "?":
                assert segment.start >= 0
                assert segment.stop <= table.length(segment.chromosome)
        if chromosome.name.startswith(("dic", "idic")):
            assert len(chromosome.centromeres) == 2
        elif chromosome.slot != "mar":
            position = chromosome.centromeres[0]
            holders = [segment.chromosome for segment in _segments_at(chromosome, position)]
            assert chromosome.slot in holders  # the slot is that of the centromere
    order = [c.slot for c in karyotype.chromosomes]
    assert order == sorted(order, key=["mar", "Y", "X", *reversed(AUTOSOMES)].index, reverse=True)


def _segments_at(chromosome, position):
    offset = 0.0
    for segment in chromosome.segments:
        if offset <= position <= offset + segment.length:
            yield segment
        offset += segment.length


def karyotype_or_error(text):
    """Whatever else is raised fails the test."""
    try:
        return parse_karyotype(text)
    except KaryotypeError as error:
        return error


@given(formulae(), st.data())
@settings(max_examples=250, deadline=None)
def test_garbled_formulae_raise_nothing_but_karyotype_errors(drawn, data):
    text = list(drawn[0])
    alphabet = st.sampled_from(string.printable + "XYpq();,.?~/[]<>n\u00b2\u0664\u2192")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(st.lists(alphabet, max_size=2))
    result = karyotype_or_error("".join(text))
    if isinstance(result, KaryotypeError):
        assert result.part
        assert result.rule
    else:
        assert sum(result.counts.values()) == len(result.chromosomes)
        assert parse_karyotype(write_karyotype(result)) == result


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_formula_or_a_karyotype_error(text):
    assert isinstance(karyotype_or_error(text), Karyotype | KaryotypeError)
