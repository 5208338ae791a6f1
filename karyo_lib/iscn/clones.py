"""The cell lines of a case <-> one formula: '46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[15]/46,XX[2]'.

Rules of ISCN 2024: a gain or structural change is clonal in two cells, a loss in three; a normal line stands
last; constitutional lines stand by size, after ``mos``; acquired lines that are related stand together, the
stemline first and the others by what they have more, which ``idem`` saves repeating. Cell numbers stand in
brackets in acquired practice, and in constitutional practice where there is more than one line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from karyo_lib.iscn.bands import AUTOSOMES, KaryotypeError, load_bands
from karyo_lib.iscn.changes import Change, make_change
from karyo_lib.iscn.karyotype import count_formula, parse_karyotype
from karyo_lib.iscn.notation import read_cell_lines
from karyo_lib.iscn.operations import Part, read_change

PRACTICES = ("constitutional", "acquired")
#: Cells that must share a change before it counts as a clone's.
CELLS_FOR_GAIN, CELLS_FOR_LOSS = 2, 3

_NORMAL = ("46,XX", "46,XY")
_BRACKETS = re.compile(r"\[(cp)?(\d+)\]$")
_RANGE = re.compile(r"\d{2,3}(~\d{2,3})?")
_SIGNED = re.compile(r"([+-])(\d{1,2}|[XY])")


@dataclass(frozen=True)
class Clone:
    """One cell line of a case.

    Attributes
    ----------
    formula : str
        Of its cells, written in full, without number of cells. Of a composite line, the range of counts and
        each change with the number of cells that have it: '45~48,XX,+8[4],-7[3]'.
    cells : int
        How many cells; 0 where the formula does not say.
    composite : bool
        The cells differ, and the formula lists what is clonal among them (``cp``).
    """

    formula: str
    cells: int = 0
    composite: bool = False

    @property
    def normal(self) -> bool:
        """Whether it is 46,XX or 46,XY."""
        return self.formula in _NORMAL

    @property
    def changes(self) -> tuple[str, ...]:
        """Sex complement and parts as they are written, without the count."""
        return tuple(self.formula.split(",")[1:])


def line_formula(
    counts: Mapping[str, int], structural: Sequence[str] = (), practice: str = "constitutional", sex: str = ""
) -> str:
    """Formula of one cell line.

    Parameters
    ----------
    counts : mapping
        Slot ('1' to '22', 'X', 'Y', 'mar') to number of chromosomes, by their centromeres; absent slots are
        0.
    structural : sequence of str
        Structural changes in ISCN, whose chromosomes are among `counts`: 't(9;22)(q34;q11.2)'.
    practice : {'constitutional', 'acquired'}
        An acquired gain or loss of a sex chromosome is written as one: 45,X,-Y.
    sex : str, optional
        Sex complement of the person, 'XX' or 'XY'; by default XY where there is a Y.

    Returns
    -------
    str

    Raises
    ------
    KaryotypeError
        If there is no such cell, or a part is none.

    Examples
    --------
    >>> counts = parse_karyotype("45,X,-Y,t(9;22)(q34;q11.2)").counts
    >>> line_formula(counts, ["t(9;22)(q34;q11.2)"], "acquired", "XY")
    '45,X,-Y,t(9;22)(q34;q11.2)'
    >>> line_formula(parse_karyotype("45,XX,rob(14;21)(q10;q10)").counts, ["rob(14;21)(q10;q10)"])
    '45,XX,rob(14;21)(q10;q10)'
    """
    check_practice(practice)
    parts = list(zip(structural, *_read_parts(structural), strict=True))
    without = Counter(counts)
    used: Counter[str] = Counter()
    for *_, change in parts:
        without.subtract(chromosome.slot for chromosome in change.produced)
        without.update(change.consumed)
        used.update(name for name in change.consumed if name in ("X", "Y"))
    head, written, *numerical = count_formula(dict(without)).split(",")
    normal_sex = Counter({name: without[name] for name in ("X", "Y")})
    if practice == "acquired" and written != "?" and "<" not in head and 34 < sum(without.values()) < 58:
        person = Counter(sex or ("XY" if without["Y"] or used["Y"] else "XX"))
        numerical += [f"+{name}" for name in (normal_sex - person).elements()]
        numerical += [f"-{name}" for name in (person - normal_sex).elements()]
        normal_sex &= person
    normal_sex.subtract(used)
    sex_text = "".join(sorted(normal_sex.elements()))
    sorted_parts = sorted([(*_place(text), text) for text in numerical] + [
        (*_place(part.text, part), text) for text, part, _ in parts
    ])  # fmt: skip
    total = head.replace(str(sum(without.values())), str(sum(Counter(counts).values())), 1)
    formula = ",".join([total, *([sex_text] if sex_text else []), *(text for *_, text in sorted_parts)])
    parse_karyotype(formula)
    return formula


def structural_parts(formula: str) -> tuple[str, ...]:
    """Structural changes of a formula of one cell line, as written: neither gains, losses nor markers."""
    return tuple(
        text for text in formula.split(",")[1:]
        if not _SIGNED.fullmatch(text) and not re.fullmatch("[XY]+c?", text) and "mar" not in text
    )  # fmt: skip


def check_practice(practice: str) -> None:
    """Raise a ValueError for what is no practice."""
    if practice not in PRACTICES:
        raise ValueError(f"Expected a practice, {' or '.join(PRACTICES)}. Received {practice!r}.")


def write_clones(clones: Iterable[Clone], practice: str = "constitutional") -> str:
    """Formula of a case.

    Parameters
    ----------
    clones : iterable of Clone
        Its cell lines, in any order.
    practice : {'constitutional', 'acquired'}
        Constitutional lines stand by size, after ``mos`` where there are several (``chi`` where XX and XY
        cells are normal). Acquired lines of one
        origin stand together, the simplest first.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no cell line, or no such practice.

    Examples
    --------
    >>> write_clones([Clone("46,XY", 8), Clone("47,XY,+21", 12)])
    'mos 47,XY,+21[12]/46,XY[8]'
    >>> lines = [Clone("47,XX,+8,t(9;22)(q34;q11.2)", 15), Clone("46,XX,t(9;22)(q34;q11.2)", 3)]
    >>> write_clones([Clone("46,XX", 2), *lines], "acquired")
    '46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[15]/46,XX[2]'
    """
    ordered = order_clones(clones, practice)
    if not ordered:
        raise ValueError("Expected at least one cell line. Received none.")
    if practice == "constitutional":
        bracketed = len(ordered) > 1 or ordered[0].composite
        text = "/".join(clone.formula + _brackets(clone) * bracketed for clone in ordered)
        if len(ordered) == 1:
            return text
        chimera = {clone.formula for clone in ordered} >= set(_NORMAL)
        return f"{'chi' if chimera else 'mos'} {text}"
    stem = ordered[0]
    return "/".join(
        (_since(stem, clone) if number else clone.formula) + _brackets(clone)
        for number, clone in enumerate(ordered)
    )


def order_clones(clones: Iterable[Clone], practice: str = "constitutional") -> list[Clone]:
    """Cell lines in the order in which a formula has them.

    Parameters
    ----------
    clones, practice
        See `write_clones`.

    Returns
    -------
    list of Clone
    """
    check_practice(practice)
    if practice == "acquired":
        return _by_origin(list(clones))
    return sorted(clones, key=lambda clone: (clone.normal, -clone.cells, clone.formula))


def read_clones(formula: str) -> tuple[Clone, ...]:
    """The cell lines of a formula, in the order written: the inverse of `write_clones`.

    Parameters
    ----------
    formula : str

    Returns
    -------
    tuple of Clone
        ``idem`` and ``sl`` written out.

    Raises
    ------
    KaryotypeError
        If it is not a formula.

    Examples
    --------
    >>> read_clones("46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[15]/46,XX[2]")[1]
    Clone(formula='47,XX,+8,t(9;22)(q34;q11.2)', cells=15, composite=False)
    """
    texts = re.sub(r"^\s*(mos|chi)\s", "", formula).strip(" \t/").split("/")
    found = [_BRACKETS.search(text) for text in texts]
    bare = [_BRACKETS.sub("", text) for text in texts]
    composite = [bool(match and match[1]) for match in found]
    plain = [text for text, mixed in zip(bare, composite, strict=True) if not mixed]
    lines = iter(read_cell_lines("/".join(plain)) if plain else ())
    clones = []
    for text, match, mixed in zip(bare, found, composite, strict=True):
        if mixed:
            _check_composite(text)
        written = text if mixed else next(lines).formula
        clones.append(Clone(written, int(match[2]) if match else 0, mixed))
    return tuple(clones)


def same_line(first: str, second: str) -> bool:
    """Whether two formulae of cell lines differ in nothing but the order of their parts."""
    one, other = first.split(","), second.split(",")
    return one[0] == other[0] and Counter(one[1:]) == Counter(other[1:])


def _brackets(clone: Clone) -> str:
    return f"[{'cp' * clone.composite}{clone.cells}]" if clone.cells else ""


def _by_origin(clones: list[Clone]) -> list[Clone]:
    """Lines that share a change together, larger families first; in each the simplest first; normal last."""
    families: list[list[Clone]] = []
    for clone in sorted(clones, key=lambda clone: (len(clone.changes), -clone.cells, clone.formula)):
        if not clone.normal:
            parts = _parts(clone)
            home = next((f for f in families if any(parts & _parts(other) for other in f)), None)
            if home is None:
                families.append([clone])
            else:
                home.append(clone)
    families.sort(key=lambda family: -sum(clone.cells for clone in family))
    normal = sorted((clone for clone in clones if clone.normal), key=lambda clone: -clone.cells)
    return [clone for family in [*families, normal] for clone in family]


def _parts(clone: Clone) -> set[str]:
    """Changes of a line, the cells of each left out."""
    return {_BRACKETS.sub("", text) for text in clone.changes if not re.fullmatch("[XY]+c?", text)}


def _since(stem: Clone, clone: Clone) -> str:
    """The formula of a line, as what it has more than the stemline where it has all of that."""
    if stem.composite or clone.composite or stem.normal:
        return clone.formula
    more = Counter(clone.changes) - Counter(stem.changes)
    if Counter(stem.changes) - Counter(clone.changes) or not more or not _parts(stem):
        return clone.formula
    rest = [text for text in clone.changes if more[text] and not more.subtract([text])]
    written = ",".join([clone.formula.split(",")[0], "idem", *rest])
    try:
        read = read_cell_lines(f"{stem.formula}/{written}")[1].formula
    except KaryotypeError:  # where the grammar has no such subclone, the line is written in full
        return clone.formula
    return written if same_line(read, clone.formula) else clone.formula


def _check_composite(text: str) -> None:
    count, sex, *parts = [*text.split(","), "", ""][: max(2, text.count(",") + 1)]
    if not _RANGE.fullmatch(count) or not re.fullmatch("[XY]+", sex):
        raise KaryotypeError(text, "Expected a composite karyotype such as 45~48,XX,+8[4],-7[3][cp10].")
    _read_parts([_BRACKETS.sub("", part) for part in parts])


def _read_parts(texts: Sequence[str]) -> tuple[list[Part], list[Change]]:
    """Parts of a formula, read together, for later ones may leave out their breakpoints; each applied."""
    parts: list[Part] = []
    for text in texts:
        parts.append(read_change(text, parts)[0])
    return parts, [make_change(part, load_bands()) for part in parts]


def _place(text: str, part: Part | None = None) -> tuple[int, int, str]:
    """Where a part stands in a formula: sex chromosomes, then 1 to 22; numbers before structure."""
    name = part.chromosomes[0] if part else text.lstrip("+-")
    order = ("X", "Y", *AUTOSOMES)
    return order.index(name) if name in order else len(order), bool(part), text
