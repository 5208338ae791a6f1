"""A karyotype formula -> the chromosomes of one cell."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from karyo_lib.iscn.bands import AUTOSOMES, CHROMOSOMES, BandTable, KaryotypeError, load_bands
from karyo_lib.iscn.changes import Change, Size, make_change, normal_chromosome
from karyo_lib.iscn.notation import CellLine, Part, read_cell_lines, usual_sets
from karyo_lib.iscn.segments import Chromosome, Segment

__all__ = ["Chromosome", "Karyotype", "KaryotypeError", "Segment", "parse_karyotype"]

_SLOTS = (*CHROMOSOMES, "mar")
#: Count formulae of a cell without gain or loss.
NORMAL_FORMULAE = ("46,XX", "46,XY")


@dataclass(frozen=True)
class Karyotype:
    """The chromosomes of one cell.

    Attributes
    ----------
    formula : str
        Formula of this cell's line ('47,XY,+21'), without cell numbers.
    level : int
        Band level of all positions: 400, 550 or 850.
    chromosomes : tuple of Chromosome
        In the order of the karyogram: 1 to 22, X, Y, markers; in each slot the normal ones first.
    sex : str
        Sex chromosomes by their centromeres, rearranged ones included: 'XX' for 46,X,i(X)(q10).
    group : str
        One of `karyo_lib.iscn.changes.GROUPS`.
    changes : tuple of Change
        What was done to the normal complement, part by part.
    """

    formula: str
    level: int
    chromosomes: tuple[Chromosome, ...]
    sex: str
    group: str
    changes: tuple[Change, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """'normal' for 46,XX and 46,XY, else 'abnormal'; balanced rearrangements are abnormal."""
        return "normal" if self.group == "normal" else "abnormal"

    @property
    def counts(self) -> dict[str, int]:
        """Number of chromosomes in each slot: 1 to 22, X and Y (zeros included), 'mar' where there is one."""
        counts = Counter(chromosome.slot for chromosome in self.chromosomes)
        return {slot: counts[slot] for slot in _SLOTS if slot != "mar" or counts["mar"]}

    @property
    def count_formula(self) -> str:
        """What counting alone can tell, as ISCN: '47,XY,+21'; structure is left out, t(9;22) gives '46,XX'.

        Gains and losses are relative to the number of sets that most autosomes have.
        """
        return count_formula(self.counts)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], level: int = 550) -> "Karyotype":
        """The cell with these numbers of chromosomes, all of them normal: the inverse of `counts`.

        Raises
        ------
        KaryotypeError
            If no cell has them: without X, or fewer than 23 or more than 92.

        Examples
        --------
        >>> Karyotype.from_counts(parse_karyotype("48,XX,+8,+21").counts).group
        'trisomy'
        """
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


def parse_karyotype(formula: str, level: int = 550, cell_line: int = 0) -> Karyotype:
    """Turn a karyotype formula into the chromosomes of one cell.

    Parameters
    ----------
    formula : str
        ISCN 2024, for example '46,XX,t(9;22)(q34;q11.2)' or 'mos 45,X[5]/46,XX[15]'. Understood are gains and
        losses, sex chromosomes, haploid to tetraploid sets, del, dup, trp, qdp, inv, t of two or more
        chromosomes, rob, ins, i, idic, dic, psu dic, r, add, mar, der and ider of these, and cell lines with
        idem, sl and sdl.
    level : {400, 550, 850}
        Band level.
    cell_line : int
        Which cell line of a mosaic, from 0.

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
    cells = [_make_cell(line, table) for line in read_cell_lines(formula)]
    if not 0 <= cell_line < len(cells):
        raise KaryotypeError(
            formula, f"Expected a cell line from 0 to {len(cells) - 1}. Received {cell_line}."
        )
    return cells[cell_line]


def _make_cell(line: CellLine, table: BandTable) -> Karyotype:
    changes = tuple(make_change(part, table) for part in line.parts for _ in range(part.copies))
    _check_sex(line)
    cell = [normal_chromosome(name, table) for name in AUTOSOMES * line.ploidy]
    cell += _sex_chromosomes(line, table)
    cell += [chromosome for change in changes for chromosome in change.produced]
    for change in changes:
        for name in _taken_from_cell(change, line):
            normal = [
                chromosome for chromosome in cell if chromosome.slot == name and not chromosome.rearranged
            ]
            if not normal:
                raise KaryotypeError(
                    change.text, f"No normal chromosome {name} is left to be lost or rearranged."
                )
            # The gained copy goes first: 46,XX,+21,rob(14;21)(q10;q10) leaves the two ordinary 21s.
            cell.remove(max(normal, key=lambda chromosome: chromosome.abnormal))
    _check_count(line, cell)
    cell.sort(key=lambda chromosome: (_SLOTS.index(chromosome.slot), chromosome.abnormal))
    sex = "".join(chromosome.slot for chromosome in cell if chromosome.slot in ("X", "Y"))
    changes = (*_set_changes(line, table), *_sex_changes(line, table), *changes)
    return Karyotype(line.formula, table.level, tuple(cell), sex, _group(cell, changes), changes)


def count_formula(counts: Mapping[str, int]) -> str:
    """ISCN formula of chromosome numbers alone.

    Parameters
    ----------
    counts : mapping
        Slot ('1' to '22', 'X', 'Y', 'mar') to number of chromosomes; absent slots are 0.

    Returns
    -------
    str
        '47,XY,+21'; where no X or Y is counted, the sex field is '?'. Gains and losses are relative to the
        number of sets that most autosomes have, which is written where the count alone says another one:
        '59<2n>,XX,+1,...'.
    """
    autosomes = [counts.get(name, 0) for name in AUTOSOMES]
    sets = Counter(autosomes).most_common(1)[0][0]
    total = sum(counts.values())
    level = "" if sets == usual_sets(total) else f"<{sets}n>"
    sex = "X" * counts.get("X", 0) + "Y" * counts.get("Y", 0)
    parts = []
    for name, number in zip(AUTOSOMES, autosomes, strict=True):
        parts += [f"{'+' if number > sets else '-'}{name}"] * abs(number - sets)
    parts += ["+mar"] * counts.get("mar", 0)
    return ",".join([f"{total}{level}", sex or "?", *parts])


def _sex_chromosomes(line: CellLine, table: BandTable) -> list[Chromosome]:
    """Normal sex chromosomes as written; those beyond a normal complement are marked as gained."""
    names = list(line.sex)
    extra = _beyond_pair(line) if line.ploidy == 2 else []
    cell = []
    for name in reversed(names):
        gained = name in extra
        if gained:
            extra.remove(name)
        cell.append(normal_chromosome(name, table, abnormal=gained))
    return cell


def _rearranged_sex(parts: Iterable[Part]) -> list[str]:
    """Sex chromosomes that rearrangements use up; the formula does not write them among the normal ones."""
    return [
        name
        for part in parts
        if part.kind not in ("number", "mar") and part.sign != "+"
        for name in part.chromosomes * part.copies
        if name in ("X", "Y")
    ]


def _explicit(line: CellLine, sign: str) -> list[str]:
    return [
        name
        for part in line.parts
        if part.kind == "number" and part.sign == sign
        for name in part.chromosomes * part.copies
        if name in ("X", "Y")
    ]


def _complement(line: CellLine) -> list[str]:
    """Sex chromosomes that the cell line came from: those written, rearranged or lost as '-X' or '-Y'."""
    lost = [] if line.constitutional_sex else _explicit(line, "-")
    return [*line.sex, *_rearranged_sex(line.parts), *lost]


def _beyond_pair(line: CellLine) -> list[str]:
    """Sex chromosomes beyond XX or XY."""
    beyond = _complement(line)
    for name in ("X", "Y" if "Y" in beyond else "X"):
        if name in beyond:
            beyond.remove(name)
    return beyond


def _set_changes(line: CellLine, table: BandTable) -> tuple[Change, ...]:
    """Whole sets more or fewer than two."""
    if line.ploidy == 2:
        return ()
    lost = (*AUTOSOMES, "X") if line.ploidy == 1 else ()
    gained = (*AUTOSOMES * (line.ploidy - 2), *_beyond_pair(line))
    produced = tuple(normal_chromosome(name, table) for name in gained)
    return (Change(f"{line.ploidy}n", "polyploidy", lost, produced),)


def _sex_changes(line: CellLine, table: BandTable) -> tuple[Change, ...]:
    """Gains and losses that are written in the sex complement only: 45,X, 47,XXY."""
    gained = [
        Change(f"+{name}", "sex-chromosome", (), (normal_chromosome(name, table, abnormal=True),))
        for name in (_beyond_pair(line) if line.ploidy == 2 else ())
    ]
    missing = line.ploidy - len(_complement(line))
    return (*gained, *(Change("-X", "sex-chromosome", ("X",), ()) for _ in range(missing)))


def _taken_from_cell(change: Change, line: CellLine) -> tuple[str, ...]:
    """Chromosomes to take out of the cell: sex chromosomes that are lost or rearranged were never put in.

    The exception is a loss from a constitutional complement, which is written in full: 46,XXYc,-X.
    """
    if line.constitutional_sex and not change.produced:
        return change.consumed
    return tuple(name for name in change.consumed if name not in ("X", "Y"))


def _check_sex(line: CellLine) -> None:
    complement = _complement(line)
    written = line.sex or "none"
    if "X" not in [*complement, *_explicit(line, "+")]:
        raise KaryotypeError(written, "A cell has at least one X chromosome, normal or rearranged.")
    lost, gained = _explicit(line, "-"), _explicit(line, "+")
    if (lost or gained) and not line.constitutional_sex and len(complement) != line.ploidy:
        raise KaryotypeError(
            written,
            "With sex chromosomes gained or lost as '+' or '-', those that are left and those lost or "
            f"rearranged make a normal complement of {line.ploidy}. Received {len(complement)}: write "
            "45,X,-Y, 47,XX,+X or 48,XXYc,+X.",
        )


def _check_count(line: CellLine, cell: list[Chromosome]) -> None:
    if len(cell) == line.count:
        return
    hint = ""
    rearranged = len(_rearranged_sex(line.parts))
    if rearranged and len(cell) - line.count == rearranged:
        hint = " The sex chromosomes after the count are the normal ones alone, as in 46,X,i(X)(q10)."
    raise KaryotypeError(
        str(line.count),
        f"The parts of {line.formula!r} make {len(cell)} chromosomes, the count says {line.count}.{hint}",
    )


def _group(cell: list[Chromosome], changes: tuple[Change, ...]) -> str:
    # by what is there, not by what was written: 46,XXYc,-X is a cell like any other
    counts = Counter(chromosome.slot for chromosome in cell)
    if not any(chromosome.rearranged for chromosome in cell) and count_formula(counts) in NORMAL_FORMULAE:
        return "normal"
    # A gain belongs to a rearrangement of the same chromosome: +21,rob(14;21)(q10;q10) is a translocation.
    rearranged = {
        s.chromosome for change in changes for c in change.produced if c.rearranged for s in c.segments
    }
    groups = {
        change.group
        for change in changes
        if change.group not in ("trisomy", "monosomy") or change.text[1:] not in rearranged
    }
    return groups.pop() if len(groups) == 1 else "complex"
