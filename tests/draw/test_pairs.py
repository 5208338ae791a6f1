"""Per-pair augmentation and the compact layout."""

import cv2
import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.draw.pairs import PairSettings, augment_pairs, compact_page

STILL = PairSettings(bend=0.0, rotate=0.0, mirror=0.0)


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("46,XX,t(9;22)(q34;q11.2)", style="digital", seed=4, size=(416, 416))


def assert_boxes_hold_labels(result):
    for number, row in enumerate(result.chromosomes.itertuples()):
        y, x = np.nonzero(result.labels == number + 1)
        if len(y):
            assert row.x0 - 1 <= x.min() <= x.max() < row.x1 + 1
            assert row.y0 - 1 <= y.min() <= y.max() < row.y1 + 1


def test_doing_nothing_gives_the_page_back(page):
    result = augment_pairs(page.image, page.truth, page.labels, np.random.default_rng(0), STILL)
    inside = page.labels > 0
    difference = np.abs(result.image.astype(int) - page.image)
    assert difference[inside].mean() < 1
    assert difference.mean() < 0.5
    assert_boxes_hold_labels(result)


def test_mirroring_twice_is_doing_nothing():
    page = draw_karyogram("46,XX", style="prometaphase", seed=4, size=(700, 600))
    mirror = PairSettings(bend=0.0, rotate=0.0, mirror=1.0, overlap=1.0)
    once = augment_pairs(page.image, page.truth, page.labels, np.random.default_rng(0), mirror)
    assert np.abs(once.image.astype(int) - page.image)[page.labels > 0].mean() > 5
    twice = augment_pairs(once.image, once.chromosomes, once.labels, np.random.default_rng(0), mirror)
    assert np.abs(twice.image.astype(int) - page.image)[page.labels > 0].mean() < 4


def test_each_chromosome_stays_in_its_place(page):
    result = augment_pairs(page.image, page.truth, page.labels, np.random.default_rng(1))
    assert result.image.shape == page.image.shape
    assert_boxes_hold_labels(result)
    old, new = (
        np.column_stack([(t["x0"] + t["x1"]) / 2, (t["y0"] + t["y1"]) / 2])
        for t in (page.truth, result.chromosomes)
    )
    assert np.hypot(*(old - new).T).max() < 12
    area = np.bincount(page.labels.ravel(), minlength=47)[1:]
    after = np.bincount(result.labels.ravel(), minlength=47)[1:]
    assert (np.abs(after - area) < 0.3 * area + 8).all()
    ink = [255.0 * p.size - p.sum(dtype=float) for p in (page.image, result.image)]
    assert ink[1] == pytest.approx(ink[0], rel=0.05)
    assert not np.array_equal(result.image, page.image)
    same = augment_pairs(page.image, page.truth, page.labels, np.random.default_rng(1))
    assert np.array_equal(result.image, same.image)


@pytest.mark.parametrize("style", ["digital", "photocopy", "fluorescence"])
def test_compacting_closes_gaps_and_keeps_order(style):
    page = draw_karyogram("46,XY", style=style, seed=3, size=(416, 416))
    result = compact_page(page.image, page.truth, page.labels, np.random.default_rng(0), (416, 416))
    assert_boxes_hold_labels(result)
    kept, before = (np.bincount(p.labels.ravel(), minlength=47)[1:] for p in (result, page))
    assert (kept > 1.5 * before).all()  # what gaps took, chromosomes fill
    x = (result.chromosomes["x0"] + result.chromosomes["x1"]) / 2
    for first, second in (("1", "2"), ("6", "9"), ("13", "18"), ("19", "22")):
        assert x[page.truth["slot"] == first].max() < x[page.truth["slot"] == second].min()


def test_compact_pages_fill_the_size_asked_for(page):
    result = compact_page(page.image, page.truth, page.labels, np.random.default_rng(0), (150, 150))
    assert result.image.shape == (150, 150)
    before = page.truth["y1"] - page.truth["y0"]
    after = result.chromosomes["y1"] - result.chromosomes["y0"]
    # At 150 pixels the compact page shows chromosomes larger than the whole page reduced to 150 would.
    assert (after / (before * 150 / 416)).median() > 1.5
    assert_boxes_hold_labels(result)


@pytest.mark.parametrize("style", ["digital", "photocopy"])
def test_ink_beside_a_mask_that_is_too_small_moves_with_its_chromosome(style):
    page = draw_karyogram("46,XX", style=style, seed=4, size=(416, 416))
    thin = page.labels * cv2.erode(
        (page.labels > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2
    )
    turn = PairSettings(bend=0.0, rotate=25.0, mirror=0.0, overlap=0.2)
    result = augment_pairs(page.image, page.truth, thin, np.random.default_rng(0), turn)
    paper = np.median(page.image)
    left = (page.labels > 0) & (
        cv2.dilate((result.labels > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    )
    ink = [np.abs(p[left].astype(float) - paper) > 40 for p in (page.image, result.image)]
    assert ink[0].sum() > 500
    assert ink[1].sum() < 0.04 * ink[0].sum()


def test_it_works_on_a_scanned_page(real_karyogram):
    scan = cv2.resize(
        cv2.imread(str(real_karyogram), cv2.IMREAD_GRAYSCALE), (1232, 966), interpolation=cv2.INTER_AREA
    )
    closed = cv2.morphologyEx((scan < 225).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    large = [i for i in range(1, len(stats)) if stats[i, cv2.CC_STAT_AREA] > 150]
    renumber = np.zeros(len(stats), np.int16)
    renumber[large] = np.arange(1, len(large) + 1)
    boxes = stats[large, :4]
    table = pd.DataFrame(
        np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), columns=["x0", "y0", "x1", "y1"]
    )
    assert 38 <= len(table) <= 48
    result = augment_pairs(scan, table, renumber[labels], np.random.default_rng(0))
    assert_boxes_hold_labels(result)
    compact = compact_page(scan, table, renumber[labels], np.random.default_rng(0), scan.shape[::-1])
    assert (compact.labels > 0).mean() > 2 * (labels > 0).mean()


def test_bad_input_is_named(page):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Expected a uint8 page"):
        augment_pairs(page.image.astype(float), page.truth, page.labels, rng)
    with pytest.raises(ValueError, match="Expected columns"):
        augment_pairs(page.image, page.truth.drop(columns="x0"), page.labels, rng)
    with pytest.raises(ValueError, match="Expected labels up to"):
        augment_pairs(page.image, page.truth.iloc[:3], page.labels, rng)
    with pytest.raises(ValueError, match="at least one chromosome"):
        compact_page(page.image, page.truth, np.zeros_like(page.labels), rng, (416, 416))
