"""The network that sees chromosomes: centres, boxes, classes, and a mask for each, overlaps and all.

After CenterNet (Zhou et al., 2019, arXiv:1904.07850), for boxes FCOS (Tian et al., 2019) and for masks, by a
small network of each object's own, CondInst (Tian et al., 2020, arXiv:2003.05664).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from karyo_lib.networks.backend import keras
from karyo_lib.networks.inference import Forward, prepare_forward
from karyo_lib.read.network_files import TrainedNetwork, read_record, read_weights, write_network

layers = keras.layers
#: Pixels per cell of the outputs, pixels per cell of the masks, sides of the picture are multiples of `GRID`.
CELL, MASK_CELL, GRID = 4, 2, 32
#: Unit of a box's distances, and of positions inside a mask.
REACH, PLACE = 24.0, 20.0
_WIDTH = 8  # channels of an object's own network


@dataclass(frozen=True)
class DetectorSettings:
    channels: tuple[int, ...] = (32, 64, 128, 176, 208)  # of the trunk at strides 2, 4, 8, 16, 32
    blocks: tuple[int, ...] = (2, 3, 3, 2)  # residual blocks at strides 4, 8, 16, 32
    neck: int = 96  # channels where scales meet, of the heads, of the mask features
    head: int = 96
    mask_channels: int = 12

    @property
    def controls(self) -> int:
        """Numbers that make up an object's own network."""
        return (self.mask_channels + 2) * _WIDTH + _WIDTH + _WIDTH * _WIDTH + _WIDTH + _WIDTH + 1


def _convolve(x, filters: int, size: int = 3, strides: int = 1, active: bool = True):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.97, epsilon=1e-3)(x)
    return layers.Activation("relu")(x) if active else x


def _block(x, filters: int, strides: int):
    short = x
    if strides > 1 or x.shape[-1] != filters:
        short = _convolve(layers.AveragePooling2D(2)(x) if strides > 1 else x, filters, 1, active=False)
    x = _convolve(_convolve(x, filters, 3, strides), filters, active=False)
    return layers.Activation("relu")(layers.Add()([x, short]))


def build_detector(
    settings: DetectorSettings, shape: tuple[int | None, int | None] = (None, None), model_class=keras.Model
) -> keras.Model:
    """Build the network: (H, W, 1) grey, 0 black to 1 white, to maps at a quarter and at half of the size."""
    inlet = keras.Input((*shape, 1), name="image")
    first, *rest = settings.channels
    x = _convolve(_convolve(inlet, first, 3, 2), first)
    fine, levels = x, []
    for filters, blocks in zip(rest, settings.blocks, strict=True):
        for number in range(blocks):
            x = _block(x, filters, 2 if number == 0 else 1)
        levels.append(x)
    top = None
    for level in reversed(levels):
        side = _convolve(level, settings.neck, 1, active=False)
        if top is not None:
            side = layers.Add()([side, layers.UpSampling2D(2, interpolation="nearest")(top)])
        top = _convolve(layers.Activation("relu")(side), settings.neck)
    what = _convolve(_convolve(top, settings.head), settings.head)
    where = _convolve(_convolve(top, settings.head), settings.head)
    masks = layers.UpSampling2D(2, interpolation="nearest")(_convolve(top, first, 1))
    masks = _convolve(layers.Concatenate()([masks, fine]), first)
    rare = keras.initializers.Constant(-4.0)

    def outlet(x, filters: int, name: str, bias="zeros", spread: float = 0.01):
        kernel = keras.initializers.RandomNormal(stddev=spread)
        return layers.Conv2D(
            filters, 1, kernel_initializer=kernel, bias_initializer=bias, dtype="float32", name=name
        )(x)

    outputs = {
        "centre": outlet(what, 1, "centre", rare),
        "classes": outlet(what, 24, "classes"),
        "box": outlet(where, 4, "box"),
        "control": outlet(where, settings.controls, "control", spread=0.03),
        "mask": outlet(masks, settings.mask_channels, "mask", spread=0.15),
    }
    return model_class(inlet, outputs, name="detector")


def split_controls(control, channels: int, reshape=np.reshape):
    """Take an object's own network apart: weights and biases of its three layers, shapes (..., in, out)."""
    before = (-1, *control.shape[1:-1])[: len(control.shape) - 1]
    sizes = ((channels + 2, _WIDTH), (_WIDTH, _WIDTH), (_WIDTH, 1))
    out, at = [], 0
    for inner, outer in sizes:
        weight = reshape(control[..., at : at + inner * outer], (*before, inner, outer))
        out.append((weight, control[..., at + inner * outer : at + (inner + 1) * outer]))
        at += (inner + 1) * outer
    return out


def boxes_at(box, rows, columns):
    """Boxes ``x0, y0, x1, y1`` in pixels from a head's numbers at cells (all arrays end alike)."""
    reach = REACH * np.exp(np.clip(box, -5, 3))
    x, y = (columns + 0.5) * CELL, (rows + 0.5) * CELL
    return np.stack([x - reach[..., 0], y - reach[..., 1], x + reach[..., 2], y + reach[..., 3]], -1)


def draw_masks(features: np.ndarray, control: np.ndarray, rows, columns, boxes: np.ndarray) -> list:
    """Masks of objects, ``[(x, y, probabilities)]`` in mask cells. ``features``: (H / 2, W / 2, channels);
    ``control``: (n, controls); ``rows``, ``columns`` (int (n,)): their cells; ``boxes`` (n, 4): in pixels."""
    high, wide, channels = features.shape
    ratio, out = CELL // MASK_CELL, []
    for number in range(len(control)):
        x0, y0, x1, y1 = np.round(boxes[number] / MASK_CELL + [-4, -4, 4, 4]).astype(int)
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(wide, max(x1, x0 + 1)), min(high, max(y1, y0 + 1))
        if x1 <= x0 or y1 <= y0:
            out.append((0, 0, np.zeros((1, 1), np.float32)))
            continue
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        x = (x + 0.5 - (columns[number] + 0.5) * ratio) / PLACE
        y = (y + 0.5 - (rows[number] + 0.5) * ratio) / PLACE
        value = np.concatenate([features[y0:y1, x0:x1], x[..., None], y[..., None]], -1)
        for step, (weight, bias) in enumerate(split_controls(control[number], channels)):
            value = value @ weight + bias
            value = np.maximum(value, 0) if step < 2 else value
        out.append((x0, y0, 1 / (1 + np.exp(-np.clip(value[..., 0], -30, 30)))))
    return out


@dataclass(frozen=True)
class Detections:
    """Objects of a picture: boxes (n, 4) in pixels, scores, log-probabilities (n, 24), masks."""

    boxes: np.ndarray
    score: np.ndarray
    log_proba: np.ndarray
    masks: list


def _mask_overlap(one: tuple, other: tuple) -> tuple[int, int, int]:
    """Pixels in common, of the one, of the other."""
    (ax, ay, a), (bx, by, b) = one, other
    x0, y0 = max(ax, bx), max(ay, by)
    x1, y1 = min(ax + a.shape[1], bx + b.shape[1]), min(ay + a.shape[0], by + b.shape[0])
    common = 0
    if x1 > x0 and y1 > y0:
        common = int(
            (a[y0 - ay : y1 - ay, x0 - ax : x1 - ax] & b[y0 - by : y1 - by, x0 - bx : x1 - bx]).sum()
        )
    return common, int(a.sum()), int(b.sum())


def decode_outputs(
    outputs: dict[str, np.ndarray], least: float = 0.3, most: int = 400, same: float = 0.75
) -> Detections:
    """Objects from the maps of one picture (no batch axis), named as by `build_detector`; ``least``: score;
    ``most``: candidates; ``same``: of two that share more of the smaller mask the surer one is left."""
    logit = outputs["centre"][..., 0]
    padded = np.pad(logit, 1, constant_values=-np.inf)
    high, wide = logit.shape
    around = np.max([padded[i : i + high, j : j + wide] for i in range(3) for j in range(3)], axis=0)
    score = 1 / (1 + np.exp(-logit))
    # Beside a peak lies another where two chromosomes cross near their middles; the masks tell.
    rows, columns = np.nonzero((score > least) & (logit > around - 1.0))
    order = np.argsort(-score[rows, columns])[:most]
    rows, columns = rows[order], columns[order]
    score = score[rows, columns]
    boxes = boxes_at(outputs["box"][rows, columns], rows, columns)
    masks = draw_masks(outputs["mask"], outputs["control"][rows, columns], rows, columns, boxes)
    hard = [(x, y, mask > 0.5) for x, y, mask in masks]
    kept: list[int] = []
    for i in range(len(rows)):
        if not hard[i][2].any():
            continue
        for j in kept:
            common, one, other = _mask_overlap(hard[i], hard[j])
            if common > same * min(one, other):
                break
        else:
            kept.append(i)
    classes = outputs["classes"][rows[kept], columns[kept]]
    classes = classes - classes.max(-1, keepdims=True)
    log_proba = classes - np.log(np.exp(classes).sum(-1, keepdims=True))
    return Detections(boxes[kept], score[kept], log_proba, [masks[i] for i in kept])


class Detector(TrainedNetwork):
    """The detector with its weights; ``model``: built by `load` or by training."""

    def __init__(self, settings: DetectorSettings | None = None):
        self.settings = settings or DetectorSettings()
        self._forward: Forward | None = None

    def detect(self, image: np.ndarray, least: float = 0.3, same: float = 0.75) -> Detections:
        """Find objects on a picture (uint8, paper light, chromosomes 10 to 12 pixels wide)."""
        if self._forward is None:
            self._forward = prepare_forward(self._built(), one_at_a_time=True)
        high, wide = image.shape
        padded = np.pad(image, ((0, -high % GRID), (0, -wide % GRID)), mode="edge")
        batch = padded[None, ..., None].astype(np.float32) / 255
        outputs = {name: value[0] for name, value in self._forward.predict(batch).items()}
        return decode_outputs(outputs, least, same=same)

    def save(self, folder: Path) -> None:
        """Write ``detector.npz`` (half-precision weights, no code) and ``detector.json``."""
        write_network(folder, "detector", self._built(), asdict(self.settings))

    @classmethod
    def load(cls, folder: Path) -> "Detector":
        """Read what `save` wrote; raises `ValueError` where arrays do not fit the network."""
        values = read_record(folder, "detector")
        pairs = {name: tuple(values[name]) for name in ("channels", "blocks")}
        detector = cls(DetectorSettings(**(values | pairs)))
        detector.model = read_weights(folder, "detector", build_detector(detector.settings))
        return detector
