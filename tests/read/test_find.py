"""What is found on drawings is what was drawn; overlaps are parted; what is no cell is told in words."""

import time

import cv2
import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram, draw_metaphase
from karyo_lib.read.cutouts import Cut, cut_objects, cut_out, label_page, side_by_side
from karyo_lib.read.detector import Detections
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.looks import add_apart, add_uncovered, rescaled
from karyo_lib.shape.boxes import match_boxes


@pytest.fixture(scope="module")
def spread():
    return draw_metaphase("47,XY,+21", style="classic", seed=5, size=(760, 620))


@pytest.fixture(scope="module")
def found(spread):
    return find_chromosomes(spread.image)


def test_a_metaphase_is_told_from_a_karyogram(found):
    page = draw_karyogram("46,XX", style="digital", seed=1, size=(700, 560))
    laid_out = find_chromosomes(page.image)
    assert (found.kind, laid_out.kind) == ("metaphase", "karyogram")
    assert (found.boxes["row"] == -1).all()
    assert len(laid_out) == 46
    assert laid_out.boxes["slot"].min() == 0


def test_chromosomes_of_a_drawn_metaphase_are_found(spread, found):
    matched = match_boxes(found.boxes, spread.truth, 0.5).to_numpy()
    assert (matched >= 0).sum() >= 44
    assert abs(len(found) - 47) <= 3
    assert found.log_proba.shape == (len(found), 24)
    assert np.allclose(np.exp(found.log_proba).sum(1), 1, atol=1e-3)
    assert found.boxes["score"].between(0, 1).all()


def test_a_cutout_holds_the_pixels_of_its_mask(found):
    for image, mask in zip(found.cutouts, found.masks, strict=True):
        assert image.shape == mask.shape
        assert mask.any()
        assert (image[~mask] == 255).all()
    assert len(np.unique(found.labels)) == len(found) + 1


def _crossed() -> tuple[Detections, np.ndarray]:
    """Two bars that cross, as the detector tells them: in cells of two pixels."""
    across, down = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.float32)
    across[17:23, 2:38] = down[2:38, 17:23] = 1
    masks = [(0, 0, across), (0, 0, down)]
    ink = cv2.resize(np.maximum(across, down), (80, 80), interpolation=cv2.INTER_NEAREST) * 0.6
    boxes = np.array([[4, 34, 76, 46], [34, 4, 46, 76]], np.float32)
    return Detections(boxes, np.ones(2), np.zeros((2, 24)), masks), ink


def test_chromosomes_that_cross_are_both_whole_and_what_is_hidden_is_said():
    seen, ink = _crossed()
    cuts = cut_objects(seen, ink, 1.0)
    for cut in cuts:
        rows, columns = np.flatnonzero(cut.mask.any(1)), np.flatnonzero(cut.mask.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) == pytest.approx(72, abs=3)
        assert cut.mask.sum() == pytest.approx(72 * 12, rel=0.1)
    _, hidden = label_page(cuts, ink.shape)
    assert hidden == pytest.approx(12 / 72, abs=0.05)


def test_a_mask_in_pieces_is_joined():
    seen, ink = _crossed()
    seen.masks[0][2][:, 18:22] = 0  # the detector loses the crossing
    whole = cut_objects(seen, ink, 1.0)[0].mask
    assert cv2.connectedComponents(whole.astype(np.uint8))[0] == 2  # the ground, and one piece
    assert np.ptp(np.flatnonzero(whole.any(0))) == pytest.approx(72, abs=3)


def _shape(*strokes: list[tuple[int, int]]) -> bool:
    """Whether strokes, 12 pixels wide and dark, that a pale bridge joins would be told as two."""
    ink = np.zeros((90, 80), np.uint8)
    for points in strokes:
        cv2.polylines(ink, [np.array(points)], False, 200, 12)
    pale = np.where((ink == 0) & (np.arange(90)[:, None] > 60) & (np.arange(90)[:, None] < 66), 40, 0)
    mask = ink > 0
    columns = np.flatnonzero(mask.any(0))
    mask[61:66, columns[0] : columns[-1]] = True
    rows = np.flatnonzero(mask.any(1))
    where = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    paper = (255 - np.where(mask, ink + pale, 0)).astype(np.uint8)
    return side_by_side(*cut_out(Cut(where, mask[where]), paper), 12.0)


def test_two_chromosomes_side_by_side_are_no_single_one():
    left, right = [(20, 10), (20, 75)], [(36, 12), (36, 75)]
    assert _shape(left, right)
    assert not _shape(left)
    assert not _shape([(20, 10), (20, 30)], right), "a satellite or dirt"
    assert not _shape([(20, 75), (20, 20), (60, 20), (60, 75)]), "one that is bent"


def _nucleus(shape: tuple[int, int] = (500, 600)) -> np.ndarray:
    image = np.full(shape, 230, np.float32)
    cv2.ellipse(image, (300, 250), (90, 70), 20, 0, 360, 110, -1)
    grain = np.random.default_rng(0).normal(0, 6, shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 3) + grain, 0, 255).astype(np.uint8)


def test_what_is_no_cell_is_told_so_and_soon(spread):
    rng = np.random.default_rng(1)
    text = np.full((500, 600), 250, np.uint8)
    for row in range(30, 490, 24):
        cv2.putText(
            text, "".join(rng.choice(list("karyotype 46,XX"), 34)), (20, row), 0, 0.6, 0, 1, cv2.LINE_AA
        )
    high, wide = spread.image.shape
    gap = np.full((high, wide // 3), np.median(spread.image), np.uint8)
    cases = {
        "no chromosomes found, but 1 nucleus": _nucleus(),
        "no whole cell": spread.image[:, : int(0.42 * wide)],
        "two cells in one picture": np.hstack([spread.image, gap, spread.image[::-1]]),
        "a fluorescence image": 255 - spread.image,
        "": text,
    }
    for reason, image in cases.items():
        start = time.process_time()
        found = find_chromosomes(np.ascontiguousarray(image))
        assert found.kind == "unreadable", reason
        assert reason in found.reason
        assert time.process_time() - start < 10


def _seen(boxes: list[list[float]], scores: list[float], masks: list) -> Detections:
    return Detections(np.array(boxes), np.array(scores), np.full((len(boxes), 24), -np.log(24)), masks)


def test_what_only_another_scale_is_sure_of_counts_once():
    mask = np.ones((20, 8), np.float32)
    found = _seen([[0.0, 0, 16, 40]], [0.8], [(0, 0, mask)])
    other = _seen(
        [[0.0, 0, 32, 80], [100, 0, 132, 80], [200, 0, 232, 80]],
        [0.9, 0.7, 0.4],
        [(0, 0, mask), (50, 0, mask), (100, 0, mask)],
    )
    joined = add_apart(found, [rescaled(other, 0.5)])
    assert joined.boxes.tolist() == [[0, 0, 16, 40], [50, 0, 66, 40]]  # not twice, and not what is unsure
    assert joined.score.tolist() == [0.8, 0.7]
    x, y, again = joined.masks[1]
    assert (x, y, again.shape) == (25, 0, (10, 4))


def test_what_crosses_and_only_another_look_shows_is_added_with_less_certainty():
    down, across = np.ones((40, 6), np.float32), np.ones((6, 40), np.float32)
    found = _seen([[34.0, 0, 46, 80]], [0.9], [(17, 0, down)])
    other = _seen([[0.0, 34, 80, 46], [34, 0, 46, 70]], [0.6, 0.8], [(0, 17, across), (17, 0, down[:35])])
    joined = add_uncovered(found, [other])
    assert joined.boxes.tolist() == [[34, 0, 46, 80], [0, 34, 80, 46]]
    assert joined.score[0] == 0.9
    assert 0.1 < joined.score[1] < 0.6


def test_what_lies_end_to_end_is_parted_where_it_is_told(found):
    i = int((found.boxes["y1"] - found.boxes["y0"]).argmax())
    joints = np.where(np.arange(len(found)) == i, 0.3, 0.0)
    parted = found.part(joints)
    assert len(parted) == len(parted.cutouts) == len(parted.log_proba) == len(found) + 1
    upper, lower = parted.masks[i].sum(), parted.masks[i + 1].sum()
    assert upper + lower == found.masks[i].sum()
    assert upper / found.masks[i].sum() == pytest.approx(0.3, abs=0.1)
    assert parted.boxes["y0"][i] < parted.boxes["y0"][i + 1]
    others = [k for k in range(len(parted)) if k not in (i, i + 1)]
    same = parted.boxes.iloc[others].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, found.boxes.drop(index=i).reset_index(drop=True), check_dtype=False)
