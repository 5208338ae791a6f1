"""What a decision rested on, as a small map over the page: Grad-CAM, or occlusion by slot.

Grad-CAM's 3 x 3 or 4 x 4 fields cannot point at a pair of chromosomes; covering the pair can (Zeiler and
Fergus 2014, ECCV), for a forward pass a place, about 24 a page.
"""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image

from karyo_lib.networks.backend import keras
from karyo_lib.networks.models import HIDDEN, HIDDEN_NORMALIZATION, OUTPUT
from karyo_lib.read.find import find_chromosomes

HEAT_MAPS = ("grad-cam", "occlusion")
_COLOUR = (213, 94, 0)  # vermillion, told apart by colour-blind eyes
_LEAST = 20  # chromosomes; where fewer are found the places that are covered are fields of a grid
_GRID = (4, 6)  # rows and columns
_RIM = 2  # pixels around a box, which the soft edges of chromosomes reach
_SIDE = 96  # of a map, whichever is longer
_FAINT = 0.25  # lower values are not shown: a wash over the whole page says nothing


def compute_grad_cam(head: keras.Model, maps: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017, ICCV) on the last convolutional map (N, h, w, C), float32 (N, h, w): 1
    where most speaks for the label, 0 where nothing does. The gradient of so simple a head is written down.
    """
    hidden, scale, logit = _run_head(head, maps)
    kernel = head.get_layer(HIDDEN).get_weights()[0]
    out = head.get_layer(OUTPUT).get_weights()[0]
    # d logit / d map is this, over h x w, at every place: the pooling spreads it evenly.
    channel = _multiply((hidden > 0) * (scale * out[:, 0]), kernel.T)
    channel *= np.where(logit >= 0, 1.0, -1.0)[:, None]
    cam = np.maximum(np.einsum("nhwc,nc->nhw", maps, channel), 0)
    peak = cam.max(axis=(1, 2), keepdims=True)
    return np.where(peak > 0, cam / np.maximum(peak, 1e-12), 0).astype(np.float32)


def compute_logits(head: keras.Model, maps: np.ndarray) -> np.ndarray:
    """The logit of abnormal without dropout, shape (N,)."""
    return _run_head(head, maps)[2]


def _run_head(head: keras.Model, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hidden units before their ReLU (N, u), the scale of their normalization (u,), logits (N,)."""
    kernel, bias = head.get_layer(HIDDEN).get_weights()
    normalization = head.get_layer(HIDDEN_NORMALIZATION)
    gamma, beta, mean, variance = normalization.get_weights()
    out, out_bias = head.get_layer(OUTPUT).get_weights()
    scale = gamma / np.sqrt(variance + normalization.epsilon)
    hidden = _multiply(maps.mean(axis=(1, 2)), kernel) + bias
    return hidden, scale, ((np.maximum(hidden, 0) - mean) * scale + beta) @ out[:, 0] + out_bias[0]


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # By the engine: numpy's own threads would wait for those that run the network, and the other way round.
    return np.array(keras.ops.convert_to_numpy(keras.ops.matmul(a, b)))


def crop_to_page(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a map (h, h) over a fitted page to the proportions of the page itself, without its margins."""
    height, width = shape
    if height == width:
        return heat
    image = Image.fromarray(heat.astype(np.float32), mode="F")
    fine = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
    kept = max(1, round(_SIDE * min(shape) / max(shape)))
    start = (_SIDE - kept) // 2
    return fine[start : start + kept] if height < width else fine[:, start : start + kept]


def encode_heat(heat: np.ndarray) -> bytes:
    """A map as a tiny PNG of one colour, as opaque as the map is high; the page scales it up."""
    pixels = np.empty((*heat.shape, 4), np.uint8)
    pixels[..., :3] = _COLOUR
    pixels[..., 3] = np.rint(255 * np.clip((heat - _FAINT) / (1 - _FAINT), 0, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def compute_occlusion(page: np.ndarray, score: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
    """Where a page may not be covered without changing its score for the worse, float32 (h, w), 1 at the
    worst place. ``score``: pages -> logits of abnormal; the label is its sign on the page as it is."""
    slots = find_slots(page)
    scores = score([page, *(cover(page, box) for box in slots.itertuples())])
    lost = np.maximum((scores[0] - scores[1:]) * (1 if scores[0] >= 0 else -1), 0)
    scale = _SIDE / max(page.shape)
    heat = np.zeros([max(1, round(side * scale)) for side in page.shape], np.float32)
    for box, value in zip((slots * scale).itertuples(), lost / max(float(lost.max()), 1e-12), strict=True):
        part = heat[int(box.y0) : int(np.ceil(box.y1)), int(box.x0) : int(np.ceil(box.x1))]
        np.maximum(part, np.float32(value), out=part)
    return heat


def find_slots(page: np.ndarray) -> pd.DataFrame:
    """Boxes, in pixels, of a page's pairs and of chromosomes that stand in no row; else of a grid."""
    height, width = page.shape
    boxes = find_chromosomes(page).boxes
    if len(boxes) < _LEAST:
        y, x = (np.linspace(0, n, k + 1).astype(int) for n, k in zip((height, width), _GRID, strict=True))
        fields = [(x[j], y[i], x[j + 1], y[i + 1]) for i in range(_GRID[0]) for j in range(_GRID[1])]
        return pd.DataFrame(fields, columns=["x0", "y0", "x1", "y1"])
    alone = (boxes["slot"] < 0) | (boxes["row"] < 0)
    place = boxes["row"].astype(str) + "." + boxes["slot"].astype(str)
    place = place.where(~alone, "alone " + boxes.index.astype(str))
    slots = boxes.groupby(place, sort=False).agg(
        x0=("x0", "min"), y0=("y0", "min"), x1=("x1", "max"), y1=("y1", "max")
    )
    slots[["x0", "y0"]] = np.maximum(np.floor(slots[["x0", "y0"]]) - _RIM, 0)
    slots["x1"] = np.minimum(np.ceil(slots["x1"]) + _RIM, width)
    slots["y1"] = np.minimum(np.ceil(slots["y1"]) + _RIM, height)
    return slots.astype(int).reset_index(drop=True)


def cover(page: np.ndarray, box) -> np.ndarray:
    """A page with a box painted over in the grey of what lies around it."""
    out = page.copy()
    y0, x0 = max(0, box.y0 - 3), max(0, box.x0 - 3)
    around = page[y0 : box.y1 + 3, x0 : box.x1 + 3].astype(np.float32)
    around[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0] = np.nan
    out[box.y0 : box.y1, box.x0 : box.x1] = np.nanmedian(around) if np.isfinite(around).any() else 255
    return out
