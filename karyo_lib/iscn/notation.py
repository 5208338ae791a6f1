"""Text of a karyotype formula -> its parts in the normal form of ISCN 2024, with notes on what was put right.
`karyo_lib.iscn.edits` can apply them, or they are kept and not drawn; `write_line` is the inverse."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from karyo_lib.iscn.bands import KaryotypeError, require
from karyo_lib.iscn.operations import UNKNOWN, Part, rank_chromosome, read_change

MAX_LENGTH = 1000
MAX_COUNT = 200  # an octaploid cell has 184 chromosomes

_TECHNIQUES = r"(?:nuc ish|ish|arr|rsa|ogm|s?seq|fsh)\b"
_TAIL = re.compile(rf"\s*\.\s*({_TECHNIQUES}.*)$", re.DOTALL)
# multiplication sign, minus sign, en dash and arrow, as pasted from a typeset report
_TYPED = str.maketrans({"\u00d7": "x", "\u2212": "-", "\u2013": "-", "\u2192": "->"})
# chromosomes or their bands parted by another sign than ';'
_NAME = r"(?:\d{1,2}|[XY]|[pq]\d[\d.]*)"
_SLIP = re.compile(rf"\({_NAME}(?:[;:,/]{_NAME})+\)")
_CELLS = re.compile(r"\[(?:cp)?[\d~/]+\]$")
_LAST = {"r": 0, "mar": 1, "dmin": 2}  # of unknown origin
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
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was put right or is not drawn
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
    for written in _SLIP.findall(re.sub(r"\s+", "", text)):
        meant = re.sub("[:,/]", ";", written)
        require(written == meant, written, f"Chromosomes and their bands are parted by ';': {meant}.")
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
    parted = re.search(r"\d\s+\d", text) or [""]
    require(not parted[0], parted[0], "Expected one formula at a time, and no blank within a number.")
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
        parts = [replace(p, copies=p.copies * times) if p.drawn else p for p in origin.parts]
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
        return line, _lose(parts, part)
    sexual = derived and part.kind == "number" and part.chromosomes[0] in ("X", "Y")
    if (left := _undo(parts, part)) is not None:
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


def _undo(parts: Sequence[Part], part: Part) -> list[Part] | None:
    """Parts without the gain or loss that a part undoes (+8 and -8); None if there is none."""
    for place, other in enumerate(parts):
        if (
            {other.kind, part.kind} == {"number"}
            and other.chromosomes == part.chromosomes
            and (other.suffix, other.sign) == (part.suffix, {"+": "-", "-": "+"}[part.sign])
        ):
            return _less(parts, place)
    return None


def _lose(parts: Sequence[Part], lost: Part) -> list[Part]:
    """Parts of a line that no longer has an abnormal chromosome: idem,-der(22)t(9;22)."""
    for place, part in enumerate(parts):
        if part.text == lost.text and part.drawn:
            homes = part.chromosomes * (part.sign != "+" and part.chromosomes != (UNKNOWN,))
            return [*_less(parts, place), *(Part(name, "-", "number", (name,)) for name in homes)]
    for place, part in enumerate(parts):
        alone = replace(part, copies=1, suffix="")
        if len(part.chromosomes) > 1 and lost.operations == (alone,):
            (gone,) = lost.chromosomes
            kept = [
                Part(f"der({name}){alone.text}", "", "der", (name,), operations=(alone,))
                for name in part.chromosomes
                if name != gone
            ]
            return [*_less(parts, place), *kept, Part(gone, "-", "number", (gone,))]
    raise KaryotypeError(
        f"-{lost.text}",
        "Only a whole normal chromosome can be lost, or an abnormal one that the line has; write the "
        "karyotype that is left.",
    )


def _less(parts: Sequence[Part], place: int) -> list[Part]:
    """Parts with one copy fewer of the one at a place."""
    part = parts[place]
    left = [replace(part, copies=part.copies - 1)] if part.copies > 1 else []
    return [*parts[:place], *left, *parts[place + 1 :]]


def usual_sets(count: int) -> int:
    """Sets of a cell whose formula names none; modal numbers of ISCN: up to 34 haploid, 35-57 diploid, 58-80
    triploid, 81-103 tetraploid, and so on by 23."""
    return max(1, (count - 12) // 23 + 1)


def sort_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Order parts as ISCN does, equal ones as one: X, Y, 1 to 22, unknown origin; gains and losses first."""
    ordered = sorted(parts, key=_key)
    return tuple(
        replace(part, copies=sum(one.copies for one in same))
        for part, same in groupby(ordered, key=lambda part: replace(part, copies=1))
    )


def _key(part: Part) -> tuple:
    first = part.chromosomes[0]
    kind = _LAST.get(part.kind, 3) if first == UNKNOWN else 0
    return (
        rank_chromosome(first),
        kind,
        part.kind != "number",
        part.text.lstrip("?"),
        part.sign,
        part.suffix,
        repr(part),
    )


def write_line(line: CellLine) -> str:
    """Write a cell line; breakpoints stand where they first occur."""
    sets = "" if line.ploidy == usual_sets(line.count) else f"<{line.ploidy}n>"
    count = f"{line.count}~{line.most}" if line.most > line.count else str(line.count)
    tokens = [f"{count}{sets}"]
    if line.sex:
        tokens.append(line.sex + "c" * line.constitutional_sex)
    seen: set[str] = set()
    tokens += [_write_part(part, seen) for part in line.parts]
    tokens += ["inc"] * line.incomplete
    return ",".join(tokens) + (f".{line.tail}" if line.tail else "")


def _write_part(part: Part, seen: set[str]) -> str:
    if part.kind == "number":
        return ",".join([f"{part.sign}{part.text}{part.suffix}"] * part.copies)
    if part.chromosomes == (UNKNOWN,) and part.drawn and part.kind != "der":
        if part.text[0].isdigit():  # an uncertain number: +1~4mar
            times = part.copies // int(re.match(r"\d+", part.text)[0])
            return ",".join([f"{part.sign}{part.text}{part.suffix}"] * times)
        return f"{part.sign}{part.copies if part.copies > 1 else ''}{part.text}{part.suffix}"
    text = part.text
    for operation in part.operations:
        if operation.text in seen and operation.breakpoints:
            text = text.replace(operation.text, operation.text.rpartition("(")[0], 1)
    seen.update(operation.text for operation in part.operations or (part,))
    times = f"x{part.copies}" if part.copies > 1 else ""
    return f"{part.sign}{text}{times}{part.suffix}"
