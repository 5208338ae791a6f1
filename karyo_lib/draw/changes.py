"""Which stretch of a chromosome differs from the normal one."""

from karyo_lib.iscn.bands import BandTable
from karyo_lib.iscn.segments import Chromosome

# Half the length, in ISCN units, that marks a point (a lost piece, a junction).
_POINT = 150.0


def changed_spans(chromosome: Chromosome, table: BandTable) -> list[tuple[float, float]]:
    """Find what is changed, in ISCN units along the chromosome from its p end.

    Foreign, reversed, repeated and unknown material is marked whole; lost material by a short span round
    the place where it is missing. A whole extra chromosome is marked from end to end.

    Returns list of (float, float); within 0 and ``chromosome.length``; at least one span.
    """
    home = chromosome.slot
    spans: list[tuple[float, float]] = []
    seen: list[tuple[float, float]] = []
    at, last = 0.0, None
    for segment in chromosome.segments:
        end = at + segment.stop - segment.start
        repeated = [
            (max(a, segment.start), min(b, segment.stop))
            for a, b in seen
            if a < segment.stop and b > segment.start
        ]
        if segment.chromosome != home or segment.reversed:
            spans.append((at, end))
        elif repeated:
            spans += [(at + a - segment.start, at + b - segment.start) for a, b in repeated]
        elif (
            last is not None and last.chromosome == home and not last.reversed and last.stop != segment.start
        ):
            spans.append((at - _POINT, at + _POINT))
        if segment.chromosome == home and not segment.reversed:
            seen.append((segment.start, segment.stop))
        at, last = end, segment
    length = at
    if home in table.chromosomes and not spans:
        first, final = chromosome.segments[0], chromosome.segments[-1]
        if first.start > 0:
            spans.append((0.0, 2 * _POINT))
        if final.stop < table.length(home):
            spans.append((length - 2 * _POINT, length))
    spans = [(max(0.0, a), min(length, b)) for a, b in spans]
    return spans or [(0.0, length)]
