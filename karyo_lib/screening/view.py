"""Reading -> what the page shows of a cell, as JSON: the seam between the reader and the browser.

A cell is an object with

- ``level``: bands of the ideograms, 400, 550 or 850;
- ``formula``: the count formula that was read;
- ``arrangement``: the count formula of what was laid out, by print or the order of slots; '' where unknown;
- ``objects``: list of objects with ``outline`` (list of polygons ``[x, y, x, y, ...]`` in pixels of the
  picture), ``class`` ('1' to '22', 'X', 'Y', 'mar'; '' for what is no chromosome) and ``p`` (probability of
  that class, 0 to 1); and, where they say something, ``alone`` (the other class that it looks like alone),
  ``printed`` (the other class that its slot stands for), ``doubtful`` (true), ``turned`` (true where it
  stands upside down), ``angle`` (degrees, clockwise, that set it upright), ``mark`` (what is unusual, in
  words) and ``path`` (list of ``[class, start, stop, reversed]`` in ISCN units, from the top).
"""

import hashlib
import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from karyo_lib.iscn import LEVELS, load_bands
from karyo_lib.iscn.bands import CHROMOSOMES

if TYPE_CHECKING:  # what reads takes seconds to import
    from karyo_lib.read.reading import Reading

PICTURE_SIDE = 4096  # pixels of the longer side of a picture; larger pages are shrunk
THUMBNAIL_SIDE = 240
_GROWN = 0.6  # page pixels that outlines stand off from the ink
_SIMPLER = 0.7  # page pixels that outlines may differ from the mask


def digest_pixels(pixels: np.ndarray) -> str:
    """What a review is kept under: 32 hexadecimal digits of what the page shows, whatever its file."""
    shape = "x".join(map(str, pixels.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:32]


def encode_picture(pixels: np.ndarray, side: int = PICTURE_SIDE, quality: int = 90) -> bytes:
    """A grey page as WebP, the longer side at most `side` pixels."""
    scale = min(1.0, side / max(pixels.shape))
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in pixels.shape[::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


@cache
def band_tables() -> dict[str, dict[str, list]]:
    """Ideograms for the browser: level -> class -> bands ``[start, stop, stain or density, name]``."""
    return {
        str(level): {
            name: [
                [band.iscn_start, band.iscn_stop, str(band.density or band.stain), band.name]
                for band in load_bands(level).bands(name)
            ]
            for name in CHROMOSOMES
        }
        for level in LEVELS
    }


def describe_cell(reading: "Reading", shape: tuple[int, int]) -> str:
    """The JSON of a cell, see the module, on a page of `shape` (H, W); '' where nothing was found."""
    if not len(reading.found):
        return ""
    scale = min(1.0, PICTURE_SIDE / max(shape))
    marks = {i: f"as if by {row.iscn}" for row in reading.structure[::-1].itertuples() for i in row.objects}
    lying = reading.kind == "metaphase"
    outlines = _outlines(reading.found, scale)
    objects = []
    for i, (row, outline) in enumerate(zip(reading.chromosomes.itertuples(), outlines, strict=True)):
        more = {
            "alone": "" if row.alone == row.chromosome else row.alone,
            "printed": "" if row.printed == row.chromosome else row.printed,
            "doubtful": bool(row.doubtful),
            "turned": bool(row.upside_down),
            "angle": _angle(outline) if lying else 0,
            "mark": marks.get(i, ""),
            "path": [[s.chromosome, s.start, s.stop, s.reversed] for s in row.segments],
        }
        always = {"outline": outline, "class": row.chromosome, "p": round(float(row.probability), 3)}
        objects.append(always | {name: value for name, value in more.items() if value})
    cell = {"level": reading.karyotype.level if reading.karyotype else 550}
    cell |= {"formula": reading.formula, "arrangement": reading.arrangement, "objects": objects}
    return json.dumps(cell, ensure_ascii=False, separators=(",", ":"))


def _outlines(found: Any, scale: float) -> list[list[list[int]]]:
    """Outlines of all objects in pixels of the picture."""
    factor = scale / found.scale
    labels, grown = found.labels, max(1, round(_GROWN * found.scale))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1))
    out = []
    for number, box in enumerate(found.boxes.itertuples(), start=1):
        x0, y0 = (max(0, math.floor(v * found.scale) - 2 * grown - 1) for v in (box.x0, box.y0))
        x1, y1 = (math.ceil(v * found.scale) + 2 * grown + 1 for v in (box.x1, box.y1))
        mask = cv2.dilate((labels[y0:y1, x0:x1] == number).astype(np.uint8), kernel)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        polygons = [cv2.approxPolyDP(c, _SIMPLER * found.scale, True)[:, 0] for c in contours]
        polygons = [(p + np.array([x0 + 0.5, y0 + 0.5])) * factor for p in polygons if len(p) >= 3]
        if not polygons:  # of a single pixel
            corners = [[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]]
            polygons = [np.array(corners) * scale]
        out.append([np.round(polygon).astype(int).ravel().tolist() for polygon in polygons])
    return out


def _angle(outline: list[list[int]]) -> float:
    """Degrees, clockwise, that set an object's longest axis upright."""
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in outline]).astype(np.float32)
    (_, (width, height), angle) = cv2.minAreaRect(points)
    return round(float(-angle if height >= width else 90 - angle), 1)
