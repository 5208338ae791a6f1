"""What looks at a page: the network of a package, or the reader of chromosomes."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from karyo_lib.iscn import NORMAL_FORMULAE
from karyo_lib.networks.backend import keras
from karyo_lib.networks.features import preprocess
from karyo_lib.networks.inference import prepare_forward
from karyo_lib.networks.models import CUTS, build_model, split_model
from karyo_lib.networks.sampling import sample_dropout
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.screening.cases import Page
from karyo_lib.screening.heatmap import HEAT_MAPS, compute_grad_cam, compute_logits, compute_occlusion
from karyo_lib.screening.package import Package, Recipe
from karyo_lib.screening.view import describe_cell

BATCH = 16
DIGITS = 4  # of probabilities: the last bits depend on the batch


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
        if reading.p_count > 0.5:
            normal = reading.formula in NORMAL_FORMULAE
            evidence = "number uncertain" if normal else f"counted {reading.formula}"
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
