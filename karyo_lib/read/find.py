"""Image -> chromosomes: what the detector sees becomes objects with masks; what is no cell is told so."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.cluster.vq import kmeans2
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
    side_by_side,
    tighten,
    uncut,
    window_of,
)
from karyo_lib.read.detector import Detections, Detector
from karyo_lib.read.looks import MOST_SCALE, SEEN_WIDTH, UPRIGHT, Looks, look, uprightness
from karyo_lib.resources import data_file
from karyo_lib.shape.boxes import BOX, measure_ink, resize
from karyo_lib.shape.centreline import mask_width
from karyo_lib.shape.scaling import ScaledStrips, scale_strips

#: Widths of chromosomes, in pixels, at which they are cut out: the page's own if it lies between.
_CUT_WIDTH = 14.0, 24.0
#: Objects smaller than this (squared chromosome widths) are none; least difference of grey values.
_LEAST_AREA, _LEAST_CONTRAST = 0.35, 20
#: A cell with fewer chromosomes is not whole, one with more is not one cell (92: tetraploid).
_FEWEST, _MOST = 30, 100
#: From so many on it may be two cells: if they lie in two heaps whose middles are further apart, in mean
#: distances from the middle of a heap (one heap cut in two: 1.8; two round ones side by side: 3).
_TWO_CELLS, _APART = 60, 2.4
#: Share of the picture from which dark ground is told as a nucleus or a blot.
_BLOT = 0.004
_COLUMNS = ["x0", "y0", "x1", "y1", "row", "slot", "area", "width", "score", "hidden"]


@dataclass(frozen=True)
class FoundPage:
    """The objects of an image that are chromosomes.

    ``boxes``, a row an object, as they are read: ``x0, y0, x1, y1`` (pixels of the image, x1, y1 excluded),
    ``row``, ``slot`` (0-based, -1 where none can be inferred, as in a metaphase), ``area`` and ``width``
    (pixels of the image), ``score`` (how sure it is a chromosome), ``hidden`` (share that crosses others).
    ``rejected``, ink that is none: ``kind`` ('box', 'rule', 'dust', 'print', 'blob', or 'unlike' for what a
    reader left out), ``x0, y0, x1, y1``.
    """

    boxes: pd.DataFrame
    cutouts: tuple[np.ndarray, ...]  # uint8, each object alone on white (255), at the working scale
    masks: tuple[np.ndarray, ...]  # bool, its pixels there; those of chromosomes that cross overlap
    log_proba: np.ndarray  # float32 (n, 24): of each class, as the detector sees the object in its picture
    rejected: pd.DataFrame
    labels: np.ndarray  # int16 (H, W) at the working scale: 0 background, i + 1 for object i
    paper: np.ndarray  # uint8 (H, W) at the working scale: the image, its ground white
    scale: float  # working pixels a pixel of the image
    width: float  # of an average chromosome, in pixels of the image
    kind: str = "karyogram"  # or 'metaphase', or 'unreadable'
    reason: str = ""  # why the image cannot be read

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def strips(self) -> ScaledStrips:
        """Its objects, straightened."""
        return scale_strips(self.cutouts, self.masks)

    def pairs(self) -> np.ndarray:
        """Which objects of a karyogram (bool (n,)) may be two chromosomes side by side, taken for one."""
        width = self.width * self.scale
        pairs = [side_by_side(*one, width) for one in zip(self.cutouts, self.masks, strict=True)]
        return np.array(pairs, bool)

    def part(self, joints: np.ndarray) -> "FoundPage":
        """The same where objects that are two, end to end, are parted at ``joints`` (float (n,), share of the
        length; 0 where it is one); the detector saw no class of the parts."""
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
    """``row`` (boxes that share height) and ``slot`` (of a row, a run with narrow gaps), int, of boxes on a
    page; ``width``: of an average chromosome."""
    out = pd.DataFrame({"row": -1, "slot": -1}, index=boxes.index)
    if boxes.empty:
        return out
    middle = ((boxes.y0 + boxes.y1) / 2).sort_values()
    height = (boxes.y1 - boxes.y0).median()
    out.loc[middle.index, "row"] = (middle.diff() > 0.55 * height).cumsum().astype(int)
    for _, row in boxes.groupby(out.row):
        row = row.sort_values("x0")
        gap = row.x0.to_numpy()[1:] - np.maximum.accumulate(row.x1.to_numpy())[:-1]
        # within a slot homologues stand closer than slots do; without such contrast a width divides
        limit = np.clip(
            threshold_otsu(gap) if len(np.unique(gap)) > 2 else 1.5 * width, 0.8 * width, 2.5 * width
        )
        out.loc[row.index, "slot"] = np.concatenate([[0], np.cumsum(gap > limit)]).astype(int)
    return out


@cache
def finder_digest() -> str:
    """Digest of the code and arrays that pages are read with: what was made by others is made again."""
    room = Path(__file__).parents[1]
    names = ("read/find", "read/cutouts", "read/detector", "read/looks", "shape/boxes")
    files = [room / f"{name}.py" for name in names] + [data_file("reader") / "detector.npz"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def shipped_detector() -> Detector:
    """The detector that comes with karyo."""
    return Detector.load(data_file("reader"))


def find_chromosomes(
    image: np.ndarray, detector: Detector | None = None, thorough: bool = False, looks: Looks | None = None
) -> FoundPage:
    """Find the chromosomes of a karyogram or of a metaphase, uint8 (H, W); light on dark is inverted.

    ``thorough``: a karyogram is looked at on two larger scales, too, even if as much was found as cells have;
    ``looks``: filled with what was seen; given again with the same image, it is not looked for again.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"Expected a grey image of shape (H, W), uint8. Received {image.shape}, {image.dtype}. "
            "`karyo.read_image(path)` reads any image file."
        )
    if np.ptp(image) < _LEAST_CONTRAST:
        return _nothing(image)
    light = 255 - image if np.median(image) < 110 else image
    seen, scale = look(light, detector or shipped_detector(), thorough, looks)
    if len(seen.score) == 0:
        return _nothing(image, _what_else(light))
    width = _width(seen) / scale  # in pixels of the image
    working = float(np.clip(1.0, _CUT_WIDTH[0] / width, _CUT_WIDTH[1] / width))
    working = min(working, np.sqrt(6e6 / image.size), 2 * MOST_SCALE)
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
    return float(np.median([mask_width(mask) for mask in masks if mask.any()] or [SEEN_WIDTH]))


def judge(
    boxes: pd.DataFrame, masks: list[np.ndarray], shape: tuple[int, int], negative: bool
) -> tuple[str, str]:
    """Whether objects are laid out or lie about, and why they are no cell where they are none."""
    n = len(boxes)
    kind = "karyogram" if uprightness(masks) > UPRIGHT else "metaphase"
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
    along = points @ np.linalg.eigh(np.cov(points.T))[1][:, 1]
    halves = [points[along <= np.median(along)].mean(0), points[along > np.median(along)].mean(0)]
    middles, heap = kmeans2(points.astype(float), np.stack(halves), minit="matrix")
    first, second = np.bincount(heap, minlength=2).tolist()
    spread = np.linalg.norm(points - middles[heap], axis=1).mean()
    apart = np.linalg.norm(middles[1] - middles[0]) > _APART * spread
    return (first, second) if apart and min(first, second) > 0.25 * len(points) else None


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
