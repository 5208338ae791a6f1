"""What every page starts from: its style, size and randomness, checked."""

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np

from karyo_lib.draw.layout import page_scale
from karyo_lib.draw.styles import ANNOTATION_KINDS, STYLES, LabStyle
from karyo_lib.iscn import Chromosome, Karyotype

# Small pages are drawn at twice their size and reduced, as scans of real pages are.
_OVERSAMPLE_BELOW = 700
_SIDES = (100, 6000)


@dataclass(frozen=True)
class Sheet:
    style: LabStyle
    seed: int
    size: tuple[int, int]  # width and height of the page that comes out
    annotate: tuple[str, ...]  # kinds of annotation to print
    copies: int = 2  # the largest number of chromosomes that one slot holds

    @property
    def factor(self) -> int:
        """By how much the drawing is larger than the page that comes out."""
        return 2 if max(self.size) <= _OVERSAMPLE_BELOW else 1

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the drawing."""
        return self.size[0] * self.factor, self.size[1] * self.factor

    @cached_property
    def scale(self) -> float:
        """Size of things on the drawing relative to a page of 1200 x 950."""
        return page_scale(self.canvas, self.copies)

    def rng(self, *names: str) -> np.random.Generator:
        """Return a generator of its own for every seed, style and thing drawn."""
        names = (self.style.name, *names)
        return np.random.Generator(np.random.SFC64([self.seed, *(zlib.crc32(n.encode()) for n in names)]))


def chromosomes_of(
    karyotype: Karyotype, sheet: Sheet, *names: str
) -> Iterator[tuple[Chromosome, int, np.random.Generator]]:
    """Each chromosome, its number within its slot, and a generator of its own."""
    copies = Counter()
    for chromosome in karyotype.chromosomes:
        copies[chromosome.slot] += 1
        copy = copies[chromosome.slot]
        yield chromosome, copy, sheet.rng(*names, chromosome.name, str(copy))


def make_sheet(
    style: str | LabStyle,
    seed: int,
    size: tuple[int, int] | None,
    annotate: Collection[str] | bool | None,
    counts: Mapping[str, int],
) -> Sheet:
    """Check the settings of a page, as `draw_karyogram` takes them; ``counts``: chromosomes of each slot."""
    if not isinstance(style, LabStyle):
        if style not in STYLES:
            raise ValueError(f"Expected a style, one of {', '.join(STYLES)}. Received {style!r}.")
        style = STYLES[style]
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more. Received {seed}.")
    width, height = style.layout.native if size is None else (int(side) for side in size)
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in (width, height)):
        raise ValueError(
            f"Expected a page size (width, height) of {_SIDES[0]} to {_SIDES[1]} pixels. Received {size!r}."
        )
    copies = max(counts.values(), default=2)
    return Sheet(style, int(seed), (width, height), _check_annotations(annotate, style), copies)


def settle(settings: object, rng: np.random.Generator) -> SimpleNamespace:
    """Draw one value from every range of a :class:`~karyo_lib.draw.styles.Look` or `Artefacts`."""
    values = vars(settings).copy()
    for name, value in values.items():
        if isinstance(value, tuple):
            whole = name == "jpeg"
            values[name] = int(rng.integers(value[0], value[1] + 1)) if whole else float(rng.uniform(*value))
    return SimpleNamespace(**values)


def _check_annotations(annotate: Collection[str] | bool | None, style: LabStyle) -> tuple[str, ...]:
    if annotate is None or isinstance(annotate, bool):
        return {None: style.annotations, True: ANNOTATION_KINDS, False: ()}[annotate]
    kinds = (annotate,) if isinstance(annotate, str) else tuple(annotate)
    if unknown := set(kinds) - set(ANNOTATION_KINDS):
        raise ValueError(f"Expected annotations among {ANNOTATION_KINDS}. Received {sorted(unknown)}.")
    return kinds
