"""Image -> chromosomes: what the detector sees becomes objects with masks; what is no cell is told so."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import threshold_otsu

from karyo_lib.read.cutouts import (
    REJECTED,
    Cut,
    box_of,
    cut_objects,
    cut_out,
    label_page,
    part_cut,
    reject_rest,
    tighten,
    uncut,
    window_of,
)
from karyo_lib.read.detector import Detections, Detector
from karyo_lib.resources import data_file
from karyo_lib.shape.boxes import BOX
from karyo_lib.shape.centreline import mask_width
from karyo_lib.shape.ink import measure_ink, resize

#: Width in pixels at which the detector knows chromosomes, and what it is on most pictures as a share of the
#: root of their area: where the search for the scale begins.
_SEEN_WIDTH, _USUAL_WIDTH = 11.0, 0.02
#: Scales that are tried, relative to that one; the search begins at two of them and goes on where the
#: detector is surer of what it sees. Chromosomes whose chromatids lie apart are seen whole at smaller ones.
_SCALES, _BEGIN = (0.25, 0.32, 0.4, 0.5, 0.64, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5), (3, 5)
#: Of scales at which it is nearly as sure of a metaphase the largest is taken, where it sees more of what
#: crosses (validation spreads: 99 against 98 % of the boxes).
_AS_SURE = 0.95
#: Most magnification, most pixels of one look.
_MOST_SCALE, _MOST_PIXELS = 4.0, 2.5e6
#: Least score of an object; share of the smaller of two masks from which they are one object.
_LEAST_SCORE, _SAME = 0.35, 0.75
#: On a karyogram, what another scale is so sure of counts where the surest one sees nothing: a small Y alone
#: in its slot is missed at one scale and plain at the next. Share of its box that may lie in those of others.
_SURE_ELSEWHERE, _LIES_ON = 0.5, 0.25
#: On a metaphase, what another look sees counts if so much of it lies on no object: of the chromosomes that
#: are missed in piles two thirds are found (validation spreads); what is none the counting sorts out.
_UNCOVERED = 0.4
#: By which the odds of its being a chromosome are less than its score says.
_ELSEWHERE = 0.35
#: Widths of chromosomes, in pixels, at which they are cut out: the page's own if it lies between.
_CUT_WIDTH = 14.0, 24.0
#: Objects smaller than this (squared chromosome widths) are none; least difference of grey values.
_LEAST_AREA, _LEAST_CONTRAST = 0.35, 20
#: A cell with fewer chromosomes is not whole, one with more is not one cell (92: tetraploid).
_FEWEST, _MOST = 30, 100
#: Most cells have at least so many: of a scale at which fewer are seen the detector is less sure.
_USUAL = 42
#: From so many on it may be two cells: if they lie in two heaps whose middles are further apart, in mean
#: distances from the middle of a heap (one heap cut in two: 1.8; two round ones side by side: 3).
_TWO_CELLS, _APART = 60, 2.4
#: Share of the picture from which dark ground is told as a nucleus or a blot.
_BLOT = 0.004
#: Uprightness from which chromosomes are laid out: on real pages 0.75 and more, on spreads 0.22 and less.
_UPRIGHT = 0.5
_COLUMNS = ["x0", "y0", "x1", "y1", "row", "slot", "area", "width", "score", "hidden"]


@dataclass(frozen=True)
class FoundPage:
    """The objects of an image that are chromosomes.

    Attributes
    ----------
    boxes : pandas.DataFrame
        One row an object, in reading order: ``x0, y0, x1, y1`` (pixels of the image, x1 and y1 exclusive),
        ``row``, ``slot`` (0-based, -1 where none can be inferred, as in a metaphase), ``area`` and ``width``
        (pixels of the image), ``score`` (how sure it is a chromosome), ``hidden`` (share that crosses others,
        where the bands of both show).
    cutouts : tuple of ndarray of uint8
        Each object alone on white (255), at the working scale.
    masks : tuple of ndarray of bool
        The object's pixels in its cut-out; masks of chromosomes that cross overlap.
    log_proba : ndarray of float32, shape (n, 24)
        Log-probability of each class, as the detector sees the object in its picture.
    rejected : pandas.DataFrame
        Ink that is no chromosome: ``kind`` ('box', 'rule', 'dust', 'print', 'blob', or 'unlike' for what a
        reader left out), ``x0, y0, x1, y1``.
    labels : ndarray of int16, shape (H, W) at the working scale
        0 background, i + 1 for object i.
    paper : ndarray of uint8, shape (H, W) at the working scale
        The image, its ground white.
    scale : float
        Working pixels a pixel of the image.
    width : float
        Width of an average chromosome in pixels of the image.
    kind : {'karyogram', 'metaphase', 'unreadable'}
    reason : str
        Why the image cannot be read; '' where it can.
    """

    boxes: pd.DataFrame
    cutouts: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    log_proba: np.ndarray
    rejected: pd.DataFrame
    labels: np.ndarray
    paper: np.ndarray
    scale: float
    width: float
    kind: str = "karyogram"
    reason: str = ""

    def __len__(self) -> int:
        return len(self.boxes)

    def part(self, joints: np.ndarray) -> "FoundPage":
        """The same where objects of a metaphase that are two, end to end, are parted.

        ``joints`` (float, shape (n,)): where along each object, as a share of its length; 0 where it is one.
        The detector saw no class of the parts.
        """
        rows, cuts, log_proba = [], [], []
        for i, row in enumerate(self.boxes.to_dict("records")):
            where = window_of([row[c] for c in BOX], self.scale)
            cut = Cut(where, uncut(self.masks[i]))
            for one in part_cut(cut, joints[i]) if joints[i] else [cut]:
                box = dict(zip(BOX, box_of(one.where, self.scale), strict=True))
                rows.append(row | box | {"area": one.mask.sum() / self.scale**2})
                cuts.append(one)
                log_proba.append(
                    np.full_like(self.log_proba[i], -np.log(24)) if joints[i] else self.log_proba[i]
                )
        labels, hidden = label_page(cuts, self.labels.shape)
        cutouts, masks = zip(*(cut_out(cut, self.paper) for cut in cuts), strict=True)
        boxes = pd.DataFrame(rows, columns=_COLUMNS).assign(hidden=hidden)
        return replace(
            self, boxes=boxes, cutouts=cutouts, masks=masks, log_proba=np.stack(log_proba), labels=labels
        )


def infer_slots(boxes: pd.DataFrame, width: float) -> pd.DataFrame:
    """Rows and slots of a layout.

    Rows are bands of the page that share height; inside a row a slot is a run of objects with narrow gaps.

    Parameters
    ----------
    boxes : pandas.DataFrame
        ``x0, y0, x1, y1``.
    width : float
        Width of an average chromosome, same units.

    Returns
    -------
    pandas.DataFrame
        ``row``, ``slot`` (int), same index.
    """
    out = pd.DataFrame({"row": -1, "slot": -1}, index=boxes.index)
    if boxes.empty:
        return out
    middle = ((boxes.y0 + boxes.y1) / 2).sort_values()
    height = (boxes.y1 - boxes.y0).median()
    out.loc[middle.index, "row"] = (middle.diff() > 0.55 * height).cumsum().astype(int)
    for _, row in boxes.groupby(out.row):
        row = row.sort_values("x0")
        gap = row.x0.to_numpy()[1:] - np.maximum.accumulate(row.x1.to_numpy())[:-1]
        # within a slot homologues stand closer than slots do; where there is no such contrast, a width
        # divides
        limit = np.clip(
            threshold_otsu(gap) if len(np.unique(gap)) > 2 else 1.5 * width, 0.8 * width, 2.5 * width
        )
        out.loc[row.index, "slot"] = np.concatenate([[0], np.cumsum(gap > limit)]).astype(int)
    return out


@cache
def finder_digest() -> str:
    """Digest of the code and arrays that pages are read with: what was made by others is made again."""
    room = Path(__file__).parents[1]
    names = ("read/find", "read/cutouts", "read/detector", "shape/ink")
    files = [room / f"{name}.py" for name in names] + [data_file("reader") / "detector.npz"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def shipped_detector() -> Detector:
    """The detector that comes with karyo."""
    return Detector.load(data_file("reader"))


def _sureness(seen: Detections) -> float:
    """Mean score of what was seen, as if nothing were seen of the rest of a cell."""
    return float(seen.score.sum() / max(len(seen.score), _USUAL))


def _look(light: np.ndarray, detector: Detector) -> tuple[Detections, float]:
    """What the detector sees at the scale where it is surest, and that scale; and what only other
    looks show."""
    usual = _SEEN_WIDTH / (_USUAL_WIDTH * np.sqrt(light.size))
    most = min(_MOST_SCALE, np.sqrt(_MOST_PIXELS / light.size))
    seen: dict[int, tuple[Detections, float]] = {}

    def sureness(at: int) -> float:
        if not 0 <= at < len(_SCALES):
            return -1.0
        if at and usual * _SCALES[at - 1] >= most:
            return -1.0
        if at not in seen:
            scale = min(usual * _SCALES[at], most)
            seen[at] = detector.detect(resize(light, scale), _LEAST_SCORE, _SAME), scale
        return _sureness(seen[at][0])

    best = max(_BEGIN, key=sureness)
    best = best if seen else 0  # a picture too small for either
    while sureness(better := max((best - 1, best + 1), key=sureness)) > sureness(best):
        best = better
    spread = uprightness([mask > 0.5 for _, _, mask in seen[best][0].masks]) < _UPRIGHT
    if spread:
        best = max(at for at in seen if sureness(at) >= _AS_SURE * sureness(best))
    found, scale = seen.pop(best)
    others = [
        _rescaled(other, scale / its)
        for _, (other, its) in sorted(seen.items(), key=lambda s: abs(s[0] - best))
    ]
    return (_add_uncovered if spread else _add_apart)(found, others), scale


def _rescaled(seen: Detections, ratio: float) -> Detections:
    """What was seen, in pixels of another look."""
    masks = [
        (round(x * ratio), round(y * ratio), resize(mask.astype(np.float32), ratio))
        for x, y, mask in seen.masks
    ]
    return replace(seen, boxes=seen.boxes * ratio, masks=masks)


def _together(found: Detections, other: Detections, new: Sequence[int] | np.ndarray) -> Detections:
    """Objects, and some of another look."""
    arrays = {
        name: np.concatenate([getattr(found, name), getattr(other, name)[new]])
        for name in ("boxes", "score", "log_proba")
    }
    return Detections(**arrays, masks=[*found.masks, *(other.masks[i] for i in new)])


def _add_apart(found: Detections, others: list[Detections]) -> Detections:
    """Objects of a karyogram, and those of other looks that are sure and whose boxes lie on none of them."""
    for other in others:
        low = np.maximum(other.boxes[:, None, :2], found.boxes[:, :2])
        common = (
            np.clip(np.minimum(other.boxes[:, None, 2:], found.boxes[:, 2:]) - low, 0, None).prod(2).sum(1)
        )
        apart = common < _LIES_ON * (other.boxes[:, 2:] - other.boxes[:, :2]).prod(1)
        found = _together(found, other, np.flatnonzero((other.score >= _SURE_ELSEWHERE) & apart))
    return found


def _add_uncovered(found: Detections, others: list[Detections]) -> Detections:
    """Objects of a metaphase, where they cross, and those of other looks of which no object covers much."""
    both = [found, *others]
    right, bottom = (
        max((m[at] + m[2].shape[1 - at] for one in both for m in one.masks), default=0) for at in (0, 1)
    )
    covered = np.zeros((bottom, right), bool)
    for x, y, mask in found.masks:
        covered[y : y + mask.shape[0], x : x + mask.shape[1]] |= mask > 0.5
    for number, i in sorted(
        ((k, i) for k, other in enumerate(others) for i in range(len(other.score))),
        key=lambda at: -others[at[0]].score[at[1]],
    ):
        x, y, mask = others[number].masks[i]
        own, under = mask > 0.5, covered[y : y + mask.shape[0], x : x + mask.shape[1]]
        if own.any() and (own & ~under).sum() >= _UNCOVERED * own.sum():
            under |= own
            found = _together(found, others[number], [i])
    n = len(both[0].score)
    later = found.score[n:]
    later = _ELSEWHERE * later / (_ELSEWHERE * later + 1 - later)
    return replace(found, score=np.concatenate([found.score[:n], later]))


def find_chromosomes(image: np.ndarray, detector: Detector | None = None) -> FoundPage:
    """Find the chromosomes of a karyogram or of a metaphase spread.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        Light on dark is read inverted.
    detector : Detector, optional
        By default the one that comes with karyo.

    Returns
    -------
    FoundPage

    Raises
    ------
    ValueError
        If the image is not 2-D uint8.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"Expected a grey image of shape (H, W), uint8. Received {image.shape}, {image.dtype}. "
            "`karyo_lib.files.images.read_image(path)` makes one of any image file."
        )
    if np.ptp(image) < _LEAST_CONTRAST:
        return _nothing(image)
    light = 255 - image if np.median(image) < 110 else image
    seen, scale = _look(light, detector or shipped_detector())
    if len(seen.score) == 0:
        return _nothing(image, _what_else(light))
    width = _width(seen) / scale  # in pixels of the image
    working = float(np.clip(1.0, _CUT_WIDTH[0] / width, _CUT_WIDTH[1] / width))
    working = min(working, np.sqrt(6e6 / image.size), 2 * _MOST_SCALE)
    ink = measure_ink(resize(light, working))
    working = ink.shape[0] / image.shape[0]
    paper = np.clip(255 - 255 * ink, 0, 255).astype(np.uint8)
    cuts = cut_objects(seen, ink, working / scale)
    width = float(np.median([mask_width(cut.mask) for cut in cuts if cut.mask.any()] or [width])) / working
    least = _LEAST_AREA * (width * working) ** 2
    rows, kept = [], []
    for i, cut in enumerate(cuts):
        if cut.mask.sum() < least:
            continue
        kept.append((i, tighten(cut)))
        rows.append((*box_of(kept[-1][1].where, working), cut.mask.sum() / working**2, width, seen.score[i]))
    if not kept:
        return _nothing(image, _what_else(light))
    boxes = pd.DataFrame(rows, columns=["x0", "y0", "x1", "y1", "area", "width", "score"])
    kind, reason = judge(boxes, [cut.mask for _, cut in kept], image.shape, light is not image)
    boxes = boxes.join(infer_slots(boxes, width)).sort_values(["row", "x0"])
    if kind == "metaphase":
        boxes[["row", "slot"]] = -1
    kept = [kept[i] for i in boxes.index]
    labels, hidden = label_page([cut for _, cut in kept], ink.shape)
    boxes = boxes.reset_index(drop=True).assign(hidden=hidden)[_COLUMNS]
    cutouts, masks = zip(*(cut_out(cut, paper) for _, cut in kept), strict=True)
    return FoundPage(
        boxes=boxes,
        cutouts=cutouts,
        masks=masks,
        log_proba=seen.log_proba[[i for i, _ in kept]].astype(np.float32),
        rejected=reject_rest(ink, labels, width * working, working),
        labels=labels,
        paper=paper,
        scale=working,
        width=width,
        kind=kind,
        reason=reason,
    )


def _width(seen: Detections) -> float:
    """Median width of the objects in pixels of the picture that the detector saw."""
    masks = [resize(mask.astype(np.float32), 2.0) > 0.5 for _, _, mask in seen.masks]
    return float(np.median([mask_width(mask) for mask in masks if mask.any()] or [_SEEN_WIDTH]))


def judge(
    boxes: pd.DataFrame, masks: list[np.ndarray], shape: tuple[int, int], negative: bool
) -> tuple[str, str]:
    """Whether objects are laid out or lie about, and why they are no cell where they are none."""
    n = len(boxes)
    kind = "karyogram" if uprightness(masks) > _UPRIGHT else "metaphase"
    if n < _FEWEST:
        high, wide = shape
        edge = (boxes["x0"] <= 1) | (boxes["y0"] <= 1) | (boxes["x1"] >= wide - 1) | (boxes["y1"] >= high - 1)
        cut = f", {edge.sum()} of them cut by the picture's edge" if edge.any() else ""
        return "unreadable", f"only {n} chromosome{'s' * (n != 1)} found{cut}: no whole cell"
    if kind == "metaphase" and negative:
        return "unreadable", "light chromosomes on dark ground: a fluorescence image, which has no G-bands"
    centres = boxes[["x0", "y0"]].to_numpy() + boxes[["x1", "y1"]].to_numpy()
    if kind == "metaphase" and n > _TWO_CELLS and (parts := _two_clusters(centres)):
        return "unreadable", f"two cells in one picture, of {parts[0]} and {parts[1]} objects"
    if n > _MOST:
        return "unreadable", f"{n} objects found, more than one cell has chromosomes"
    return kind, ""


def _two_clusters(points: np.ndarray) -> tuple[int, int] | None:
    """Sizes of two heaps that lie apart; None where the points are one heap."""
    axis = np.linalg.eigh(np.cov(points.T))[1][:, 1]
    first = points @ axis > np.median(points @ axis)
    for _ in range(20):
        means = np.stack([points[~first].mean(0), points[first].mean(0)])
        away = np.linalg.norm(points[:, None] - means, axis=2)
        again = away[:, 1] < away[:, 0]
        if (again == first).all() or again.all() or not again.any():
            break
        first = again
    spread = away.min(1).mean()
    apart = np.linalg.norm(means[1] - means[0]) > _APART * spread
    return (
        (int((~first).sum()), int(first.sum()))
        if apart and min(first.mean(), 1 - first.mean()) > 0.25
        else None
    )


def _what_else(light: np.ndarray) -> str:
    """What a picture without chromosomes shows instead."""
    small = resize(light, min(1.0, 600 / max(light.shape)))
    dark = small < np.median(small) - _LEAST_CONTRAST
    labels, n = ndimage.label(ndimage.binary_opening(dark))
    blots = 0
    for i, where in enumerate(ndimage.find_objects(labels)):
        own = ndimage.binary_fill_holes(labels[where] == i + 1)
        blots += own.sum() > _BLOT * small.size and own.mean() > 0.6
    if blots:
        what = "nucleus or blot" if blots == 1 else "nuclei or blots"
        return f"no chromosomes found, but {blots} {what}"
    return "no chromosomes found" + (", but print or noise" if n > 60 else "")


def uprightness(masks: list[np.ndarray]) -> float:
    """Mean of cos 2a over objects, a the angle from upright, long ones weighing more: 1 upright, 0 anyhow."""
    total = weight = 0.0
    for mask in masks:
        y, x = np.nonzero(mask)
        if len(y) < 2:
            continue
        vx, vy, cross = x.var(), y.var(), ((x - x.mean()) * (y - y.mean())).mean()
        size = np.hypot(vy - vx, 2 * cross) / max(vx + vy, 1e-6)
        total += (vy - vx) / max(vx + vy, 1e-6)
        weight += size
    return total / max(weight, 1e-6)


def _nothing(image: np.ndarray, reason: str = "no chromosomes found") -> FoundPage:
    whole = ("row", "slot")
    empty = pd.DataFrame({c: pd.Series(dtype=int if c in whole else float) for c in _COLUMNS})
    return FoundPage(
        boxes=empty,
        cutouts=(),
        masks=(),
        log_proba=np.zeros((0, 24), np.float32),
        rejected=pd.DataFrame(columns=REJECTED),
        labels=np.zeros(image.shape, np.int16),
        paper=image,
        scale=1.0,
        width=float("nan"),
        kind="unreadable",
        reason=reason,
    )
