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
from karyo_lib.reading.straighten import mask_width
from karyo_lib.reading.strips import SIZE_COLUMNS, Strips, straighten_cell

#: An object is looked at if it is as probable as this that it is no single chromosome, and cut if its parts
#: are homologues: of one class with this probability (geometric mean), the smaller at least so large a share
#: of the other. On 84 pages of validation patients this cuts 26 objects that are two, and one that is not.
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
    """Objects (numbers in `FoundPage.labels`), a window of the page, and the masks there to replace them."""

    objects: tuple[int, ...]
    where: tuple[slice, slice]
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
        paper = found.draw_objects()
        labels = _divide(found, strips, names, paper, predict)
        if labels is None:
            break
        again = gather_objects(labels, paper, found.width * found.scale, found.scale)
        found = replace(again, rejected=found.rejected)
        strips = straighten_cell(found.cutouts, found.masks)
        names = predict(strips)
    return found, strips, names


def _divide(
    found: FoundPage, strips: Strips, names: Names, paper: np.ndarray, predict: Callable[[Strips], Names]
) -> np.ndarray | None:
    """Labels of the page with better divisions; None where there are none."""
    if len(found) == 0:
        return None
    suspects = np.flatnonzero(names.log_none > np.log(_SUSPECT))
    # a page of which nothing can be read is not made better by cutting it up
    if (names.log_none > np.log(0.5)).sum() > len(found) / 3:
        return None
    divisions = [*_joins(found), *(cut for i in suspects for cut in _cuts(found, paper, i + 1))]
    if not divisions:
        return None
    said = predict(_straighten_parts(found, strips, paper, divisions))
    first, better = 0, []
    for division in divisions:
        own = said.log_proba[first : first + len(division.parts)]
        first += len(division.parts)
        after = float(own.mean(0).max())  # all parts are of one class
        before = float(names.log_proba[np.array(division.objects) - 1].max(1).mean())
        if len(division.objects) > 1:
            good = after > np.log(_JOINED) and after > before + _GAIN
        else:
            good = after > max(np.log(_HOMOLOGUES), before)
        better += [(after, division)] if good else []
    labels, taken = found.labels.copy(), set()
    for _, division in sorted(better, key=lambda pair: -pair[0]):
        if not taken & set(division.objects):
            taken |= set(division.objects)
            labels[np.isin(labels, division.objects)] = 0
            for part in division.parts:
                labels[division.where][part] = labels.max() + 1
    return labels if taken else None


def _straighten_parts(
    found: FoundPage, strips: Strips, paper: np.ndarray, divisions: list[_Division]
) -> Strips:
    """The parts as `straighten_cell` would give them among the page's objects, without doing those again."""
    widths = [mask_width(mask) for mask in found.masks]
    usual = int(np.argsort(widths)[len(widths) // 2])
    images, masks = [found.cutouts[usual]], [found.masks[usual]]
    for division in divisions:
        for part in division.parts:
            image = np.where(part, paper[division.where], 255).astype(np.uint8)
            images.append(np.pad(image, 3, constant_values=255))
            masks.append(np.pad(part, 3))
    parts = straighten_cell(images, masks, reference=[0]).take(np.arange(1, len(images)))
    own = strips.sizes[usual]  # the parts are told relative to this object, and it relative to the cell
    darker = np.exp(own[SIZE_COLUMNS.index("log_ink")])
    return replace(parts, images=parts.images * darker, sizes=parts.sizes + own)


def _cuts(found: FoundPage, paper: np.ndarray, number: int) -> Iterator[_Division]:
    """An object cut in two side by side where the ink is palest, near lines that cross little or pale ink."""
    where = ndimage.find_objects(found.labels)[number - 1]
    mask = found.labels[where] == number
    dark = 255.0 - paper[where]
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
                parts = (parted == 1, parted == 2)
                areas = [int(part.sum()) for part in parts]
                if min(areas) > _ALIKE * max(areas):
                    yield _Division((number,), where, parts)


def _joins(found: FoundPage) -> Iterator[_Division]:
    """Every two objects that touch, as one."""
    reach = max(1, round(_NEAR * found.width * found.scale))
    objects = ndimage.find_objects(found.labels)
    for number, own in enumerate(objects, start=1):
        window = _around([own], reach)
        near = ndimage.binary_dilation(found.labels[window] == number, iterations=reach)
        for other in np.unique(found.labels[window][near]).tolist():
            if other > number:
                where = _around([own, objects[other - 1]], reach)
                labels = found.labels[where]
                both = (labels == number) | (labels == other)
                closed = ndimage.binary_closing(np.pad(both, reach), iterations=reach)
                whole = closed[reach:-reach, reach:-reach] & (both | (labels == 0))
                yield _Division((number, other), where, (whole,))


def _around(objects: list[tuple[slice, slice]], margin: int) -> tuple[slice, slice]:
    """The window that holds some objects and a margin."""
    rows, columns = (
        slice(max(0, min(s.start for s in axis) - margin), max(s.stop for s in axis) + margin)
        for axis in zip(*objects, strict=True)
    )
    return rows, columns
