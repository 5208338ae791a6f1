"""Chromosomes lifted off a page: the background that is left, and a patch of ink for every chromosome."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from karyo_lib.shape.ink import smooth_paper

# Pixels by which a chromosome's mask grows when it is lifted, so that its blurred rim comes with it.
_RIM = 2
# Share of the page's longer side by which a mask may be too small: a finder's masks often are, and ink left
# standing shows as the ghost of a chromosome that was moved.
_REACH = 0.008
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Patch:
    """A lifted chromosome."""

    # Float32, shape (h, w); signed difference to the background, in grey levels; 0 outside the chromosome.
    drop: np.ndarray
    mask: np.ndarray  # bool, shape (h, w)
    x: int  # corner of both on the page, in pixels
    y: int


def lift_chromosomes(
    image: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[Patch | None]]:
    """Part a page into its background, with grain, and a patch for every chromosome.

    A mask brings its blurred rim with it, and ink that joins it where it is drawn too small.

    ``image``: uint8, shape (H, W); ``labels`` (int, shape (H, W)): 0 background, i + 1 for chromosome i;
    ``count``: number of chromosomes; ``rng`` (numpy.random.Generator): for the grain laid where chromosomes
    stood. Returns ``ground``: float32, shape (H, W); ``patches``: list of Patch or None; one a chromosome;
    None where it has no pixel.
    """
    page = image.astype(np.float32)
    reach = max(_RIM, round(_REACH * max(image.shape)))
    smooth, grain = _background(page, _grow(labels > 0, reach))
    owner, covered = _own_ink(np.abs(page - smooth), labels, reach, grain)
    noise = rng.choice(grain, page.shape) if len(grain) else 0
    ground = np.where(covered, smooth + noise, page).astype(np.float32)
    margin = reach + 1
    patches: list[Patch | None] = []
    for number, place in enumerate(ndimage.find_objects(labels.astype(np.int32), max_label=count)):
        if place is None:
            patches.append(None)
            continue
        top, left = (max(side.start - margin, 0) for side in place)
        bottom, right = (min(side.stop + margin, end) for side, end in zip(place, labels.shape, strict=True))
        window = np.s_[top:bottom, left:right]
        drop = np.where(covered[window] & (owner[window] == number + 1), smooth[window] - page[window], 0)
        patches.append(Patch(drop.astype(np.float32), labels[window] == number + 1, left, top))
    return ground, patches


def _background(page: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the even background under the whole page, and the grain that lies on it."""
    typical = float(np.median(page[~covered])) if (~covered).any() else 255.0
    # Print and dust differ from the paper as chromosomes do: they stay, but tell nothing about the
    # background.
    clear = ~covered & (np.abs(page - typical) < 40)
    smooth = smooth_paper(page, clear, typical)
    return smooth, (page - smooth)[clear]


def _own_ink(
    contrast: np.ndarray, labels: np.ndarray, reach: int, grain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest chromosome of every pixel, and which pixels are lifted."""
    spread = 1.4826 * float(np.median(np.abs(grain))) if len(grain) else 0.0
    ink = contrast > max(10.0, 3 * spread)
    grown = labels > 0
    for _ in range(reach):
        grown |= _grow(grown, 1) & ink
    # One pixel more: the softest edge of the ink is fainter than any threshold.
    covered = _grow(labels > 0, _RIM) | _grow(grown, 1)
    rows, columns = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return labels[rows, columns], covered


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), _SQUARE, iterations=pixels) > 0
