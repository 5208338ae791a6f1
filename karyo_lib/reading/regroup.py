"""Objects of a page that look like no single chromosome are cut in two, or joined with what they touch.

The finder sees ink, not chromosomes: it may leave two that touch in one, or break one at a sharp bend. The
naming network, which has seen such objects in training, is the judge. Side by side on a karyogram stand
homologues: an object is cut where both parts are of one class.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from karyo_lib.reading.find import FoundPage, gather_objects
from karyo_lib.reading.name import Names
from karyo_lib.reading.strips import Strips, straighten_cell

#: An object is looked at if it is as probable as this that it is no single chromosome, and cut if its parts
#: are homologues: of one class with this probability (geometric mean), the smaller at least so large a share
#: of the other. Of single chromosomes of validation patients that were looked at, none was cut.
_SUSPECT, _HOMOLOGUES, _ALIKE = 0.03, 0.85, 0.55
#: Two objects are joined if together they are one chromosome with this probability, and by how much more
#: they must be (mean logarithm) than they are two. Homologues that touch look like one, too, but apart both
#: are sure.
_JOINED, _GAIN = 0.9, 0.4
#: Directions of the lines near which an object is cut, in degrees from upright, as homologues stand side by
#: side; the least share of the object on either side; how far the cut may leave the line, in widths.
_TILTS, _LEAST_SIDE, _BESIDE = (-45, -30, -15, 0, 15, 30, 45), 0.2, 0.4
#: Objects that are nearer than this, in chromosome widths, may be pieces of one.
_NEAR = 0.25
#: How often a page is gone through: three in one object take two cuts.
_ROUNDS = 2


@dataclass(frozen=True)
class _Division:
    """Objects (numbers in `FoundPage.labels`) and the masks, on the page, that would replace them."""

    objects: tuple[int, ...]
    parts: tuple[np.ndarray, ...]


def regroup(
    found: FoundPage, strips: Strips, names: Names, predict: Callable[[Strips], Names]
) -> tuple[FoundPage, Strips, Names]:
    """Cut and join the objects of a page that are no single chromosomes.

    Parameters
    ----------
    found : FoundPage
    strips, names
        Of its n objects.
    predict : callable
        Names strips: `karyo_lib.reading.name.Namer.predict`.

    Returns
    -------
    found : FoundPage
    strips : Strips
    names : Names
        The same objects if nothing better was found.
    """
    for _ in range(_ROUNDS):
        labels = _divide(found, names, predict)
        if labels is None:
            break
        again = gather_objects(labels, _paper(found), found.width * found.scale, found.scale)
        found = replace(again, rejected=found.rejected)
        strips = straighten_cell(found.cutouts, found.masks)
        names = predict(strips)
    return found, strips, names


def _divide(found: FoundPage, names: Names, predict: Callable[[Strips], Names]) -> np.ndarray | None:
    """Labels of the page with better divisions; None where there are none."""
    suspects = np.flatnonzero(names.log_none > np.log(_SUSPECT))
    # a page of which nothing can be read is not made better by cutting it up
    if (names.log_none > np.log(0.5)).sum() > len(found) / 3:
        return None
    paper = _paper(found)
    divisions = [*_joins(found), *(cut for i in suspects for cut in _cuts(found, paper, i + 1))]
    if not divisions:
        return None
    said = predict(_straighten_parts(found, paper, divisions))
    first, better = 0, []
    for division in divisions:
        own = said.log_proba[first : first + len(division.parts)]
        first += len(division.parts)
        after = float(own.mean(0).max())  # all parts are of one class
        before = float(names.log_proba[np.array(division.objects) - 1].max(1).mean())
        if len(division.objects) > 1:
            good = after > np.log(_JOINED) and after > before + _GAIN
        else:
            areas = [part.sum() for part in division.parts]
            good = after > max(np.log(_HOMOLOGUES), before) and min(areas) > _ALIKE * max(areas)
        better += [(after, division)] if good else []
    labels, taken = found.labels.copy(), set()
    for _, division in sorted(better, key=lambda pair: -pair[0]):
        if not taken & set(division.objects):
            taken |= set(division.objects)
            labels[np.isin(labels, division.objects)] = 0
            for part in division.parts:
                labels[part] = labels.max() + 1
    return labels if taken else None


def _paper(found: FoundPage) -> np.ndarray:
    """The objects on white, at the working scale."""
    paper = np.full(found.labels.shape, 255, np.uint8)
    for i, where in enumerate(ndimage.find_objects(found.labels)):
        own = found.labels[where] == i + 1
        paper[where][own] = found.cutouts[i][found.masks[i]]
    return paper


def _straighten_parts(found: FoundPage, paper: np.ndarray, divisions: list[_Division]) -> Strips:
    images, masks = list(found.cutouts), list(found.masks)
    for part in (part for division in divisions for part in division.parts):
        where = ndimage.find_objects(part.astype(np.int8))[0]
        images.append(
            np.pad(np.where(part[where], paper[where], 255).astype(np.uint8), 3, constant_values=255)
        )
        masks.append(np.pad(part[where], 3))
    n = len(found)
    return straighten_cell(images, masks, reference=np.arange(n)).take(np.arange(n, len(images)))


def _cuts(found: FoundPage, paper: np.ndarray, number: int) -> Iterator[_Division]:
    """An object cut in two side by side where the ink is palest, near lines that cross little or pale ink."""
    rows, columns = ndimage.find_objects(found.labels)[number - 1]
    mask = found.labels[rows, columns] == number
    dark = 255.0 - paper[rows, columns]
    smooth = ndimage.gaussian_filter(dark, 1.0)
    at = np.argwhere(mask)
    reach = _BESIDE * found.width * found.scale
    for tilt in np.deg2rad(_TILTS):
        along = at @ np.array([np.sin(tilt), np.cos(tilt)])
        bins = np.floor(along - along.min()).astype(int)
        pixels = np.bincount(bins)
        crossed = ndimage.uniform_filter1d(np.bincount(bins, dark[mask]), 2)
        before = np.cumsum(pixels) / len(at)
        possible = np.flatnonzero((before > _LEAST_SIDE) & (before < 1 - _LEAST_SIDE))
        if len(possible) == 0:
            continue
        for line in {int(possible[cost[possible].argmin()]) for cost in (crossed, crossed / pixels.clip(1))}:
            straight, sides = np.zeros(mask.shape, np.int8), np.zeros(mask.shape, np.int8)
            straight[mask] = np.where(bins <= line, 1, 2)
            sides[mask] = np.where(bins < line - reach, 1, np.where(bins > line + 1 + reach, 2, 0))
            for parted in (straight, watershed(-smooth, sides, mask=mask)):
                parts = [np.zeros(found.labels.shape, bool) for _ in range(2)]
                for part, side in zip(parts, (1, 2), strict=True):
                    part[rows, columns] = parted == side
                if min(part.sum() for part in parts) > _LEAST_SIDE * len(at):
                    yield _Division((number,), tuple(parts))


def _joins(found: FoundPage) -> Iterator[_Division]:
    """Every two objects that touch, as one."""
    reach = max(1, round(_NEAR * found.width * found.scale))
    for number, where in enumerate(ndimage.find_objects(found.labels), start=1):
        rows, columns = (slice(max(0, s.start - 2 * reach), s.stop + 2 * reach) for s in where)
        near = ndimage.binary_dilation(found.labels[rows, columns] == number, iterations=reach)
        for other in np.unique(found.labels[rows, columns][near]):
            if other > number:
                both = np.isin(found.labels, (number, other))
                closed = ndimage.binary_closing(np.pad(both, reach), iterations=reach)
                free = both | (found.labels == 0)
                yield _Division((number, int(other)), (closed[reach:-reach, reach:-reach] & free,))
