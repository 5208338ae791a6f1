"""What a chromosome that was read as segments is called in ISCN."""

from dataclasses import dataclass

import numpy as np

from karyo_lib.iscn.bands import ACROCENTRICS, BandTable, load_bands
from karyo_lib.iscn.changes import GROUP_OF_KIND
from karyo_lib.iscn.operations import is_normal_inversion, rank_chromosome
from karyo_lib.iscn.segments import UNKNOWN, Segments, find_centromeres, turn

#: A break this near to a centromere, in ISCN units, lies at it.
_NEAR = 400.0
#: What a longer or shorter variable region of these classes is called; without it what is around is slack.
_VARIABLE = {c: f"{c}qh" for c in ("1", "9", "16", "Y")} | {c: f"{c}ps" for c in ACROCENTRICS}
_SLACK = 250.0


@dataclass(frozen=True)
class Description:
    # ISCN: ``'del(5)(q13q31)'``, ``'der(9)t(9;22)(q34;q11.2)'``, ``'i(17)(q10)'``; ``''`` for a normal
    # chromosome, ``'der(5)'`` where no simpler name fits.
    text: str
    group: str  # one of ``karyo_lib.iscn.changes.GROUPS``


def home(segments: Segments, level: int = 550) -> str:
    """The class whose centromere a chromosome has, or of which most of it comes where it has none."""
    table, offset = load_bands(level), 0.0
    at = find_centromeres(segments, table)
    for segment in segments:
        here = at and offset - 1e-6 <= at[0] <= offset + segment.length + 1e-6
        if here and segment.start <= table.centromere(segment.chromosome) <= segment.stop:
            return segment.chromosome
        offset += segment.length
    return max(segments, key=lambda s: s.length).chromosome


def describe(segments: Segments, level: int = 550) -> Description:
    """Name a chromosome by its segments, end to end: ``5pter->q15::q31.1->qter`` is del(5)(q15q31.1)."""
    if not segments:
        raise ValueError("Expected a chromosome of at least one segment. Received none.")
    table = load_bands(level)
    classes = list(dict.fromkeys(s.chromosome for s in segments))
    if UNKNOWN in classes:
        return Description("mar" if len(classes) == 1 else f"add({home(segments, level)})", "complex")
    if len(classes) == 1:
        variant = _variant(segments, classes[0], table)
        return Description(variant, "variant") if variant else _of_one(_upright(segments), *classes, table)
    return _of_two(segments, table) if len(classes) == 2 else _derivative(segments, level)


def describe_exchange(first: Segments, second: Segments, level: int = 550) -> Description | None:
    """Name two derivatives that are a reciprocal translocation, ``t(9;22)(q34;q11.2)``; else None."""
    ends = [_exchange(segments, load_bands(level)) for segments in (first, second)]
    if None in ends or ends[0][0] == ends[1][0] or {*ends[0][:2]} != {*ends[1][:2]}:
        return None
    (a, b, at_a, at_b), (_, _, _, _) = ends
    return Description(_translocation(a, b, at_a, at_b, load_bands(level)), "translocation")


def _upright(segments: Segments) -> Segments:
    forward = sum(s.length * (1 if not s.reversed else -1) for s in segments)
    return segments if forward >= 0 else turn(segments)


def _band(table: BandTable, chromosome: str, position: float, towards: float = 0.0) -> str:
    """The band at a break; one on a boundary belongs to the side that ``towards`` (ISCN units) points to."""
    length = table.length(chromosome)
    return table.band_at(chromosome, min(max(position + towards, 0.0), length)).name


def _variant(segments: Segments, name: str, table: BandTable) -> str:
    """'9qh+' where nothing but a variable region is longer or shorter; else ''."""
    if name not in _VARIABLE:
        return ""
    bands = [band for band in table.bands(name) if band.stain in ("gvar", "stalk")]
    start, stop = bands[0].iscn_start - _SLACK, bands[-1].iscn_stop + _SLACK
    at = np.arange(0, table.length(name), 25.0)
    extra = sum((s.start <= at) & (at < s.stop) for s in segments) - 1
    off = np.flatnonzero(extra)
    turned = any(s.reversed and not start <= s.start <= s.stop <= stop for s in _upright(segments))
    if turned or len(off) == 0 or ((at[off] < start) | (at[off] > stop)).mean() > 0.3:
        return ""
    return _VARIABLE[name] + ("+" if extra.sum() > 0 else "-")


def _bands(table: BandTable, name: str, start: float, stop: float) -> list[str]:
    """Bands at both ends of a stretch: the one nearer the centromere first, p before q."""
    nudge = min(20.0, 0.1 * (stop - start))
    bands = [_band(table, name, start, nudge), _band(table, name, stop, -nudge)]
    return bands if stop > table.centromere(name) else bands[::-1]


def _of_one(segments: Segments, name: str, table: BandTable) -> Description:
    length, centromere = table.length(name), table.centromere(name)

    def told(kind: str, *bands: str) -> Description:
        normal = is_normal_inversion(kind, (name,), bands)
        return Description(f"{kind}({name})({''.join(bands)})", "variant" if normal else GROUP_OF_KIND[kind])

    def between(kind: str, start: float, stop: float) -> Description:
        return told(kind, *_bands(table, name, start, stop))

    turns = [segment.reversed for segment in segments]
    if len(segments) == 1:
        (only,) = segments
        lost = only.start > 0, only.stop < length
        if lost == (False, False):
            return Description("", "normal")
        if lost == (True, True):
            return told("del", _band(table, name, only.start), _band(table, name, only.stop))
        return told("del", _band(table, name, *((only.start, -20.0) if lost[0] else (only.stop, 20.0))))
    if turns == [False, False]:
        first, second = segments
        if second.start != first.stop:
            kind = "del" if second.start > first.stop else "dup"
            return between(kind, *sorted((first.stop, second.start)))
    elif len(segments) == 2 and turns[0] != turns[1]:
        first, second = segments
        shared = first.stop if not first.reversed else first.start
        other = second.stop if second.reversed else second.start
        if abs(shared - centromere) < _NEAR and abs(other - centromere) < _NEAR:
            return told("i", "p10" if max(first.stop, second.stop) < centromere + _NEAR else "q10")
        # One end of an inversion is a tip, or a turned copy stands at one.
        turned, kept = sorted(segments, key=lambda s: not s.reversed)
        apart = turned.start >= kept.stop - _NEAR or turned.stop <= kept.start + _NEAR
        return between("inv" if apart else "dup", turned.start, turned.stop)
    elif turns == [False, True, False]:
        first, middle, last = segments
        slack = max(0.35 * middle.length, 500.0)
        if abs(middle.start - first.stop) < slack and abs(last.start - middle.stop) < slack:
            return between("inv", (first.stop + middle.start) / 2, (middle.stop + last.start) / 2)
        if abs(middle.stop - first.stop) < slack and abs(last.start - first.stop) < slack:
            start, stop = middle.start, (middle.stop + last.start) / 2
            bands = [_band(table, name, stop, -20), _band(table, name, start, 20)]
            return told("dup", *(bands if stop > centromere else bands[::-1]))
        if abs(middle.start - first.stop) < slack and abs(last.start - first.stop) < slack:
            return between("dup", middle.start, middle.stop)
    return Description(f"der({name})", "complex")


def _exchange(segments: Segments, table: BandTable) -> tuple[str, str, float, float] | None:
    """Home, partner and their breaks of a chromosome made of two pieces of two classes."""
    if len(segments) != 2 or segments[0].chromosome == segments[1].chromosome:
        return None
    own = home(segments, table.level)
    # the break is at the lower end of the upper piece
    ends = [s.stop if s.reversed == lower else s.start for lower, s in enumerate(segments)]
    at = {s.chromosome: end for s, end in zip(segments, ends, strict=True)}
    partner = next(c for c in at if c != own)
    return own, partner, at[own], at[partner]


def _translocation(a: str, b: str, at_a: float, at_b: float, table: BandTable) -> str:
    pairs = sorted(((a, at_a), (b, at_b)), key=lambda pair: rank_chromosome(pair[0]))
    names, bands = (";".join(p[0] for p in pairs), ";".join(_band(table, *p) for p in pairs))
    return f"t({names})({bands})"


def _of_two(segments: Segments, table: BandTable) -> Description:
    found = _exchange(segments, table)
    if found is not None:
        own, partner, at, there = found
        near = abs(at - table.centromere(own)) < _NEAR and abs(there - table.centromere(partner)) < _NEAR
        if near:
            long = {s.chromosome: s.stop > table.centromere(s.chromosome) + _NEAR for s in segments}
            arms = {name: "q" if q else "p" for name, q in long.items()}
            a, b = sorted((own, partner), key=rank_chromosome)
            return Description(f"der({a};{b})({arms[a]}10;{arms[b]}10)", "translocation")
        return Description(f"der({own}){_translocation(own, partner, at, there, table)}", "translocation")
    outer = [s.chromosome for s in segments]
    if len(segments) == 3 and outer[0] == outer[2]:
        first, middle, _ = segments
        at = _band(table, outer[0], first.start if first.reversed else first.stop)
        stretch = "".join(_bands(table, outer[1], middle.start, middle.stop))
        return Description(f"der({outer[0]})ins({outer[0]};{outer[1]})({at};{stretch})", "insertion")
    return _derivative(segments, table.level)


def _derivative(segments: Segments, level: int) -> Description:
    return Description(f"der({home(segments, level)})", "complex")
