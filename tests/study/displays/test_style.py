"""Colours that tell things apart for every reader, and type that is legible in a column of text."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import rgb2lab

from karyo_lib.study.displays.style import INK, PALETTE

# Machado, Oliveira and Fernandes 2009: what remains of linear RGB without one kind of cone.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]
    ],
}  # fmt: skip
TOGETHER = [
    ("normal", "abnormal", "referred"),
    ("thesis", "grouped"),
    ("train", "val", "referred"),
    ("trained", "neutral"),
]


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colour, sight):
    rgb = np.clip(np.array(SIGHT[sight]) @ linear(colour), 0, 1)
    return rgb2lab(np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)[None, None])[
        0, 0
    ]


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("names", TOGETHER)
def test_colours_that_meet_are_told_apart(names, sight):
    for one, other in combinations(names, 2):
        apart = np.linalg.norm(seen(PALETTE[one], sight) - seen(PALETTE[other], sight))
        assert apart > 5 * 2.3, (one, other, apart)  # five just noticeable differences


@pytest.mark.parametrize("colour", [*INK.values(), PALETTE["neutral"]])
def test_coloured_text_has_contrast_on_white(colour):
    light = linear(colour) @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (light + 0.05) >= 4.5
