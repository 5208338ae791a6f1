"""The cell lines of a case <-> one formula: '46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[15]/46,XX[2]'. Rules of
ISCN 2024: a gain or structural change is clonal in two cells, a loss in three; a normal line stands last;
constitutional lines by size, after ``mos``; acquired lines that are related together, the stemline first and
the others by what they have more, which ``idem`` saves repeating. Cell numbers stand in brackets in acquired
practice, and in constitutional practice where there is more than one line."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from karyo_lib.iscn.bands import KaryotypeError, load_bands, require
from karyo_lib.iscn.changes import make_change
from karyo_lib.iscn.karyotype import NORMAL_FORMULAE, count_formula, parse_karyotype
from karyo_lib.iscn.notation import read_cell_lines, sort_parts
from karyo_lib.iscn.operations import Part, read_change

PRACTICES = ("constitutional", "acquired")
#: Cells that must share a change before it counts as a clone's.
CELLS_FOR_GAIN, CELLS_FOR_LOSS = 2, 3

_BRACKETS = re.compile(r"\[(cp)?(\d+)\]$")
_SEX = re.compile("[XY]+c?")
_SIGNED = re.compile(r"([+-])(\d{1,2}|[XY])")


@dataclass(frozen=True)
class Clone:
    # Of its cells, written in full, without number of cells. Of a composite line, the range of counts and
    # each change with the number of cells that have it: '45~48,XX,+8[4],-7[3]'.
    formula: str
    cells: int = 0  # how many cells; 0 where the formula does not say
    composite: bool = False  # the cells differ, and the formula lists what is clonal among them (``cp``)

    @property
    def normal(self) -> bool:
        return self.formula in NORMAL_FORMULAE

    @property
    def changes(self) -> tuple[str, ...]:
        """Sex complement and parts as they are written, without the count."""
        return tuple(self.formula.split(",")[1:])


def line_formula(
    counts: Mapping[str, int], structural: Sequence[str] = (), practice: str = "constitutional", sex: str = ""
) -> str:
    """Formula of one cell line from its number of chromosomes by slot (by their centromeres; absent is 0) and
    its structural changes in ISCN, whose chromosomes are among them. An acquired gain or loss of a sex
    chromosome, against the person's ``sex`` (XY where there is a Y), is written as one: 45,X,-Y."""
    check_practice(practice)
    parts: list[Part] = []
    for text in structural:
        parts.append(read_change(text, parts)[0])  # later ones may leave out their breakpoints
    changes = [make_change(part, load_bands()) for part in parts]
    without, used = Counter(counts), Counter()
    for change in changes:
        without.subtract(chromosome.slot for chromosome in change.produced)
        without.update(change.consumed)
        used.update(name for name in change.consumed if name in ("X", "Y"))
    (line,) = read_cell_lines(count_formula(without))
    normal = Counter(line.sex)
    if practice == "acquired" and line.ploidy == 2:
        person = Counter(sex or ("XY" if without["Y"] or used["Y"] else "XX"))
        for sign, names in (("+", normal - person), ("-", person - normal)):
            parts += [read_change(sign + name, ())[0] for name in names.elements()]
        normal &= person
    normal.subtract(used)
    total = sum(Counter(counts).values())
    line = replace(
        line, count=total, most=total, sex="".join(sorted(normal.elements())),
        parts=sort_parts([*line.parts, *parts]),
    )  # fmt: skip
    parse_karyotype(line.formula)
    return line.formula


def structural_parts(formula: str) -> tuple[str, ...]:
    """Structural changes of a formula of one cell line, as written: neither gains, losses nor markers."""
    return tuple(
        text for text in formula.split(",")[1:]
        if not _SIGNED.fullmatch(text) and not _SEX.fullmatch(text) and "mar" not in text
    )  # fmt: skip


def check_practice(practice: str) -> None:
    if practice not in PRACTICES:
        raise ValueError(f"Expected a practice, {' or '.join(PRACTICES)}. Received {practice!r}.")


def write_clones(clones: Iterable[Clone], practice: str = "constitutional") -> str:
    """Formula of a case. Constitutional lines stand by size, after ``mos`` where there are several (``chi``
    where XX and XY cells are normal); acquired lines of one origin together, the simplest first."""
    ordered = order_clones(clones, practice)
    if not ordered:
        raise ValueError("Expected at least one cell line. Received none.")
    if practice == "constitutional":
        bracketed = len(ordered) > 1 or ordered[0].composite
        text = "/".join(clone.formula + _brackets(clone) * bracketed for clone in ordered)
        if len(ordered) == 1:
            return text
        chimera = {clone.formula for clone in ordered} >= set(NORMAL_FORMULAE)
        return f"{'chi' if chimera else 'mos'} {text}"
    stem = ordered[0]
    return "/".join(
        (_since(stem, clone) if number else clone.formula) + _brackets(clone)
        for number, clone in enumerate(ordered)
    )


def order_clones(clones: Iterable[Clone], practice: str = "constitutional") -> list[Clone]:
    check_practice(practice)
    if practice == "acquired":
        return _by_origin(list(clones))
    return sorted(clones, key=lambda clone: (clone.normal, -clone.cells, clone.formula))


def read_clones(formula: str) -> tuple[Clone, ...]:
    """The cell lines of a formula in its order, ``idem`` and ``sl`` written out: inverts `write_clones`."""
    texts = re.sub(r"^\s*(mos|chi)\s", "", formula).strip(" \t/").split("/")
    found = [_BRACKETS.search(text) for text in texts]
    lines = read_cell_lines(formula)
    rule = "Expected cell lines of banded chromosomes alone, parted by '/'."
    require(len(lines) == len(texts), formula, rule)
    clones = []
    for text, match, line in zip(texts, found, lines, strict=True):
        composite, cells = match.groups() if match else (None, 0)
        # the numbers of cells inside a composite line are part of it
        written = _BRACKETS.sub("", text) if composite else line.formula
        clones.append(Clone(written, int(cells), bool(composite)))
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
            related = (f for f in families if any(_parts(clone) & _parts(other) for other in f))
            if (home := next(related, None)) is None:
                families.append(home := [])
            home.append(clone)
    families.sort(key=lambda family: -sum(clone.cells for clone in family))
    normal = sorted((clone for clone in clones if clone.normal), key=lambda clone: -clone.cells)
    return [clone for family in [*families, normal] for clone in family]


def _parts(clone: Clone) -> set[str]:
    """Changes of a line, the cells of each left out."""
    return {_BRACKETS.sub("", text) for text in clone.changes if not _SEX.fullmatch(text)}


def _since(stem: Clone, clone: Clone) -> str:
    """The formula of a line, as what it has more than the stemline where it has all of that."""
    if stem.composite or clone.composite or not _parts(stem) <= _parts(clone):
        return clone.formula
    more = [*(Counter(t for t in clone.changes if not _SEX.fullmatch(t)) - Counter(stem.changes)).elements()]
    if not more or not _parts(stem):
        return clone.formula
    written = ",".join([clone.formula.split(",")[0], "idem", *more])
    try:
        read = read_cell_lines(f"{stem.formula}/{written}")[1].formula
    except KaryotypeError:  # where the grammar has no such sideline, the line is written in full
        return clone.formula
    return written if same_line(read, clone.formula) else clone.formula
