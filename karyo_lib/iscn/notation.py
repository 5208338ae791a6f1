"""Text of a karyotype formula -> its parts, checked against the grammar of ISCN 2024.

Grammar and rules are those of ``iscn-authenticator``; this module takes care of what that library (0.2.1)
lets through or turns away wrongly, so that whatever leaves here is a list of parts that
`karyo_lib.iscn.edits` can apply.
"""

import re
from dataclasses import dataclass, field

from iscn_authenticator.engine import RuleEngine
from iscn_authenticator.models import Abnormality, KaryotypeAST
from iscn_authenticator.parser import KaryotypeParser, ParseError
from iscn_authenticator.rules.abnormality import ALL_ABNORMALITY_RULES
from iscn_authenticator.rules.chromosome import ALL_CHROMOSOME_RULES

from karyo_lib.iscn.bands import CHROMOSOMES, KaryotypeError

MAX_LENGTH = 1000
MAX_COUNT = 92

# Rules of the library that are replaced here: a cell with Y and a translocated X is "46,Y,t(X;18)(...)"; a
# ring may come without bands; and the count is summed over all parts in `karyo_lib.iscn.karyotype`.
_REPLACED_RULES = {"SEX_CHR_VALID", "SEX_CHR_COHERENCE", "ABN_RING_BP"}

_SUFFIX = re.compile(r"(?<=[)\dXYr])(dmat|dpat|dinh|dn|mat|pat|inh|c)$")
_TIMES = re.compile(r"(?<=[)\dXY])x(\d{1,2})$")
_NUMERICAL = re.compile(r"([+-])(\d{1,2}|[XY])")
_MARKER = re.compile(r"\+(\d{0,2})(mar\d{0,2}|r\d{0,2})")
_DERIVATIVE = re.compile(r"(i?der)\(([^()]*)\)((?:\([^()]*\))?)(.*)")
_OPERATION = re.compile(r"[a-z]+\([^()]*\)(?:\([^()]*\))?")
# multiplication sign, minus sign and en dash, as pasted from a typeset report
_TYPED = str.maketrans({"\u00d7": "x", "\u2212": "-", "\u2013": "-"})
_CELL_COUNT = re.compile(r"\[(?:cp)?\d+\]$")
_COUNT = re.compile(r"(\d{2,3})(?:<([1-4])n>)?")

_FORM = "Changes are written as in t(9;22)(q34;q11.2), del(5)(q13q33) or inv(9)(p11q13)."
_SUPPORTED = ("del", "dup", "trp", "qdp", "inv", "t", "rob", "ins", "i", "idic", "dic", "psu dic", "r", "add")


@dataclass(frozen=True)
class Part:
    """One part of a formula: "+21", "del(5)(q13q33)", "der(9)del(9)(p12)t(9;22)(q34;q11.2)".

    Attributes
    ----------
    text : str
        As written, without inheritance suffix.
    sign : str
        '+', '-' or ''.
    kind : str
        'number' (a whole chromosome gained or lost), 'mar', 'der', 'ider', or the ISCN symbol: 'del', 't'.
    chromosomes : tuple of str
    breakpoints : tuple of str
        Band names with their arm, in the order written.
    copies : int
        How many chromosomes the part stands for ("x2", "+2mar").
    operations : tuple of Part
        For derivative chromosomes, what made them, in the order written.
    """

    text: str
    sign: str
    kind: str
    chromosomes: tuple[str, ...]
    breakpoints: tuple[str, ...] = ()
    copies: int = 1
    operations: tuple["Part", ...] = ()


@dataclass(frozen=True)
class CellLine:
    """One cell line of a formula, parts unapplied.

    Attributes
    ----------
    formula : str
        Its text, ``idem`` and ``sl`` written out, without the number of cells.
    count : int
        Stated number of chromosomes.
    ploidy : int
        Chromosome sets that gains and losses are counted against, 1 to 4.
    sex : str
        The normal sex chromosomes as written, '' where all are rearranged.
    constitutional_sex : bool
        The sex chromosomes carry a 'c': the complement of the person, against which '+X' or '-X' count.
    parts : tuple of Part
    """

    formula: str
    count: int
    ploidy: int
    sex: str
    constitutional_sex: bool
    parts: tuple[Part, ...] = field(default=())


def read_cell_lines(formula: str) -> tuple[CellLine, ...]:
    """Read a karyotype formula.

    Parameters
    ----------
    formula : str
        ISCN text; cell lines parted by '/', if need be with 'mos ' or 'chi ' before and cell numbers behind.

    Returns
    -------
    tuple of CellLine
        One, or those of a mosaic in the order written.

    Raises
    ------
    KaryotypeError
        Naming the part and the rule, for anything that is not a formula this package can apply.
    """
    return tuple(_read_line(tokens) for tokens in _split(formula))


def _read_line(tokens: list[str]) -> CellLine:
    count_text, sex_text, part_texts = _head(tokens)
    count, ploidy = _count(count_text)
    sex, constitutional = _sex(sex_text)
    _check_grammar(f"{count},X", count_text)
    earlier: dict[str, str] = {}
    parts = tuple(_read_part(text, earlier) for text in part_texts)
    return CellLine(",".join(tokens), count, ploidy, sex, constitutional, parts)


def _split(formula: str) -> list[list[str]]:
    """Comma-separated tokens of each cell line, `idem` and `sl` replaced by what they stand for."""
    if not isinstance(formula, str) or not formula.strip():
        raise KaryotypeError(
            str(formula), "Expected a karyotype formula such as '47,XY,+21'. Received no text."
        )
    if len(formula) > MAX_LENGTH:
        rule = f"Expected at most {MAX_LENGTH} characters. Received {len(formula)}."
        raise KaryotypeError(f"{formula[:40]}...", rule)
    text = re.sub(r"^\s*(mos|chi)\s", "", formula.translate(_TYPED)).replace("//", "/").strip(" \t/")
    if foreign := [character for character in text if not character.isascii()]:
        raise KaryotypeError(
            foreign[0], "Expected plain letters, digits and signs. Received another character."
        )
    lines: list[list[str]] = []
    for line in re.sub(r"\s+", "", text).replace("psudic(", "psu dic(").split("/"):
        tokens = _CELL_COUNT.sub("", line).split(",")
        if len(tokens) < 2:
            raise KaryotypeError(
                line or formula,
                "Expected chromosome count and sex chromosomes parted by a comma, as in '46,XX'.",
            )
        if tokens[1] in ("idem", "sl", "sdl"):
            if not lines:
                raise KaryotypeError(tokens[1], "It repeats an earlier cell line, but this is the first.")
            origin = lines[-1] if tokens[1] == "sdl" else lines[0]
            tokens = [tokens[0], *origin[1:], *tokens[2:]]
        lines.append(tokens)
    return lines


def _head(tokens: list[str]) -> tuple[str, str, list[str]]:
    """Count, sex chromosomes (absent if all are rearranged) and the remaining parts."""
    if re.fullmatch("[XYxy]*[xy][XYxy]*", tokens[1]):
        rule = f"Sex chromosomes are written in capitals: {tokens[1].upper()}."
        raise KaryotypeError(tokens[1], rule)
    if re.fullmatch(r"[A-Z]+[a-z]?", tokens[1]):
        return tokens[0], tokens[1], tokens[2:]
    return tokens[0], "", tokens[1:]


def _count(text: str) -> tuple[int, int]:
    match = _COUNT.fullmatch(text)
    if not match:
        raise KaryotypeError(
            text or ",",
            "Expected one chromosome count such as 46; ranges, 'inc' and composite counts cannot be drawn.",
        )
    count = int(match[1])
    return count, int(match[2]) if match[2] else usual_sets(count)


def usual_sets(count: int) -> int:
    """Sets of a cell whose formula names none; modal numbers of ISCN: up to 34 haploid, 35-57 diploid, 58-80
    triploid, 81-103 tetraploid."""
    return 1 + (count > 34) + (count > 57) + (count > 80)


def _sex(text: str) -> tuple[str, bool]:
    constitutional = text.endswith("c")
    sex = text.removesuffix("c")
    if not re.fullmatch("X*Y*", sex):
        rule = "Expected the sex chromosomes as X and Y, X first; an undisclosed sex (U) cannot be drawn."
        raise KaryotypeError(text, rule)
    return sex, constitutional


def _read_part(text: str, earlier: dict[str, str]) -> Part:
    if not text:
        raise KaryotypeError(",", "Expected a part after each comma. Received none.")
    if text.startswith("?") or "~" in text or "?" in text.replace("r(?)", ""):
        raise KaryotypeError(
            text, "An uncertain part ('?', '~') cannot be drawn; write the most likely reading."
        )
    if text.count("(") != text.count(")"):
        raise KaryotypeError(
            text,
            "Expected a ')' for every '('; chromosomes and bands stand in parentheses, parted by ';', as in "
            "t(9;22)(q34;q11.2).",
        )
    body, copies = _strip_modifiers(text)
    if match := _NUMERICAL.fullmatch(body):
        _check_grammar(f"46,XX,{body}", text)
        return Part(body, match[1], "number", (_chromosome(match[2], text),), copies=copies)
    if match := _MARKER.fullmatch(body):
        copies = int(match[1] or 1) * copies
        if not 1 <= copies <= MAX_COUNT:
            raise KaryotypeError(text, f"Expected 1 to {MAX_COUNT} markers.")
        return Part(body, "+", "mar" if match[2].startswith("mar") else "r", ("?",), copies=copies)
    sign = body[0] if body[0] in "+-" else ""
    if sign == "-":
        raise KaryotypeError(
            text, "Only a whole normal chromosome can be lost; write the karyotype that is left."
        )
    body = body.removeprefix("+")
    return _read_derivative(body, sign, copies, text, earlier) or _read_operation(
        body, sign, copies, text, earlier
    )


def _strip_modifiers(text: str) -> tuple[str, int]:
    """Text without inheritance ('mat', 'dn', 'c') and multiplicity ('x2'), and the multiplicity."""
    body = _SUFFIX.sub("", text)
    match = _TIMES.search(body)
    copies = int(match[1]) if match else 1
    if not 1 <= copies <= MAX_COUNT:
        raise KaryotypeError(text, f"Expected 'x2' to 'x{MAX_COUNT}'.")
    return _TIMES.sub("", body), copies


def _read_derivative(body: str, sign: str, copies: int, text: str, earlier: dict[str, str]) -> Part | None:
    match = _DERIVATIVE.fullmatch(body)
    if not match:
        return None
    kind, chromosome_text, breakpoint_text, rest = match.groups()
    chromosomes = tuple(_chromosome(name, text) for name in chromosome_text.split(";"))
    if len(chromosomes) > 1 and not rest and kind == "der":
        # der(14;21)(q10;q10): a whole-arm translocation, the grammar of t
        operation = _read_operation(f"t({chromosome_text}){breakpoint_text}", "", 1, text, earlier)
        return Part(body, sign, "der", chromosomes, operation.breakpoints, copies)
    operations = _OPERATION.findall(rest)
    if len(chromosomes) != 1 or not operations or "".join(operations) != rest:
        raise KaryotypeError(
            text,
            "Expected der(A) followed by the changes that made it, as in der(22)t(9;22)(q34;q11.2), or a "
            "whole-arm der(A;B)(q10;q10).",
        )
    if (kind == "ider") != (breakpoint_text in ("(p10)", "(q10)")):
        raise KaryotypeError(text, "ider names its centromere, ider(22)(q10)t(9;22)(...); der does not.")
    return Part(
        body,
        sign,
        kind,
        chromosomes,
        (breakpoint_text.strip("()"),) if kind == "ider" else (),
        copies,
        tuple(_read_operation(operation, "", 1, text, earlier) for operation in operations),
    )


def _read_operation(body: str, sign: str, copies: int, text: str, earlier: dict[str, str]) -> Part:
    """Read one rearrangement such as t(9;22)(q34;q11.2) with the library."""
    if body in earlier:  # breakpoints are written once in a formula: +der(22)t(9;22) after t(9;22)(q34;q11.2)
        body = earlier[body]
    # the library passes over empty parts
    node = _parse(f"46,XX,{body}", text).abnormalities[0] if body else None
    if node is None or node.type not in _SUPPORTED:
        raise KaryotypeError(
            text,
            f"Expected one of {', '.join(_SUPPORTED)}, der, mar or +/- a chromosome. Received a part that "
            f"cannot be applied. {_FORM}",
        )
    _check_grammar(f"46,XX,{body}", text)
    if node.type == "t" and node.chromosome.count(";") < 1:
        raise KaryotypeError(text, "A translocation names two or more chromosomes: t(9;22)(q34;q11.2).")
    if node.type == "ins" and node.chromosome.count(";") > 1:
        raise KaryotypeError(text, "An insertion names one or two chromosomes: ins(5;2)(p14;q22q32).")
    head, bands, _ = body.partition(")(")
    if bands:
        earlier.setdefault(f"{head})", body)
    chromosomes = tuple(_chromosome(name, text) for name in node.chromosome.split(";"))
    return Part(body, sign, node.type, chromosomes, _breakpoints(node, body, text), copies)


def _breakpoints(node: Abnormality, body: str, text: str) -> tuple[str, ...]:
    names = tuple(
        f"{bp.arm}{bp.region}{bp.band}" + (f".{bp.subband}" if bp.subband else "") for bp in node.breakpoints
    )
    # The library reads "q1" as region 1, band 0, which is q10, the centromere.
    _, _, written = body.partition(")(")
    if written and "".join(names) != written.strip("()").replace(";", ""):
        raise KaryotypeError(text, f"Expected bands such as q34 or q11.2. Received {written.strip('()')!r}.")
    return names


def _chromosome(name: str, text: str) -> str:
    if name not in CHROMOSOMES:
        raise KaryotypeError(text, f"Expected chromosomes from 1 to 22, X or Y. Received {name!r}.")
    return name


def _parse(formula: str, part: str) -> KaryotypeAST:
    try:
        return _parser.parse(formula)
    except ParseError as error:
        raise KaryotypeError(part, f"{error}. {_FORM}") from error


def _check_grammar(formula: str, part: str) -> None:
    """Apply the library's rules to a formula; `part` is what the message names."""
    errors = _rules.validate(_parse(formula, part)).errors
    if errors:
        raise KaryotypeError(part, "; ".join(errors) + ".")


_parser = KaryotypeParser()
_rules = RuleEngine()
_rules.add_rules([rule for rule in ALL_CHROMOSOME_RULES if rule.id not in _REPLACED_RULES])
_rules.add_abnormality_rules([rule for rule in ALL_ABNORMALITY_RULES if rule.id not in _REPLACED_RULES])
