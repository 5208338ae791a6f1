"""A chromosome as a list of band segments, and cutting, turning and joining such lists."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from karyo_lib.iscn.bands import CHROMOSOMES, UNKNOWN, BandTable, load_bands, require


@dataclass(frozen=True)
class Segment:
    """A stretch of one normal chromosome."""

    chromosome: str  # '1' to '22', 'X', 'Y', or '?' for material of unknown origin (``add``, ``mar``)
    start: float  # ISCN units from pter of the normal chromosome, start < stop
    stop: float
    reversed: bool = False  # read from stop to start

    @property
    def length(self) -> float:
        """Length in ISCN units."""
        return self.stop - self.start


Segments = tuple[Segment, ...]


@dataclass(frozen=True)
class Chromosome:
    name: str  # '9', or the ISCN designation without breakpoints: 'del(5)', 'der(22)t(9;22)', 'mar'
    slot: str  # where it stands in the karyogram, by its centromere: '1' to '22', 'X', 'Y', or 'mar'
    segments: Segments  # from the end that is drawn at the top to the one at the bottom
    ring: bool = False  # the two ends are joined
    abnormal: bool = False  # rearranged, or the copy that was gained: what an annotation would point at
    level: int = 550  # of the bands

    @property
    def length(self) -> float:
        return total_length(self.segments)

    @property
    def rearranged(self) -> bool:
        """Whether the structure differs from the normal chromosome of its slot."""
        normal = self.slot in CHROMOSOMES and normal_segments(self.slot, load_bands(self.level))
        return self.ring or self.segments != normal

    @cached_property
    def centromeres(self) -> tuple[float, ...]:
        """Positions of the centromeres along this chromosome, in ISCN units from its top."""
        return find_centromeres(self.segments, load_bands(self.level))


def total_length(segments: Iterable[Segment]) -> float:
    return sum(segment.length for segment in segments)


def normal_segments(chromosome: str, table: BandTable) -> Segments:
    """The segments of a normal chromosome: one, from end to end."""
    return (Segment(chromosome, 0.0, table.length(chromosome)),)


def turn(segments: Segments) -> Segments:
    return tuple(replace(segment, reversed=not segment.reversed) for segment in reversed(segments))


def join(*pieces: Segments) -> Segments:
    """Pieces end to end; neighbours that continue each other become one segment."""
    joined: list[Segment] = []
    for segment in (segment for piece in pieces for segment in piece):
        if joined and _continues(joined[-1], segment):
            last = joined.pop()
            segment = replace(last, start=min(last.start, segment.start), stop=max(last.stop, segment.stop))
        joined.append(segment)
    return tuple(joined)


def split(segments: Segments, position: float) -> tuple[Segments, Segments]:
    """The two pieces above and below a position (ISCN units from the top of these segments)."""
    upper: list[Segment] = []
    lower: list[Segment] = []
    offset = 0.0
    for segment in segments:
        end = offset + segment.length
        if end <= position:
            upper.append(segment)
        elif offset >= position:
            lower.append(segment)
        else:
            cut = (
                segment.stop - (position - offset) if segment.reversed else segment.start + position - offset
            )
            halves = [replace(segment, stop=cut), replace(segment, start=cut)]
            above, below = halves[::-1] if segment.reversed else halves
            upper.append(above)
            lower.append(below)
        offset = end
    return tuple(upper), tuple(lower)


def locate(segments: Segments, chromosome: str, position: float) -> float | None:
    """Where a position (ISCN units from pter) of a normal chromosome lies along these segments; the uppermost
    place where it is there more than once, a place inside a segment going before one at its end."""
    found, offset = [], 0.0
    for segment in segments:
        if segment.chromosome == chromosome and segment.start <= position <= segment.stop:
            along = segment.stop - position if segment.reversed else position - segment.start
            found.append((not segment.start < position < segment.stop, offset + along))
        offset += segment.length
    return min(found, default=(False, None))[1]


def find_centromeres(segments: Segments, table: BandTable) -> tuple[float, ...]:
    """Positions of the centromeres, the boundaries between arms, along segments. A segment that ends just
    there brings a half: two that meet make one (an isochromosome, a whole-arm translocation), a single half
    counts only where there is no other. Markers get theirs in the middle."""
    whole: list[float] = []
    halves: list[float] = []
    offset = 0.0
    for segment in segments:
        if segment.chromosome != UNKNOWN:
            centromere = table.centromere(segment.chromosome)
            if segment.start <= centromere <= segment.stop:
                along = segment.stop - centromere if segment.reversed else centromere - segment.start
                if segment.start < centromere < segment.stop or offset + along in halves:
                    whole.append(offset + along)
                else:
                    halves.append(offset + along)
        offset += segment.length
    if not (whole or halves) and all(segment.chromosome == UNKNOWN for segment in segments):
        return (offset / 2,)
    return tuple(whole or halves[:1])


def cut_at(
    segments: Segments, chromosome: str, position: float, arm: str, table: BandTable, part: str
) -> tuple[Segments, Segments, bool]:
    """Cut segments at a breakpoint (ISCN units from pter): upper and lower piece, and whether the upper one
    keeps the centromere; at the centromere itself, the ``arm`` decides which is distal."""
    at = locate(segments, chromosome, position)
    rule = f"Its breakpoint in {chromosome}{arm} is no longer on the derivative chromosome."
    require(at is not None, part, rule)
    upper, lower = split(segments, at)
    centromeres = find_centromeres(segments, table)
    if centromeres and centromeres[0] != at:
        return upper, lower, centromeres[0] < at
    turned = next(
        (s.reversed for s in segments if s.chromosome == chromosome and s.start <= position <= s.stop), False
    )
    return upper, lower, (arm == "q") != turned


def _continues(left: Segment, right: Segment) -> bool:
    if left.chromosome != right.chromosome or left.chromosome == UNKNOWN or left.reversed != right.reversed:
        return False
    return left.start == right.stop if left.reversed else left.stop == right.start
