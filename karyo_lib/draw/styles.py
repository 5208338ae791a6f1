"""Lab styles: how a laboratory lays out, stains, prints and scans its karyograms.

Lengths are fractions of the page height (layout), of a chromosome's width (look) or pixels of a page 1200 wide
(artefacts), so that a style means the same at every page size. A pair ``(low, high)`` is a range from which each
page draws its own value.
"""

from dataclasses import dataclass

Range = tuple[float, float]

# A row lists slots from left to right; a number is a blank that many columns wide; "X+Y" is one shared slot.
STANDARD_ROWS = (
    ("1", "2", "3", 1.0, "4", "5"),
    ("6", "7", "8", "9", "10", "11", "12"),
    ("13", "14", "15", 1.0, "16", "17", "18"),
    ("19", "20", 0.8, "21", "22", 0.8, "X", "Y"),
)
# Everything from the left, as plain software does it.
PLAIN_ROWS = (
    ("1", "2", "3", "4", "5"),
    ("6", "7", "8", "9", "10", "11", "12"),
    ("13", "14", "15", "16", "17", "18"),
    ("19", "20", "21", "22", "X", "Y"),
)
# Cut by hand and glued on a grid, the sex chromosomes as one pair.
GLUED_ROWS = (
    ("1", "2", "3", 1.4, "4", "5"),
    ("6", "7", "8", "9", "10", "11", "12"),
    ("13", "14", "15", 1.0, "16", "17", "18"),
    (1.0, "19", "20", 1.0, "21", "22", "X+Y"),
)


@dataclass(frozen=True)
class Layout:
    """Where the slots of a page stand.

    Parameters
    ----------
    rows : tuple of tuples
        Slots and blanks from left to right, one tuple a row.
    native : (int, int)
        Width and height in pixels of the page when no size is asked for.
    margin : (float, float, float, float)
        Left, top, right, bottom, as fractions of the page.
    grid : int
        Columns of a fixed grid that all rows share; 0 spreads each row over the page's width.
    length : (float, float)
        Length of chromosome 1 as a fraction of the page height of a 1200 x 950 page.
    homologue_gap : (float, float)
        Gap between the ink of homologues, in chromosome widths; below 0 they overlap.
    align : {'middle', 'bottom', 'top', 'centromere'}
        What stands on one line in a row.
    labels : {'', 'number', 'group'}
        Printed under the slots: nothing, numbers, or numbers and the letters of the Denver groups.
    label_size : float
        Height of the print as a fraction of the page height.
    rule : {'', 'slot', 'row'}
        Printed line under each slot or under each row.
    jitter : float
        Standard deviation of the places, as a fraction of the page height.
    upside_down : float
        Share of chromosomes laid with the q arm up by mistake.
    """

    rows: tuple[tuple[str | float, ...], ...] = STANDARD_ROWS
    native: tuple[int, int] = (1200, 950)
    margin: tuple[float, float, float, float] = (0.03, 0.05, 0.03, 0.06)
    grid: int = 0
    length: Range = (0.165, 0.19)
    homologue_gap: Range = (0.1, 0.8)
    align: str = "bottom"
    labels: str = "number"
    label_size: float = 0.019
    rule: str = ""
    jitter: float = 0.003
    upside_down: float = 0.0


@dataclass(frozen=True)
class Look:
    """How the chromosomes of a page look.

    Parameters
    ----------
    width : (float, float)
        Width of chromosome 1 as a fraction of its length.
    light, dark : (float, float)
        Ink of the palest and of the darkest bands, 0 (paper) to 1 (black).
    contrast : (float, float)
        Steepness of the stain between pale and dark.
    stain : {'G', 'R'}
        Giemsa bands, or reverse bands (light and dark exchanged).
    softness : (float, float)
        Standard deviation of the blur along a chromosome, in chromosome widths.
    edge : (float, float)
        Softness of the outline across, in chromosome widths.
    split : (float, float)
        Distance of the sister chromatids' axes, in chromosome widths: 0.3 is one body, 0.6 a wide cleft.
    cleft : (float, float)
        Share of ink that the cleft between sister chromatids loses.
    mottle : (float, float)
        Standard deviation of the grain of the stain within bands.
    grain : (float, float)
        Size of that grain, in chromosome widths.
    relief : (float, float)
        Share of ink that a chromatid loses from its middle to its rim.
    constriction : (float, float)
        Share of the width lost at the centromere.
    bend : float
        Standard deviation of a bend, in degrees; 0 for laboratories that straighten by software.
    condensation : float
        Standard deviation (of the logarithm) of the length from chromosome to chromosome in a page.
    fade : (float, float)
        Ink left in satellite stalks, as a share.
    """

    width: Range = (0.1, 0.13)
    light: Range = (0.3, 0.4)
    dark: Range = (0.85, 0.97)
    contrast: Range = (1.2, 1.5)
    stain: str = "G"
    softness: Range = (0.1, 0.16)
    edge: Range = (0.1, 0.16)
    split: Range = (0.4, 0.5)
    cleft: Range = (0.0, 0.12)
    mottle: Range = (0.05, 0.1)
    grain: Range = (0.35, 0.45)
    relief: Range = (0.1, 0.18)
    constriction: Range = (0.12, 0.3)
    bend: float = 22.0
    condensation: float = 0.05
    fade: Range = (0.15, 0.5)


@dataclass(frozen=True)
class Artefacts:
    """What printing, photography and scanning leave on a page.

    Parameters
    ----------
    paper : (float, float)
        Grey level of the background, 0-255.
    ink_black : (float, float)
        Grey level of full ink, 0-255.
    uneven : (float, float)
        Amplitude of uneven light over the page, in grey levels.
    grain : (float, float)
        Amplitude of paper grain, in grey levels.
    noise : (float, float)
        Standard deviation of pixel noise, in grey levels.
    blur : (float, float)
        Standard deviation of the optics' blur, in pixels of a page 1200 wide.
    sharpen : (float, float)
        Amount of unsharp masking (camera or software).
    dust : int
        Mean number of dust specks on a page.
    scratches : float
        Mean number of hairs and scratches on a page.
    jpeg : (int, int) or None
        Quality of JPEG compression; None for none.
    halftone : float
        Period of a halftone screen in pixels of a page 1200 wide; 0 for none.
    negative : bool
        Bright chromosomes on a dark field (fluorescence).
    patch : (float, float)
        Ink of the rectangle that was cut out round each chromosome; 0 for clean masks.
    """

    paper: Range = (252, 255)
    ink_black: Range = (0, 8)
    uneven: Range = (0, 0)
    grain: Range = (0, 0)
    noise: Range = (0.5, 2)
    blur: Range = (0.6, 1.0)
    sharpen: Range = (0, 0)
    dust: int = 25
    scratches: float = 0.0
    jpeg: tuple[int, int] | None = None
    halftone: float = 0.0
    negative: bool = False
    patch: Range = (0, 0)


@dataclass(frozen=True)
class LabStyle:
    """A laboratory's manner: layout, look of the chromosomes, artefacts, annotations that it prints by habit.

    Parameters
    ----------
    name, description : str
    layout : Layout
    look : Look
    artefacts : Artefacts
    annotations : tuple of str
        Kinds printed unless the caller says otherwise: any of 'arrow', 'box', 'title'.
    """

    name: str
    description: str
    layout: Layout = Layout()
    look: Look = Look()
    artefacts: Artefacts = Artefacts()
    annotations: tuple[str, ...] = ()


STYLES: dict[str, LabStyle] = {
    style.name: style
    for style in (
        LabStyle(
            "classic",
            "Photographic print of the 1990s, cut by hand: wide grid, no print, bent chromosomes, dust",
            layout=Layout(
                rows=GLUED_ROWS, native=(1232, 966), grid=7, length=(0.155, 0.18), align="middle", labels="", jitter=0.006
            ),
            look=Look(
                width=(0.095, 0.115), light=(0.26, 0.38), dark=(0.88, 0.99), contrast=(1.3, 1.8),
                softness=(0.1, 0.16), edge=(0.2, 0.32), split=(0.16, 0.3), cleft=(0.0, 0.05), mottle=(0.03, 0.07),
                constriction=(0.05, 0.22), bend=27.0, condensation=0.06,
            ),
            artefacts=Artefacts(blur=(0.7, 1.0), noise=(0.3, 1.0), dust=40),
        ),
        LabStyle(
            "digital",
            "Imaging software of today: sharpened, clean white page, numbers under the slots",
            layout=Layout(native=(1200, 950), length=(0.17, 0.2), align="bottom", labels="number"),
            look=Look(
                width=(0.105, 0.125), light=(0.32, 0.44), dark=(0.88, 0.98), contrast=(1.3, 1.8),
                softness=(0.09, 0.14), split=(0.3, 0.42), bend=17.0, mottle=(0.06, 0.12), constriction=(0.15, 0.35),
            ),
            artefacts=Artefacts(paper=(255, 255), blur=(0.4, 0.7), sharpen=(0.5, 1.0), noise=(0.0, 0.6), dust=0),
        ),
        LabStyle(
            "mottled",
            "Metaphases at high magnification: two chromatids, grainy bands, deep constrictions, strong sharpening",
            layout=Layout(
                rows=PLAIN_ROWS, native=(1100, 900), length=(0.16, 0.185), homologue_gap=(0.2, 0.6), labels="number"
            ),
            look=Look(
                width=(0.11, 0.138), light=(0.36, 0.46), dark=(0.9, 1.0), contrast=(1.4, 2.0), softness=(0.11, 0.17),
                edge=(0.1, 0.16), split=(0.36, 0.48), cleft=(0.05, 0.3), mottle=(0.1, 0.18), grain=(0.26, 0.36), relief=(0.3, 0.5),
                constriction=(0.2, 0.45), bend=20.0, fade=(0.3, 0.8),
            ),
            artefacts=Artefacts(paper=(255, 255), blur=(0.6, 0.9), sharpen=(0.9, 1.6), noise=(0, 0.5), dust=0),
        ),
        LabStyle(
            "ruled",
            "Printed form: a line under every slot, numbers below, homologues close and standing on the line",
            layout=Layout(
                rows=PLAIN_ROWS, native=(1280, 960), margin=(0.05, 0.06, 0.05, 0.05), length=(0.15, 0.175),
                homologue_gap=(0.0, 0.3), align="bottom", labels="number", label_size=0.022, rule="slot", jitter=0.002,
            ),
            look=Look(
                width=(0.11, 0.13), light=(0.25, 0.36), dark=(0.85, 0.97), contrast=(1.3, 1.7), softness=(0.11, 0.17),
                split=(0.2, 0.35), edge=(0.12, 0.2), bend=14.0, condensation=0.04,
            ),
            artefacts=Artefacts(paper=(248, 255), blur=(0.6, 0.9), sharpen=(0.0, 0.5), noise=(0.5, 1.5), dust=6),
        ),
        LabStyle(
            "photocopy",
            "Copied more than once: hard contrast, grey uneven ground, grain, specks and hairs",
            layout=Layout(
                rows=GLUED_ROWS, native=(1200, 1000), grid=7, length=(0.16, 0.19), align="middle", labels="group",
                label_size=0.024, jitter=0.009,
            ),
            look=Look(
                width=(0.11, 0.135), light=(0.3, 0.45), dark=(0.95, 1.0), contrast=(1.8, 2.6), softness=(0.12, 0.18),
                split=(0.2, 0.35), bend=24.0, mottle=(0.08, 0.15),
            ),
            artefacts=Artefacts(
                paper=(222, 240), ink_black=(15, 40), uneven=(4, 12), grain=(3, 7), noise=(3, 7), blur=(0.8, 1.2),
                sharpen=(0.5, 1.2), dust=140, scratches=2.0, jpeg=(70, 90),
            ),
        ),
        LabStyle(
            "textbook",
            "Figure printed through a halftone screen and scanned, Denver groups lettered",
            layout=Layout(
                rows=STANDARD_ROWS, native=(1120, 900), length=(0.165, 0.19), align="centromere", labels="group",
                label_size=0.022, rule="row", jitter=0.002,
            ),
            look=Look(
                width=(0.11, 0.13), light=(0.25, 0.36), dark=(0.86, 0.96), contrast=(1.4, 1.9), softness=(0.11, 0.16),
                split=(0.25, 0.4), bend=16.0,
            ),
            artefacts=Artefacts(
                paper=(236, 248), ink_black=(25, 50), grain=(1, 3), noise=(1, 3), blur=(0.6, 0.9), halftone=3.6, dust=20,
                jpeg=(75, 92),
            ),
        ),
        LabStyle(
            "internet",
            "Picture from a web page: small, compressed, with arrow, frame and title",
            layout=Layout(
                rows=PLAIN_ROWS, native=(900, 720), margin=(0.04, 0.09, 0.04, 0.08), length=(0.165, 0.2),
                homologue_gap=(-0.05, 0.5), align="bottom", labels="number", label_size=0.026,
            ),
            look=Look(
                width=(0.11, 0.14), light=(0.3, 0.45), dark=(0.82, 0.98), contrast=(1.2, 1.8), softness=(0.13, 0.22),
                split=(0.25, 0.42), bend=19.0,
            ),
            artefacts=Artefacts(
                paper=(240, 255), blur=(0.9, 1.5), noise=(0.5, 2.0), sharpen=(0, 0.6), dust=5, jpeg=(35, 70)
            ),
            annotations=("arrow", "box", "title"),
        ),
        LabStyle(
            "fluorescence",
            "Quinacrine bands: bright on a dark field, soft and glowing",
            layout=Layout(native=(1200, 950), length=(0.16, 0.185), align="bottom", labels="number", label_size=0.021),
            look=Look(
                width=(0.11, 0.135), light=(0.3, 0.42), dark=(0.78, 0.95), contrast=(1.0, 1.4), softness=(0.15, 0.22),
                edge=(0.25, 0.4), split=(0.2, 0.32), cleft=(0.0, 0.05), bend=21.0, mottle=(0.04, 0.09),
            ),
            artefacts=Artefacts(
                paper=(225, 245), ink_black=(5, 30), blur=(1.2, 1.8), noise=(2, 5), uneven=(2, 7), dust=12, negative=True
            ),
        ),
        LabStyle(
            "reverse",
            "R-bands: light and dark exchanged, dark chromosome ends, phase-contrast grey",
            layout=Layout(rows=STANDARD_ROWS, native=(1180, 940), length=(0.16, 0.185), align="middle", labels="number"),
            look=Look(
                width=(0.11, 0.13), light=(0.28, 0.4), dark=(0.82, 0.94), contrast=(1.2, 1.6), stain="R",
                softness=(0.12, 0.18), split=(0.28, 0.42), bend=20.0,
            ),
            artefacts=Artefacts(paper=(244, 254), blur=(0.7, 1.1), noise=(1, 3), sharpen=(0, 0.6), dust=15),
        ),
        LabStyle(
            "prometaphase",
            "High resolution: long thin chromosomes straightened by software, many fine bands",
            layout=Layout(
                native=(1300, 1080), length=(0.2, 0.225), homologue_gap=(0.15, 0.4), align="centromere", labels="number",
                jitter=0.001,
            ),
            look=Look(
                width=(0.07, 0.085), light=(0.28, 0.38), dark=(0.85, 0.96), contrast=(1.5, 2.0), softness=(0.1, 0.15),
                edge=(0.14, 0.22), split=(0.2, 0.34), constriction=(0.1, 0.25), bend=4.0, condensation=0.03,
            ),
            artefacts=Artefacts(paper=(255, 255), blur=(0.4, 0.7), sharpen=(0.2, 0.8), noise=(0, 1), dust=0),
        ),
        LabStyle(
            "patched",
            "Rectangles cut out of a grey microscope picture: short stubby chromosomes, each on its own ground",
            layout=Layout(
                rows=PLAIN_ROWS, native=(1100, 860), length=(0.14, 0.165), homologue_gap=(-0.1, 0.35), align="middle",
                labels="number", jitter=0.006, upside_down=0.01,
            ),
            look=Look(
                width=(0.14, 0.17), light=(0.34, 0.46), dark=(0.82, 0.94), contrast=(1.1, 1.5), softness=(0.14, 0.2),
                split=(0.36, 0.5), cleft=(0.05, 0.3), constriction=(0.2, 0.45), bend=22.0, mottle=(0.1, 0.18), grain=(0.25, 0.4),
            ),
            artefacts=Artefacts(
                paper=(245, 255), uneven=(1, 5), blur=(0.9, 1.4), noise=(2, 5), dust=10, jpeg=(60, 88), patch=(0.04, 0.12)
            ),
        ),
        LabStyle(
            "crowded",
            "Large chromosomes packed close: neighbours touch and overlap",
            layout=Layout(
                rows=PLAIN_ROWS, native=(1000, 860), margin=(0.02, 0.02, 0.02, 0.03), length=(0.21, 0.235),
                homologue_gap=(-0.22, 0.15), align="bottom", labels="", jitter=0.004,
            ),
            look=Look(
                width=(0.115, 0.14), light=(0.27, 0.4), dark=(0.86, 0.97), contrast=(1.2, 1.7), softness=(0.1, 0.16),
                split=(0.25, 0.4), bend=20.0, mottle=(0.06, 0.14),
            ),
            artefacts=Artefacts(paper=(250, 255), blur=(0.6, 1.0), noise=(0.5, 2), sharpen=(0, 0.8), dust=10),
        ),
    )
}
