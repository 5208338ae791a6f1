"""What looks at a page: the network of a package, or the reader of chromosomes."""

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from karyo_lib.iscn import NORMAL_FORMULAE
from karyo_lib.networks.backend import keras
from karyo_lib.networks.features import preprocess
from karyo_lib.networks.inference import prepare_forward, sample_dropout
from karyo_lib.networks.models import CUTS, HIDDEN, HIDDEN_NORMALIZATION, OUTPUT, build_model, split_model
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.read.find import find_chromosomes
from karyo_lib.screening.cases import Page
from karyo_lib.screening.package import Package, Recipe
from karyo_lib.screening.view import describe_cell

HEAT_MAPS = ("grad-cam", "occlusion")
_COLOUR = (213, 94, 0)  # vermillion, told apart by colour-blind eyes
_LEAST = 20  # chromosomes; where fewer are found the places that are covered are fields of a grid
_GRID = (4, 6)  # rows and columns
_RIM = 2  # pixels around a box, which the soft edges of chromosomes reach
_SIDE = 96  # of a map, whichever is longer
_FAINT = 0.25  # lower values are not shown: a wash over the whole page says nothing
BATCH = 16
DIGITS = 4  # of probabilities: the last bits depend on the batch


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
    worst place. ``score``: pages -> logits of abnormal; the label is its sign on the page as it is.
    Grad-CAM's 3 x 3 or 4 x 4 fields cannot point at a pair; covering it can (Zeiler and Fergus 2014, ECCV),
    about 24 passes a page."""
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


@dataclass(frozen=True, eq=False)
class Look:
    """What a judge says of a page, before calibration."""

    p: float  # probability of abnormal, the mean of the passes
    passes: np.ndarray  # float, shape (T,); single passes; empty where there are none
    embedding: np.ndarray | None  # float32, shape (d,), or None; where the page lies among others
    heat: np.ndarray  # float32 (h, w): what it rested on, 0 to 1, over the fitted page; all 0 for the reader
    doubts: tuple[str, ...] = ()  # reasons to refer
    cleared: bool = False  # whether a reader clears the number of chromosomes under a promise of its own
    unread: bool = False  # whether nothing could be read, so that `p` says nothing; `doubts` say why
    # Of the reader: ``formula, formula_probability, evidence, cell, cell_evidence`` of the result.
    told: dict[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Looks at pages, `batch` of them at a time; `native` says whether it needs them unscaled."""

    batch: int
    native: bool

    def look(self, pages: Sequence[Page]) -> list[Look]: ...


def open_judge(package: Package, heat_map: str = "grad-cam") -> Judge:
    """Build the judge that a package describes; `heat_map` is for networks."""
    if heat_map not in HEAT_MAPS:
        raise ValueError(f"Expected a heat map, one of {', '.join(HEAT_MAPS)}. Received {heat_map!r}.")
    if package.recipe.method == "network":
        return NetworkJudge(package.recipe, package.weights, heat_map)
    return ReadingJudge(package.recipe, package.reader)


class NetworkJudge:
    """The network of a package, rebuilt from karyo's own code and filled with the package's arrays."""

    native = False

    def __init__(self, recipe: Recipe, weights: np.ndarray, heat_map: str = "grad-cam"):
        self.recipe, self.heat_map = recipe, heat_map
        self.batch = 1 if heat_map == "occlusion" else BATCH  # a page is a batch of its own there
        # No file: the arrays come from the package.
        source = WeightsSource(recipe.base, None, "custom", "", "a package")
        how = {name: getattr(recipe, name) for name in ("trainable", "dropout", "input_shape")}
        model = build_model(recipe.base, source, **how)
        set_flat_weights(model, weights)
        trunk, self.head = split_model(model, CUTS[recipe.base]["head"])
        self.trunk = prepare_forward(keras.Model(trunk.input, {"maps": trunk.output}))

    def look(self, pages: Sequence[Page]) -> list[Look]:
        maps = self._run_trunk([page.fitted for page in pages])
        passes = sample_dropout(self.head, maps, self.recipe.passes, self.recipe.seed)
        if self.heat_map == "occlusion":
            heat = [compute_occlusion(page.fitted, self._compute_logits) for page in pages]
        else:
            heat = compute_grad_cam(self.head, maps)
        embeddings = maps.mean(axis=(1, 2))
        return [
            Look(float(passes[:, i].mean()), passes[:, i], embeddings[i], heat[i]) for i in range(len(pages))
        ]

    def _run_trunk(self, images: Sequence[np.ndarray]) -> np.ndarray:
        inputs = preprocess(self.recipe.base, images, self.recipe.input_shape)
        return self.trunk.predict(inputs)["maps"]

    def _compute_logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
        return np.concatenate([compute_logits(self.head, self._run_trunk(batch)) for batch in batches])


class ReadingJudge:
    """The reader: finds, names, counts and compares the chromosomes of a page."""

    native = True
    batch = 1

    def __init__(self, recipe: Recipe, files: dict[str, bytes] | None = None):
        from karyo_lib.read.reader import Reader  # brings up all that reads; networks need none of it

        self.recipe = recipe
        if files:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                self.reader = Reader.load(folder)
        else:
            self.reader = Reader.load()

    def look(self, pages: Sequence[Page]) -> list[Look]:
        return [self._look(page) for page in pages]

    def _look(self, page: Page) -> Look:
        from karyo_lib.read.case_reading import tell_evidence

        reading, evidence = self.reader.read(page.native), ""
        if reading.karyotype and reading.formula not in NORMAL_FORMULAE:
            evidence = f"counted {reading.formula}"
        elif reading.p_count > 0.5:
            evidence = "number uncertain"
        elif reading.karyotype:
            changes = f"as if by {'; '.join(reading.told_changes)}"
            evidence = changes if reading.changes else f"no change seen: {reading.sight}"
        return Look(
            p=float(reading.p_abnormal),
            passes=np.zeros(0),
            embedding=None,
            heat=np.zeros((1, 1), np.float32),
            doubts=(reading.refer_reason,) if reading.refer_reason else (),
            cleared=reading.decision == "cleared for number",
            unread=not len(reading.found),
            told={
                "formula": reading.formula,
                "formula_probability": round(float(reading.formula_probability), DIGITS),
                "evidence": evidence,
                "cell": describe_cell(reading, page.native.shape),
                "cell_evidence": json.dumps(tell_evidence(reading, self.reader)),
            },
        )


def get_flat_weights(model: keras.Model) -> np.ndarray:
    """Return all arrays of a network in Keras's order, flattened, float32."""
    return np.concatenate([np.asarray(array, "<f4").ravel() for array in model.get_weights()])


def set_flat_weights(model: keras.Model, flat: np.ndarray) -> None:
    """Fill a network with what `get_flat_weights` returned."""
    shapes = [array.shape for array in model.get_weights()]
    sizes = [int(np.prod(shape)) for shape in shapes]
    if sum(sizes) != flat.size:
        raise ValueError(f"Expected {sum(sizes)} weights for this network. Received {flat.size}.")
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
