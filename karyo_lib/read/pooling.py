"""Structural changes of several cells that are one change: same kind, same chromosomes, breaks close by."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from karyo_lib.iscn import KaryotypeError, load_bands, load_catalogue
from karyo_lib.iscn.clones import read_clones, structural_parts
from karyo_lib.iscn.notation import read_cell_lines

#: Megabases that the breaks of one change may differ by between two cells.
TOLERANCE = 12.0
#: Log-ratio of a change that was looked for where it can be read and not seen.
NOT_SEEN = -20.0

Breaks = tuple[str, tuple[str, ...], tuple[float, ...]]


def pool_changes(seen: Sequence[Mapping[str, float]]) -> dict[str, tuple[dict[int, float], tuple[str, ...]]]:
    """Tell which changes of different cells, with their scores, are the same: change, as written where it
    scores highest, -> the score by cell it was seen in, and -> the chromosomes concerned."""
    rows = sorted(
        ((score, cell, text) for cell, changes in enumerate(seen) for text, score in changes.items()),
        key=lambda row: (-row[0], row[1], row[2]),
    )
    pooled: dict[str, tuple[dict[int, float], tuple[str, ...]]] = {}
    for score, cell, text in rows:
        breaks = find_breaks(text)
        same = next((name for name in pooled if _alike(find_breaks(name), breaks)), text)
        cells, _ = pooled.setdefault(same, ({}, breaks[1]))
        cells.setdefault(cell, score)
    return pooled


def spread_changes(
    seen: Sequence[Mapping[str, float]], readable: Sequence[Iterable[str]]
) -> list[dict[str, float]]:
    """Log-ratio of every change in every cell: the score where it was seen, `NOT_SEEN` where all of its
    chromosomes are `readable` and it was not; else none."""
    spread: list[dict[str, float]] = [{} for _ in seen]
    for text, (cells, chromosomes) in pool_changes(seen).items():
        for number, names in enumerate(readable):
            if number in cells:
                spread[number][text] = cells[number]
            elif set(chromosomes) <= set(names):
                spread[number][text] = NOT_SEEN
    return spread


@cache
def known_share(text: str, practice: str) -> float:
    """Share of a change among the abnormal karyotypes of the catalogue, of one origin."""
    breaks, changes = find_breaks(text), catalogued_changes(practice)
    return sum(frequency for known, frequency in changes if _alike(find_breaks(known), breaks))


@cache
def catalogued_changes(practice: str) -> tuple[tuple[str, float], ...]:
    """Structural changes of one origin ('constitutional', 'acquired') with their relative frequency."""
    table = load_catalogue()
    table = table[(table["origin"] == practice) & table["visible"]]
    shares = table["relative_frequency"] / table["relative_frequency"].sum()
    return tuple(
        (part, share)
        for formula, share in zip(table["formula"], shares, strict=True)
        for part in structural_parts(read_clones(formula)[0].formula)
    )


@cache
def find_breaks(text: str) -> Breaks:
    """Kind, chromosomes and breakpoints (megabases from pter) of a change in ISCN."""
    try:
        (part,) = read_cell_lines(f"46,XX,{text}")[0].parts
    except (KaryotypeError, ValueError):
        return text, (), ()
    steps = part.operations or (part,)
    table, places = load_bands(850), []
    for step in steps:
        homes = step.chromosomes if len(step.chromosomes) > 1 else step.chromosomes * len(step.breakpoints)
        ends = [table.find(name, band) for name, band in zip(homes, step.breakpoints, strict=False)]
        places += [table.bp(name, sum(end) / 2) / 1e6 for name, end in zip(homes, ends, strict=False)]
        if step.kind == "del" and len(step.breakpoints) == 1:  # to the end of the arm
            tip = 0.0 if step.breakpoints[0][0] == "p" else table.length(homes[0])
            places.append(table.bp(homes[0], tip) / 1e6)
    chromosomes = tuple(dict.fromkeys(name for step in steps for name in step.chromosomes))
    return part.kind, chromosomes, tuple(sorted(places) if len(chromosomes) == 1 else places)


def _alike(first: Breaks, second: Breaks) -> bool:
    if first[:2] != second[:2] or len(first[2]) != len(second[2]):
        return False
    return all(abs(a - b) <= TOLERANCE for a, b in zip(first[2], second[2], strict=True))
