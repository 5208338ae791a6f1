"""Lone chromosomes of real spreads, cut out, turned, splayed: what scenes are made of."""

from dataclasses import dataclass

import cv2
import numpy as np

#: Label of ink that belongs to one of several boxes, nobody knows which.
UNKNOWN = 255
#: How far boxes of the data stand off the ink, in pixels of the original.
STAND_OFF = 4.0
_SQUARE = np.ones((3, 3), np.uint8)


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
