"""What a sideline has more or less than the line it came from: parts doubled, undone and lost."""

from collections.abc import Sequence
from dataclasses import replace

from karyo_lib.iscn.bands import KaryotypeError
from karyo_lib.iscn.operations import UNKNOWN, Part


def double(parts: Sequence[Part], times: int) -> list[Part]:
    """Parts of a line whose chromosomes have all doubled: idemx2."""
    return [replace(part, copies=part.copies * times) if part.drawn else part for part in parts]


def undo(parts: Sequence[Part], part: Part) -> list[Part] | None:
    """Parts without the gain or loss that a part undoes (+8 and -8); None if there is none."""
    for place, other in enumerate(parts):
        if (
            {other.kind, part.kind} == {"number"}
            and other.chromosomes == part.chromosomes
            and (other.suffix, other.sign) == (part.suffix, {"+": "-", "-": "+"}[part.sign])
        ):
            return _less(parts, place)
    return None


def lose(parts: Sequence[Part], lost: Part) -> list[Part]:
    """Parts of a line that no longer has an abnormal chromosome: idem,-der(22)t(9;22)."""
    for place, part in enumerate(parts):
        if part.text == lost.text and part.drawn:
            homes = part.chromosomes * (part.sign != "+" and part.chromosomes != (UNKNOWN,))
            return [*_less(parts, place), *(Part(name, "-", "number", (name,)) for name in homes)]
    for place, part in enumerate(parts):
        alone = replace(part, copies=1, suffix="")
        if len(part.chromosomes) > 1 and lost.operations == (alone,):
            (gone,) = lost.chromosomes
            kept = [_derivative(name, alone) for name in part.chromosomes if name != gone]
            return [*_less(parts, place), *kept, Part(gone, "-", "number", (gone,))]
    raise KaryotypeError(
        f"-{lost.text}",
        "Only a whole normal chromosome can be lost, or an abnormal one that the line has; write the "
        "karyotype that is left.",
    )


def _derivative(name: str, operation: Part) -> Part:
    return Part(f"der({name}){operation.text}", "", "der", (name,), operations=(operation,))


def _less(parts: Sequence[Part], place: int) -> list[Part]:
    """Parts with one copy fewer of the one at a place."""
    part = parts[place]
    left = [replace(part, copies=part.copies - 1)] if part.copies > 1 else []
    return [*parts[:place], *left, *parts[place + 1 :]]
