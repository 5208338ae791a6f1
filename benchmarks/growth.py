"""How time grows with images, passes and trials, and where it stops being proportional."""

import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchmarks.material import Sizes, find_weights, make_labels
from benchmarks.measure import Job
from karyo_lib.networks.fitting import Examples, Trainer, TrainSettings
from karyo_lib.networks.inference import sample_dropout
from karyo_lib.networks.search import SearchSettings, run_search
from karyo_lib.networks.train import get_trainer

STRAIGHT = (0.9, 1.1)
"""Exponents within which time is called proportional."""


@dataclass(frozen=True)
class Growth(Job):
    """Measures the three curves; one turn is enough.

    Attributes
    ----------
    sizes : Sizes
    """

    sizes: Sizes = field(default_factory=Sizes)

    def prepare(self) -> np.ndarray:
        shape = self._trainer().model.input.shape[1:]
        return np.random.default_rng(0).random((max(*self.sizes.growth, 139) + 8, *shape), dtype="float32")

    def run(self, maps: np.ndarray) -> dict[str, object]:
        """Return ``curves``, a list of rows (what, n, seconds)."""
        rows = []
        for what, points, work in (
            ("head, one epoch", self.sizes.growth, self._epoch),
            ("passes, 139 images", (10, 100, 1000), self._passes),
            ("proposals of the search", (10, 20, 40), self._proposals),
        ):
            work(maps, min(points))  # traced
            for n in points:
                began = time.perf_counter()
                work(maps, n)
                rows.append((what, n, time.perf_counter() - began))
        return {"curves": rows}

    def _trainer(self) -> Trainer:
        settings = TrainSettings(epochs=1, input_shape=self.sizes.input_shape)
        return get_trainer("VGG16", "head", find_weights("VGG16"), settings)

    def _epoch(self, maps: np.ndarray, images: int) -> None:
        x, y = maps[: images + 8], make_labels(images + 8)
        train, validation = Examples(x[:images], y[:images]), Examples(x[images:], y[images:])
        self._trainer().fit(train, validation, TrainSettings(epochs=1, input_shape=self.sizes.input_shape))

    def _passes(self, maps: np.ndarray, passes: int) -> None:
        sample_dropout(self._trainer().model, maps[:139], passes)

    def _proposals(self, maps: np.ndarray, trials: int) -> None:
        run_search(_nothing, SearchSettings(trials=trials), progress=False)


def _nothing(learning_rate: float, batch_size: int) -> dict[str, float]:
    return {"val_loss": 0.5 + 0.01 * np.log10(learning_rate) ** 2, "val_accuracy": 0.5}


def tabulate_growth(curves: list[tuple[str, int, float]]) -> pd.DataFrame:
    """Return ``what``, ``n``, ``seconds``, ``exponent`` (of n, from the point before; 1 = proportional)."""
    table = pd.DataFrame(curves, columns=["what", "n", "seconds"])
    by_what = table.groupby("what", sort=False)
    return table.assign(exponent=by_what["seconds"].transform(_rise) / by_what["n"].transform(_rise))


def _rise(column: pd.Series) -> pd.Series:
    return np.log(column / column.shift())


REASONS = {
    "head, one epoch": "below, what is fixed in an epoch (validation, metrics, the checkpoint in memory) "
    "weighs; above, the arrays no longer fit the processor's cache",
    "passes, 139 images": "below, one call's overhead weighs; above, masks are worked off in blocks of fixed "
    "memory, so that time stays proportional",
    "proposals of the search": "a Gaussian process is fitted anew for every trial, which costs the cube of "
    "the trials before it; the first proposals are a fixed design and cost nothing",
}


def describe_growth(table: pd.DataFrame) -> str:
    """Say from the exponents where time is proportional, and the known reason where it is not."""
    sentences = []
    for what, rows in table.dropna().groupby("what", sort=False):
        bent = rows[~rows["exponent"].between(*STRAIGHT)]
        if bent.empty:
            sentences.append(f"{what.capitalize()}: proportional up to {rows['n'].max():,}.")
            continue
        pairs = zip(bent["n"], bent["exponent"], strict=True)
        steps = ", ".join(f"exponent {exponent:.2f} up to {n:,}" for n, exponent in pairs)
        sentences.append(f"{what.capitalize()}: not proportional everywhere ({steps}): {REASONS[what]}.")
    return " ".join(sentences)
