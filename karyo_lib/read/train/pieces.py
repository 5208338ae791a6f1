"""Lone chromosomes of real spreads, cut out, turned, splayed, and the canvas on which scenes are laid."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from karyo_lib.iscn.bands import CHROMOSOMES, load_bands
from karyo_lib.shape.scaling import ROW_UNITS, ScaledStrips, scale_strips

#: Label of ink that belongs to one of several boxes, nobody knows which.
UNKNOWN = 255
#: How far boxes of the data stand off the ink, in pixels of the original.
STAND_OFF = 4.0
_SQUARE = np.ones((3, 3), np.uint8)
#: Side of a scene, scale of the mask layers, and most objects of one.
SIZE, STRIDE, MOST = 512, 2, 96
_ROWS = np.array([load_bands(850).length(c) / ROW_UNITS for c in CHROMOSOMES])
_LEAST_LONE = 8  # with fewer on a spread its scale is not known well
_PROFILE, _INNER = 60, slice(4, 20)  # rows and columns that two strips are compared on
_TURNS = 8


@dataclass(frozen=True)
class Piece:
    """A lone chromosome: ink (float32, 0 paper to 1), mask (bool), class (0 to 23, or -1)."""

    ink: np.ndarray
    mask: np.ndarray
    label: int


@dataclass(frozen=True)
class Spread:
    """A real spread: transmittance (float32), label layer (uint8), boxes, classes, which masks are exact."""

    light: np.ndarray
    layer: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    exact: np.ndarray


def measure_light(image: np.ndarray) -> np.ndarray:
    """Transmittance of a spread, 1 on paper whatever the shading, 0 in the darkest bands (float32)."""
    small = cv2.resize(image, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    ground = cv2.medianBlur(cv2.dilate(small, np.ones((7, 7))), 5).astype(np.float32)
    ground = cv2.resize(cv2.GaussianBlur(ground, (0, 0), 4), image.shape[::-1])
    ground = np.maximum(ground, np.median(image))
    drop = ground - image
    dark = max(40.0, float(np.percentile(drop, 99.5)))
    return np.clip(1 - drop / dark, 0, 1.1).astype(np.float32)


def prepare_spread(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scale: float) -> Spread:
    """Say which boxes hold one lone inked component, and whose the other ink is where that is certain."""
    light = measure_light(image)
    ink = (1 - cv2.GaussianBlur(light, (0, 0), 0.7) > 0.22).astype(np.uint8)
    _, components, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    low, high = stats[:, :2], stats[:, :2] + stats[:, 2:4]
    off, n = STAND_OFF * scale, len(boxes)
    tight = boxes + np.array([off, off, -off, -off])
    own = np.zeros(n, int)
    for k, box in enumerate(boxes):
        inside = (low >= box[:2] - 2).all(1) & (high <= box[2:] + 2).all(1) & (stats[:, 4] > 30)
        fills = (low - box[:2] < 3 * off).all(1) & (box[2:] - high < 3 * off).all(1)
        found = np.flatnonzero(inside & fills)
        if len(found) == 1 and found[0] > 0:
            own[k] = found[0]
    # A small neighbour that touches lies within the box of the large one: not lone, either of them.
    for k in np.flatnonzero(own):
        edge = np.r_[low[own[k]], high[own[k]]]
        shared = np.minimum(edge[2:], tight[:, 2:]) - np.maximum(edge[:2], tight[:, :2])
        share = shared.clip(0).prod(1) / np.maximum(1, (tight[:, 2:] - tight[:, :2]).prod(1))
        if np.any((share > 0.5) & ((own == 0) | (own == own[k])) & (np.arange(n) != k)):
            own[k] = 0
    cover, owner = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    for k in np.flatnonzero(own == 0):
        x0, y0, x1, y1 = np.maximum(0, np.round(boxes[k])).astype(int)
        cover[y0:y1, x0:x1] += 1
        owner[y0:y1, x0:x1] = k + 1
    layer = np.where(ink > 0, np.where(cover == 1, owner, np.where(cover > 1, UNKNOWN, 0)), 0).astype(
        np.uint8
    )
    for k in np.flatnonzero(own):
        layer[components == own[k]] = k + 1
        tight[k] = np.r_[low[own[k]], high[own[k]]]
    return Spread(light, layer, tight.astype(np.float32), labels.astype(int), own > 0)


def cut_pieces(light: np.ndarray, layer: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> list[Piece]:
    """Cut objects with exact masks out, with the soft edge of their ink."""
    out = []
    for k, box in enumerate(np.round(boxes).astype(int)):
        x0, y0, x1, y1 = *np.maximum(0, box[:2] - 3), *(box[2:] + 3)
        mask = layer[y0:y1, x0:x1] == k + 1
        if mask.sum() < 30:
            continue
        near = cv2.dilate(mask.astype(np.uint8), _SQUARE, iterations=2).astype(np.float32)
        ink = (1 - light[y0:y1, x0:x1]).clip(0, 1) * cv2.GaussianBlur(near, (0, 0), 0.7)
        out.append(Piece(ink.astype(np.float32), mask, int(labels[k])))
    return out


def turn_piece(piece: Piece, angle: float, scale: tuple[float, float]) -> Piece:
    """Turn (radians) and scale (x, y after turning) a piece."""
    high, wide = piece.ink.shape
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.diag(scale) @ np.array([[cos, -sin], [sin, cos]])
    size = np.ceil(np.abs(turn) @ [wide, high]).astype(int) + 2
    matrix = np.c_[turn, size / 2 - turn @ [wide / 2, high / 2]]
    flags = cv2.INTER_AREA if min(scale) < 0.6 else cv2.INTER_LINEAR
    ink = cv2.warpAffine(piece.ink, matrix, tuple(size.tolist()), flags=flags)
    mask = cv2.warpAffine(piece.mask.astype(np.float32), matrix, tuple(size.tolist())) > 0.5
    if not mask.any():
        return piece
    x0, y0, x1, y1 = box_of(mask).astype(int)
    box = np.s_[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3]
    return Piece(ink[box], mask[box], piece.label)


def upright_angle(piece: Piece) -> float:
    """Angle (radians) that lays the principal axis upright."""
    y, x = np.nonzero(piece.mask)
    axis = np.linalg.eigh(np.cov(np.stack([x, y])))[1][:, 1]
    return float(np.pi / 2 - np.arctan2(axis[1], axis[0]))


def splay(piece: Piece, gap: float, rng: np.random.Generator) -> Piece:
    """Part the chromatids of an upright piece away from a centromere, up to `gap` pixels."""
    high, wide = piece.ink.shape
    pad = int(np.ceil(gap)) + 1
    ink, mask = (np.pad(a, ((0, 0), (pad, pad))) for a in (piece.ink, piece.mask.astype(np.uint8)))
    y, x = np.mgrid[:high, : wide + 2 * pad].astype(np.float32)
    count = mask.sum(1)
    middle = np.where(count > 0, (mask * x).sum(1) / np.maximum(count, 1), (wide + 2 * pad) / 2)
    middle = middle.astype(np.float32)[:, None]
    if high > 12:
        middle = cv2.GaussianBlur(middle, (1, 0), 0, sigmaY=3)
    centre = rng.uniform(0.2, 0.7) * high
    reach = np.abs(np.arange(high) - centre) / max(high / 2, 1)
    shift = (gap / 2 * np.clip(reach, 0, 1) ** rng.uniform(0.5, 1.5))[:, None]
    side = x - middle
    source = np.where(np.abs(side) < shift, -1e4, x - np.sign(side) * shift).astype(np.float32)
    ink = cv2.remap(ink, source, y, cv2.INTER_LINEAR)
    mask = cv2.remap(mask, source, y, cv2.INTER_NEAREST)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARE) > 0
    return Piece(ink, mask, piece.label) if mask.sum() > 20 else piece


def box_of(mask: np.ndarray) -> np.ndarray:
    """Box of a mask (float32), zeros where it is empty."""
    x, y, wide, high = cv2.boundingRect(mask.astype(np.uint8))
    return np.array([x, y, x + wide, y + high], np.float32)


class Canvas:
    """A scene in the making: transmittance, two label layers at half the size, and its objects."""

    def __init__(self, light: np.ndarray | None = None):
        self.light = np.ones((SIZE, SIZE), np.float32) if light is None else light
        self.layers = np.zeros((2, SIZE // STRIDE, SIZE // STRIDE), np.uint8)
        self.boxes, self.labels, self.exact = [], [], []

    def add(self, box: np.ndarray, label: int, exact: bool) -> int:
        """Note an object; returns its number, from 1."""
        self.boxes.append(np.asarray(box, np.float32))
        self.labels.append(label)
        self.exact.append(exact)
        return len(self.boxes)

    @staticmethod
    def window(shape: tuple[int, int], x: int, y: int) -> tuple:
        """Where on the scene something with its corner at x, y lies, and which part of it that is."""
        high, wide = shape
        x0, y0 = min(max(0, x), SIZE), min(max(0, y), SIZE)
        x1, y1 = max(x0, min(SIZE, x + wide)), max(y0, min(SIZE, y + high))
        if x1 == x0 or y1 == y0:
            return np.s_[:0, :0], np.s_[:0, :0]
        return np.s_[y0:y1, x0:x1], np.s_[y0 - y : y1 - y, x0 - x : x1 - x]

    def overlap(self, piece: Piece, x: int, y: int) -> float:
        """Share of the piece's mask that would lie on ink that is there."""
        there, here = self.window(piece.ink.shape, x, y)
        mask = piece.mask[here][::4, ::4]
        return float((mask & (self.light[there][::4, ::4] < 0.8)).sum() / max(1, mask.sum()))

    def paste(self, piece: Piece, x: int, y: int) -> bool:
        """Lay a piece with its corner at x, y, if most of it lies on the scene and there is room for one."""
        there, here = self.window(piece.ink.shape, x, y)
        mask = piece.mask[here]
        if len(self.boxes) >= MOST or mask.sum() < 0.6 * piece.mask.sum():
            return False
        self.light[there] *= 1 - piece.ink[here]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        corner = np.array([there[1].start, there[0].start] * 2)
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) + corner
        number = self.add(box, piece.label if mask.sum() > 0.95 * piece.mask.sum() else -1, True)
        y0, x0 = there[0].start, there[1].start
        small = mask[y0 % STRIDE :: STRIDE, x0 % STRIDE :: STRIDE]
        y0, x0 = -(-y0 // STRIDE), -(-x0 // STRIDE)
        first = self.layers[0, y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]]
        second = self.layers[1, y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]]
        free = small & (first == 0)
        second[small & ~free] = number
        first[free] = number
        return True


def photograph(light: np.ndarray, printed: bool, rng: np.random.Generator) -> np.ndarray:
    """Make a picture (uint8) of a scene's transmittance; ``printed`` where it is a page, mostly on white."""
    sure = rng.random
    light = np.clip(light, 0, 1.1)
    if sure() < 0.6:
        light = light ** np.float32(np.exp(rng.normal(0, 0.3)))
    if sure() < (0.35 if printed else 0.1):  # pale bands are lost in the white
        light = np.minimum(light * rng.uniform(1.0, 1.3), max(1.0, float(light.max())))
    if sure() < 0.3:  # seen at a lower resolution
        factor = rng.uniform(0.45, 0.9)
        small = cv2.resize(light, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        light = cv2.resize(small, (SIZE, SIZE), interpolation=int(rng.choice([1, 2])))
    if sure() < 0.5:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.4))
    if sure() < 0.4:
        light = light + rng.uniform(0.3, 2.0) * (
            light - cv2.GaussianBlur(light, (0, 0), rng.uniform(0.8, 2.5))
        )
    white = printed and sure() < 0.6
    paper = 255.0 if white else rng.uniform(150, 255)
    dark = rng.uniform(0, min(120, paper - 60))
    grey = dark + (paper - dark) * light
    if not white and sure() < 0.5:
        knots = rng.normal(0, rng.uniform(2, 14), (4, 4)).astype(np.float32)
        grey = grey + cv2.resize(knots, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    if sure() < 0.5:
        noise = rng.standard_normal((SIZE, SIZE), np.float32) * rng.uniform(0.5, 9)
        if sure() < 0.4:
            noise = 2 * cv2.GaussianBlur(noise, (0, 0), 0.8)
        grey = grey + noise
    image = np.clip(grey, 0, 255).astype(np.uint8)
    if sure() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_GRAYSCALE)
    return image


def spread_part(case: str, abnormal: bool = False) -> str:
    """'test', 'validation' or 'training' for a patient; those with an abnormal cell are in the test."""
    bucket = int(hashlib.sha256(case.encode()).hexdigest(), 16) % 10
    return "test" if abnormal or bucket == 0 else "validation" if bucket == 1 else "training"


def list_spreads(folder: Path, part: str) -> pd.DataFrame:
    """``cell, case, kind`` of one part's cells with boxes. ``folder``: ``cells.csv``, ``boxes.csv.gz`` (cell,
    class, x0, y0, x1, y1) and ``cells.zip`` of ``<cell>.webp``."""
    cells = pd.read_csv(folder / "cells.csv", dtype=str)
    abnormal = set(cells.loc[cells["kind"] != "normal", "case"])
    cells = cells[[spread_part(case, case in abnormal) == part for case in cells["case"]]]
    boxes = pd.read_csv(folder / "boxes.csv.gz", dtype=str, usecols=["cell"])
    return cells[cells["cell"].isin(boxes["cell"])]


def open_spreads(folder: Path, cells: Iterable[str]) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    """Name, image and boxes (``class, x0, y0, x1, y1``) of cells."""
    table = pd.read_csv(folder / "boxes.csv.gz", dtype={"cell": str, "class": str})
    boxes = {cell: own.reset_index(drop=True) for cell, own in table.groupby("cell")}
    with zipfile.ZipFile(folder / "cells.zip") as archive:
        for cell in cells:
            image = cv2.imdecode(np.frombuffer(archive.read(f"{cell}.webp"), np.uint8), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise ValueError(
                    f"Expected {cell}.webp to be an image. Received a damaged one: copy it again."
                )
            yield cell, image, boxes[cell]


def read_spreads(folder: Path, part: str, each: int = 2) -> Iterator[tuple[ScaledStrips, list[str]]]:
    """Strips, either way up, and classes of lone chromosomes: of ``each`` spreads a patient of one part."""
    cells = list_spreads(folder, part).groupby("case").head(each)["cell"]
    for _, image, boxes in open_spreads(folder, cells):
        found = _lone(image, boxes)
        if found is not None:
            yield found


def _lone(image: np.ndarray, boxes: pd.DataFrame) -> tuple[ScaledStrips, list[str]] | None:
    labels = boxes["class"].map(CHROMOSOMES.index).to_numpy()
    spread = prepare_spread(image, boxes[["x0", "y0", "x1", "y1"]].to_numpy(float), labels, 1.0)
    exact = spread.exact
    layer = np.where(np.isin(spread.layer, np.flatnonzero(exact) + 1), spread.layer, 0)
    pieces = cut_pieces(spread.light, layer, spread.boxes, spread.labels)
    if len(pieces) < _LEAST_LONE:
        return None
    images = [(255 * (1 - piece.ink)).astype(np.uint8) for piece in pieces]
    classes = [piece.label for piece in pieces]
    strips = scale_strips(images, [piece.mask for piece in pieces], expected_rows=_ROWS[classes])
    return strips, [CHROMOSOMES[c] for c in classes]


def orient(
    strips: ScaledStrips, classes: np.ndarray, upright: ScaledStrips, of_class: np.ndarray
) -> ScaledStrips:
    """Turn strips to be more like the mean of their class, made anew each time; upright ones start it."""
    back = np.zeros(len(strips), bool)
    for c in np.unique(classes):
        own = np.flatnonzero(classes == c)
        there = np.stack([_profile(strips, i) for i in own])
        mean = np.mean([_profile(upright, i) for i in np.flatnonzero(of_class == c)], axis=0)
        for _ in range(_TURNS):
            turned = ((there[:, ::-1] - there) * mean).sum((1, 2)) > 0
            mean = np.where(turned[:, None, None], there[:, ::-1], there).mean(0)
        back[own] = turned
    return strips.turned(back)


def _profile(strips: ScaledStrips, i: int) -> np.ndarray:
    image = strips.images[i, : strips.rows[i], _INNER].astype(np.float32)
    image = cv2.resize(image, (_INNER.stop - _INNER.start, _PROFILE), interpolation=cv2.INTER_AREA)
    image -= image.mean()
    return image / max(float(np.sqrt((image**2).sum())), 1e-6)
