"""Arrows, boxes and titles that people put on karyograms, and where they put them."""

import cv2
import numpy as np

from karyo_lib.draw.artefacts import text_mask

ANNOTATION_KINDS = ("arrow", "box", "title")

Box = tuple[float, float, float, float]


def stamp_text(
    ink: np.ndarray, text: str, centre: float, top: float, height: float, strength: float = 1.0
) -> Box:
    """Print text on a page of ink, in place; return its box."""
    mask = text_mask(text, max(5, round(height)))
    rows, columns = mask.shape
    page_height, page_width = ink.shape
    x = int(np.clip(round(centre - columns / 2), 0, max(page_width - columns, 0)))
    y = int(np.clip(round(top), 0, max(page_height - rows, 0)))
    target = ink[y : y + rows, x : x + columns]
    np.maximum(target, strength * mask[: target.shape[0], : target.shape[1]], out=target)
    return x, y, x + target.shape[1], y + target.shape[0]


def stamp_arrow(ink: np.ndarray, tip: tuple[float, float], angle: float, scale: float) -> Box:
    """Draw an arrow that points at `tip`, coming from `angle` (radians, 0 from the right), in place."""
    length, head, thick = 34 * scale, 12 * scale, max(1, round(3 * scale))
    direction = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    start, neck = np.array(tip) + direction * length, np.array(tip) + direction * head
    triangle = np.array([tip, neck + normal * head * 0.45, neck - normal * head * 0.45])
    cv2.line(ink, _fixed(start), _fixed(neck), 1.0, thick, cv2.LINE_8, 4)
    cv2.fillConvexPoly(ink, np.round(triangle * 16).astype(np.int32), 1.0, cv2.LINE_8, 4)
    points = np.vstack([triangle, start + normal * thick, start - normal * thick])
    return _clip_box((*points.min(0).tolist(), *points.max(0).tolist()), ink.shape)


def stamp_box(ink: np.ndarray, box: Box, scale: float) -> Box:
    """Draw a frame round `box`, in place."""
    gap, thick = 6 * scale, max(1, round(2 * scale))
    x0, y0, x1, y1 = box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap
    cv2.rectangle(ink, _fixed((x0, y0)), _fixed((x1, y1)), 1.0, thick, cv2.LINE_8, 4)
    return _clip_box((x0 - thick, y0 - thick, x1 + thick, y1 + thick), ink.shape)


def stamp_rule(ink: np.ndarray, x0: float, x1: float, y: float, scale: float) -> None:
    """Print a horizontal line, in place."""
    cv2.line(ink, _fixed((x0, y)), _fixed((x1, y)), 0.9, max(1, round(1.6 * scale)), cv2.LINE_8, 4)


def _fixed(point: tuple[float, float] | np.ndarray) -> tuple[int, int]:
    """Coordinates with four binary places, as OpenCV's `shift` wants them."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _clip_box(box: Box, shape: tuple[int, ...]) -> Box:
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(shape[1])), min(box[3], float(shape[0]))
