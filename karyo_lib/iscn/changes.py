"""One part of a formula as a change: the normal chromosomes it takes away, those it puts in, and its size."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from karyo_lib.iscn import edits
from karyo_lib.iscn.bands import BandTable, KaryotypeError, require
from karyo_lib.iscn.operations import Part
from karyo_lib.iscn.segments import (
    UNKNOWN,
    Chromosome,
    Segment,
    Segments,
    find_centromeres,
    join,
    normal_segments,
    total_length,
)

GROUPS = (
    "normal", "trisomy", "monosomy", "sex-chromosome", "polyploidy", "deletion", "duplication",
    "translocation", "inversion", "insertion", "ring/isochromosome/marker", "complex", "variant",
)  # fmt: skip
"""Groups of karyotypes. 'ring/isochromosome/marker' also holds material of unknown origin (add, dmin);
'complex' is a karyotype with changes of more than one group, or of none of these (upd, fra); 'variant' is
normal but for what laboratories do not report as abnormal: inv(9)(p12q13), 9qh+, 21pss."""

GROUP_OF_KIND = {
    "del": "deletion", "dup": "duplication", "trp": "duplication", "qdp": "duplication", "inv": "inversion",
    "ins": "insertion", "t": "translocation", "rob": "translocation", "dic": "translocation",
    "psu dic": "translocation", "psu idic": "ring/isochromosome/marker", "rec": "duplication",
    "variant": "variant", "dmin": "ring/isochromosome/marker", "hsr": "duplication", "fra": "complex",
    "upd": "complex", "ider": "ring/isochromosome/marker", "i": "ring/isochromosome/marker",
    "idic": "ring/isochromosome/marker", "r": "ring/isochromosome/marker", "mar": "ring/isochromosome/marker",
    "add": "ring/isochromosome/marker", "dic r": "ring/isochromosome/marker", "trc": "translocation",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much material a change concerns."""

    # ISCN units: material there are fewer copies of, more copies of, or as many but elsewhere or turned.
    lost: float
    gained: float
    moved: float
    # The same in megabases of GRCh38; nan for material of unknown origin.
    lost_mb: float
    gained_mb: float
    moved_mb: float

    @property
    def units(self) -> float:
        """The larger of what was lost and gained together, and what was moved, in ISCN units."""
        return max(self.lost + self.gained, self.moved)

    @property
    def megabases(self) -> float:
        return self.moved_mb if self.moved > self.lost + self.gained else self.lost_mb + self.gained_mb


@dataclass(frozen=True)
class Change:
    """What one part of a formula does to the normal complement."""

    text: str  # the part: '+21', 't(9;22)(q34;q11.2)'; '+X', '-X' for what the sex complement alone shows
    group: str  # one of `GROUPS`
    consumed: tuple[str, ...]  # normal chromosomes that go
    produced: tuple[Chromosome, ...]  # those that come, in the order of the formula

    def size(self, table: BandTable) -> Size:
        lost, gained = _imbalance(self.consumed, self.produced, table)
        moved = [segment for chromosome in self.produced for segment in _moved(chromosome)]
        if len(self.produced) > 1 and not (lost or gained or moved):  # homologues that exchange their ends
            moved = [
                s
                for chromosome in self.produced
                for s in sorted(chromosome.segments, key=attrgetter("length"))[:-1]
            ]
        return Size(
            total_length(lost), total_length(gained), total_length(moved),
            _megabases(lost, table), _megabases(gained, table), _megabases(moved, table),
        )  # fmt: skip


def make_change(part: Part, table: BandTable) -> Change:
    """Apply one part of a formula, once, to normal chromosomes."""
    if part.kind == "number":
        return _numerical(part, table)
    if not part.drawn:
        return Change(part.text, GROUP_OF_KIND[part.kind], (), ())
    if part.chromosomes == (UNKNOWN,):
        more = part.kind != "der" or part.sign == "+"
        require(more, part.text, "A chromosome of unknown origin is one more: +der(?).")
        segments = (Segment(UNKNOWN, 0.0, edits.MARKER_LENGTH),)
        for operation in part.operations:
            segments = edits.exchange(segments, operation, operation.chromosomes.index(UNKNOWN), table)
        marker = Chromosome(part.text, "mar", segments, part.kind == "r", True, table.level)
        return Change(f"+{part.text}", "ring/isochromosome/marker", (), (marker,))
    try:
        consumed, results = _results(part, table)
    except KaryotypeError as error:  # a band or a step inside a derivative: name the whole part
        raise KaryotypeError(part.text, error.rule) from error
    ring = any(one.kind in ("r", "dic r") for one in (part, *part.operations))
    produced = tuple(
        Chromosome(name, slot, segments, ring, not part.normal_variant, table.level)
        for name, slot, segments in results
    )
    return Change(part.sign + part.text, _group(part), () if part.sign == "+" else consumed, produced)


def _numerical(part: Part, table: BandTable) -> Change:
    (name,) = part.chromosomes
    lost, text = part.sign == "-", part.sign + part.text
    group = "sex-chromosome" if name in ("X", "Y") else "monosomy" if lost else "trisomy"
    gained = () if lost else (normal_chromosome(name, table, abnormal=True),)
    return Change(text, group, (name,) * lost, gained)


def normal_chromosome(name: str, table: BandTable, abnormal: bool = False) -> Chromosome:
    """A chromosome of normal structure; `abnormal` marks a copy that was gained."""
    return Chromosome(name, name, normal_segments(name, table), abnormal=abnormal, level=table.level)


def _results(part: Part, table: BandTable) -> tuple[tuple[str, ...], list[tuple[str, str, Segments]]]:
    """Normal chromosomes used up; name, slot and segments of each abnormal chromosome."""
    chromosomes, pairs = part.chromosomes, list(zip(part.chromosomes, part.breakpoints, strict=False))
    first, several = chromosomes[0], len(chromosomes) > 1
    name = re.sub(r"(?<=\))\([^)]*\)", "", part.text)  # without breakpoints
    whole_arm = len(chromosomes) == 2 and set(part.breakpoints) <= {"p10", "q10"}
    if part.stretches:
        return chromosomes, _detailed(part, name, table)
    if part.kind == "t" and whole_arm:
        other = [(chromosome, "q10" if band == "p10" else "p10") for chromosome, band in pairs]
        names = [f"der({';'.join(chromosomes)})({';'.join(b for _, b in arms)})" for arms in (pairs, other)]
        fused = [edits.fuse_arms(part, arms, table) for arms in (pairs, other)]
        return chromosomes, list(zip(names, chromosomes, fused, strict=True))
    if part.kind == "t" or (part.kind == "ins" and several):
        rule = "The derivative of an unknown chromosome cannot be drawn."
        require(part.kind == "ins" or UNKNOWN not in chromosomes, part.text, rule)
        made = []
        for index, slot in enumerate(chromosomes):
            whole = normal_segments(slot, table)
            moved = edits.exchange(whole, part, index, table) if part.kind == "t" else None
            made.append((f"der({slot}){name}", slot, moved or edits.rearrange(whole, part, (slot,), table)))
        return chromosomes, made
    left = part.operations  # what is left to be done to the one chromosome that comes
    if part.kind == "trc":
        segments = edits.join_tricentric(part, table)
    elif part.kind in ("r", "dic r") and several:
        segments = edits.close_ring(part, table)
    elif part.kind in ("dic", "psu dic"):
        segments = edits.join_dicentric(part, table)
    elif part.kind == "der" and several and not part.breakpoints:
        segments, left = edits.join_derivative(part, table)
    elif part.kind == "rob" or (part.kind == "der" and several):
        if part.kind == "rob":
            edits.check_robertsonian(part)
        require(whole_arm, part.text, "A derivative of two chromosomes is written der(A;B)(q10;q10).")
        segments = edits.fuse_arms(part, pairs, table)
    else:
        chromosomes, segments, left = (first,), normal_segments(first, table), left or (part,)
        arms = any(o.kind == "t" and set(o.breakpoints) <= {"p10", "q10"} for o in left)
        rule = "A derivative of two whole arms is written der(A;B), as in der(1;7)(q10;p10)."
        require(not arms, part.text, rule)
    for operation in left:
        segments = edits.rearrange(segments, operation, chromosomes, table)
    if part.kind == "ider":
        segments = edits.mirror_arm(segments, part, first, table)
    return chromosomes, [(name, first, segments)]


def _detailed(part: Part, name: str, table: BandTable) -> list[tuple[str, str, Segments]]:
    """Chromosomes of the detailed system, whose breaks lie in the middle of the bands named."""
    results = []
    for slot, stretches in zip(part.chromosomes, part.stretches, strict=False):
        segments = []
        for chromosome, *bands in stretches:
            start, stop = (sum(table.find(chromosome, band)) / 2 for band in bands)
            require(start != stop, part.text, "A stretch lies between two different bands.")
            segments.append(Segment(chromosome, min(start, stop), max(start, stop), start > stop))
        rule = "A chromosome has a centromere: start at pter or end at qter."
        require(find_centromeres(tuple(segments), table), part.text, rule)
        whole = len(part.chromosomes) == 1 or len(part.stretches) < len(part.chromosomes)
        results.append((name if whole else f"der({slot}){name}", slot, join(segments)))
    return results


def _group(part: Part) -> str:
    if part.normal_variant:
        return "variant"
    if part.kind != "der":
        return GROUP_OF_KIND[part.kind]
    groups = {GROUP_OF_KIND[operation.kind] for operation in part.operations}
    if len(part.chromosomes) > 1 or len({one for told in part.stretches for one, *_ in told}) > 1:
        groups.add("translocation")
    return groups.pop() if len(groups) == 1 else "complex"


def _imbalance(
    consumed: Iterable[str], produced: Iterable[Chromosome], table: BandTable
) -> tuple[list[Segment], list[Segment]]:
    """Stretches with fewer and with more copies after the change, one entry for each copy."""
    before = [segment for name in consumed for segment in normal_segments(name, table)]
    steps: dict[str, dict[float, int]] = defaultdict(lambda: defaultdict(int))
    after = [segment for chromosome in produced for segment in chromosome.segments]
    for segments, weight in ((before, -1), (after, 1)):
        for segment in segments:
            if segment.chromosome != UNKNOWN:
                steps[segment.chromosome][segment.start] += weight
                steps[segment.chromosome][segment.stop] -= weight
    lost: list[Segment] = []
    gained = [segment for segment in after if segment.chromosome == UNKNOWN]
    for name, changes in steps.items():
        copies = 0
        edges = sorted(changes)
        for start, stop in pairwise(edges):
            copies += changes[start]
            (gained if copies > 0 else lost).extend([Segment(name, start, stop)] * abs(copies))
    return lost, gained


def _moved(chromosome: Chromosome) -> list[Segment]:
    """Segments of a rearranged chromosome that lie elsewhere, or turned, compared with a normal one."""
    home = [s for s in chromosome.segments if s.chromosome == chromosome.slot and not s.reversed]
    kept = _longest_in_order(home)
    return [segment for segment in chromosome.segments if segment not in kept]


def _longest_in_order(segments: list[Segment]) -> list[Segment]:
    """The longest set, by summed length, of segments whose starts and stops both rise."""
    best: list[list[Segment]] = []
    for index, segment in enumerate(segments):
        before = [
            chain for chain, last in zip(best, segments[:index], strict=True)
            if last.start < segment.start and last.stop < segment.stop
        ]  # fmt: skip
        best.append([*max(before, key=total_length, default=[]), segment])
    return max(best, key=total_length, default=[])


def _megabases(segments: Iterable[Segment], table: BandTable) -> float:
    ends = [(s.chromosome, s.start, s.stop) for s in segments]
    if UNKNOWN in (name for name, _, _ in ends):
        return float("nan")
    return sum(table.bp(name, stop) - table.bp(name, start) for name, start, stop in ends) / 1e6
