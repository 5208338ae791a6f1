"""One part of a formula, such as t(9;22)(q34;q11.2): read, checked, put into normal form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from karyo_lib.iscn.bands import CHROMOSOMES, UNKNOWN, KaryotypeError, require

_SUFFIX = re.compile(r"(?<=[)\dXYrh+\-s])(dmat|dpat|dinh|dn|mat|pat|inh|c)$")
_TIMES = re.compile(r"(?<=[)\dXYr])x(\d{1,3})$")
_NUMERICAL = re.compile(r"([+-])(\d{1,2}|[XY])")
_MARKER = re.compile(r"([+-])(\d{0,3})(mar\d{0,2}|r\d{0,2}|r\(\?\))")
_OPERATION = re.compile(r"([a-z]+)\(([^()]*)\)(?:\(([^()]*)\))?")
_BAND = r"[pq](?:\d{2}(?:\.\d{1,3})?)"
_STRETCH = re.compile(rf"(\d{{1,2}}|[XY])?(pter|qter|cen|{_BAND})->(?:\1)?(pter|qter|cen|{_BAND})")
_ALTERNATIVE = re.compile(r"\|[+-]?[a-z]+\(.*$|[|~](?:[pq]?\d+(?:\.\d+)?)")
_DOUBT = re.compile(r"\?(?=[\w(+-])|(?<=[\w)])\?")
_VARIANT = re.compile(
    r"(\d{1,2}|[XY])(?:(?:cen|[pq]\d*)?(?:h|stk|ss|s)[+-]?(?:(?:cen|[pq])?(?:h|stk|ss|s)[+-]?)*|cen[+-])"
)
_OLD = re.compile(r"(\d{1,2}|[XY])([pq])([+-])")
_UNDRAWN = re.compile(
    r"\+?\d*(?P<dmin>dmin|min|ace)|(?P<kind>hsr|fra|upd|chtb|chtg|chrb|chrg|chte|chre)\((?P<where>[^()]*)\)(?:\([^()]*\))?"
)
_SPELT = {
    "psudic": "psu dic", "psuidic": "psu idic", "iso": "i", "isodic": "idic", "dirdup": "dup",
    "dicr": "dic r",
}  # fmt: skip

#: Breakpoints that each rearrangement names on one chromosome; t, dic and rob name one on each of theirs.
_BREAKS = {
    "del": (1, 2), "dup": (2,), "trp": (2,), "qdp": (2,), "inv": (2,), "ins": (3,), "i": (1,), "idic": (1,),
    "psu idic": (1,), "r": (0, 2), "add": (1,), "hsr": (1,),
}  # fmt: skip
_OF_SEVERAL = ("t", "dic", "psu dic", "rob")
#: Those that name several breakpoints on several chromosomes: how many on each.
_JOINED = {"trc": [1, 2, 1], "dic r": [2, 2], "r": [2, 2]}
_FORM = "Changes are written as in t(9;22)(q34;q11.2), del(5)(q13q33) or inv(9)(p11q13)."
_EXPECTED = (
    f"Expected one of {', '.join((*_OF_SEVERAL, 'trc', 'dic r', *_BREAKS))}, der, mar or +/- a chromosome. "
    f"Received a part that cannot be applied. {_FORM}"
)
#: Pericentric inversions of heterochromatin that laboratories report as normal, by their bands without parts.
_NORMAL_INVERSIONS = {"9": ({"p11", "p12"}, {"q11", "q12", "q13"}), "Y": ({"p11"}, {"q11"})}


@dataclass(frozen=True)
class Part:
    """One part of a formula: "+21", "del(5)(q13q33)", "der(9)del(9)(p12)t(9;22)(q34;q11.2)"."""

    # In normal form with its breakpoints, without sign, inheritance and multiplicity; with '?' and '~' as
    # written where it is uncertain.
    text: str
    sign: str  # '+', '-' or ''
    # 'number' (a whole chromosome gained or lost), 'mar', 'der', 'ider', 'rec', the ISCN symbol ('del'),
    # 'lost' (an abnormal chromosome that a sideline no longer has), or what is kept and not drawn: 'variant',
    # 'dmin', 'hsr', 'fra', 'upd'.
    kind: str
    chromosomes: tuple[str, ...]
    breakpoints: tuple[str, ...] = ()  # band names with their arm, in the order written
    copies: int = 1  # how many chromosomes the part stands for ("x2", "+2mar")
    operations: tuple["Part", ...] = ()  # for derivative chromosomes, what made them, in the order written
    suffix: str = ""  # inheritance: 'dn', 'mat', 'c'
    # Of the detailed system, for each chromosome its stretches: chromosome, from band, to band.
    stretches: tuple[tuple[tuple[str, str, str], ...], ...] = ()

    @property
    def drawn(self) -> bool:
        """Whether the part changes the chromosomes of a cell as they are drawn."""
        return self.kind not in ("variant", "dmin", "hsr", "fra", "upd")

    @property
    def structural(self) -> bool:
        """Whether it is a rearrangement of chromosomes that are known."""
        return self.drawn and self.kind not in ("number", "lost") and self.chromosomes != (UNKNOWN,)

    @property
    def normal_variant(self) -> bool:
        """Whether laboratories report it as normal: inv(9)(p12q13), 9qh+, 21pss."""
        return self.kind == "variant" or is_normal_inversion(self.kind, self.chromosomes, self.breakpoints)


def is_normal_inversion(kind: str, chromosomes: Sequence[str], breakpoints: Sequence[str]) -> bool:
    """Whether an inversion only turns the heterochromatin of chromosome 9 or Y."""
    allowed = _NORMAL_INVERSIONS.get(chromosomes[0], ()) if kind == "inv" else ()
    return bool(allowed) and all(
        band.split(".")[0] in bands for band, bands in zip(breakpoints, allowed, strict=True)
    )


def read_change(text: str, before: Sequence[Part]) -> tuple[Part, list[str]]:
    """Read one part, without spaces and with ' or ' as '|', and notes on what was put right, is taken as
    certain, or is not drawn. Breakpoints may stand ``before``: +der(22)t(9;22) after t(9;22)(q34;q11.2)."""
    require(text, ",", "Expected a part after each comma. Received none.")
    require(text.count("(") == text.count(")"), text, f"Expected a ')' for every '('. {_FORM}")
    certain = _read_as(text)
    shown = text.replace("|", " or ")
    require(certain.strip("+-"), shown, _EXPECTED)
    notes = [f"{shown} is uncertain: read as {certain}"] if certain != text else []
    suffix = _SUFFIX.search(certain)
    body = certain[: suffix.start()] if suffix else certain
    times = _TIMES.search(body)
    body = body[: times.start()] if times else body
    part, said = _read_body(body, shown, before)
    if certain != text:  # kept as written, but for what stands around it
        kept = text.removesuffix(suffix[1] if suffix else "").removesuffix(times[0] if times else "")
        kept = kept.removeprefix(part.sign)
        if _read_as(part.sign + kept) == body:
            part = replace(part, text=kept.replace("|", " or "))
    elif part.structural and body not in _typed(part):
        said = [*said, f"{body} is written {part.sign}{part.text}"]
    copies = part.copies * int(times[1] if times else 1)
    return replace(part, copies=copies, suffix=suffix[1] if suffix else ""), notes + said


def _read_as(text: str) -> str:
    """A part without its doubts: without question marks, and of several meanings the first."""
    return _DOUBT.sub("", _ALTERNATIVE.sub("", text))


def _typed(part: Part) -> tuple[str, str]:
    """A part as it is typed without spaces, and without breakpoints, which may stand elsewhere."""
    whole = f"{part.sign}{part.text}".replace(" ", "")
    return whole, re.sub(r"(?<=\))\([pq]\d[^()]*\)", "", whole)


def _read_body(body: str, text: str, before: Sequence[Part]) -> tuple[Part, list[str]]:
    if match := _NUMERICAL.fullmatch(body):
        return Part(match[2], match[1], "number", (_chromosome(match[2], text),)), []
    if match := _MARKER.fullmatch(body):
        name = match[3].replace("r(?)", "r")
        part = Part(name, "+", "r" if name.startswith("r") else "mar", (UNKNOWN,), copies=int(match[2] or 1))
        return (replace(part, kind="lost") if match[1] == "-" else part), []
    if match := _VARIANT.fullmatch(body):
        part = Part(body, "", "variant", (_chromosome(match[1], text),))
        return part, [f"{body} is a normal variant: kept, not drawn"]
    if match := _UNDRAWN.fullmatch(body):
        where = match["where"].split(";")[0] if match["where"] else UNKNOWN
        kind = {"min": "dmin", "ace": "dmin"}.get(match["dmin"], match["dmin"]) or match["kind"]
        kind = "fra" if kind.startswith("ch") else kind
        if where != UNKNOWN:
            _chromosome(where, text)
        return Part(body.removeprefix("+"), "", kind, (where,)), [f"{body}: kept, not drawn"]
    if match := _OLD.fullmatch(body):
        lost = f"del({match[1]})({match[2]}...) with its band"
        remedy = lost if match[3] == "-" else "what was added, as in add(14)(q32)"
        rule = f"Expected a change with its bands. Received the old way to write it: write {remedy}."
        raise KaryotypeError(text, rule)
    sign = body[0] if body[0] in "+-" else ""
    part = _read_chromosomes(body.removeprefix(sign), text, before)
    if sign == "-":
        return replace(part, sign="", kind="lost"), []
    unseen = [o.text for o in part.operations if not o.drawn]
    return replace(part, sign=sign), [f"{text}: kept, not drawn" for text in unseen]


def _read_chromosomes(body: str, text: str, before: Sequence[Part]) -> Part:
    found = list(_OPERATION.finditer(body))
    require(found and "".join(match[0] for match in found) == body, text, _EXPECTED)
    kind = found[0][1]
    if kind not in ("der", "ider", "rec"):
        rule = f"Expected der(A) before several changes of one chromosome, as in der(1){body}."
        require(len(found) == 1, text, rule)
        return _read_operation(found[0], text, before)
    names, bands = found[0][2].split(";"), found[0][3] or ""
    chromosomes = tuple(_chromosome(name, text, unknown=names == [UNKNOWN]) for name in names)
    if "->" in bands and len(found) == 1:
        return _detailed(kind, found[0], text)
    if kind == "rec":
        return _recombinant(found, chromosomes[0], text)
    operations = tuple(_read_operation(match, text, before) for match in found[1:])
    made = "".join(operation.text for operation in operations)
    unknown = chromosomes == (UNKNOWN,)  # a marker that something is joined to
    if kind == "der" and not bands and (unknown or (len(chromosomes) == 2 and operations)):
        joined = all(o.kind == "t" and UNKNOWN in o.chromosomes for o in operations) or not unknown
        require(joined, text, "What is joined to it is written as in der(?)t(?;9)(?;q22).")
        return Part(found[0][0] + made, "", "der", chromosomes, operations=operations)
    if kind == "der" and len(chromosomes) == 2:
        dicentric = not operations and not set(bands) & set("0?")
        whole = _checked("dic" if dicentric else "der", chromosomes, _split_bands(bands, text), text)
        return replace(whole, operations=operations, text=whole.text + made)
    if not operations and kind == "der" and not bands and len(chromosomes) == 1:
        operations = _derivative_before(chromosomes[0], before)
        made = "".join(operation.text for operation in operations)
    rule = (
        "Expected der(A) followed by the changes that made it, as in der(22)t(9;22)(q34;q11.2), or a "
        "whole-arm der(A;B)(q10;q10)."
    )
    require(len(chromosomes) == 1 and operations, text, rule)
    rule = "ider names its centromere, ider(22)(q10)t(9;22)(...); der does not."
    require((kind == "ider") == (bands in ("p10", "q10")), text, rule)
    written = f"{kind}({chromosomes[0]}){f'({bands})' if bands else ''}"
    return Part(written + made, "", kind, chromosomes, (bands,) if bands else (), operations=operations)


def _derivative_before(chromosome: str, before: Sequence[Part]) -> tuple[Part, ...]:
    """What made der(22), where the parts before it know only one way."""
    ways = {
        part.operations if part.kind == "der" else (replace(part, sign="", suffix="", copies=1),)
        for part in before
        if chromosome in part.chromosomes and part.kind in ("der", "t", "ins")
    }
    return ways.pop() if len(ways) == 1 else ()


def _recombinant(found: list[re.Match], chromosome: str, text: str) -> Part:
    """rec(6)dup(6p)inv(6)(p22.2q25.2): what crossing over in an inversion leaves, one end twice."""
    written = [match[1] for match in found] == ["rec", "dup", "inv"]
    written = written and found[1][2] in (f"{chromosome}p", f"{chromosome}q")
    require(written, text, "A recombinant is written as in rec(6)dup(6p)inv(6)(p22.2q25.2).")
    inversion = _read_operation(found[2], text, ())
    require(inversion.chromosomes == (chromosome,), text, "A recombinant names one chromosome throughout.")
    (upper, lower), twice = inversion.breakpoints, found[1][2][-1]
    ends = (("pter", lower), (upper, "pter")) if twice == "p" else (("qter", upper), (lower, "qter"))
    stretches = tuple((chromosome, *end) for end in ends)
    whole = f"rec({chromosome})dup({chromosome}{twice}){inversion.text}"
    return Part(whole, "", "rec", (chromosome,), inversion.breakpoints, stretches=(stretches,))


def _read_operation(match: re.Match, text: str, before: Sequence[Part]) -> Part:
    kind, chromosome_text, bands = _SPELT.get(match[1], match[1]), match[2], match[3]
    require(kind in (*_BREAKS, *_OF_SEVERAL, *_JOINED), text, _EXPECTED)
    if bands and "->" in bands:
        return _detailed(kind, match, text)
    if kind == "i" and bands is None and re.fullmatch(r"(\d{1,2}|[XY])[pq]", chromosome_text):  # i(17q)
        chromosome_text, bands = chromosome_text[:-1], f"{chromosome_text[-1]}10"
    chromosomes = tuple(
        _chromosome(name, text, unknown=kind in ("t", "ins")) for name in chromosome_text.split(";")
    )
    if bands is None:
        known = [
            p
            for part in before
            for p in (part, *part.operations)
            if (p.kind, p.chromosomes) == (kind, chromosomes) and not p.stretches
        ]
        if known:  # breakpoints are written once in a formula
            return _spell(kind, chromosomes, known[0].breakpoints)
        rule = f"Expected the bands where it is broken behind the chromosomes. Received none. {_FORM}"
        require(kind == "r", text, rule)
    return _checked(kind, chromosomes, _split_bands(bands or "", text), text)


def _checked(kind: str, chromosomes: tuple[str, ...], groups: list[list[str]], text: str) -> Part:
    """Check the grammar of one rearrangement and put it into normal form."""
    names, sizes = [name for group in groups for name in group], [len(group) for group in groups]
    if kind in _JOINED and (kind != "r" or len(chromosomes) > 1):
        form = {"trc": "trc(4;12;9)(q31.2;q22p13;q34)"}.get(kind, f"{kind}(1;3)(p36.1q23;p24q26.2)")
        whole = sizes == _JOINED[kind] and len(chromosomes) == len(sizes)
        require(whole, text, f"{kind} is written as in {form}.")
    elif kind in (*_OF_SEVERAL, "der"):
        what = "A translocation" if kind == "t" else kind
        rule = f"{what} names two or more chromosomes: t(9;22)(q34;q11.2)."
        require(len(chromosomes) > 1, text, rule)
        said = f"{len(chromosomes)} chromosomes but {len(names)} breakpoints"
        require(sizes == [1] * len(chromosomes), text, f"It names {said}: one each, parted by ';'.")
        if kind != "psu dic":  # whose first chromosome has the active centromere
            order = [(rank_chromosome(c), _band_key(n)) for c, n in zip(chromosomes, names, strict=True)]
            first = order.index(min(order))
            chromosomes = chromosomes[first:] + chromosomes[:first]
            names = names[first:] + names[:first]
    else:
        several = kind == "ins" and len(chromosomes) == 2
        if several and chromosomes[1] == UNKNOWN and groups[-1:] == [[UNKNOWN]]:  # ins(2;?)(q13;?)
            sizes, names = [sizes[0], 2], [*groups[0], UNKNOWN, UNKNOWN]
        rule = {"ins": "An insertion names one or two chromosomes: ins(5;2)(p14;q22q32)."}
        named = len(chromosomes) == 1 or several
        require(named, text, rule.get(kind, f"{kind} names one chromosome."))
        number = " or ".join(map(str, _BREAKS[kind])) + " bands"
        number = "two bands, the same one twice if need be" if _BREAKS[kind] == (2,) else number
        number += " without ';' between" * (not several)
        expected = [1, 2] if several else [len(names)] * bool(names)
        fits = len(names) in _BREAKS[kind] and expected == [size for size in sizes if size]
        received = ";".join("".join(group) for group in groups) or "none"
        require(fits, text, f"{kind} names {number}. Received {received}. {_FORM}")
        if kind in ("del", "inv", "r") and len(names) == 2:
            names.sort(key=_band_key)
        arms = [name[0] for name in names]
        one_arm = kind not in ("del", "dup", "trp", "qdp") or len({*arms}) == 1
        require(one_arm, text, f"{kind} names two bands of the same arm.")
        rule = "A ring names a break in p, then one in q, as in r(20)(p13q13.3)."
        require(kind != "r" or arms in ([], ["p", "q"]), text, rule)
    return _spell(kind, chromosomes, tuple(names))


def _spell(kind: str, chromosomes: tuple[str, ...], names: tuple[str, ...]) -> Part:
    if kind in (*_OF_SEVERAL, "der"):
        bands = ";".join(names)
    elif kind in _JOINED and len(chromosomes) > 1:
        each = iter(names)
        bands = ";".join("".join(islice(each, size)) for size in _JOINED[kind])
    else:
        bands = f"{names[0]};{''.join(names[1:])}" if len(chromosomes) == 2 else "".join(names)
    whole = f"{kind}({';'.join(chromosomes)}){f'({bands})' if bands else ''}".replace("??", UNKNOWN)
    return Part(whole, "", kind, chromosomes, names)


def _detailed(kind: str, match: re.Match, text: str) -> Part:
    """Read a change in the detailed system, as in der(9)(9pter->9q34::22q11.2->22qter)."""
    chromosomes = tuple(_chromosome(name, text) for name in match[2].split(";"))
    described = match[3].split(";")
    fits = len(described) == len(chromosomes) or (kind == "der" and len(described) == 1)
    require(fits, text, "Expected one description for each chromosome, parted by ';'.")
    whole = []
    for chromosome, told in zip(chromosomes, described, strict=False):
        stretches = []
        for piece in told.strip(":").split("::"):
            found = _STRETCH.fullmatch(piece)
            require(found, text, f"Expected stretches such as pter->q13. Received {piece!r}.")
            stretches.append((_chromosome(found[1] or chromosome, text), found[2], found[3]))
        whole.append(tuple(stretches))
    return Part(match[0], "", kind, chromosomes, stretches=tuple(whole))


def _split_bands(bands: str, text: str) -> list[list[str]]:
    """Bands of each chromosome: 'p14;q22q32' -> [['p14'], ['q22', 'q32']]."""
    groups = []
    for group in bands.split(";") if bands else []:
        names = re.findall(rf"{_BAND}|\?", group)
        rule = f"Expected bands such as q34 or q11.2. Received {bands!r}."
        require("".join(names) == group, text, rule)
        groups.append(names)
    return groups


def _band_key(name: str) -> tuple[str, float]:
    """Order of bands: p before q, from the centromere outwards."""
    return (name[0], float(name[1:])) if name != UNKNOWN else ("r", 0.0)


def rank_chromosome(chromosome: str) -> int:
    """Order of chromosomes in a formula: X, Y, 1 to 22, unknown."""
    return ("X", "Y", *CHROMOSOMES[:22], UNKNOWN).index(chromosome)


def _chromosome(name: str, text: str, unknown: bool = False) -> str:
    known = name in CHROMOSOMES or (unknown and name == UNKNOWN)
    require(known, text, f"Expected chromosomes from 1 to 22, X or Y. Received {name!r}.")
    return name
