"""Lab styles: how a laboratory lays out, stains, prints and scans its karyograms. Lengths are fractions of
the page height (layout), of a chromosome's width (look) or pixels of a page 1200 wide (artefacts), so that a
style means the same at every page size. From a range ``(low, high)`` each page draws its own value."""

import json
from dataclasses import dataclass
from typing import Any

from karyo_lib.resources import data_file

Range = tuple[float, float]
ANNOTATION_KINDS = ("arrow", "box", "title")


def _read(name: str) -> dict[str, Any]:
    return json.loads(data_file(name).read_text(encoding="utf-8"))


# A row lists slots from left to right; a number is a blank that many columns wide; "X+Y" is one shared slot.
# ``plain`` has everything from the left, as plain software does it; ``glued`` was cut by hand, on a grid.
ROWS = {name: tuple(map(tuple, rows)) for name, rows in _read("layout_rows.json").items()}


@dataclass(frozen=True)
class Layout:
    # Slots and blanks from left to right, one tuple a row.
    rows: tuple[tuple[str | float, ...], ...] = ROWS["standard"]
    native: tuple[int, int] = (1200, 950)  # width and height in pixels of the page when no size is asked for
    # Left, top, right, bottom, as fractions of the page.
    margin: tuple[float, float, float, float] = (0.03, 0.05, 0.03, 0.06)
    grid: int = 0  # columns of a fixed grid that all rows share; 0 spreads each row over the page's width
    length: Range = (0.165, 0.19)  # of chromosome 1 as a fraction of the height of a 1200 x 950 page
    homologue_gap: Range = (0.1, 0.8)  # between homologues' ink, in chromosome widths; below 0 they overlap
    align: str = "bottom"  # {'middle', 'bottom', 'top', 'centromere'}; what stands on one line in a row
    # {'', 'number', 'group'}; printed under the slots: nothing, numbers, or numbers and the letters of the
    # Denver groups.
    labels: str = "number"
    label_size: float = 0.019  # height of the print as a fraction of the page height
    rule: str = ""  # {'', 'slot', 'row'}; printed line under each slot or under each row
    jitter: float = 0.003  # standard deviation of the places, as a fraction of the page height
    upside_down: float = 0.0  # share of chromosomes laid with the q arm up by mistake


@dataclass(frozen=True)
class Look:
    width: Range = (0.1, 0.13)  # width of chromosome 1 as a fraction of its length
    light: Range = (0.3, 0.4)  # ink of the palest and of the darkest bands, 0 (paper) to 1 (black)
    dark: Range = (0.85, 0.97)
    contrast: Range = (1.2, 1.5)  # steepness of the stain between pale and dark
    stain: str = "G"  # {'G', 'R'}; giemsa bands, or reverse bands (light and dark exchanged)
    softness: Range = (0.1, 0.16)  # standard deviation of the blur along a chromosome, in chromosome widths
    edge: Range = (0.1, 0.16)  # softness of the outline across, in chromosome widths
    # Distance of the sister chromatids' axes, in chromosome widths: 0.3 is one body, 0.6 a wide cleft.
    split: Range = (0.4, 0.5)
    cleft: Range = (0.0, 0.12)  # share of ink that the cleft between sister chromatids loses
    mottle: Range = (0.05, 0.1)  # standard deviation of the grain of the stain within bands
    grain: Range = (0.35, 0.45)  # size of that grain, in chromosome widths
    relief: Range = (0.1, 0.18)  # share of ink that a chromatid loses from its middle to its rim
    constriction: Range = (0.12, 0.3)  # share of the width lost at the centromere
    bend: float = 22.0  # standard deviation, degrees; 0 for laboratories that straighten by software
    # Standard deviation (of the logarithm) of the length from chromosome to chromosome in a page.
    condensation: float = 0.05
    fade: Range = (0.15, 0.5)  # ink left in satellite stalks, as a share


@dataclass(frozen=True)
class Artefacts:
    """What printing, photography and scanning leave on a page."""

    paper: Range = (252, 255)  # grey level of the background, 0-255
    ink_black: Range = (0, 8)  # grey level of full ink, 0-255
    uneven: Range = (0, 0)  # amplitude of uneven light over the page, in grey levels
    grain: Range = (0, 0)  # amplitude of paper grain, in grey levels
    noise: Range = (0.5, 2)  # standard deviation of pixel noise, in grey levels
    blur: Range = (0.6, 1.0)  # standard deviation of the optics' blur, in pixels of a page 1200 wide
    sharpen: Range = (0, 0)  # amount of unsharp masking (camera or software)
    dust: int = 25  # mean number of dust specks on a page
    scratches: float = 0.0  # mean number of hairs and scratches on a page
    jpeg: tuple[int, int] | None = None  # quality of JPEG compression; None for none
    halftone: float = 0.0  # period of a halftone screen in pixels of a page 1200 wide; 0 for none
    negative: bool = False  # bright chromosomes on a dark field (fluorescence)
    patch: Range = (0, 0)  # ink of the rectangle that was cut out round each chromosome; 0 for clean masks


@dataclass(frozen=True)
class LabStyle:
    """A laboratory's manner; ``annotations`` ('arrow', 'box', 'title') are printed by default."""

    name: str
    description: str
    layout: Layout = Layout()
    look: Look = Look()
    artefacts: Artefacts = Artefacts()
    annotations: tuple[str, ...] = ()


_PARTS = {"layout": Layout, "look": Look, "artefacts": Artefacts}


def _style(name: str, told: dict[str, Any]) -> LabStyle:
    parts = {}
    for part, kind in _PARTS.items():
        values = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in told.get(part, {}).items()
        }
        values |= {"rows": ROWS[values["rows"]]} if "rows" in values else {}
        parts[part] = kind(**values)
    return LabStyle(name, told["description"], **parts, annotations=tuple(told.get("annotations", ())))


STYLES: dict[str, LabStyle] = {name: _style(name, told) for name, told in _read("lab_styles.json").items()}
