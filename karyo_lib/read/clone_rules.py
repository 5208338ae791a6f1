"""Which changes are clonal by ISCN 2024: in two cells, a loss in three; in all where there are fewer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.iscn.clones import CELLS_FOR_GAIN, CELLS_FOR_LOSS, Clone, line_formula
from karyo_lib.iscn.operations import rank_chromosome
from karyo_lib.read.cell_evidence import Counts, Line

NORMAL: dict[str, Counts] = {sex: (*[2] * 22, sex.count("X"), sex.count("Y")) for sex in ("XX", "XY")}
_X, _Y = CHROMOSOMES.index("X"), CHROMOSOMES.index("Y")
#: Cells of which no two are alike that make a composite karyotype.
_LEAST_COMPOSITE = 3


def person_sex(lines: Iterable[Line]) -> str:
    """Sex complement that gains and losses of sex chromosomes are counted against: XY where there is a Y."""
    return "XY" if any(line.counts[_Y] for line in lines) else "XX"


def base_of(counts: Counts, sex: str) -> Counts:
    """Normal complement that a line is compared with; XX for a line with two X beside lines with Y."""
    return NORMAL["XX" if not counts[_Y] and counts[_X] > 1 else sex]


def same_sets(counts: Counts) -> bool:
    """Whether the line has two sets of chromosomes, give or take single ones."""
    return Counter(counts[:22]).most_common(1)[0][0] == 2


def keep_clonal(lines: Sequence[Line], members: Sequence[int], sex: str) -> list[Line]:
    """The line of every cell, reduced to its clonal changes; ``members``: position in `lines`, a cell."""
    n = len(members)
    for_gain, for_loss = min(CELLS_FOR_GAIN, n), min(CELLS_FOR_LOSS, n)
    base = np.array([base_of(lines[i].counts, sex) for i in members])
    off = np.array([lines[i].counts for i in members]) - base
    changes = Counter(change for i in members for change in lines[i].changes)
    clonal = frozenset(change for change, cells in changes.items() if cells >= for_gain)
    diploid = np.array([same_sets(lines[i].counts) for i in members])
    kept = np.zeros_like(off)
    for column in range(off.shape[1]):
        for sign, needed in ((1, for_gain), (-1, for_loss)):
            size = np.where(diploid, sign * off[:, column], 0)
            levels = [level for level in range(1, max(size.max(), 0) + 1) if (size >= level).sum() >= needed]
            kept[:, column] += sign * np.minimum(np.maximum(size, 0), max(levels, default=0))
    cells = Counter(members)
    return [
        lines[i] if not diploid[cell] and cells[i] >= for_gain
        else Line(tuple((base[cell] + kept[cell]).tolist()), lines[i].changes & clonal)
        for cell, i in enumerate(members)
    ]  # fmt: skip


@cache
def line_text(line: Line, practice: str, sex: str) -> str:
    return line_formula(dict(zip(CHROMOSOMES, line.counts, strict=True)), sorted(line.changes), practice, sex)


def describe_difference(read: Counts, line: Line) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a cell has more, and what it lacks, than its line: ``('+8',), ('-13',)``."""
    off = [(name, n - m) for name, n, m in zip(CHROMOSOMES, read, line.counts, strict=True)]
    return (
        tuple(f"+{name}" for name, n in off for _ in range(n)),
        tuple(f"-{name}" for name, n in off for _ in range(-n)),
    )


def composite_clone(read: Sequence[Line], sex: str) -> tuple[Clone, list[int]] | None:
    """The composite karyotype of abnormal cells that share changes while hardly two are alike, and the cells
    with one of its changes; None where most are like another one, or nothing is clonal."""
    members = [i for i, line in enumerate(read) if same_sets(line.counts)]
    parts = _clonal_parts([read[i] for i in members], sex)
    members = [i for i in members if any(_has(read[i], part, sex) for part in parts)]
    alike = Counter(read[i] for i in members)
    if len(members) < _LEAST_COMPOSITE or 2 * sum(n == 1 for n in alike.values()) <= len(members):
        return None
    totals = [sum(read[i].counts) for i in members]
    span = str(min(totals)) if min(totals) == max(totals) else f"{min(totals)}~{max(totals)}"
    normal = Counter(sex) - Counter(part[1:] for part in parts if part in ("-X", "-Y"))
    written = [f"{part}[{n}]" for part, n in parts.items()]
    text = ",".join([span, "".join(sorted(normal.elements())), *written])
    return Clone(text, len(members), composite=True), members


def _clonal_parts(read: Sequence[Line], sex: str) -> dict[str, int]:
    """Changes that enough cells have, in the order of a formula, and how many have each."""
    parts: dict[str, int] = {}
    changes = Counter(change for line in read for change in line.changes)
    for name in sorted(CHROMOSOMES, key=rank_chromosome):
        for sign, needed in (("+", CELLS_FOR_GAIN), ("-", CELLS_FOR_LOSS)):
            cells = sum(_has(line, sign + name, sex) for line in read)
            if cells >= needed:
                parts[sign + name] = cells
        here = sorted(c for c in changes if c.split("(", 1)[1].split(")")[0].split(";")[0] == name)
        parts |= {change: changes[change] for change in here if changes[change] >= CELLS_FOR_GAIN}
    return parts


def _has(line: Line, part: str, sex: str) -> bool:
    if part in line.changes:
        return True
    if part[1:] not in CHROMOSOMES:
        return False
    column = CHROMOSOMES.index(part[1:])
    off = line.counts[column] - NORMAL[sex][column]
    return off > 0 if part[0] == "+" else off < 0


def read_as(counts: Counts) -> str:
    return count_formula(dict(zip(CHROMOSOMES, counts, strict=True)))
