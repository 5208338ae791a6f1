"""Page -> chromosomes: a network's bodies and cores become objects; print, rules and dust are left over."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, threshold_otsu
from skimage.segmentation import watershed

from karyo_lib.read.segment import Segmenter
from karyo_lib.resources import data_file
from karyo_lib.shape.ink import measure_ink, resize
from karyo_lib.shape.straighten import CHROMOSOME_WIDTH, mask_width

_EIGHT, _CROSS = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)
#: Width of a chromosome on the usual page, as a share of the root of its area: where the search begins.
_USUAL_WIDTH = 0.02
#: The first look is taken at a lower resolution, to see how wide chromosomes are.
_FIRST_WIDTH = 8.0
#: Working scales whose chromosomes are this close to `CHROMOSOME_WIDTH` are left as they are.
_TOLERANCE = 0.15
#: Probability above which a pixel belongs to a body.
_BODY = 0.5
#: A core is at least as probable as the second somewhere, as the first everywhere. Between two parts of one
#: chromosome it hardly ever falls below 0.15, between neighbours that touch it hardly ever rises above 0.1.
_CORE = 0.2, 0.5
#: Objects smaller than this (squared chromosome widths) or thinner (median widths) are pieces of the
#: neighbour to which the core leads on, if it is anywhere this probable across the border.
_PIECE_AREA, _PIECE_WIDTH, _PIECE_CORE = 1.5, 0.7, 0.05
#: Least area of a body and of a core, in squared chromosome widths.
LEAST_BODY, _LEAST_CORE = 0.55, 0.06
#: Probability from which a body or core that is no object may be a pale chromosome.
_FAINT = 0.1
#: Most magnification of a page, and most pixels that are worked on; least difference of grey values.
_MOST_SCALE, _MOST_PIXELS, _LEAST_CONTRAST = 4.0, 3e6, 20
#: Ink, as a share of black, above which a pixel is not paper.
_VISIBLE = 0.15
#: A page with more cores is no karyogram: noise, a photograph, a page of text. No object of it is looked at.
_MOST_CORES = 500
_REJECTED = ["kind", "x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class FoundPage:
    """The objects of a page that may be chromosomes.

    Attributes
    ----------
    boxes : pandas.DataFrame
        One row an object, in reading order: ``x0, y0, x1, y1`` (pixels of the page, x1 and y1 exclusive),
        ``row``, ``slot`` (0-based, -1 where none can be inferred), ``area`` and ``width`` (pixels of the
        page).
    cutouts : tuple of ndarray of uint8
        Each object alone on white (255), at the working scale.
    masks : tuple of ndarray of bool
        The object's pixels in its cut-out.
    rejected : pandas.DataFrame
        Ink that is no chromosome: ``kind`` ('box', 'rule', 'dust', 'print', or 'unlike' for what a reader
        left out), ``x0, y0, x1, y1``.
    labels : ndarray of int16, shape (H, W) at the working scale
        0 background, i + 1 for object i.
    faint : ndarray of int16, shape (H, W) at the working scale
        0 background, 1 ... m for bodies too pale to be objects, which may be chromosomes all the same.
    paper : ndarray of uint8, shape (H, W) at the working scale
        The page, its ground white.
    scale : float
        Working pixels a page pixel.
    width : float
        Width of an average chromosome in page pixels.
    """

    boxes: pd.DataFrame
    cutouts: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    rejected: pd.DataFrame
    labels: np.ndarray
    faint: np.ndarray
    paper: np.ndarray
    scale: float
    width: float

    def __len__(self) -> int:
        return len(self.boxes)

    def without(self, dropped: np.ndarray) -> "FoundPage":
        """The page without some objects (bool, shape (n,)), which are rejected as 'unlike' a chromosome."""
        kept = np.flatnonzero(~dropped)
        number = np.zeros(len(self) + 1, self.labels.dtype)
        number[kept + 1] = np.arange(1, len(kept) + 1)
        columns = ["x0", "y0", "x1", "y1"]
        unlike = self.boxes.loc[dropped, columns].assign(kind="unlike")
        boxes = self.boxes.iloc[kept].reset_index(drop=True)
        return replace(
            self,
            boxes=boxes.assign(**infer_slots(boxes, self.width)),
            cutouts=tuple(self.cutouts[i] for i in kept),
            masks=tuple(self.masks[i] for i in kept),
            rejected=pd.concat([self.rejected, unlike], ignore_index=True),
            labels=number[self.labels],
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
    names = ("read/find", "shape/ink", "read/segment")
    files = [room / f"{name}.py" for name in names] + [data_file("reader") / "finding.npz"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def shipped_segmenter() -> Segmenter:
    """The network that comes with karyo, trained on drawings alone."""
    return Segmenter.load(data_file("reader"))


def part_objects(body: np.ndarray, core: np.ndarray, width: float) -> np.ndarray:
    """Objects of a page: every core grown to fill the body around it.

    Parameters
    ----------
    body, core : ndarray of float32, shape (H, W)
        Probabilities.
    width : float
        Width of an average chromosome in pixels.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 background, 1 ... n objects; none where there are far more than a cell can have.
    """
    cores, n = ndimage.label(apply_hysteresis_threshold(core, *_CORE), _EIGHT)
    sizes = np.bincount(cores.ravel(), minlength=n + 1)
    small = sizes < _LEAST_CORE * width**2
    if (~small[1:]).sum() > _MOST_CORES:
        return np.zeros(core.shape, np.int32)
    cores[small[cores]] = 0
    objects = watershed(-core, cores, mask=(body > _BODY) | (cores > 0))
    return _join_pieces(objects, core, width)


def _join_pieces(labels: np.ndarray, core: np.ndarray, width: float) -> np.ndarray:
    """Give pieces that are too small or too thin for a chromosome to the neighbour that they continue."""
    areas = np.bincount(labels.ravel())
    widths = _widths(labels)
    thin = _PIECE_WIDTH * float(np.median(list(widths.values()))) if widths else 0.0
    pieces = [i for i, own in widths.items() if areas[i] < _PIECE_AREA * width**2 or own < thin]
    root = np.arange(len(areas))
    slices = ndimage.find_objects(labels)
    for piece in sorted(pieces, key=lambda i: areas[i]):
        where = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in slices[piece - 1])
        near, own = labels[where], labels[where] == piece
        beyond = np.where((near > 0) & ~own, core[where], 0)
        way = np.minimum(beyond, ndimage.grey_dilation(np.where(own, core[where], 0), footprint=_CROSS))
        at = int(way.argmax())
        if way.flat[at] >= _PIECE_CORE and root[near.flat[at]] != root[piece]:
            root[root == root[piece]] = root[near.flat[at]]
    return root[labels]


def _widths(labels: np.ndarray) -> dict[int, float]:
    return {
        i: mask_width(labels[where] == i)
        for i, where in enumerate(ndimage.find_objects(labels), start=1)
        if where is not None
    }


def _median_width(labels: np.ndarray) -> float:
    widths = _widths(labels)
    return float(np.median(list(widths.values()))) if widths else float("nan")


def _look(image: np.ndarray, segmenter: Segmenter) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Ink, objects and faint bodies at the working scale, that scale, and the width of a chromosome there."""
    most = min(_MOST_SCALE, np.sqrt(_MOST_PIXELS / image.size))
    scale = _FIRST_WIDTH / (_USUAL_WIDTH * np.sqrt(image.size))
    assumed = _FIRST_WIDTH
    for _ in range(4):
        ink = measure_ink(resize(image, scale))
        body, core = segmenter.predict(ink)
        labels = part_objects(body, core, assumed)
        width = _median_width(labels)
        if not np.isfinite(width):  # nothing at this scale: what is there may be smaller
            if scale * 2 > most:
                break
            scale *= 2
            continue
        if assumed == CHROMOSOME_WIDTH and abs(width / CHROMOSOME_WIDTH - 1) < _TOLERANCE:
            break
        scale, assumed = min(scale * CHROMOSOME_WIDTH / width, most), CHROMOSOME_WIDTH
    free = ndimage.binary_dilation(labels > 0, _CROSS) == 0
    faint, _ = ndimage.label((np.maximum(body, core) > _FAINT) & free, _EIGHT)
    return ink, labels, faint.astype(np.int16), ink.shape[0] / image.shape[0], width


def find_chromosomes(image: np.ndarray, segmenter: Segmenter | None = None) -> FoundPage:
    """Find the chromosomes of a karyogram page.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
    segmenter : Segmenter, optional
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
    ink, labels, faint, scale, width = _look(image, segmenter or shipped_segmenter())
    paper = np.clip(255 - 255 * ink, 0, 255).astype(np.uint8)
    found = gather_objects(labels, paper, width, scale)
    if len(found) == 0:
        return _nothing(image)
    return replace(found, rejected=_rejected(ink, found.labels, width, scale), faint=faint)


def gather_objects(labels: np.ndarray, paper: np.ndarray, width: float, scale: float) -> FoundPage:
    """The objects of a page, cut out and put in order; those too small for a chromosome are left out.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 background, 1 ... n objects, at the working scale.
    paper : ndarray of uint8, shape (H, W)
        The page at the working scale, its ground white.
    width : float
        Width of an average chromosome, in working pixels.
    scale : float
        Working pixels a page pixel.
    """
    parts = []
    for i, where in enumerate(ndimage.find_objects(labels)):
        if where is None:
            continue
        own = labels[where] == i + 1
        part = _largest(own | (ndimage.binary_fill_holes(own) & (labels[where] == 0)))
        if part.sum() >= LEAST_BODY * width**2:
            parts.append((where, part))
    if not parts:
        return _nothing(paper)
    boxes = pd.DataFrame([_box(where, scale) for where, _ in parts], columns=["x0", "y0", "x1", "y1"])
    boxes["area"] = [m.sum() / scale**2 for _, m in parts]
    boxes = boxes.join(infer_slots(boxes, width / scale))[["x0", "y0", "x1", "y1", "row", "slot", "area"]]
    boxes = boxes.assign(width=width / scale).sort_values(["row", "x0"])
    parts = [parts[i] for i in boxes.index]
    canvas = np.zeros(labels.shape, np.int16)
    cutouts, masks = [], []
    for i, (where, part) in enumerate(parts):
        canvas[where][part] = i + 1
        cutouts.append(np.pad(np.where(part, paper[where], 255).astype(np.uint8), 3, constant_values=255))
        masks.append(np.pad(part, 3))
    return FoundPage(
        boxes.reset_index(drop=True),
        tuple(cutouts),
        tuple(masks),
        pd.DataFrame(columns=_REJECTED),
        canvas,
        np.zeros_like(canvas),
        paper,
        scale,
        width / scale,
    )


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(mask, _EIGHT)
    return mask if n < 2 else labels == np.bincount(labels.ravel())[1:].argmax() + 1


def _rejected(ink: np.ndarray, labels: np.ndarray, width: float, scale: float) -> pd.DataFrame:
    """Inked objects that are no chromosome, by size and shape: boxes, rules, dust, print."""
    near = ndimage.binary_dilation(labels > 0, iterations=max(1, round(0.2 * width)))
    clutter, _ = ndimage.label((ink > _VISIBLE) & ~near, _EIGHT)
    rows = []
    for i, where in enumerate(ndimage.find_objects(clutter)):
        high, wide = (s.stop - s.start for s in where)
        long, thin = max(high, wide), min(high, wide)
        if long > 2.5 * width and thin > width and (clutter[where] == i + 1).mean() < 0.3:
            kind = "box"
        elif long > 8 * thin and long > width:
            kind = "rule"
        else:
            kind = "dust" if long < 0.5 * width else "print"
        rows.append((kind, *_box(where, scale)))
    return pd.DataFrame(rows, columns=_REJECTED)


def _box(where: tuple[slice, slice], scale: float) -> tuple[float, float, float, float]:
    rows, columns = where
    return columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale


def _nothing(image: np.ndarray) -> FoundPage:
    columns = ["x0", "y0", "x1", "y1", "row", "slot", "area", "width"]
    empty = pd.DataFrame({c: pd.Series(dtype=int if c in ("row", "slot") else float) for c in columns})
    no_labels = np.zeros(image.shape, np.int16)
    rejected = pd.DataFrame(columns=_REJECTED)
    return FoundPage(empty, (), (), rejected, no_labels, no_labels, image, 1.0, float("nan"))
