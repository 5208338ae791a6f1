"""Copies of one karyogram found by how they look, so that they never stand on both sides of a split."""

import imagehash
import numpy as np
from PIL import Image, ImageFilter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Karyograms of one lab share a layout and look alike to a small hash: at 8 x 8, pages of different patients
# can have the same one. With 32 x 32 coefficients, pages of different cells differ in 0.16 of the bits or
# more, re-saved, dimmed, speckled, blurred, resized, shifted or trimmed copies in 0.06 at most (both tested).
HASH_SIDE = 32
MAX_DISTANCE = 0.11  # share of differing bits
_WORKING_SIDE = 512
_INK_CONTRAST = 24
_INK_SHARE = 0.005


def compute_page_hash(pixels: np.ndarray) -> np.ndarray:
    """Two perceptual hashes of a page, uint64 (2, 16): of all of it, and of the part that its ink spans,
    which finds copies with other margins. A median filter comes first, or speckle would decide."""
    image = Image.fromarray(pixels)
    if max(image.size) > _WORKING_SIDE:
        image.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BOX)
    image = image.filter(ImageFilter.MedianFilter(3))
    filtered = np.asarray(image)
    ink = np.abs(filtered - np.median(filtered)) > _INK_CONTRAST
    rows, columns = (np.flatnonzero(ink.mean(axis=axis) > _INK_SHARE) for axis in (1, 0))
    parts = [image]
    if len(rows) and len(columns):
        image = image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    parts.append(image)
    bits = np.stack([imagehash.phash(part, HASH_SIDE).hash.ravel() for part in parts])
    return np.packbits(bits, axis=1).view(np.uint64)


def find_groups(hashes: np.ndarray, max_distance: float = MAX_DISTANCE) -> np.ndarray:
    """Number the groups of pages that are near duplicates by either hash, directly or through others."""
    n_pages, _, words = hashes.shape
    limit = int(max_distance * words * 64)
    pairs = [np.empty((0, 2), np.intp)]
    for start in range(0, n_pages, 64):
        block = hashes[start : start + 64, None]
        near = (np.bitwise_count(block ^ hashes[None, start:]).sum(axis=3) <= limit).any(axis=2)
        pairs.append(np.argwhere(near) + start)
    rows, columns = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n_pages, n_pages))
    return connected_components(graph, directed=False)[1]
