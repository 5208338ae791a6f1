"""Jobs whose figure is a rate: images a second forward, drawn, screened."""

import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.material import Sizes, find_weights, make_pages, split_examples
from benchmarks.measure import Job
from karyo_lib.networks.backend import keras, use_mixed_precision
from karyo_lib.networks.features import compute_features, preprocess
from karyo_lib.networks.fitting import TrainSettings
from karyo_lib.networks.inference import KerasForward
from karyo_lib.networks.models import build_model, get_cut
from karyo_lib.networks.train import get_trainer
from karyo_lib.networks.weights import load_base

OPERATIONS = {"VGG16": 13.2e9, "InceptionV3": 2.1e9}
"""Floating-point operations of a forward pass at 150 x 150 pixels, multiplications and additions."""
_SIDE = 2048  # of the matrices multiplied


@dataclass(frozen=True)
class _Forward(Job):
    """Forward passes through a frozen base.

    Attributes
    ----------
    sizes : Sizes
    base : str
    """

    sizes: Sizes = field(default_factory=Sizes)
    base: str = "VGG16"

    def inputs(self) -> np.ndarray:
        return preprocess(self.base, make_pages(self.sizes.sample), self.sizes.input_shape)

    def graph(self) -> keras.Model:
        base = load_base(find_weights(self.base), self.sizes.input_shape)
        return keras.Model(base.input, {"maps": base.get_layer(get_cut(self.base, "head")).output})

    def rate(self, images: int) -> dict[str, float]:
        return {"images": images}


class Features(_Forward):
    """What the rest of karyo calls, pages to features, without a cache."""

    def prepare(self) -> tuple:
        pages = make_pages(self.sizes.sample)
        self._compute(pages[:4])
        return pages

    def run(self, pages: tuple) -> dict[str, float]:
        """Compute the features of all pages."""
        self._compute(pages)
        return self.rate(len(pages))

    def _compute(self, pages: tuple) -> np.ndarray:
        cut, shape = get_cut(self.base, "head"), self.sizes.input_shape
        return compute_features(
            self.base, find_weights(self.base), pages, cut, progress=False, input_shape=shape
        )


class KerasPredict(_Forward):
    """``model.predict`` on inputs that are ready."""

    def prepare(self) -> tuple:
        ready, x = KerasForward(self.graph()), self.inputs()
        ready.predict(x)  # all batch shapes are traced
        return ready, x

    def run(self, state: tuple) -> dict[str, float]:
        """Run all inputs."""
        ready, x = state
        ready.predict(x)
        return self.rate(len(x))


class MixedFeatures(Features):
    """The same features in 16 bits, by Keras: for a GPU, or a processor with instructions for it."""

    def prepare(self) -> tuple:
        use_mixed_precision()
        return super().prepare()


class PrecisionResult(Features):
    """How far 16 bits move the probabilities of a head that is trained on the features."""

    def prepare(self) -> None:
        return None

    def run(self, state: None) -> dict[str, float]:
        """Train twice on the first half of the pages and compare what is said of the rest."""
        said = []
        for mixed in (False, True):
            use_mixed_precision(mixed)
            features = self._compute(make_pages(self.sizes.sample))
            use_mixed_precision(False)
            settings = TrainSettings(epochs=self.sizes.epochs, input_shape=self.sizes.input_shape)
            trainer = get_trainer(self.base, "head", find_weights(self.base), settings)
            parts = split_examples(features, 0.5)
            trainer.fit(*parts, settings)
            said.append(trainer.model.predict(parts[1].x, verbose=0))
        return {"difference": float(np.abs(said[0] - said[1]).max())}


class BareOpenVINO(_Forward):
    """OpenVINO on the same graph and inputs that are ready."""

    def prepare(self) -> tuple:
        from karyo_lib.networks.openvino_forward import OpenVINOForward

        ready, x = OpenVINOForward(self.graph()), self.inputs()
        ready.predict(x[:4])
        return ready, x

    def run(self, state: tuple) -> dict[str, float]:
        """Run all inputs."""
        ready, x = state
        ready.predict(x)
        return self.rate(len(x))


class ONNXRuntime(_Forward):
    """ONNX Runtime on the graph that Keras exports, in batches of 16, inputs that are ready."""

    def prepare(self) -> tuple:
        import onnxruntime

        graph, x = self.graph(), self.inputs()
        graph(x[:1])  # Keras exports only what was called
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "base.onnx")
            graph.export(path, format="onnx", verbose=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(None, {name: x[:16]})
        return session, name, x

    def run(self, state: tuple) -> dict[str, float]:
        """Run all inputs."""
        session, name, x = state
        for i in range(0, len(x), 16):
            session.run(None, {name: x[i : i + 16]})
        return self.rate(len(x))


class MatrixProduct(_Forward):
    """numpy's product of two matrices, as many images' worth of operations."""

    def prepare(self) -> tuple:
        rng = np.random.default_rng(0)
        a, b = (rng.random((_SIDE, _SIDE), dtype="float32") for _ in range(2))
        a @ b
        return a, b

    def run(self, state: tuple) -> dict[str, float]:
        """Multiply some times, and tell the time that the operations of all images would take."""
        a, b = state
        products = 12
        began = time.perf_counter()
        for _ in range(products):
            a @ b
        at_150 = np.prod(self.sizes.input_shape[:2]) / 150**2
        images = 2 * _SIDE**3 * products / (OPERATIONS[self.base] * at_150)
        seconds = (time.perf_counter() - began) * self.sizes.sample / images
        return {"seconds": seconds, **self.rate(self.sizes.sample)}


@dataclass(frozen=True)
class Drawing(Job):
    """Drawing a collection into a folder.

    Attributes
    ----------
    sizes : Sizes
    workers : int
        Processes.
    """

    sizes: Sizes = field(default_factory=Sizes)
    workers: int = 1

    def prepare(self) -> None:
        self._draw(2 * self.workers, seed=1)  # starts the workers and reads the band tables

    def run(self, state: None) -> dict[str, float]:
        """Draw pages that were not drawn before."""
        self._draw(self.sizes.drawn, seed=2)
        return {"images": self.sizes.drawn}

    def _draw(self, count: int, seed: int) -> None:
        from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset

        recipe = AlphaRecipe(normal=count // 2, abnormal=count - count // 2, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            draw_dataset(recipe, folder, progress=False, n_jobs=self.workers)


class Screening(_Forward):
    """Screening a folder of files with a network, reading, passes, heat map and checks included."""

    def prepare(self) -> tuple:
        from karyo_lib.screening.judges import get_flat_weights
        from karyo_lib.screening.package import Calibration, Package, Recipe
        from karyo_lib.screening.screener import Screener

        folder = tempfile.TemporaryDirectory(prefix="karyo-bench-")
        for i, page in enumerate(make_pages(self.sizes.pages)):
            Image.fromarray(page).save(Path(folder.name) / f"{i:05d}.png")
        model = build_model(self.base, find_weights(self.base), input_shape=self.sizes.input_shape)
        recipe = Recipe(
            "network", base=self.base, passes=self.sizes.passes, input_shape=self.sizes.input_shape
        )
        screener = Screener(Package(recipe, get_flat_weights(model), Calibration(), None, None))
        list(screener.screen([Path(folder.name) / f"{i:05d}.png" for i in range(min(16, self.sizes.pages))]))
        return screener, folder

    def run(self, state: tuple) -> dict[str, float]:
        """Screen all files."""
        screener, folder = state
        return self.rate(sum(1 for _ in screener.screen(folder.name)))


class BareForward(_Forward):
    """The forward pass alone of as many images, on the engine that karyo uses."""

    def prepare(self) -> Any:
        from karyo_lib.networks.inference import prepare_forward

        ready = prepare_forward(self.graph())
        x = preprocess(self.base, make_pages(self.sizes.pages), self.sizes.input_shape)
        ready.predict(x[:16])
        return ready, x

    def run(self, state: tuple) -> dict[str, float]:
        """Run all inputs."""
        ready, x = state
        ready.predict(x)
        return self.rate(len(x))
