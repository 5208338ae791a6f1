"""A karyotype formula <-> the chromosomes of one cell."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from karyo_lib.iscn import notation
from karyo_lib.iscn.bands import AUTOSOMES, CHROMOSOMES, BandTable, KaryotypeError, load_bands, require
from karyo_lib.iscn.changes import Change, Size, make_change, normal_chromosome
from karyo_lib.iscn.segments import Chromosome

_SLOTS = (*CHROMOSOMES, "mar")
#: Count formulae of a cell without gain or loss.
NORMAL_FORMULAE = ("46,XX", "46,XY")
#: Groups that laboratories report as normal.
NORMAL_GROUPS = ("normal", "variant")


@dataclass(frozen=True)
class Karyotype:
    """The chromosomes of one cell.

    Attributes
    ----------
    line : CellLine
        What its formula says, in normal form.
    level : int
        Band level of all positions: 400, 550 or 850.
    chromosomes : tuple of Chromosome
        In the order of the karyogram: 1 to 22, X, Y, markers; in each slot the normal ones first.
    sex : str
        Sex chromosomes by their centromeres, rearranged ones included: 'XX' for 46,X,i(X)(q10).
    group : str
        One of `karyo_lib.iscn.GROUPS`.
    changes : tuple of Change
        What was done to the normal complement, part by part.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> cell = karyo.parse_karyotype("46,XX,t(9;22)(q34;q11.2)")
    >>> (cell.label, cell.group, cell.counts["22"])
    ('abnormal', 'translocation', 2)
    """

    line: notation.CellLine
    level: int
    chromosomes: tuple[Chromosome, ...]
    sex: str
    group: str
    changes: tuple[Change, ...] = field(default=(), repr=False)
    # Cell lines of the formula that it is the first one of, as none was asked for.
    cell_lines: int = field(default=1, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Karyotype({self.formula!r}, {self.group}, {len(self.chromosomes)} chromosomes)"

    @property
    def formula(self) -> str:
        """Formula of this cell's line in normal form ('47,XY,+21'), without cell numbers."""
        return notation.write_line(self.line)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was put right in the formula, is taken as certain, or is kept and not drawn."""
        return self.line.notes

    @property
    def label(self) -> str:
        """'normal' for 46,XX, 46,XY and these with normal variants, else 'abnormal', balanced or not."""
        return "normal" if self.group in NORMAL_GROUPS else "abnormal"

    @property
    def counts(self) -> dict[str, int]:
        """Number of chromosomes in each slot: 1 to 22, X and Y (zeros included), 'mar' where there is one."""
        counts = Counter(chromosome.slot for chromosome in self.chromosomes)
        return {slot: counts[slot] for slot in _SLOTS if slot != "mar" or counts["mar"]}

    @property
    def count_formula(self) -> str:
        """What counting alone can tell: '47,XY,+21'; structure is left out, t(9;22) gives '46,XX'."""
        return count_formula(self.counts)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], level: int = 550) -> "Karyotype":
        """The cell with these numbers of chromosomes, all of them normal: the inverse of `counts`.

        Raises
        ------
        KaryotypeError
            If no cell has them: without X, or without autosomes.

        Examples
        --------
        >>> Karyotype.from_counts(parse_karyotype("48,XX,+8,+21").counts).group
        'trisomy'
        """
        unknown = sorted(set(counts) - {*CHROMOSOMES, "mar"})
        require(
            not unknown, ", ".join(map(str, unknown)), "Expected the names '1' to '22', 'X', 'Y' and 'mar'."
        )
        return parse_karyotype(count_formula(counts), level)

    def size(self) -> Size:
        """Size of all changes taken together: gains and losses of the same material cancel."""
        consumed = tuple(name for change in self.changes for name in change.consumed)
        produced = tuple(chromosome for change in self.changes for chromosome in change.produced)
        return Change(self.formula, self.group, consumed, produced).size(load_bands(self.level))

    def change_sizes(self) -> tuple[tuple[str, Size], ...]:
        """Text and size of every change, in the order of the formula."""
        table = load_bands(self.level)
        return tuple((change.text, change.size(table)) for change in self.changes)


def write_karyotype(karyotype: Karyotype) -> str:
    """Write a karyotype as ISCN: the inverse of `parse_karyotype`.

    Parameters
    ----------
    karyotype : Karyotype

    Returns
    -------
    str
        In normal form: parts in the order of ISCN, breakpoints where they first occur, cell lines such as
        'idem' written out, no numbers of cells. ``parse_karyotype(write_karyotype(k)) == k`` at the level of
        ``k``.

    Raises
    ------
    KaryotypeError
        If it is the first of several cell lines, as `parse_karyotype` takes it where none is asked for.

    Examples
    --------
    >>> write_karyotype(parse_karyotype("46,XX,t(22;9)(q11.2;q34)"))
    '46,XX,t(9;22)(q34;q11.2)'
    """
    if not isinstance(karyotype, Karyotype):
        raise TypeError(f"Expected a Karyotype, as of parse_karyotype. Received {karyotype!r}.")
    rule = (
        f"Expected the karyotype of one cell. Received the first of {karyotype.cell_lines} cell lines, and "
        "the others would be lost: read them all with read_clones and write them with write_clones "
        "(karyo_lib.iscn.clones), or ask parse_karyotype for one with cell_line."
    )
    require(karyotype.cell_lines == 1, karyotype.formula, rule)
    return notation.write_line(karyotype.line)


def parse_karyotype(formula: str, level: int = 550, cell_line: int | None = None) -> Karyotype:
    """Turn a karyotype formula into the chromosomes of one cell.

    Parameters
    ----------
    formula : str
        ISCN 2024, for example '46,XX,t(9;22)(q34;q11.2)' or 'mos 45,X[5]/46,XX[15]'. Understood are gains and
        losses, sex chromosomes, haploid to octaploid sets, del, dup, trp, qdp, inv, t of two or more
        chromosomes, rob, ins, i, idic, dic, psu dic, psu idic, r, add, mar, rec, der and ider of these, the
        detailed system, and cell lines with idem, sl and sdl. Kept and not drawn, with a note, are normal
        variants (9qh+), dmin, hsr, fra, upd, 'inc' and what follows '.ish'; '?', '~' and 'or' are read as
        their first meaning, with a note.
    level : {400, 550, 850}
        Band level.
    cell_line : int, optional
        Which cell line of a mosaic, from 0; by default the first, as a picture shows one cell.
        `karyo_lib.iscn.clones.read_clones` reads all of them.

    Returns
    -------
    Karyotype

    Raises
    ------
    KaryotypeError
        A ValueError that names the part and the rule: not a formula, a band that does not exist, a chromosome
        lost or rearranged that is not there, a count that is not the sum of the parts, a sex complement that
        does not match. In a mosaic all cell lines must be possible.
    ValueError
        If there is no such band level.

    Notes
    -----
    Where in a band a break lies is a convention, see `karyo_lib.iscn.edits`; a sub-band that the level does
    not show stands for the band that holds it, see `BandTable.find`. The sex chromosomes written after the
    count are the normal ones alone: 46,X,i(X)(q10), 46,Y,t(X;18)(p11.2;q11.2), 45,X,-Y.

    Examples
    --------
    >>> parse_karyotype("47,XY,+21").counts["21"]
    3
    >>> [c.name for c in parse_karyotype("46,XX,t(9;22)(q34;q11.2)").chromosomes if c.abnormal]
    ['der(9)t(9;22)', 'der(22)t(9;22)']
    """
    table = load_bands(level)
    cells = [_make_cell(line, table) for line in notation.read_cell_lines(formula)]
    if cell_line is None:
        return replace(cells[0], cell_lines=len(cells))
    rule = f"Expected a cell line from 0 to {len(cells) - 1}. Received {cell_line}."
    require(0 <= cell_line < len(cells), formula, rule)
    return cells[cell_line]


def _make_cell(line: notation.CellLine, table: BandTable) -> Karyotype:
    try:
        return _apply(line, table)
    except MiscountError:
        if line.ploidy_given:
            raise
        for sets in (2, 1, 3, 4):  # labs leave out that 59 is counted against two sets
            note = f"counted against {sets} sets: written {line.count}<{sets}n>"
            other = replace(line, ploidy=sets, ploidy_given=True, notes=(*line.notes, note))
            try:
                return _apply(other, table)
            except KaryotypeError:
                continue
        raise


class MiscountError(KaryotypeError):
    """The parts of a formula do not make its count or its sex chromosomes."""


def _apply(line: notation.CellLine, table: BandTable) -> Karyotype:
    changes = tuple(make_change(part, table) for part in line.parts for _ in range(part.copies))
    _check_sex(line)
    cell = [normal_chromosome(name, table) for name in AUTOSOMES * line.ploidy]
    cell += _sex_chromosomes(line, table)
    cell += [chromosome for change in changes for chromosome in change.produced]
    for change in changes:
        for name in _taken_from_cell(change, line):
            normal = [c for c in cell if c.slot == name and not c.rearranged]
            require(normal, change.text, f"No normal chromosome {name} is left to be lost or rearranged.")
            # The gained copy goes first: 46,XX,+21,rob(14;21)(q10;q10) leaves the two ordinary 21s.
            cell.remove(max(normal, key=lambda chromosome: chromosome.abnormal))
    _check_count(line, cell)
    cell.sort(key=lambda chromosome: (_SLOTS.index(chromosome.slot), chromosome.abnormal))
    sex = "".join(chromosome.slot for chromosome in cell if chromosome.slot in ("X", "Y"))
    changes = (*_set_changes(line, table), *_sex_changes(line, table), *changes)
    return Karyotype(line, table.level, tuple(cell), sex, _group(cell, changes), changes)


def count_formula(counts: Mapping[str, int]) -> str:
    """Formula of chromosome numbers by slot ('1' to '22', 'X', 'Y', 'mar'; absent is 0) alone: '47,XY,+21';
    where no X or Y is counted, the sex field is '?'. Gains and losses are relative to the number of sets that
    most autosomes have, which is written where the count alone says another one: '59<2n>,XX,+1,...'."""
    autosomes = [counts.get(name, 0) for name in AUTOSOMES]
    sets = Counter(autosomes).most_common(1)[0][0]
    total = sum(counts.values())
    level = "" if sets == notation.usual_sets(total) else f"<{sets}n>"
    sex = "X" * counts.get("X", 0) + "Y" * counts.get("Y", 0)
    parts = []
    for name, number in zip(AUTOSOMES, autosomes, strict=True):
        parts += [f"{'+' if number > sets else '-'}{name}"] * abs(number - sets)
    if markers := counts.get("mar", 0):
        parts.append(f"+{markers if markers > 1 else ''}mar")
    return ",".join([f"{total}{level}", sex or "?", *parts])


def _sex_chromosomes(line: notation.CellLine, table: BandTable) -> list[Chromosome]:
    """Normal sex chromosomes as written; those beyond a normal complement are marked as gained."""
    extra = Counter(_beyond_pair(line) if line.ploidy == 2 else ())
    cell = []
    for name in reversed(line.normal_sex):
        cell.append(normal_chromosome(name, table, abnormal=extra[name] > 0))
        extra[name] -= 1
    return cell


def _complement(line: notation.CellLine) -> list[str]:
    """Sex chromosomes that the cell line came from: those written, rearranged or lost as '-X' or '-Y'."""
    lost = [] if line.constitutional_sex else notation.explicit_sex(line.parts, "-")
    return [*line.normal_sex, *notation.rearranged_sex(line.parts), *lost]


def _beyond_pair(line: notation.CellLine) -> list[str]:
    """Sex chromosomes beyond XX or XY."""
    complement = _complement(line)
    pair = Counter(("X", "Y" if "Y" in complement else "X"))
    return list((Counter(complement) - pair).elements())


def _set_changes(line: notation.CellLine, table: BandTable) -> tuple[Change, ...]:
    """Whole sets more or fewer than two."""
    if line.ploidy == 2:
        return ()
    lost = (*AUTOSOMES, "X") if line.ploidy == 1 else ()
    gained = (*AUTOSOMES * (line.ploidy - 2), *_beyond_pair(line))
    produced = tuple(normal_chromosome(name, table) for name in gained)
    return (Change(f"{line.ploidy}n", "polyploidy", lost, produced),)


def _sex_changes(line: notation.CellLine, table: BandTable) -> tuple[Change, ...]:
    """Gains and losses that are written in the sex complement only: 45,X, 47,XXY."""
    gained = [
        Change(f"+{name}", "sex-chromosome", (), (normal_chromosome(name, table, abnormal=True),))
        for name in (_beyond_pair(line) if line.ploidy == 2 else ())
    ]
    missing = line.ploidy - len(_complement(line))
    return (*gained, *(Change("-X", "sex-chromosome", ("X",), ()) for _ in range(missing)))


def _taken_from_cell(change: Change, line: notation.CellLine) -> tuple[str, ...]:
    """Chromosomes to take out of the cell: sex chromosomes that are lost or rearranged were never put in, but
    where a constitutional complement is written in full: 46,XXYc,-X."""
    if line.constitutional_sex and not change.produced:
        return change.consumed
    return tuple(name for name in change.consumed if name not in ("X", "Y"))


def _check_sex(line: notation.CellLine) -> None:
    complement = _complement(line)
    written = line.sex or "none"
    lost, gained = notation.explicit_sex(line.parts, "-"), notation.explicit_sex(line.parts, "+")
    rule = "A cell has at least one X chromosome, normal or rearranged."
    require("X" in [*complement, *gained], written, rule)
    if (lost or gained) and not line.constitutional_sex and len(complement) != line.ploidy:
        raise MiscountError(
            written,
            "With sex chromosomes gained or lost as '+' or '-', those that are left and those lost or "
            f"rearranged make a normal complement of {line.ploidy}. Received {len(complement)}: write "
            "45,X,-Y, 47,XX,+X or 48,XXYc,+X.",
        )


def _check_count(line: notation.CellLine, cell: list[Chromosome]) -> None:
    if line.count <= len(cell) <= line.most:
        return
    says = f"{line.count}~{line.most}" if line.most > line.count else str(line.count)
    rule = f"The parts of {line.formula!r} make {len(cell)} chromosomes, the count says {says}."
    if 0 < len(notation.rearranged_sex(line.parts)) == len(cell) - line.count:
        rule += " The sex chromosomes after the count are the normal ones alone, as in 46,X,i(X)(q10)."
    raise MiscountError(says, rule)


def _group(cell: list[Chromosome], changes: tuple[Change, ...]) -> str:
    # by what is there, not by what was written: 46,XXYc,-X is a cell like any other
    counts = Counter(chromosome.slot for chromosome in cell)
    unseen = {change.group for change in changes if not (change.consumed or change.produced)}
    as_usual = not any(chromosome.rearranged for chromosome in cell)
    if as_usual and count_formula(counts) in NORMAL_FORMULAE and unseen <= {"variant"}:
        return "variant" if unseen else "normal"
    # A gain belongs to a rearrangement of the same chromosome: +21,rob(14;21)(q10;q10) is a translocation.
    produced = [c for change in changes for c in change.produced if c.rearranged]
    there = {segment.chromosome for chromosome in produced for segment in chromosome.segments}
    numerical = ("trisomy", "monosomy")
    groups = {c.group for c in changes if c.group not in numerical or c.text[1:] not in there}
    groups = groups - {"variant"} or groups
    return groups.pop() if len(groups) == 1 else "complex"
