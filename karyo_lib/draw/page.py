"""A karyogram page with its truth, assembled from chromosomes in a lab's style, its artefacts included."""

import io
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from karyo_lib.draw.layout import NATIVE_HEIGHT, Placement, Sheet, settle
from karyo_lib.draw.piece import INK_THRESHOLD, Piece
from karyo_lib.draw.styles import LabStyle
from karyo_lib.iscn.bands import AUTOSOMES

TRUTH_COLUMNS = (
    "chromosome", "name", "copy", "slot", "x0", "y0", "x1", "y1", "angle", "abnormal", "length_px",
    "centromere_x", "centromere_y", "polarity", "change_x0", "change_y0", "change_x1", "change_y1", "source",
)  # fmt: skip
BAND_COLUMNS = ["row", "chromosome", "band", "x_start", "y_start", "x_stop", "y_stop"]
ANNOTATION_COLUMNS = ("kind", "x0", "y0", "x1", "y1")

Box = tuple[float, float, float, float]


def add_dust(
    ink: np.ndarray, amount: float, scratches: float, scale: float, rng: np.random.Generator
) -> None:
    """Sprinkle specks and hairs, so many on the mean, on a page of ink (0 paper to 1 black), in place."""
    height, width = ink.shape
    count = rng.poisson(amount)
    places = np.column_stack([rng.uniform(0, width, count), rng.uniform(0, height, count)])
    radii = np.clip(0.45 * scale * rng.lognormal(0, 0.6, count), 0.2, 4.0 * scale)
    strengths = rng.beta(1.2, 3.0, count)
    for (x, y), radius, strength in zip(places, radii, strengths, strict=True):
        # A speck smaller than a pixel is a weaker pixel.
        strength *= min(1.0, (radius / 0.6) ** 2)
        centre = round(float(x) * 16), round(float(y) * 16)  # four binary places
        inner = round(max(radius - 0.4, 0.1) * 16)
        cv2.circle(ink, centre, inner, float(strength), -1, cv2.LINE_8, 4)
    for _ in range(rng.poisson(scratches)):
        start = rng.uniform(0, 1, 2) * (width, height)
        turn = np.cumsum(rng.normal(0, 0.25, 14)) + rng.uniform(0, 6.28)
        steps = rng.uniform(2, 6) * scale
        points = start + np.cumsum(np.column_stack([np.cos(turn), np.sin(turn)]) * steps, axis=0)
        line = np.round(points * 8).astype(np.int32)
        cv2.polylines(ink, [line], False, float(rng.uniform(0.05, 0.35)), 1, cv2.LINE_8, 3)


def expose(
    ink: np.ndarray, settings: SimpleNamespace, scale: float, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Photograph, print and scan a drawing (ink, 0 paper to 1 black) on a page of ``size`` (width, height),
    as large or smaller. ``settings``: settled `Artefacts`; ``scale``: relative to a page of 1200 x 950."""
    sigma = settings.blur * scale
    if sigma > 0.2:
        ink = cv2.GaussianBlur(ink, (0, 0), sigma)
    if settings.sharpen > 0:
        soft = cv2.GaussianBlur(ink, (0, 0), max(1.6 * scale, 0.6))
        ink = np.clip(cv2.addWeighted(ink, 1 + settings.sharpen, soft, -settings.sharpen, 0), 0, 1)
    grey = settings.paper - (settings.paper - settings.ink_black) * ink
    if settings.halftone > 0:
        grey = _halftone(grey, max(settings.halftone * scale, 2.0))
    factor = grey.shape[1] / size[0]
    if factor > 1:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if settings.uneven > 0:
        light = np.clip(rng.standard_normal((3, 3), dtype=np.float32), -1.5, 1.5)
        grey += settings.uneven * cv2.resize(light, size, interpolation=cv2.INTER_CUBIC)
    # Grain and noise of a larger picture are averaged when it is reduced.
    if settings.grain > 0:
        coarse = rng.standard_normal((int(size[1] / 2.2) + 1, int(size[0] / 2.2) + 1), dtype=np.float32)
        grey += settings.grain / factor * cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    if settings.noise > 0:
        grey += settings.noise / factor * rng.standard_normal(grey.shape, dtype=np.float32)
    if settings.negative:
        grey = 255 - grey
    image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if settings.jpeg is None:
        return image
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def _halftone(grey: np.ndarray, period: float) -> np.ndarray:
    """Break grey into dots of a screen turned by 45 degrees, softened as a scanner sees them."""
    turn = 2 * np.pi / (period * np.sqrt(2))
    # cos(x + y) + cos(x - y) = 2 cos(x) cos(y)
    y, x = (np.cos(np.arange(side) * turn).astype(np.float32) for side in grey.shape)
    screen = 0.5 * np.outer(y, x)
    dots = np.clip((grey / 255 - 0.5 + screen * 0.9) * 2.2 + 0.5, 0, 1) * 255
    return 0.45 * dots + 0.55 * grey


@lru_cache(maxsize=512)
def text_mask(text: str, height: int) -> np.ndarray:
    """Return printed text as ink, float32 (H, W), cap height about 0.7 of `height`."""
    font = ImageFont.load_default(size=max(height, 5))
    x0, y0, x1, y1 = font.getbbox(text)
    image = Image.new("L", (int(x1 - x0) + 2, int(y1 - y0) + 2), 0)
    ImageDraw.Draw(image).text((1 - x0, 1 - y0), text, fill=255, font=font)
    mask = np.asarray(image, np.float32) / 255
    mask.setflags(write=False)
    return mask


@dataclass(frozen=True, eq=False)
class Page:
    """A karyogram and everything that is known about it.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W)
    truth : pandas.DataFrame
        One row a chromosome: `chromosome` (class; 'mar' for markers), `name` (ISCN), `copy` (1, 2, ...
        within its slot), `slot`, `x0 y0 x1 y1` (box in pixels, x1 and y1 exclusive), `angle` (lean in
        degrees), `abnormal`, `length_px` (along the axis), `centromere_x`, `centromere_y` (the first
        centromere; NaN without one), `polarity` (1 p arm up, -1 q arm up), `change_x0 ... change_y1` (box
        round what is changed; NaN where nothing is), `source` (cells that a real chromosome comes from,
        joined by '+'; empty for drawn ones).
    bands : pandas.DataFrame
        One row a band of a chromosome: `row` (of `truth`), `chromosome` and `band` that the material comes
        from, where the band begins and ends on the chromosome's axis, in pixels of the page.
    labels : ndarray of int16, shape (H, W)
        0 background, i + 1 for row i of `truth`.
    annotations : pandas.DataFrame
        `kind` ('arrow', 'box', 'title', 'label', 'rule') and box of everything printed beside chromosomes.
    formula, style : str
    seed : int

    A notebook shows it as its image.
    """

    image: np.ndarray = field(repr=False)
    truth: pd.DataFrame = field(repr=False)
    bands: pd.DataFrame = field(repr=False)
    labels: np.ndarray = field(repr=False)
    annotations: pd.DataFrame = field(repr=False)
    formula: str
    style: str
    seed: int

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(self.image).save(stream, "PNG")
        return stream.getvalue()


def assemble_page(
    sheet: Sheet,
    pieces: list[Piece],
    placement: Placement,
    formula: str,
    rng: np.random.Generator,
    ground: np.ndarray | None = None,
) -> Page:
    """Lay pieces on a page, print what the style prints, expose it, and write the truth down. Annotations
    have a generator of their own, so that a page with and without them is otherwise the same; ``ground`` is
    ink that lies under the chromosomes."""
    style, scale, factor = sheet.style, sheet.scale, sheet.factor
    artefacts = settle(style.artefacts, rng)
    ink, labels = _composite(pieces, placement, sheet, artefacts.patch)
    if ground is not None:
        ink = 1 - (1 - ink) * (1 - ground)
    printed = _print_labels(ink, placement, style, scale)
    add_dust(ink, artefacts.dust, artefacts.scratches, scale, rng)
    printed += _annotate(ink, pieces, placement, formula, sheet)
    image = expose(ink, artefacts, scale, sheet.size, rng)
    labels = np.ascontiguousarray(labels[::factor, ::factor])
    annotations = pd.DataFrame(printed, columns=list(ANNOTATION_COLUMNS))
    annotations[["x0", "y0", "x1", "y1"]] = annotations[["x0", "y0", "x1", "y1"]].astype(float) / factor
    truth, bands = _write_truth(pieces, placement, sheet.size, factor)
    return Page(image, truth, bands, labels, annotations, formula, style.name, sheet.seed)


def _composite(
    pieces: list[Piece], placement: Placement, sheet: Sheet, cut_ink: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lay inks over one another (light passes both) and note whose pixel is whose."""
    width, height = sheet.canvas
    clear, ground = np.ones((height, width), np.float32), np.zeros((height, width), np.float32)
    rim = round(5 * sheet.scale)
    labels = np.zeros((height, width), np.int16)
    for number, (piece, (x, y)) in enumerate(zip(pieces, placement.corners, strict=True)):
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + piece.ink.shape[1], width), min(y + piece.ink.shape[0], height)
        if x1 <= x0 or y1 <= y0:
            continue
        patch = piece.ink[y0 - y : y1 - y, x0 - x : x1 - x]
        clear[y0:y1, x0:x1] *= 1 - patch
        labels[y0:y1, x0:x1][patch > INK_THRESHOLD] = number + 1
        left, top, right, bottom = piece.ink_box
        rows = slice(max(top + y - rim, 0), bottom + y + rim)
        ground[rows, max(left + x - rim, 0) : right + x + rim] = cut_ink
    return 1 - clear * (1 - ground), labels


def _print_labels(ink: np.ndarray, placement: Placement, style: LabStyle, scale: float) -> list[tuple]:
    height = style.layout.label_size * NATIVE_HEIGHT * scale
    printed = []
    for text, centre, top in placement.labels:
        printed.append(("label", *_stamp_text(ink, text, centre, top, height)))
    for x0, x1, y in placement.rules:
        thick = max(1, round(1.6 * scale))
        cv2.line(ink, _fixed((x0, y)), _fixed((x1, y)), 0.9, thick, cv2.LINE_8, 4)
        printed.append(("rule", x0, y - scale, x1, y + scale))
    return printed


def _annotate(
    ink: np.ndarray, pieces: list[Piece], placement: Placement, formula: str, sheet: Sheet
) -> list[tuple]:
    """Point at abnormal chromosomes, frame their slots, print the formula."""
    printed, kinds, scale, rng = [], sheet.annotate, sheet.scale, sheet.rng("annotations")
    targets = [(i, piece) for i, piece in enumerate(pieces) if piece.abnormal]
    empty = _short_slots(pieces, placement)
    if "arrow" in kinds:
        for i, piece in targets:
            box = np.array(piece.ink_box if not len(piece.changes) else piece.changes[0], float)
            box += placement.corners[i][[0, 1, 0, 1]]
            printed.append(("arrow", *_point_at(ink, box, scale, rng)))
        for slot in empty:
            printed.append(("arrow", *_point_at(ink, np.array(placement.slots[slot]), scale, rng)))
    if "box" in kinds:
        for slot in dict.fromkeys([piece.slot for _, piece in targets] + empty):
            printed.append(("box", *_stamp_box(ink, placement.slots[slot], scale)))
    if "title" in kinds:
        size = rng.uniform(20, 30) * scale
        below = rng.random() < 0.4
        y = ink.shape[0] - 1.35 * size if below else 0.25 * size
        centre = rng.choice([0.5, 0.2, 0.8]) * ink.shape[1]
        printed.append(("title", *_stamp_text(ink, formula, centre, y, size)))
    return printed


def _short_slots(pieces: list[Piece], placement: Placement) -> list[str]:
    """Slots that lack a chromosome, where no abnormal chromosome holds its material."""
    held = Counter(piece.slot for piece in pieces)
    moved = {source for piece in pieces if piece.abnormal for source, _ in piece.bands}
    short = [name for name in AUTOSOMES if held[name] < 2 and name not in moved]
    if held["X"] + held["Y"] < 2:
        short.append("Y" if held["X"] else "X")
    return [slot for slot in short if slot in placement.slots]


def _point_at(ink: np.ndarray, box: np.ndarray, scale: float, rng: np.random.Generator) -> tuple:
    """Draw an arrow to a box from the side with the least ink in the way."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 + 5 * scale
    best = (np.inf, None, 0.0)
    for angle in rng.permutation([0.0, np.pi, 0.6, np.pi - 0.6, np.pi / 2, -np.pi / 2]):
        direction = np.array([np.cos(angle), np.sin(angle)])
        tip = middle + direction * (half / np.maximum(np.abs(direction), 1e-3)).min()
        path = np.round(tip + direction * np.linspace(0, 36 * scale, 12)[:, None]).astype(int)
        outside = (path < 0).any() or (path[:, 0] >= ink.shape[1]).any() or (path[:, 1] >= ink.shape[0]).any()
        cost = 9.0 if outside else float(ink[path[:, 1], path[:, 0]].mean())
        if cost < best[0] - 1e-6:
            best = (cost, tip, float(angle))
    return _stamp_arrow(ink, tuple(best[1]), best[2], scale)


def _write_truth(
    pieces: list[Piece], placement: Placement, size: tuple[int, int], factor: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, band_rows = [], []
    limit = np.array([*size, *size], float)
    names: list[tuple[str, str]] = []
    numbers: list[int] = []
    for number, (piece, corner) in enumerate(zip(pieces, placement.corners, strict=True)):
        shift = np.array([*corner, *corner], float)
        box = np.clip((np.array(piece.ink_box) + shift) / factor, 0, limit)
        centromere = (piece.centromeres[0] + corner) / factor if len(piece.centromeres) else (np.nan, np.nan)
        change = [np.nan] * 4
        if len(piece.changes):
            boxes = piece.changes + shift
            change = np.clip(np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]) / factor, 0, limit)
        rows.append((
            piece.slot, piece.name, piece.copy, piece.slot, *box, piece.angle, piece.abnormal,
            piece.length / factor, *centromere, piece.polarity, *change, piece.source,
        ))  # fmt: skip
        band_rows.append((piece.band_ends + shift) / factor)
        names += piece.bands
        numbers += [number] * len(piece.bands)
    truth = pd.DataFrame(rows, columns=list(TRUTH_COLUMNS))
    ends = np.concatenate(band_rows) if band_rows else np.zeros((0, 4))
    sources, bands = (list(told) for told in zip(*names, strict=True)) if names else ([], [])
    told = (numbers, sources, bands, *ends.T)
    return truth, pd.DataFrame(dict(zip(BAND_COLUMNS, told, strict=True)))


def _stamp_text(ink: np.ndarray, text: str, centre: float, top: float, height: float) -> Box:
    """Print text on a page of ink, in place; return its box."""
    mask = text_mask(text, max(5, round(height)))
    rows, columns = mask.shape
    page_height, page_width = ink.shape
    x = int(np.clip(round(centre - columns / 2), 0, max(page_width - columns, 0)))
    y = int(np.clip(round(top), 0, max(page_height - rows, 0)))
    target = ink[y : y + rows, x : x + columns]
    np.maximum(target, mask[: target.shape[0], : target.shape[1]], out=target)
    return x, y, x + target.shape[1], y + target.shape[0]


def _stamp_arrow(ink: np.ndarray, tip: tuple[float, float], angle: float, scale: float) -> Box:
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


def _stamp_box(ink: np.ndarray, box: Box, scale: float) -> Box:
    """Draw a frame round `box`, in place."""
    gap, thick = 6 * scale, max(1, round(2 * scale))
    x0, y0, x1, y1 = box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap
    cv2.rectangle(ink, _fixed((x0, y0)), _fixed((x1, y1)), 1.0, thick, cv2.LINE_8, 4)
    return _clip_box((x0 - thick, y0 - thick, x1 + thick, y1 + thick), ink.shape)


def _fixed(point: tuple[float, float] | np.ndarray) -> tuple[int, int]:
    """Coordinates with four binary places, as OpenCV's `shift` wants them."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _clip_box(box: Box, shape: tuple[int, ...]) -> Box:
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(shape[1])), min(box[3], float(shape[0]))
