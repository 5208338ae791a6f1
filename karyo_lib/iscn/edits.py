"""The rearrangements of ISCN as edits on band segments. ISCN says only that breaks are somewhere in the
bands; two conventions turn bands into positions, at every level alike, and make lengths exact:

* **Breaks** (t, inv, ins, i, idic, dic, r, add, and der made of them) lie in the middle of the named band;
  two breaks named in one band of one chromosome lie at its quarter points. p10 and q10 are the centromere.
* **Losses and copies** (del, dup, trp, qdp) take the named bands whole: del(5)(q13q33) loses q13 to q33, both
  included; del(5)(p15.2) loses p15.2 and all that is distal to it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from karyo_lib.iscn.bands import ACROCENTRICS, LEVELS, BandTable, KaryotypeError, load_bands, require
from karyo_lib.iscn.operations import Part
from karyo_lib.iscn.segments import (
    UNKNOWN,
    Segment,
    Segments,
    cut_at,
    join,
    locate,
    normal_segments,
    split,
    turn,
)

ADDED_LENGTH = 1500.0
"""ISCN units of the material of unknown origin that `add` attaches (half a chromosome 21)."""

MARKER_LENGTH = 1800.0
"""ISCN units of a marker chromosome (a bit more than half a chromosome 21)."""

_COPIES = {"dup": 2, "trp": 3, "qdp": 4}


def place_breaks(table: BandTable, chromosome: str, names: Sequence[str]) -> list[float]:
    """Positions of breakpoints (ISCN units from pter, in the order given): the middle of each band; where n
    breaks fall in one band at this level, they are spread over it in the order that the finest level gives.
    """
    found = [table.find(chromosome, name) for name in names]
    finest = load_bands(max(LEVELS))
    positions = []
    for index, (start, stop) in enumerate(found):
        sharing = [other for other, band in enumerate(found) if band == (start, stop)]
        sharing.sort(key=lambda other: finest.find(chromosome, names[other]))
        fraction = (2 * sharing.index(index) + 1) / (2 * len(sharing))
        # to eighths of a unit, so that sums of lengths stay exact
        positions.append(round((start + fraction * (stop - start)) * 8) / 8)
    return positions


def _place_break(segments: Segments, chromosome: str, band: str, table: BandTable) -> float:
    """Position of one break; where an earlier change took its band, at the edge of the band that is left."""
    (position,) = place_breaks(table, chromosome, [band])
    places = (position, *table.find(chromosome, band))
    return next((place for place in places if locate(segments, chromosome, place) is not None), position)


def rearrange(segments: Segments, part: Part, homes: tuple[str, ...], table: BandTable) -> Segments:
    """Apply one rearrangement to one chromosome, normal or already rearranged. ``homes``: whose derivative it
    is; tells the recipient of ``ins(A;B)`` from the donor, and the places in ``t(A;B)``."""
    # every band must exist, also on the chromosomes that this edit does not touch
    for band, home in zip(part.breakpoints, _homes(part), strict=True):
        if home != UNKNOWN:
            table.find(home, band)
    if part.kind == "hsr":
        return segments
    if part.kind == "t":
        return _translocate(segments, part, homes, table)
    if part.kind == "ins":
        return _insert(segments, part, homes, table)
    if part.kind in ("r", "dic r") and len(part.chromosomes) > 1:
        return close_ring(part, table)
    rule = f"{part.kind} is no change of one derivative chromosome."
    require(len(part.chromosomes) == 1 and part.kind in _OF_ONE, part.text, rule)
    (chromosome,) = part.chromosomes
    rule = f"Expected a change of chromosome {' or '.join(homes)}. Received another's."
    require(any(segment.chromosome == chromosome for segment in segments), part.text, rule)
    return _OF_ONE[part.kind](segments, part, chromosome, table)


def fuse_arms(part: Part, arms: Sequence[tuple[str, str]], table: BandTable) -> Segments:
    """Join two whole arms, (chromosome, 'p10' or 'q10') each, at the centromere, the shorter on top."""
    rule = "A whole-arm rearrangement breaks at p10 or q10."
    require(all(band in ("p10", "q10") for _, band in arms), part.text, rule)
    upper, lower = sorted(
        (_arm(normal_segments(name, table), name, band[0], table) for name, band in arms),
        key=lambda piece: piece[0].length,
    )
    return join(turn(upper), lower)


def join_dicentric(part: Part, table: BandTable) -> Segments:
    """Join the centric pieces of two broken chromosomes at their breaks."""
    rule = "A dicentric joins two chromosomes, broken off the centromere, as in dic(13;15)(q22;q24)."
    require(len(part.chromosomes) == 2 and not {"p10", "q10"} & {*part.breakpoints}, part.text, rule)
    first, second = (
        _centric(normal_segments(name, table), name, band, table, part)
        for name, band in zip(part.chromosomes, part.breakpoints, strict=True)
    )
    return join(first, turn(second))


def join_tricentric(part: Part, table: BandTable) -> Segments:
    """Join three broken chromosomes, the middle one by both ends: trc(4;12;9)(q31.2;q22p13;q34)."""
    (first, middle, last), (band, *bands, end) = part.chromosomes, part.breakpoints
    rule = "A tricentric has three centromeres: the chromosome in the middle breaks in both its arms."
    require({name[0] for name in bands} == {"p", "q"}, part.text, rule)
    return _bridge((first, band), (middle, *bands), (last, end), part, table)


def join_derivative(part: Part, table: BandTable) -> tuple[Segments, list[Part]]:
    """Join the centric pieces of two chromosomes as a derivative's translocations say:
    der(5;7)t(5;7)(q22;p13) at their breaks, der(5;7)t(3;5)(q21;q22)t(3;7)(q29;p13) through a piece of a
    third. Returns also the changes that are left to apply."""
    first, second = part.chromosomes
    moves = [
        (o, dict(zip(o.chromosomes, o.breakpoints, strict=True)))
        for o in part.operations
        if o.kind == "t" and len(o.chromosomes) == 2
    ]
    for own, breaks in moves:
        if {first, second} == set(breaks):
            direct = replace(own, chromosomes=part.chromosomes, breakpoints=(breaks[first], breaks[second]))
            return join_dicentric(direct, table), [o for o in part.operations if o is not own]
    for (own, breaks), (other, more) in permutations(moves, 2):
        if first in breaks and second in more and (between := (set(breaks) & set(more)) - {UNKNOWN}):
            (third,) = between
            ends = (first, breaks[first]), (second, more[second])
            segments = _bridge(ends[0], (third, breaks[third], more[third]), ends[1], part, table)
            return segments, [o for o in part.operations if o is not own and o is not other]
    rule = "Expected what joins its chromosomes, as in der(5;7)t(5;7)(q22;p13) or der(1;7)(q10;p10)."
    raise KaryotypeError(part.text, rule)


def close_ring(part: Part, table: BandTable) -> Segments:
    """Join pieces of two chromosomes, between their breaks: dic r(1;3)(p36.1q23;p24q26.2)."""
    pairs = (part.breakpoints[:2], part.breakpoints[2:])
    each = zip(part.chromosomes, pairs, strict=True)
    return join(*(_piece(name, bands, part, table) for name, bands in each))


def _bridge(
    first: tuple[str, str], middle: tuple[str, str, str], last: tuple[str, str], part: Part, table: BandTable
) -> Segments:
    """Join the centric pieces of two chromosomes by a piece of a third."""
    upper, lower = (
        _centric(normal_segments(name, table), name, band, table, part) for name, band in (first, last)
    )
    return join(upper, _piece(middle[0], middle[1:], part, table), turn(lower))


def _piece(chromosome: str, bands: Sequence[str], part: Part, table: BandTable) -> Segments:
    start, stop = place_breaks(table, chromosome, bands)
    require(start != stop, part.text, "A piece lies between two different breaks.")
    return (Segment(chromosome, min(start, stop), max(start, stop), reversed=start > stop),)


def check_robertsonian(part: Part) -> None:
    """Robertsonian translocations join long arms of acrocentric chromosomes."""
    rule = f"A Robertsonian translocation joins two of the chromosomes {', '.join(ACROCENTRICS)}."
    require(len(part.chromosomes) == 2 and {*part.chromosomes} <= {*ACROCENTRICS}, part.text, rule)
    rule = "A Robertsonian translocation breaks at q10;q10; write others as dic or der."
    require(part.breakpoints == ("q10", "q10"), part.text, rule)


def mirror_arm(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    """Isochromosome: one arm and its mirror image, joined at the centromere."""
    rule = "An isochromosome breaks at p10 or q10; elsewhere write idic, as in idic(17)(p11.2)."
    require(part.breakpoints in (("p10",), ("q10",)), part.text, rule)
    arm = _arm(segments, chromosome, part.breakpoints[0][0], table, part)
    return join(turn(arm), arm)


def _homes(part: Part) -> list[str]:
    """Chromosome of each breakpoint: ins(5;2)(p14;q22q32) has its last two breaks on 2."""
    if part.kind == "ins":
        return [part.chromosomes[0], part.chromosomes[-1], part.chromosomes[-1]]
    each = len(part.breakpoints) // len(part.chromosomes)
    return [name for name in part.chromosomes for _ in range(each)]


def _arm(
    segments: Segments, chromosome: str, arm: str, table: BandTable, part: Part | None = None
) -> Segments:
    """One arm, from the centromere outward."""
    text = part.text if part else chromosome
    upper, lower, centric_above = cut_at(segments, chromosome, table.centromere(chromosome), arm, table, text)
    return lower if centric_above else turn(upper)


def _centric(segments: Segments, chromosome: str, band: str, table: BandTable, part: Part) -> Segments:
    """The piece that keeps the centromere, its broken end last."""
    position = _place_break(segments, chromosome, band, table)
    upper, lower, centric_above = cut_at(segments, chromosome, position, band[0], table, part.text)
    return upper if centric_above else turn(lower)


def _range(
    segments: Segments, part: Part, chromosome: str, positions: tuple[float, float]
) -> tuple[float, float]:
    """A stretch of the normal chromosome as top and bottom positions along the segments."""
    places = [locate(segments, chromosome, position) for position in positions]
    rule = f"Its bands of chromosome {chromosome} are no longer on the derivative."
    require(None not in places, part.text, rule)
    return min(places), max(places)


def _named_stretch(part: Part, chromosome: str, table: BandTable) -> tuple[float, float]:
    """From the outer edge of one named band to the outer edge of the other."""
    edges = [edge for name in part.breakpoints for edge in table.find(chromosome, name)]
    return min(edges), max(edges)


def _proximal_first(part: Part, chromosome: str) -> bool:
    """Whether the band named first is no farther from the centromere than the second, at the finest level."""
    finest = load_bands(max(LEVELS))
    centromere = finest.centromere(chromosome)
    first, second = (
        abs(sum(finest.find(chromosome, name)) / 2 - centromere) for name in part.breakpoints[-2:]
    )
    return first <= second


def _delete(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    start, stop = _named_stretch(part, chromosome, table)
    if len(part.breakpoints) == 2:
        require(start != stop, part.text, "It names no band to lose: p10 and q10 are the centromere.")
        top, bottom = _range(segments, part, chromosome, (start, stop))
        return join(split(segments, top)[0], split(segments, bottom)[1])
    arm = part.breakpoints[0][0]
    at = start if arm == "q" else stop
    upper, lower, centric_above = cut_at(segments, chromosome, at, arm, table, part.text)
    return upper if centric_above else lower


def _copy(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    start, stop = _named_stretch(part, chromosome, table)
    require(start != stop, part.text, "It names no band to copy: p10 and q10 are the centromere.")
    top, bottom = _range(segments, part, chromosome, (start, stop))
    upper, rest = split(segments, bottom)
    stretch = split(upper, top)[1]
    direct = _proximal_first(part, chromosome)
    copies = [stretch if direct or number % 2 else turn(stretch) for number in range(_COPIES[part.kind] - 1)]
    return join(upper, *copies, rest)


def _invert(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    first, second = place_breaks(table, chromosome, part.breakpoints)
    require(first != second, part.text, "An inversion has two different breaks.")
    top, bottom = _range(segments, part, chromosome, (first, second))
    upper, rest = split(segments, bottom)
    upper, stretch = split(upper, top)
    return join(upper, turn(stretch), rest)


def _ring(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    if not part.breakpoints:
        return segments  # "r(X)": the bands are not known, the ends are joined as they are
    first, second = place_breaks(table, chromosome, part.breakpoints)
    top, bottom = _range(segments, part, chromosome, (first, second))
    return split(split(segments, bottom)[0], top)[1]


def _add(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    band = part.breakpoints[0]
    centric = _centric(segments, chromosome, band, table, part)
    whole = join(centric, (Segment(UNKNOWN, 0.0, ADDED_LENGTH),))
    return whole if band[0] == "q" else turn(whole)


def _isodicentric(segments: Segments, part: Part, chromosome: str, table: BandTable) -> Segments:
    band = part.breakpoints[0]
    rule = "Broken at the centromere it has only one; write i, as in i(X)(q10)."
    require(band not in ("p10", "q10"), part.text, rule)
    centric = _centric(segments, chromosome, band, table, part)
    return join(centric, turn(centric))


def _translocate(segments: Segments, part: Part, homes: tuple[str, ...], table: BandTable) -> Segments:
    """What is distal to the break gives way to the distal piece of the partner named before: A to B to C."""
    # The chromosome itself, or, on a derivative with several partners, the one of them that is there.
    candidates = [index for index, name in enumerate(part.chromosomes) if name in homes]
    there = {segment.chromosome for segment in segments} - {UNKNOWN}
    candidates += [index for index, name in enumerate(part.chromosomes) if name in there]
    rule = f"None of its chromosomes is on the derivative of chromosome {' and '.join(homes)}."
    require(candidates, part.text, rule)
    return exchange(segments, part, candidates[0], table)


def exchange(segments: Segments, part: Part, index: int, table: BandTable) -> Segments:
    """Derivative of the chromosome in place ``index`` of a translocation of any number of chromosomes: the
    distal piece comes from the one in place ``index - 1``."""
    here, band = part.chromosomes[index], part.breakpoints[index]
    donor, donor_band = part.chromosomes[index - 1], part.breakpoints[index - 1]
    if here == UNKNOWN:  # nobody knows where it broke: joined to its end
        upper, lower, centric_above = segments, (), True
    else:
        position = _place_break(segments, here, band, table)
        upper, lower, centric_above = cut_at(segments, here, position, band[0], table, part.text)
    if donor == UNKNOWN:
        added = (Segment(UNKNOWN, 0.0, ADDED_LENGTH),)
        return join(upper, added) if centric_above else join(added, lower)
    (position,) = place_breaks(table, donor, [donor_band])
    above, below, keeps_above = cut_at(
        normal_segments(donor, table), donor, position, donor_band[0], table, part.text
    )
    distal = below if keeps_above else turn(above)  # broken end first
    return join(upper, distal) if centric_above else join(turn(distal), lower)


def _insert(segments: Segments, part: Part, homes: tuple[str, ...], table: BandTable) -> Segments:
    """The band of the inserted segment that is named first comes to lie nearer the recipient's centromere."""
    recipient, donor = part.chromosomes[0], part.chromosomes[-1]
    there = {segment.chromosome for segment in segments}
    rule = f"Expected an insertion that involves chromosome {' or '.join(homes)}."
    require({recipient, donor} & there, part.text, rule)
    gives_only = recipient not in there or (donor in homes and recipient not in homes)
    site_band, first, second = part.breakpoints
    if recipient == donor:
        site, start, stop = place_breaks(table, recipient, part.breakpoints)
        rule = "The point of insertion lies in the segment that is inserted."
        require(not min(start, stop) < site < max(start, stop), part.text, rule)
    elif donor == UNKNOWN:
        start, stop = 0.0, ADDED_LENGTH
    else:
        start, stop = place_breaks(table, donor, [first, second])
    require(start != stop, part.text, "The inserted segment lies between two different breaks.")
    if recipient == donor or gives_only:
        top, bottom = _range(segments, part, donor, (start, stop))
        upper, rest = split(segments, bottom)
        segments = join(split(upper, top)[0], rest)
    if gives_only:
        return segments
    if recipient != donor:
        site = _place_break(segments, recipient, site_band, table)
    inserted = (Segment(donor, min(start, stop), max(start, stop), reversed=start > stop),)  # `first` on top
    upper, lower, centric_above = cut_at(segments, recipient, site, site_band[0], table, part.text)
    return join(upper, inserted if centric_above else turn(inserted), lower)


_OF_ONE = {
    "del": _delete, "dup": _copy, "trp": _copy, "qdp": _copy, "inv": _invert, "r": _ring, "add": _add,
    "i": mirror_arm, "idic": _isodicentric, "psu idic": _isodicentric,
}  # fmt: skip
