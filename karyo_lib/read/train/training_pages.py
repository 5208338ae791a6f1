"""Pages to train on: drawn in random styles, with print and dirt that no style prints."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from karyo_lib.draw.karyogram import draw_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.draw.styles import GLUED_ROWS, PLAIN_ROWS, STANDARD_ROWS, Artefacts, LabStyle, Layout
from karyo_lib.read.train.training import one_value, random_style

#: Abnormal pages hold chromosomes that no normal page has.
_FORMULAE = (
    *("46,XX", "46,XY") * 4,
    "47,XY,+21",
    "45,X",
    "49,XXYY,+21",
    "69,XXY",
    "46,XX,r(13)(p11q34)",
    "46,XY,t(2;21)(q21;q22)",
    "46,X,i(X)(q10)",
    "46,XX,del(5)(p13)",
    "47,XY,+mar",
)
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_ITALIC,
)
_TOUCHING = (-0.3, 0.05)  # gaps of homologues that touch or overlap, in chromosome widths
_LETTERS = np.array(list("0123456789ABCDEFGXYpqdertmat()+-,;:.? "))


def random_page_style(rng: np.random.Generator, touching: float = 0.0) -> LabStyle:
    """A whole laboratory at random: look, layout, print and artefacts drawn from wide ranges; in a share of
    them homologues touch."""
    pair = partial(one_value, rng)

    def rarely(share: float, low: float, high: float) -> tuple[float, float]:
        return pair(low, high) if rng.random() < share else (0.0, 0.0)

    style = random_style(rng)
    gap = float(rng.uniform(-0.25, 0.7))
    layout = Layout(
        rows=(STANDARD_ROWS, PLAIN_ROWS, GLUED_ROWS)[rng.integers(3)],
        margin=tuple(rng.uniform(0.02, 0.09, 4)),
        grid=int(rng.choice([0, 0, 7])),
        length=pair(0.13, 0.235),
        homologue_gap=(gap, gap + float(rng.uniform(0.1, 0.4))),
        align=str(rng.choice(["middle", "bottom", "top", "centromere"])),
        labels=str(rng.choice(["", "number", "number", "group"])),
        label_size=float(rng.uniform(0.014, 0.032)),
        rule=str(rng.choice(["", "", "slot", "row"])),
        jitter=float(rng.uniform(0.001, 0.01)),
        upside_down=0.05,
    )
    look = replace(
        style.look,
        bend=float(rng.uniform(4, 50)),
        width=pair(0.07, 0.2),
        edge=pair(0.08, 0.4),
        split=pair(0.15, 0.62),
        relief=pair(0.05, 0.5),
        grain=pair(0.25, 0.5),
        cleft=pair(0.0, 0.5),
        stain="R" if rng.random() < 0.15 else "G",
    )
    artefacts = Artefacts(
        paper=pair(215, 255),
        ink_black=pair(0, 50),
        uneven=rarely(0.3, 1, 12),
        grain=rarely(0.3, 1, 7),
        noise=pair(0, 6),
        blur=pair(0.4, 1.6),
        sharpen=rarely(0.5, 0.2, 1.8),
        dust=int(rng.choice([0, 10, 40, 140])),
        scratches=float(rng.choice([0, 0, 2])),
        jpeg=(35, 90) if rng.random() < 0.4 else None,
        halftone=float(rng.uniform(2.8, 5)) if rng.random() < 0.12 else 0.0,
        negative=bool(rng.random() < 0.12),
        patch=rarely(0.2, 0.02, 0.14),
    )
    if touching and rng.random() < touching:
        layout = replace(layout, homologue_gap=_TOUCHING)
    return LabStyle("random", "Style randomised for training", layout, look, artefacts)


def _print_more(image: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Words, lines, frames and spots anywhere on a page, also across chromosomes."""
    out = image.copy()
    ink = 0 if np.median(image) > 110 else 255
    high, wide = image.shape
    for _ in range(rng.poisson(5)):
        x, y, kind = int(rng.uniform(0, wide)), int(rng.uniform(0, high)), rng.random()
        thick = max(1, round(float(rng.uniform(0.06, 0.25)) * width))
        if kind < 0.6:
            text = "".join(rng.choice(_LETTERS, rng.integers(1, 12)))
            size = float(rng.uniform(0.6, 2.6)) * width / 22
            cv2.putText(out, text, (x, y), int(rng.choice(_FONTS)), size, ink, thick, cv2.LINE_AA)
        elif kind < 0.75:
            end = (x + int(rng.normal(0, 4 * width)), y + int(rng.choice([0, 0, rng.normal(0, 4 * width)])))
            (cv2.line if rng.random() < 0.5 else cv2.arrowedLine)(out, (x, y), end, ink, thick, cv2.LINE_AA)
        elif kind < 0.85:
            end = (x + int(rng.uniform(3, 9) * width), y + int(rng.uniform(4, 12) * width))
            cv2.rectangle(out, (x, y), end, ink, thick, cv2.LINE_AA)
        else:
            axes = (max(1, int(rng.uniform(0.1, 0.5) * width)), max(1, int(rng.uniform(0.1, 0.6) * width)))
            shade = int(np.clip(rng.uniform(0, 160) if ink == 0 else rng.uniform(95, 255), 0, 255))
            cv2.ellipse(out, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, shade, -1, cv2.LINE_AA)
    return out


def draw_training_page(rng: np.random.Generator, touching: float = 0.0) -> Page:
    """Draw a page of any size in a random style, ``touching`` as in `random_page_style`."""
    height = int(np.exp(rng.uniform(np.log(300), np.log(1000))))
    page = draw_karyogram(
        str(rng.choice(_FORMULAE)),
        style=random_page_style(rng, touching),
        seed=int(rng.integers(2**31)),
        size=(int(height * rng.uniform(1.0, 1.35)), height),
        annotate=[kind for kind in ("arrow", "box", "title") if rng.random() < 0.4],
        level=int(rng.choice([400, 550, 850])),
    )
    width = 0.02 * np.sqrt(page.image.size)
    return replace(page, image=_print_more(page.image, width, rng))
