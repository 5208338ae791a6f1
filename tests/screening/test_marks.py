"""What the reader saw, as it is laid over a page of the worklist."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from karyo_lib.draw import draw_karyogram
from karyo_lib.read.reader import Reader
from karyo_lib.screening import marks
from karyo_lib.screening.marks import SIDE, draw_evidence, draw_marks, draw_pair


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("47,XY,+21", style="classic", seed=3, size=(416, 380), annotate=False).image


@pytest.fixture(scope="module")
def reading(page):
    return Reader.load().read(page)


def test_marks_fit_the_page_and_leave_it_to_be_seen(page, reading):
    content = draw_marks(page.shape, reading)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (SIDE, round(SIDE * page.shape[0] / page.shape[1]))
        pixels = np.asarray(image)
    inked = pixels[..., 3] > 0
    assert 0.005 < inked.mean() < 0.2
    scale = SIDE / max(page.shape)
    boxes = reading.chromosomes
    assert boxes["chromosome"].eq("21").sum() == 3
    for row in boxes[boxes["chromosome"] == "21"].itertuples():
        corner = pixels[round(row.y1 * scale), round((row.x0 + row.x1) / 2 * scale)]
        assert corner[3] == 255
        assert corner[0] > corner[2]  # vermillion or amber, not blue: there are three
    assert len(content) < 40_000


def test_a_trisomy_shows_the_three_and_no_other_pair(page, reading, monkeypatch):
    shown = []
    monkeypatch.setattr(marks, "_png_of", lambda figure: shown.append(figure) or b"png")
    assert draw_evidence(page, reading) == b"png"
    (part,) = shown[0].subfigs
    assert part._suptitle.get_text() == "chromosome 21: 3 on the page"
    assert len(part.axes) == 3
    draw_evidence(page, replace(reading, p_count=0.1))
    assert shown[1]._suptitle.get_text() == "the pair that differs most"


def test_the_pair_is_a_small_picture(reading):
    content = draw_pair(reading)
    with Image.open(io.BytesIO(content)) as image:
        assert image.width == 520
    assert len(content) < 60_000
