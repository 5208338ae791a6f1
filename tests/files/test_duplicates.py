"""Near duplicates: altered copies are found, other karyograms of the same style and lab are not."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.index import MAX_DISTANCE, compute_page_hash, find_groups

ROWS = (range(1, 6), range(6, 13), range(13, 19), (19, 20, 21, 22, "X", "Y"))


def lay_out(cutouts):
    """The plainest page of one cell: always the same slots, so that only the chromosomes differ."""
    page = np.full((700, 900), 255, np.uint8)
    for row, names in enumerate(ROWS):
        for column, name in enumerate(names):
            for copy, cutout in enumerate(c for c in cutouts if c.chromosome == str(name)):
                image = cutout.image[:180]
                bottom, left = 190 + 160 * row, 20 + column * 125 + copy * 34
                place = page[bottom - image.shape[0] : bottom, left : left + image.shape[1]]
                place[:] = np.minimum(place, image)
    return np.asarray(Image.fromarray(page).resize((416, 416), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def drawn_pages():
    return [
        draw_karyogram("46,XX" if seed % 2 else "46,XY", seed=seed, size=(416, 416)).image
        for seed in range(16)
    ]


@pytest.fixture(scope="module")
def real_pages(bank_dir):
    bank = ChromosomeBank(bank_dir)
    return [lay_out(bank.cutouts(cell)) for cell in bank.cells["cell"].iloc[::8]]


def distances(hashes):
    first, second = np.triu_indices(len(hashes), 1)
    return np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=-1).min(axis=-1) / 1024


def as_jpeg(page):
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def speckled(page):
    rng = np.random.default_rng(0)
    return np.where(rng.random(page.shape) < 0.05, rng.integers(0, 256, page.shape), page).astype(np.uint8)


def resized(page):
    return np.asarray(Image.fromarray(page).resize((700, 700), Image.Resampling.BICUBIC))


COPIES = {
    "JPEG": as_jpeg,
    "dimmed": lambda page: (page * 0.75).astype(np.uint8),
    "brightened": lambda page: np.minimum(page * 1.25, 255).astype(np.uint8),
    "speckled": speckled,
    "blurred": lambda page: np.asarray(Image.fromarray(page).filter(ImageFilter.GaussianBlur(1.5))),
    "resized": resized,
    "halved": lambda page: np.asarray(Image.fromarray(page).resize((208, 208), Image.Resampling.LANCZOS)),
    "margin": lambda page: np.pad(page, 25, constant_values=255),
    "shifted": lambda page: np.roll(page, (3, 6), axis=(0, 1)),
}


def assert_told_apart(pages):
    hashes = np.stack([compute_page_hash(page) for page in pages])
    assert distances(hashes).min() > 1.3 * MAX_DISTANCE  # with room to spare
    assert len(set(find_groups(hashes))) == len(pages)


def test_drawn_pages_are_told_apart(drawn_pages):
    assert_told_apart(drawn_pages)


def test_real_cells_are_told_apart(real_pages):
    assert_told_apart(real_pages)


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found(drawn_pages, kind):
    pages = drawn_pages[:4]
    hashes = np.stack([compute_page_hash(page) for page in pages + [COPIES[kind](page) for page in pages]])
    groups = find_groups(hashes)
    np.testing.assert_array_equal(groups[:4], groups[4:])
    assert len(set(groups)) == 4


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_real_cells_are_found(real_pages, kind):
    pages = real_pages[:4]
    hashes = np.stack([compute_page_hash(page) for page in pages + [COPIES[kind](page) for page in pages]])
    groups = find_groups(hashes)
    np.testing.assert_array_equal(groups[:4], groups[4:])
    assert len(set(groups)) == 4


def test_groups_are_transitive_and_cross_blocks():
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, (150, 2, 16), dtype=np.uint64)
    for near, far in ((2, 140), (140, 71)):
        hashes[far, 0] = hashes[near, 0]
        hashes[far, 0, 0] ^= np.uint64(2**40 - 1) << np.uint64(20 * (near == 140))
    groups = find_groups(hashes, max_distance=0.05)
    assert groups[2] == groups[140] == groups[71]
    assert len(set(groups)) == 148


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_groups_do_not_depend_on_order(n_pages, seed):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2, (n_pages, 2, 16), dtype=np.uint64)  # few values, so that some pages meet
    order = rng.permutation(n_pages)
    groups, shuffled = find_groups(hashes, 0.003), find_groups(hashes[order], 0.003)
    same = groups[:, None] == groups
    np.testing.assert_array_equal(same[np.ix_(order, order)], shuffled[:, None] == shuffled)
