"""Page -> chromosomes: thresholding, parts of one chromosome joined, touching ones parted, print and dust
rejected."""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, threshold_otsu
from skimage.morphology import remove_small_holes

from karyo_lib.reading.part import part_touching
from karyo_lib.reading.straighten import CHROMOSOME_WIDTH

_EIGHT = np.ones((3, 3))
#: Mean change of ink under slight smoothing above which a page is a halftone print.
_SCREENED = 0.06


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
        What was taken for print, rules, arrows or dust: ``kind, x0, y0, x1, y1``.
    labels : ndarray of int16, shape (H, W) at the working scale
        0 background, i + 1 for object i.
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
    scale: float
    width: float

    def __len__(self) -> int:
        return len(self.boxes)


def measure_ink(image: np.ndarray) -> np.ndarray:
    """Darkness relative to the local background, float32 (H, W), 0 (paper) to about 1; negatives are
    turned."""
    grey = image.astype(np.float32)
    if np.median(grey) < 110:
        grey = 255 - grey
    block = max(4, round(min(grey.shape) / 60))
    small = cv2.resize(
        grey, (max(1, grey.shape[1] // block), max(1, grey.shape[0] // block)), interpolation=cv2.INTER_AREA
    )
    paper = ndimage.percentile_filter(small, 75, size=min(11, *small.shape), mode="nearest")
    paper = cv2.resize(ndimage.gaussian_filter(paper, 2), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    black = float(np.percentile(grey, 0.5))
    return np.clip((paper - grey) / max(float(np.median(paper)) - black, 30.0), 0, 1.2)


def _thresholds(ink: np.ndarray) -> tuple[float, float]:
    """Low and high threshold; pale ends of chromosomes are kept, the grey of paper patches around them is
    not."""
    high = float(threshold_otsu(ink))
    faint = ink[(ink > 0) & (ink < 0.5 * high)]  # paper lighter than its surroundings is cut off at 0
    noise = float(np.median(faint)) if faint.size else 0.0
    core = ink > high
    ring = ndimage.binary_dilation(core, iterations=5) & ~ndimage.binary_dilation(core, iterations=3)
    around = float(np.median(ink[ring])) if ring.any() else 0.0
    low = max(0.4 * high, min(3 * noise, 0.55 * high), around + 0.3 * (high - around))
    return min(low, 0.9 * high), high


def _widths(mask: np.ndarray) -> pd.DataFrame:
    """Area, mean and greatest width of every object of a mask."""
    labels, n = ndimage.label(mask, _EIGHT)
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    index = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "area": np.bincount(labels.ravel(), minlength=n + 1)[1:],
            "width": 4 * ndimage.mean(distance, labels, index),
            "thickest": 2 * np.asarray(ndimage.maximum(distance, labels, index)),
        },
        index=index,
    )


def _typical_width(mask: np.ndarray) -> float:
    """Width of chromosomes that stand alone: a low quantile over the inked area; touching ones look wider."""
    width = float("nan")
    for _ in range(2):
        table = _widths(mask)
        # a printed line is many times as long as it is wide, more than any chromosome
        table = table[(table.area > 12) & (table.area < 25 * table.width**2)].sort_values("width")
        if table.empty:
            break
        width = float(table.width.to_numpy()[np.searchsorted(table.area.cumsum(), 0.3 * table.area.sum())])
        # second look: the cleft between sister chromatids and pale bands do not make a chromosome thinner
        reach = 2 * max(1, round(0.12 * width)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
        mask = remove_small_holes(mask, max_size=int(0.5 * width**2))
    return width


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _reject(labels: np.ndarray, ink: np.ndarray, width: float) -> dict[int, str]:
    """Kind of clutter for each label that is no chromosome by size, thickness or paleness."""
    table = _widths(labels > 0)
    kinds = {}
    slices = ndimage.find_objects(labels)
    for label, (area, mean_width, thickest) in zip(table.index, table.to_numpy(), strict=True):
        rows, columns = slices[label - 1]
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        filled = area / (high * wide)
        if area < 0.55 * width**2:
            kinds[label] = "dust" if max(high, wide) < 0.7 * width else "print"
        elif thickest < 0.5 * width:
            kinds[label] = "rule" if max(high, wide) > 8 * min(high, wide) else "print"
        elif mean_width < 0.45 * width:
            kinds[label] = "box" if filled < 0.2 else "print"
        elif high < 1.6 * width and thickest < 0.62 * width:
            kinds[label] = "print"
        elif max(high, wide) > 14 * width or area > 60 * width**2:
            kinds[label] = "edge"
        elif wide > 2.2 * high and mean_width < 0.7 * width:
            kinds[label] = "rule"
    return kinds


def _remove_rules(mask: np.ndarray, width: float) -> np.ndarray:
    """Mask without printed lines, which may touch chromosomes: long one way, thin the other."""
    long, flat, thin = max(3, int(2.8 * width)), max(2, int(0.5 * width)), max(2, int(0.36 * width))
    out = mask.astype(np.uint8)
    for size, cross in (((long, 1), (1, flat)), ((1, long), (thin, 1))):
        lines = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones(size[::-1], np.uint8))
        thick = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones(cross[::-1], np.uint8))
        out[(lines > 0) & (thick == 0)] = 0
    return out > 0


def _join_fragments(labels: np.ndarray, kinds: dict[int, str], width: float) -> np.ndarray:
    """Give satellites and broken-off ends to the chromosome whose end they continue."""
    slices = ndimage.find_objects(labels)
    bodies = [i for i in range(1, len(slices) + 1) if i not in kinds]
    for label in [k for k, kind in kinds.items() if kind in ("dust", "print")]:
        rows, columns = slices[label - 1]
        if rows.stop - rows.start > 1.2 * width or columns.stop - columns.start > 1.3 * width:
            continue
        centre = (columns.start + columns.stop) / 2
        for body in bodies:
            r, c = slices[body - 1]
            gap = r.start - rows.stop  # short arms are up, and print is mostly below
            if -0.5 * width < gap < 0.4 * width and c.start - 0.2 * width < centre < c.stop + 0.2 * width:
                near = ndimage.distance_transform_edt(labels[_around(r, c, width)] != body)
                own = labels[_around(r, c, width)] == label
                if own.any() and near[own].min() < 0.45 * width and c.stop - c.start < 2.2 * width:
                    labels[labels == label] = body
                    del kinds[label]
                    break
    return labels


def _around(rows: slice, columns: slice, reach: float) -> tuple[slice, slice]:
    reach = int(reach)
    return slice(max(0, rows.start - reach), rows.stop + reach), slice(
        max(0, columns.start - reach), columns.stop + reach
    )


def _below_rows(boxes: pd.DataFrame, width: float) -> np.ndarray:
    """Which objects are the print below a row: small, under something, beside nothing taller; bool (n,)."""
    x = (boxes.x0 + boxes.x1).to_numpy() / 2
    y = (boxes.y0 + boxes.y1).to_numpy() / 2
    x0, y0, x1, y1 = boxes[["x0", "y0", "x1", "y1"]].to_numpy().T
    high = y1 - y0
    small = high < 1.7 * width
    taller = high[None] > 1.3 * high[:, None]
    beside = ((y0[None] < y[:, None]) & (y1[None] > y[:, None]) & taller).any(1)
    gap = y0[:, None] - y1[None]
    reach = 8.0 * width
    under = (
        (gap > -0.3 * width)
        & (gap < 4.0 * width)
        & (x0[None] - reach < x[:, None])
        & (x1[None] + reach > x[:, None])
    )
    return small & ~beside & (under & (high[None] > 1.15 * high[:, None])).any(1)


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


def find_chromosomes(image: np.ndarray) -> FoundPage:
    """Find the chromosomes of a karyogram page.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)

    Returns
    -------
    FoundPage

    Raises
    ------
    ValueError
        If the image is not 2-D uint8.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(
            f"Expected a grey image of shape (H, W), uint8. Received {image.shape}, {image.dtype}."
        )
    start = min(1.0, 900 / max(image.shape))
    ink = ndimage.gaussian_filter(
        measure_ink(_resize(image, start)), max(0.5, start * max(image.shape) / 900)
    )
    width = _typical_width(ink > threshold_otsu(ink)) if np.ptp(ink) > 0.1 else float("nan")
    if not np.isfinite(width) or width < 1.5:
        return _nothing(image)
    scale = start * float(np.clip(CHROMOSOME_WIDTH / width, 0.2, 4.0))
    page = _resize(image, scale)
    ink = measure_ink(page)
    smooth = ndimage.gaussian_filter(ink, 0.8)
    dark = smooth > threshold_otsu(smooth)
    if dark.any() and np.abs(ink - smooth)[dark].mean() > _SCREENED:
        # dots of a halftone screen, not bands: they also mislead the width, so all starts over without them
        return find_chromosomes(ndimage.gaussian_filter(image, 2.0 / scale))
    mask = apply_hysteresis_threshold(smooth, *_thresholds(smooth))
    width = _typical_width(mask)
    labels, _ = ndimage.label(_remove_rules(mask, width), _EIGHT)
    kinds = _reject(labels, ink, width)
    labels = _join_fragments(labels, kinds, width)
    slices = ndimage.find_objects(labels)
    rejected = [(kind, *_box(slices[i - 1], scale)) for i, kind in kinds.items()]
    paper = np.clip(255 - 255 * ink, 0, 255).astype(np.uint8)
    parts = []
    for label, where in enumerate(slices, start=1):
        if where is None or label in kinds:
            continue
        where = _around(*where, 2)
        # larger holes lie between neighbours that touch twice, or inside printed frames
        body = remove_small_holes(labels[where] == label, max_size=int(0.3 * width**2))
        for piece in part_touching(body, ink[where], width):
            rows, columns = ndimage.find_objects(piece.astype(int))[0]
            if piece.sum() < 0.55 * width**2:
                rejected.append(("fragment", *_box(_shift(where, rows, columns), scale)))
                continue
            parts.append((_shift(where, rows, columns), piece[rows, columns]))
    if not parts:
        return _nothing(image)
    boxes = pd.DataFrame([_box(where, scale) for where, _ in parts], columns=["x0", "y0", "x1", "y1"])
    boxes["area"] = [m.sum() / scale**2 for _, m in parts]
    text = _below_rows(boxes, width / scale)
    rejected += [("print", *box) for box in boxes.loc[text, ["x0", "y0", "x1", "y1"]].to_numpy()]
    boxes = boxes[~text]
    boxes = boxes.join(infer_slots(boxes, width / scale))[["x0", "y0", "x1", "y1", "row", "slot", "area"]]
    boxes = boxes.assign(width=width / scale).sort_values(["row", "x0"])
    parts = [parts[i] for i in boxes.index]
    canvas = np.zeros(page.shape, np.int16)
    cutouts, masks = [], []
    for i, (where, part) in enumerate(parts):
        canvas[where][part] = i + 1
        cutouts.append(np.pad(np.where(part, paper[where], 255).astype(np.uint8), 3, constant_values=255))
        masks.append(np.pad(part, 3))
    return FoundPage(
        boxes.reset_index(drop=True),
        tuple(cutouts),
        tuple(masks),
        pd.DataFrame(rejected, columns=["kind", "x0", "y0", "x1", "y1"]),
        canvas,
        scale,
        width / scale,
    )


def _shift(where: tuple[slice, slice], rows: slice, columns: slice) -> tuple[slice, slice]:
    top, left = where[0].start, where[1].start
    return slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)


def _box(where: tuple[slice, slice], scale: float) -> tuple[float, float, float, float]:
    rows, columns = where
    return columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale


def _nothing(image: np.ndarray) -> FoundPage:
    columns = ["x0", "y0", "x1", "y1", "row", "slot", "area", "width"]
    empty = pd.DataFrame({c: pd.Series(dtype=int if c in ("row", "slot") else float) for c in columns})
    rejected = pd.DataFrame(columns=["kind", "x0", "y0", "x1", "y1"])
    return FoundPage(empty, (), (), rejected, np.zeros(image.shape, np.int16), 1.0, float("nan"))
