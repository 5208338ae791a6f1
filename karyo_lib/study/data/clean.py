"""Arrows, boxes, titles, labels and rules painted over: nothing but chromosomes is left to learn from."""

import os
import sys
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd

from karyo_lib.files.images import read_image
from karyo_lib.files.pages import make_pages, source_digest
from karyo_lib.read.detector import Detections, Detector
from karyo_lib.read.find import find_chromosomes, finder_digest, shipped_detector
from karyo_lib.shape.boxes import BOX, measure_ink, smooth_paper

SEEN = "seen"  # folder below the run's data: what the detector saw of its pages
_VISIBLE = 0.06  # ink, as a share of black, above which a pixel is not paper
_DARK = 0.35  # ink that the blurred edge of a chromosome does not reach
_EDGE = 0.3  # width of that edge, as a share of a chromosome's width
_LEAST = 20  # chromosomes; where fewer are found the page is not understood well enough to be painted over
# An arrow that was taken for a chromosome: small, and jet black beside white instead of shades of grey.
_ARROW_AREA, _ARROW_CONTRAST = 2.5, 0.36


@dataclass(frozen=True, eq=False)
class CleanPage:
    image: np.ndarray  # uint8, shape (H, W)
    painted: np.ndarray  # bool, shape (H, W): pixels that were painted over
    removed: pd.DataFrame  # what stood there: ``kind, x0, y0, x1, y1``, as far as it was told apart


def clean_page(image: np.ndarray, seed: int = 0) -> CleanPage:
    """Paint over all that is not a chromosome with the page's own paper and grain. What lies across one
    stays, as painting it over would paint over bands; a chromosome taken for print is lost."""
    found = find_chromosomes(image)
    removed = found.rejected
    if len(found) < _LEAST:
        return CleanPage(image, np.zeros(image.shape, bool), removed.iloc[:0])
    ink = measure_ink(image)
    labels = cv2.resize(found.labels.astype(np.float32), image.shape[::-1], interpolation=cv2.INTER_NEAREST)
    arrows = [i for i in range(len(found)) if _is_arrow(ink[labels == i + 1], found.width)]
    body = ((labels > 0) & ~np.isin(labels, np.array(arrows) + 1)).astype(np.uint8)
    near = cv2.dilate(body, np.ones((3, 3), np.uint8)) > 0
    edge = cv2.dilate(body, np.ones((2 * max(1, round(_EDGE * found.width)) + 1,) * 2, np.uint8)) > 0
    inked = (cv2.GaussianBlur(ink, (0, 0), 0.7) > _VISIBLE) & ~edge | (ink > _DARK) & ~near
    painted = (cv2.dilate(inked.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~near
    told = found.boxes.loc[arrows, BOX].assign(kind="arrow")
    removed = pd.concat([removed, told], ignore_index=True)[["kind", *BOX]]
    cleaned = _paint(image, painted, ~painted & ~edge, np.random.default_rng(seed))
    return CleanPage(cleaned, painted, removed)


@cache
def keep_detections(folder: Path) -> Detector:
    """Return the shipped detector; what it sees is kept in a folder, for whoever looks at the same pages."""
    detector = copy(shipped_detector())
    detector.detect = partial(joblib.Memory(folder, compress=3, verbose=0).cache(_detect), finder_digest())
    return detector


def _detect(_: str, image: np.ndarray, least: float, same: float) -> Detections:
    return shipped_detector().detect(image, least, same)


def clean_pages(
    table: pd.DataFrame, root: str | os.PathLike, out_dir: str | os.PathLike, *, n_jobs: int = 1
) -> pd.DataFrame:
    """Write cleaned pages beside those of an index; what is finished is kept."""
    code = source_digest(sys.modules[__name__]) + finder_digest()
    paths = [Path(path).name for path in table["path"]]
    jobs = [
        (new, f"{code} {row.sha256}", partial(_clean_file, Path(root) / row.path))
        for new, row in zip(paths, table.itertuples(), strict=True)
    ]
    digests = make_pages(jobs, out_dir, title="Cleaning karyograms", n_jobs=n_jobs)
    return table.assign(path=paths, sha256=digests)


def _clean_file(path: Path) -> np.ndarray:
    return clean_page(read_image(path)).image


def _is_arrow(ink: np.ndarray, width: float) -> bool:
    return ink.size < _ARROW_AREA * width**2 and float(ink.std()) > _ARROW_CONTRAST


def _paint(image: np.ndarray, painted: np.ndarray, paper: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay paper and grain, taken from where `paper` is, over what is `painted`."""
    if not paper.any():
        return image
    page = image.astype(np.float32)
    smooth = smooth_paper(page, paper, float(np.median(page[paper])))
    grain = (page - smooth)[paper]
    page[painted] = smooth[painted] + rng.choice(grain, int(painted.sum()))
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)
