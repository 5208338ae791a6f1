"""One part of a formula, such as t(9;22)(q34;q11.2): read, checked, put into normal form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from karyo_lib.iscn.bands import CHROMOSOMES, UNKNOWN, KaryotypeError

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
    "psudic": "psu dic",
    "psuidic": "psu idic",
    "iso": "i",
    "isodic": "idic",
    "dirdup": "dup",
    "dicr": "dic r",
}

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
    if kind != "inv" or chromosomes[0] not in _NORMAL_INVERSIONS:
        return False
    return all(
        band.split(".")[0] in allowed
        for band, allowed in zip(breakpoints, _NORMAL_INVERSIONS[chromosomes[0]], strict=True)
    )


def read_change(text: str, before: Sequence[Part]) -> tuple[Part, list[str]]:
    """Read one part, without spaces and with ' or ' as '|', and notes on what was put right, is taken as
    certain, or is not drawn. Breakpoints may stand in parts ``before``: +der(22)t(9;22) after
    t(9;22)(q34;q11.2)."""
    if not text:
        raise KaryotypeError(",", "Expected a part after each comma. Received none.")
    if text.count("(") != text.count(")"):
        raise KaryotypeError(
            text,
            "Expected a ')' for every '('; chromosomes and bands stand in parentheses, parted by ';', as in "
            "t(9;22)(q34;q11.2).",
        )
    certain = _read_as(text)
    shown = text.replace("|", " or ")
    if not certain.strip("+-"):
        raise KaryotypeError(shown, _EXPECTED)
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
        remedy = (
            f"del({match[1]})({match[2]}...) with its band"
            if match[3] == "-"
            else "what was added, as in add(14)(q32)"
        )
        raise KaryotypeError(
            text, f"Expected a change with its bands. Received the old way to write it: write {remedy}."
        )
    sign = body[0] if body[0] in "+-" else ""
    part = _read_chromosomes(body.removeprefix(sign), text, before)
    if sign == "-":
        return replace(part, sign="", kind="lost"), []
    unseen = [o.text for o in part.operations if not o.drawn]
    return replace(part, sign=sign), [f"{text}: kept, not drawn" for text in unseen]


def _read_chromosomes(body: str, text: str, before: Sequence[Part]) -> Part:
    """Read a rearrangement or a derivative chromosome."""
    found = list(_OPERATION.finditer(body))
    if not found or "".join(match[0] for match in found) != body:
        raise KaryotypeError(text, _EXPECTED)
    kind = found[0][1]
    if kind not in ("der", "ider", "rec"):
        if len(found) > 1:
            rule = f"Expected der(A) before several changes of one chromosome, as in der(1){body}."
            raise KaryotypeError(text, rule)
        return _read_operation(found[0], text, before)
    names, bands = found[0][2].split(";"), found[0][3] or ""
    chromosomes = tuple(_chromosome(name, text, unknown=names == [UNKNOWN]) for name in names)
    if "->" in bands and len(found) == 1:
        return _detailed(kind, found[0], text)
    if kind == "rec":
        return _recombinant(found, chromosomes[0], text)
    operations = tuple(_read_operation(match, text, before) for match in found[1:])
    if len(chromosomes) == 2 and kind == "der" and not bands and operations:  # der(5;7)t(5;7)(q22;p13)
        whole = found[0][0] + "".join(operation.text for operation in operations)
        return Part(whole, "", "der", chromosomes, operations=operations)
    if len(chromosomes) == 2 and kind == "der" and not operations and not set(bands) & set("0?"):
        return _checked("dic", chromosomes, _split_bands(bands, text), text)
    if len(chromosomes) == 2 and kind == "der":
        joined = _checked("der", chromosomes, _split_bands(bands, text), text)
        return replace(joined, operations=operations, text=joined.text + "".join(o.text for o in operations))
    if chromosomes == (UNKNOWN,) and kind == "der" and not bands:  # a marker that something is joined to
        if any(o.kind != "t" or UNKNOWN not in o.chromosomes for o in operations):
            raise KaryotypeError(text, "What is joined to it is written as in der(?)t(?;9)(?;q22).")
        whole = found[0][0] + "".join(operation.text for operation in operations)
        return Part(whole, "", "der", chromosomes, operations=operations)
    if not operations and kind == "der" and not bands and len(chromosomes) == 1:
        operations = _derivative_before(chromosomes[0], before)
    if len(chromosomes) != 1 or not operations:
        raise KaryotypeError(
            text,
            "Expected der(A) followed by the changes that made it, as in der(22)t(9;22)(q34;q11.2), or a "
            "whole-arm der(A;B)(q10;q10).",
        )
    if (kind == "ider") != (bands in ("p10", "q10")):
        raise KaryotypeError(text, "ider names its centromere, ider(22)(q10)t(9;22)(...); der does not.")
    written = f"{kind}({chromosomes[0]}){f'({bands})' if bands else ''}"
    whole = written + "".join(operation.text for operation in operations)
    return Part(whole, "", kind, chromosomes, (bands,) if bands else (), operations=operations)


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
    if [match[1] for match in found] != ["rec", "dup", "inv"] or found[1][2] not in (
        f"{chromosome}p",
        f"{chromosome}q",
    ):
        raise KaryotypeError(text, "A recombinant is written as in rec(6)dup(6p)inv(6)(p22.2q25.2).")
    inversion = _read_operation(found[2], text, ())
    if inversion.chromosomes != (chromosome,):
        raise KaryotypeError(text, "A recombinant names one chromosome throughout.")
    (upper, lower), twice = inversion.breakpoints, found[1][2][-1]
    ends = (("pter", lower), (upper, "pter")) if twice == "p" else (("qter", upper), (lower, "qter"))
    stretches = tuple((chromosome, *end) for end in ends)
    whole = f"rec({chromosome})dup({chromosome}{twice}){inversion.text}"
    return Part(whole, "", "rec", (chromosome,), inversion.breakpoints, stretches=(stretches,))


def _read_operation(match: re.Match, text: str, before: Sequence[Part]) -> Part:
    """Read one rearrangement such as t(9;22)(q34;q11.2)."""
    kind, chromosome_text, bands = _SPELT.get(match[1], match[1]), match[2], match[3]
    if kind not in _BREAKS and kind not in _OF_SEVERAL and kind not in _JOINED:
        raise KaryotypeError(text, _EXPECTED)
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
        if kind != "r":
            rule = f"Expected the bands where it is broken behind the chromosomes. Received none. {_FORM}"
            raise KaryotypeError(text, rule)
    return _checked(kind, chromosomes, _split_bands(bands or "", text), text)


def _checked(kind: str, chromosomes: tuple[str, ...], groups: list[list[str]], text: str) -> Part:
    """Check the grammar of one rearrangement and put it into normal form."""
    names = [name for group in groups for name in group]
    if kind in _JOINED and (kind != "r" or len(chromosomes) > 1):
        if [len(group) for group in groups] != (sizes := _JOINED[kind]) or len(chromosomes) != len(sizes):
            form = {"trc": "trc(4;12;9)(q31.2;q22p13;q34)"}.get(kind, f"{kind}(1;3)(p36.1q23;p24q26.2)")
            raise KaryotypeError(text, f"{kind} is written as in {form}.")
        return _spell(kind, chromosomes, tuple(names))
    if kind in (*_OF_SEVERAL, "der"):
        if len(chromosomes) < 2:
            what = "A translocation" if kind == "t" else f"{kind}"
            rule = f"{what} names two or more chromosomes: t(9;22)(q34;q11.2)."
            raise KaryotypeError(text, rule)
        if [len(group) for group in groups] != [1] * len(chromosomes):
            said = f"{len(chromosomes)} chromosomes but {len(names)} breakpoints"
            rule = f"It names {said}: one each, parted by ';'."
            raise KaryotypeError(text, rule)
        if kind != "psu dic":  # whose first chromosome has the active centromere
            first = min(
                range(len(names)), key=lambda i: (rank_chromosome(chromosomes[i]), _band_key(names[i]))
            )
            chromosomes = chromosomes[first:] + chromosomes[:first]
            names = names[first:] + names[:first]
    else:
        sizes = [1, 2] if kind == "ins" and len(chromosomes) == 2 else None
        if sizes and chromosomes[1] == UNKNOWN and groups[-1:] == [[UNKNOWN]]:  # ins(2;?)(q13;?)
            groups, names = [groups[0], [UNKNOWN] * 2], [*groups[0], UNKNOWN, UNKNOWN]
        if len(chromosomes) > (2 if kind == "ins" else 1):
            rule = {"ins": "An insertion names one or two chromosomes: ins(5;2)(p14;q22q32)."}
            raise KaryotypeError(text, rule.get(kind, f"{kind} names one chromosome."))
        if len(names) not in _BREAKS[kind] or (sizes or [len(names)] * bool(names)) != [
            len(g) for g in groups if g
        ]:
            number = (
                "two bands, the same one twice if need be"
                if _BREAKS[kind] == (2,)
                else (" or ".join(map(str, _BREAKS[kind])) + " bands")
            )
            raise KaryotypeError(text, f"{kind} names {number}. Received {len(names)}. {_FORM}")
        if kind in ("del", "inv", "r") and len(names) == 2:
            names.sort(key=_band_key)
        if kind in ("del", "dup", "trp", "qdp") and len({name[0] for name in names}) > 1:
            raise KaryotypeError(text, f"{kind} names two bands of the same arm.")
        if kind == "r" and names and [name[0] for name in names] != ["p", "q"]:
            raise KaryotypeError(text, "A ring names a break in p, then one in q, as in r(20)(p13q13.3).")
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
    if len(described) not in (1, len(chromosomes)) or (kind != "der" and len(described) != len(chromosomes)):
        raise KaryotypeError(text, "Expected one description for each chromosome, parted by ';'.")
    whole = []
    for chromosome, told in zip(chromosomes, described, strict=False):
        stretches = []
        for piece in told.strip(":").split("::"):
            found = _STRETCH.fullmatch(piece)
            if not found:
                raise KaryotypeError(text, f"Expected stretches such as pter->q13. Received {piece!r}.")
            stretches.append((_chromosome(found[1] or chromosome, text), found[2], found[3]))
        whole.append(tuple(stretches))
    return Part(match[0], "", kind, chromosomes, stretches=tuple(whole))


def _split_bands(bands: str, text: str) -> list[list[str]]:
    """Bands of each chromosome: 'p14;q22q32' -> [['p14'], ['q22', 'q32']]."""
    groups = []
    for group in bands.split(";") if bands else []:
        names = re.findall(rf"{_BAND}|\?", group)
        if "".join(names) != group:
            raise KaryotypeError(text, f"Expected bands such as q34 or q11.2. Received {bands!r}.")
        groups.append(names)
    return groups


def _band_key(name: str) -> tuple[str, float]:
    """Order of bands: p before q, from the centromere outwards."""
    return (name[0], float(name[1:])) if name != UNKNOWN else ("r", 0.0)


def rank_chromosome(chromosome: str) -> int:
    """Order of chromosomes in a formula: X, Y, 1 to 22, unknown."""
    return ("X", "Y", *CHROMOSOMES[:22], UNKNOWN).index(chromosome)


def _chromosome(name: str, text: str, unknown: bool = False) -> str:
    if name not in CHROMOSOMES and not (unknown and name == UNKNOWN):
        raise KaryotypeError(text, f"Expected chromosomes from 1 to 22, X or Y. Received {name!r}.")
    return name
