"""What a decision rested on, as a small map over the page."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from karyo_lib.networks.backend import keras
from karyo_lib.networks.models import HIDDEN, HIDDEN_NORMALIZATION, OUTPUT

HEAT_MAPS = ("grad-cam", "occlusion")
_COLOUR = (213, 94, 0)  # vermillion, told apart by colour-blind eyes
_FAINT = 0.25  # lower values are not shown: a wash over the whole page says nothing


def compute_grad_cam(head: keras.Model, maps: np.ndarray) -> np.ndarray:
    """Grad-CAM on the last convolutional map (Selvaraju et al. 2017, ICCV), for the class that is called.

    The head is average pooling and two dense layers, so that the gradient of the logit is written down
    instead of traced: on any backend, for the price of two small matrix products.

    ``head``: layers from the last convolutional map on; ``maps`` (float32, shape (N, h, w, C)): its input.
    Returns float32, shape (N, h, w); 0 to 1, where 1 speaks most strongly for the label of that page; all 0
    where nothing does.
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
    """Return the logit of abnormal without dropout, shape (N,); see :func:`compute_grad_cam`."""
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


def mark_boxes(
    shape: tuple[int, int], boxes: pd.DataFrame, values: np.ndarray | None = None, side: int = 96
) -> np.ndarray:
    """Return a map that has `values` (1 by default) inside boxes of a page of `shape` (H, W) and 0 outside.

    Where boxes overlap the largest value counts. The map is `side` wide or high, whichever is more.
    """
    values = np.ones(len(boxes)) if values is None else values
    height, width = shape
    scale = side / max(shape)
    out = np.zeros((max(1, round(height * scale)), max(1, round(width * scale))), np.float32)
    for box, value in zip(boxes.itertuples(), values, strict=True):
        y0, y1 = int(box.y0 * scale), int(np.ceil(box.y1 * scale))
        x0, x1 = int(box.x0 * scale), int(np.ceil(box.x1 * scale))
        part = out[max(0, y0) : y1, max(0, x0) : x1]
        np.maximum(part, np.float32(value), out=part)
    return out


def crop_to_page(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a map over a square fitted page to the proportions of the page itself, without its margins.

    ``heat``: shape (h, h); ``shape``: height and width of the page before it was fitted.
    """
    height, width = shape
    if height == width:
        return heat
    side = 96
    image = Image.fromarray(heat.astype(np.float32), mode="F").resize((side, side), Image.Resampling.BILINEAR)
    fine = np.asarray(image)
    kept = max(1, round(side * min(shape) / max(shape)))
    start = (side - kept) // 2
    return fine[start : start + kept] if height < width else fine[:, start : start + kept]


def encode_heat(heat: np.ndarray) -> bytes:
    """Return a map as a tiny PNG of one colour, as opaque as the map is high; the page scales it up."""
    pixels = np.empty((*heat.shape, 4), np.uint8)
    pixels[..., :3] = _COLOUR
    pixels[..., 3] = np.rint(255 * np.clip((heat - _FAINT) / (1 - _FAINT), 0, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
