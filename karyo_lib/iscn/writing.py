"""Parts of a formula -> text in the order and the short forms of ISCN: the inverse of `notation`."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from karyo_lib.iscn.operations import UNKNOWN, Part, rank_chromosome

if TYPE_CHECKING:
    from karyo_lib.iscn.notation import CellLine

_LAST = {"r": 0, "mar": 1, "dmin": 2}  # of unknown origin


def usual_sets(count: int) -> int:
    """Sets of a cell whose formula names none; modal numbers of ISCN: up to 34 haploid, 35-57 diploid, 58-80
    triploid, 81-103 tetraploid, and so on by 23."""
    return max(1, (count - 12) // 23 + 1)


def sort_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Order parts as ISCN does, equal ones as one: X, Y, 1 to 22, unknown origin; gains and losses first."""
    ordered = sorted(parts, key=_key)
    return tuple(
        replace(part, copies=sum(one.copies for one in same))
        for part, same in groupby(ordered, key=lambda part: replace(part, copies=1))
    )


def _key(part: Part) -> tuple:
    first = part.chromosomes[0]
    kind = _LAST.get(part.kind, 3) if first == UNKNOWN else 0
    return (
        rank_chromosome(first),
        kind,
        part.kind != "number",
        part.text.lstrip("?"),
        part.sign,
        part.suffix,
        repr(part),
    )


def write_line(line: "CellLine") -> str:
    """Write a cell line; breakpoints stand where they first occur."""
    sets = "" if line.ploidy == usual_sets(line.count) else f"<{line.ploidy}n>"
    count = f"{line.count}~{line.most}" if line.most > line.count else str(line.count)
    tokens = [f"{count}{sets}"]
    if line.sex:
        tokens.append(line.sex + "c" * line.constitutional_sex)
    seen: set[str] = set()
    tokens += [_write_part(part, seen) for part in line.parts]
    tokens += ["inc"] * line.incomplete
    return ",".join(tokens) + (f".{line.tail}" if line.tail else "")


def _write_part(part: Part, seen: set[str]) -> str:
    if part.kind == "number":
        return ",".join([f"{part.sign}{part.text}{part.suffix}"] * part.copies)
    if part.chromosomes == (UNKNOWN,) and part.drawn and part.kind != "der":
        if part.text[0].isdigit():  # an uncertain number: +1~4mar
            times = part.copies // int(re.match(r"\d+", part.text)[0])
            return ",".join([f"{part.sign}{part.text}{part.suffix}"] * times)
        return f"{part.sign}{part.copies if part.copies > 1 else ''}{part.text}{part.suffix}"
    text = part.text
    for operation in part.operations:
        if operation.text in seen and operation.breakpoints:
            text = text.replace(operation.text, operation.text.rpartition("(")[0], 1)
    seen.update(operation.text for operation in part.operations or (part,))
    times = f"x{part.copies}" if part.copies > 1 else ""
    return f"{part.sign}{text}{times}{part.suffix}"
