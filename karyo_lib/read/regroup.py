"""Objects of a page that look like no single chromosome are cut in two, or joined with what they touch;
bodies too pale for the finder are looked at again.

The finder sees ink, not chromosomes: it may leave two that touch in one, break one at a sharp bend, or miss a
pale one. The naming network, which has seen such objects in training, is one judge: side by side on a
karyogram stand homologues, so that an object is cut where both parts are of one class. Counting is the other:
a page is divided as makes all of it together most probable, its chromosomes, their places and their number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.segmentation import watershed

from karyo_lib.read.find import LEAST_BODY, FoundPage, gather_objects, infer_slots
from karyo_lib.read.name import Names
from karyo_lib.shape.straighten import mask_width
from karyo_lib.shape.strips import SIZE_COLUMNS, Strips, straighten_cell

#: An object may be two if it is as probable as this that it is no single chromosome, or so much wider than
#: others; the smaller part of a cut is at least so large a share of the other.
_SUSPECT, _WIDE, _ALIKE = 0.01, 1.25, 0.55
#: A new division is considered if its parts are chromosomes with this probability (geometric mean; of a cut,
#: homologues), and for a join if that is not less than this factor of what its objects are apart.
_POSSIBLE, _NOT_LESS = 0.25, 0.6
#: It is made if the page is more probable by it, by this logarithm; for one of which the network is sure the
#: less suffices. On 312 pages of validation patients most that are right gain more than 5, and of those that
#: are wrong and would be made, most lose to a right one of the same object.
_GAIN, _GAIN_SURE = 4.5, 0.5
#: The network is sure of a cut into homologues at the first, of a join at the second if, by the mean
#: logarithm, its objects are so much less sure apart. Homologues that touch look like one, too, but apart
#: both are sure.
_SURE_CUT, _SURE_JOIN, _LESS_SURE = 0.85, 0.9, 0.4
#: Directions of the lines near which an object is cut, in degrees from upright, as homologues stand side by
#: side; the least share of the object on either side; how far the cut may leave the line, in widths.
_TILTS, _LEAST_SIDE, _BESIDE = (-45, -30, -15, 0, 15, 30, 45), 0.2, 0.4
#: Objects that are nearer than this, in chromosome widths, may be pieces of one.
_NEAR = 0.25
#: How often a page is gone through: three in one object take two cuts.
_ROUNDS = 2
#: Of a page with more objects, more than four sets of chromosomes and much print, none is cut or joined.
MOST_OBJECTS = 120
#: A page of which more could be cut or joined is left as it is: noise; four sets that touch make about 40.
_MOST_DIVISIONS = 60


@dataclass(frozen=True)
class _Division:
    """Objects (numbers in `FoundPage.labels`; none for a pale body), a window of the page, and the masks
    there to replace them."""

    objects: tuple[int, ...]
    where: tuple[slice, slice]
    parts: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class _Judged:
    """A division that is possible: the names of its parts, and how much the page must gain by it."""

    division: _Division
    names: Names
    least_gain: float


@dataclass(frozen=True)
class _Objects:
    """A page's objects as counting sees them; ``numbers`` are those in `FoundPage.labels`, 0 for new ones."""

    numbers: np.ndarray
    boxes: pd.DataFrame
    names: Names

    def divided(self, judged: _Judged, found: FoundPage) -> "_Objects":
        kept = np.flatnonzero(~np.isin(self.numbers, judged.division.objects))
        boxes = pd.concat([self.boxes.iloc[kept], _part_boxes(judged.division, found.scale)])
        boxes = boxes.reset_index(drop=True)
        numbers = np.append(self.numbers[kept], np.zeros(len(judged.division.parts), int))
        names = self.names.take(kept).join(judged.names)
        return _Objects(numbers, boxes.assign(**infer_slots(boxes, found.width)), names)


def regroup(
    found: FoundPage,
    strips: Strips,
    names: Names,
    predict: Callable[[Strips], Names],
    weigh: Callable[[Names, pd.DataFrame], float],
) -> tuple[FoundPage, Strips, Names]:
    """Cut and join the objects of a page that are no single chromosomes, and add pale ones.

    Parameters
    ----------
    found : FoundPage
    strips, names
        Of its n objects.
    predict : callable
        Names strips: `karyo_lib.read.name.Namer.predict`.
    weigh : callable
        Log-probability of named objects at their boxes, as of
        `karyo_lib.read.cell.CountPosterior.log_evidence`.

    Returns
    -------
    found : FoundPage
    strips : Strips
    names : Names
        The same objects if nothing better was found.
    """
    for _ in range(_ROUNDS):
        # a page of which nothing can be read is not made better by cutting it up
        if not 0 < len(found) <= MOST_OBJECTS or (names.log_none > np.log(0.5)).sum() > len(found) / 3:
            break
        chosen = _choose(found, strips, names, predict, weigh)
        if not chosen:
            break
        labels, faint = found.labels.copy(), found.faint.copy()
        for division in chosen:
            labels[np.isin(labels, division.objects)] = 0
            for part in division.parts:
                labels[division.where][part] = labels.max() + 1
                faint[division.where][part] = 0
        again = gather_objects(labels, found.paper, found.width * found.scale, found.scale)
        found = replace(again, rejected=found.rejected, faint=faint)
        strips = straighten_cell(found.cutouts, found.masks)
        names = predict(strips)
    return found, strips, names


def _choose(
    found: FoundPage,
    strips: Strips,
    names: Names,
    predict: Callable[[Strips], Names],
    weigh: Callable[[Names, pd.DataFrame], float],
) -> list[_Division]:
    """The divisions by which the page is more probable, the most telling first."""
    possible = _possible(found, strips, names, predict)
    if not 0 < len(possible) <= _MOST_DIVISIONS:
        return []
    page = _Objects(np.arange(1, len(found) + 1), found.boxes, names)
    evidence = weigh(names, found.boxes)

    def gain(judged: _Judged) -> float:
        divided = page.divided(judged, found)
        return weigh(divided.names, divided.boxes) - evidence

    gains = [gain(judged) - judged.least_gain for judged in possible]
    chosen, taken = [], set()
    for i in np.argsort(-np.array(gains), kind="stable"):
        judged = possible[i]
        if gains[i] <= 0:
            break
        # what was chosen before may have explained what this one would
        if taken & set(judged.division.objects) or (chosen and gain(judged) <= judged.least_gain):
            continue
        page = page.divided(judged, found)
        evidence = weigh(page.names, page.boxes)
        taken |= set(judged.division.objects)
        chosen.append(judged.division)
    return chosen


def _possible(
    found: FoundPage, strips: Strips, names: Names, predict: Callable[[Strips], Names]
) -> list[_Judged]:
    """Divisions whose parts look like chromosomes; of the cuts of one object the best."""
    wide = strips.sizes[:, SIZE_COLUMNS.index("log_width")] > np.log(_WIDE)
    suspects = np.flatnonzero((names.log_none > np.log(_SUSPECT)) | wide)
    divisions = [*_joins(found), *_faint(found), *(cut for i in suspects for cut in _cuts(found, i + 1))]
    if not divisions:
        return []
    said = predict(_straighten_parts(found, strips, divisions))
    first, others, cuts = 0, [], {}
    for division in divisions:
        own = said.take(np.arange(first, first + len(division.parts)))
        first += len(division.parts)
        after = float(own.log_proba.mean(0).max())  # all parts are of one class
        before = (
            float(names.log_proba[np.array(division.objects, int) - 1].max(1).mean())
            if division.objects
            else after
        )
        if after < np.log(_POSSIBLE):
            continue
        if len(division.objects) == 1:
            sure = after > max(np.log(_SURE_CUT), before)
            known = cuts.get(division.objects[0], (-np.inf,))
            cuts[division.objects[0]] = max(
                known, (after, _Judged(division, own, _GAIN_SURE if sure else _GAIN)), key=lambda cut: cut[0]
            )
        elif after > before + np.log(_NOT_LESS):
            sure = len(division.objects) > 1 and after > np.log(_SURE_JOIN) and after > before + _LESS_SURE
            others.append(_Judged(division, own, _GAIN_SURE if sure else _GAIN))
    return [*others, *(judged for _, judged in cuts.values())]


def _part_boxes(division: _Division, scale: float) -> pd.DataFrame:
    """Boxes and areas, in page pixels, of a division's parts."""
    rows = []
    for part in division.parts:
        (y0, x0), (y1, x1) = (at + [s.start for s in division.where] for at in _extent(part))
        rows.append((x0 / scale, y0 / scale, x1 / scale, y1 / scale, part.sum() / scale**2))
    return pd.DataFrame(rows, columns=["x0", "y0", "x1", "y1", "area"])


def _extent(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.argwhere(mask)
    return at.min(0), at.max(0) + 1


def _straighten_parts(found: FoundPage, strips: Strips, divisions: list[_Division]) -> Strips:
    """The parts as `straighten_cell` would give them among the page's objects, without doing those again."""
    widths = [mask_width(mask) for mask in found.masks]
    usual = int(np.argsort(widths)[len(widths) // 2])
    images, masks = [found.cutouts[usual]], [found.masks[usual]]
    for division in divisions:
        for part in division.parts:
            image = np.where(part, found.paper[division.where], 255).astype(np.uint8)
            images.append(np.pad(image, 3, constant_values=255))
            masks.append(np.pad(part, 3))
    parts = straighten_cell(images, masks, reference=[0]).take(np.arange(1, len(images)))
    own = strips.sizes[usual]  # the parts are told relative to this object, and it relative to the cell
    darker = np.exp(own[SIZE_COLUMNS.index("log_ink")])
    return replace(parts, images=parts.images * darker, sizes=parts.sizes + own)


def _cuts(found: FoundPage, number: int) -> Iterator[_Division]:
    """An object cut in two side by side where the ink is palest, near lines that cross little or pale ink."""
    where = ndimage.find_objects(found.labels)[number - 1]
    mask = found.labels[where] == number
    dark = 255.0 - found.paper[where]
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


def _faint(found: FoundPage) -> Iterator[_Division]:
    """Every pale body that is large enough, as an object."""
    least = LEAST_BODY * (found.width * found.scale) ** 2
    for number, where in enumerate(ndimage.find_objects(found.faint), start=1):
        if where is not None:
            whole = ndimage.binary_fill_holes(found.faint[where] == number) & (found.labels[where] == 0)
            if whole.sum() >= least:
                yield _Division((), where, (whole,))


def _around(objects: list[tuple[slice, slice]], margin: int) -> tuple[slice, slice]:
    """The window that holds some objects and a margin."""
    rows, columns = (
        slice(max(0, min(s.start for s in axis) - margin), max(s.stop for s in axis) + margin)
        for axis in zip(*objects, strict=True)
    )
    return rows, columns
