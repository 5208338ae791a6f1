"""Text of a karyotype formula -> its parts in the normal form of ISCN 2024, with notes on what was put right.
`karyo_lib.iscn.edits` can apply them, or they are kept and not drawn; `karyo_lib.iscn.writing` is the
inverse."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from karyo_lib.iscn.bands import require
from karyo_lib.iscn.operations import Part, read_change
from karyo_lib.iscn.sidelines import double, lose, undo
from karyo_lib.iscn.writing import sort_parts, usual_sets, write_line

MAX_LENGTH = 1000
MAX_COUNT = 200  # an octaploid cell has 184 chromosomes

_TECHNIQUES = r"(?:nuc ish|ish|arr|rsa|ogm|s?seq|fsh)\b"
_TAIL = re.compile(rf"\s*\.\s*({_TECHNIQUES}.*)$", re.DOTALL)
# multiplication sign, minus sign, en dash and arrow, as pasted from a typeset report
_TYPED = str.maketrans({"\u00d7": "x", "\u2212": "-", "\u2013": "-", "\u2192": "->"})
_CELLS = re.compile(r"\[(?:cp)?[\d~/]+\]$")
_COUNT = re.compile(r"(\d{1,3})(?:[~-](\d{1,3}))?(?:<([1-8])n>)?")
_ORIGIN = re.compile(r"(idem|sl|sdl)(\d*)(?:x(\d))?")


@dataclass(frozen=True)
class CellLine:
    """One cell line of a formula, in normal form, its parts unapplied."""

    # Stated number of chromosomes, and the upper end of a range ('45~48'; equal to `count` without one).
    count: int
    most: int
    ploidy: int  # chromosome sets that gains and losses are counted against, 1 to 8
    sex: str  # the normal sex chromosomes as written, '' where all are rearranged
    # The sex chromosomes carry a 'c': the complement of the person, against which '+X' or '-X' count.
    constitutional_sex: bool = False
    # In the order of ISCN; those of an earlier line (``idem``, ``sl``, ``sdl``) written out.
    parts: tuple[Part, ...] = ()
    incomplete: bool = False  # the formula says 'inc'
    tail: str = ""  # what another technique saw: 'ish del(22)(q11.2q11.2)(D22S75-)'
    # What was put right or is not drawn, for the user.
    notes: tuple[str, ...] = field(default=(), compare=False)
    # Whether the sets are written, or follow from an earlier line.
    ploidy_given: bool = field(default=False, compare=False)

    @property
    def normal_sex(self) -> str:
        """Sex chromosomes of normal structure, those named by what is not drawn included: 46,X,Yqh+."""
        missing = self.ploidy - len([*self.sex, *rearranged_sex(self.parts), *explicit_sex(self.parts, "-")])
        hidden = [p.chromosomes[0] for p in self.parts if not p.drawn and p.chromosomes[0] in ("X", "Y")]
        return "".join(sorted([*self.sex, *hidden[: max(0, missing)]]))

    @property
    def formula(self) -> str:
        """The line as text, in normal form."""
        return write_line(self)


def read_cell_lines(formula: str) -> tuple[CellLine, ...]:
    """Cell lines of a formula, in the order written."""
    text = _clean(formula)
    lines: list[CellLine] = []
    for written in re.split(r"/+", text):
        if lines and re.match(_TECHNIQUES, written.strip()):
            continue  # cells of another technique behind those that were banded
        lines.append(_read_line(written, formula, lines))
    return tuple(lines)


def _clean(formula: str) -> str:
    rule = "Expected a karyotype formula such as '47,XY,+21'. Received no text."
    require(isinstance(formula, str) and formula.strip(), str(formula), rule)
    rule = f"Expected at most {MAX_LENGTH} characters. Received {len(formula)}."
    require(len(formula) <= MAX_LENGTH, f"{formula[:40]}...", rule)
    text = re.sub(r"^\s*(mos|chi)\s", "", formula.translate(_TYPED)).strip(" \t\r\n/")
    foreign = re.search(r"[^\x00-\x7f]", text) or [""]
    require(
        text.isascii(), foreign[0], "Expected plain letters, digits and signs. Received another character."
    )
    technique = re.match(_TECHNIQUES, text)
    rule = (
        "Expected a banded karyotype such as '47,XY,+21'. Received the result of another technique, "
        "which names no whole chromosomes."
    )
    require(not technique, technique[0] if technique else "", rule)
    return text


def _read_line(written: str, formula: str, lines: list[CellLine]) -> CellLine:
    tail = _TAIL.search(written)
    notes = [f"'.{tail[1]}' is another technique: kept, not drawn"] if tail else []
    text = re.sub(r"\s+or\s+", "|", written[: tail.start()] if tail else written)
    head, *tokens = _CELLS.sub("", re.sub(r"\s+", "", text)).split(",")
    rule = "Expected chromosome count and sex chromosomes parted by a comma, as in '46,XX'."
    require(tokens, written.strip() or formula, rule)
    count, most, ploidy = _count(head)
    line = CellLine(
        count, most, ploidy or usual_sets(count), "", tail=tail[1] if tail else "", ploidy_given=bool(ploidy)
    )
    parts: list[Part] = []
    if match := _ORIGIN.fullmatch(tokens[0]):
        origin = _origin(match, lines)
        times = int(match[3] or 1)
        parts = double(origin.parts, times)
        line = replace(
            line, sex="".join(sorted(origin.sex * times)), constitutional_sex=origin.constitutional_sex,
            ploidy=ploidy or origin.ploidy * times, ploidy_given=True, incomplete=origin.incomplete,
        )  # fmt: skip
        tokens = tokens[1:]
    else:
        sex, constitutional, tokens = _sex(tokens)
        line = replace(line, sex=sex, constitutional_sex=constitutional)
    if most > count:
        notes.append(f"a range of counts, {count}~{most}: one cell is drawn")
    return _add_parts(line, tokens, parts, notes, derived=bool(match))


def _add_parts(
    line: CellLine, tokens: Iterable[str], inherited: list[Part], notes: list[str], derived: bool
) -> CellLine:
    parts = list(inherited)
    for token in tokens:
        if token == "inc":
            line = replace(line, incomplete=True)
            notes.append("'inc': the formula is incomplete, what is written is drawn")
            continue
        text = _CELLS.sub("", token)
        if text != token:
            notes.append("a part is of some cells only: drawn as in all")
        part, said = read_change(text, parts)
        notes += said
        rule = f"Expected 1 to {MAX_COUNT} of it. Received {part.copies}."
        require(1 <= part.copies <= MAX_COUNT, text, rule)
        for _ in range(part.copies):
            line, parts = _add_part(line, parts, replace(part, copies=1), notes, derived)
    return replace(line, parts=sort_parts(parts), notes=tuple(dict.fromkeys(notes)))


def _add_part(
    line: CellLine, parts: list[Part], part: Part, notes: list[str], derived: bool
) -> tuple[CellLine, list[Part]]:
    if part.kind == "lost":
        return line, lose(parts, part)
    sexual = derived and part.kind == "number" and part.chromosomes[0] in ("X", "Y")
    if (left := undo(parts, part)) is not None:
        if sexual and part.sign == "+":  # the '-Y' of the stemline is undone
            line = replace(line, sex="".join(sorted(line.sex + part.chromosomes[0])))
        elif not derived:
            notes.append(f"{part.sign}{part.text} undoes a part before it: both are left out")
        return line, left
    if sexual and part.sign == "-" and not line.constitutional_sex:
        return _lose_sex(line, part, parts)
    return line, [*parts, part]


def _lose_sex(line: CellLine, part: Part, parts: list[Part]) -> tuple[CellLine, list[Part]]:
    """Take the X or Y that a sideline lost out of the normal ones written for its stemline."""
    (name,) = part.chromosomes
    rule = f"No normal chromosome {name} is left to be lost or rearranged."
    require(name in line.sex, f"-{name}", rule)
    written = [*line.sex, *rearranged_sex(parts), *explicit_sex(parts, "-")]
    line = replace(line, sex=line.sex.replace(name, "", 1))
    # 47,XXY loses what its complement shows; 46,XY a part of its own, 45,X,-Y
    return line, parts if len(written) > line.ploidy else [*parts, part]


def rearranged_sex(parts: Iterable[Part]) -> list[str]:
    """Sex chromosomes that rearrangements use up; the formula does not write them among the normal ones."""
    return _sex_of(p for p in parts if p.drawn and p.kind not in ("number", "mar") and p.sign != "+")


def explicit_sex(parts: Iterable[Part], sign: str) -> list[str]:
    """Sex chromosomes gained ('+') or lost ('-') as parts of their own."""
    return _sex_of(part for part in parts if part.kind == "number" and part.sign == sign)


def _sex_of(parts: Iterable[Part]) -> list[str]:
    return [name for part in parts for name in part.chromosomes * part.copies if name in ("X", "Y")]


def _origin(match: re.Match, lines: list[CellLine]) -> CellLine:
    """The line that idem, sl2 or sdl1 stands for: sl and idem count stemlines, sdl1 is the second line."""
    name, number = match[1], int(match[2] or 0)
    place = {"sdl": number if number else len(lines) - 1}.get(name, max(number - 1, 0))
    require(lines, match[0], "It repeats an earlier cell line, but this is the first.")
    require(place < len(lines), match[0], f"Expected one of the {len(lines)} cell lines before it.")
    return lines[place]


def _count(text: str) -> tuple[int, int, int]:
    """Stated count, its upper end, and sets (0 if none are written)."""
    match = _COUNT.fullmatch(text)
    rule = "Expected a chromosome count first, such as 46, 45~48 or 59<2n>, then a comma."
    require(match, text or ",", rule)
    count, most = int(match[1]), int(match[2] or match[1])
    rule = f"outside the range of chromosome counts, 1 to {MAX_COUNT}, the lower one first."
    require(1 <= count <= most <= MAX_COUNT, text, rule)
    return count, most, int(match[3] or 0)


def _sex(tokens: list[str]) -> tuple[str, bool, list[str]]:
    """Sex chromosomes (absent if all are rearranged), whether constitutional, and the remaining parts."""
    text = tokens[0]
    small = re.fullmatch("[XYxy]*[xy][XYxy]*", text)
    require(not small, text, f"Sex chromosomes are written in capitals: {text.upper()}.")
    if not re.fullmatch(r"[A-Z?]+c?", text):
        return "", False, tokens
    sex = text.removesuffix("c")
    rule = "Expected the sex chromosomes as X and Y, X first; an undisclosed sex (U) cannot be drawn."
    require(re.fullmatch("X*Y*", sex), text, rule)
    return sex, text.endswith("c"), tokens[1:]
