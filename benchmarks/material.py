"""What the sides of a comparison work on: pages, labels, weights."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from karyo_lib.draw import draw_karyogram
from karyo_lib.networks.fitting import Examples
from karyo_lib.networks.models import INPUT_SHAPE
from karyo_lib.networks.weights import WeightsSource, resolve_weights

FORMULAE = ("46,XX", "46,XY", "47,XY,+21", "46,XX,del(5)(p14)")


@dataclass(frozen=True)
class Sizes:
    """How much is measured. The defaults are the thesis's figures where the time of one side allows them.

    Attributes
    ----------
    images, train, validation : int
        Augmented images in all, and of them in the training and the validation part.
    sample : int
        Images that are sent through a base; its time grows in proportion to them.
    test : int
        Images that get Monte Carlo passes.
    epochs, passes, trials, search_epochs : int
    trials_measured : int
        Of `trials`, by karyo.
    pages, drawn : int
        Screened, and drawn.
    growth : tuple of int
        Numbers of images for the figure of growth.
    repeats : int
        Turns of each side.
    input_shape : tuple of int
    """

    images: int = 692
    train: int = 442
    validation: int = 111
    sample: int = 64
    test: int = 139
    epochs: int = 30
    passes: int = 100
    trials: int = 40
    search_epochs: int = 15
    trials_measured: int = 8
    pages: int = 48
    drawn: int = 192
    growth: tuple[int, ...] = (100, 1_000, 10_000)
    repeats: int = 3
    input_shape: tuple[int, int, int] = INPUT_SHAPE


QUICK = Sizes(
    images=24, train=16, validation=8, sample=16, test=8, epochs=2, passes=4, trials=3, search_epochs=1,
    trials_measured=2, pages=8, drawn=8, growth=(20, 40), repeats=1, input_shape=(80, 80, 3),
)  # fmt: skip
"""Shows that everything works, in a minute or so; its ratios say nothing."""


@lru_cache(maxsize=4)
def make_pages(count: int) -> tuple[np.ndarray, ...]:
    """Return karyograms of 416 x 416 pixels, uint8: a few drawn ones, moved by some pixels each."""
    drawn = [draw_karyogram(text, seed=i, size=(416, 416)).image for i, text in enumerate(FORMULAE)]
    return tuple(np.roll(drawn[i % len(drawn)], (i // 7 % 9, i // 3 % 11), (0, 1)) for i in range(count))


def make_labels(count: int) -> np.ndarray:
    """Return the labels of :func:`make_pages`: 1 = abnormal."""
    return np.arange(count) % len(FORMULAE) // 2


def split_examples(x: np.ndarray, share: float = 0.8) -> tuple[Examples, Examples]:
    """Return a training and a validation part of the images that belong to :func:`make_labels`."""
    y, border = make_labels(len(x)), max(4, int(share * len(x)))
    return Examples(x[:border], y[:border]), Examples(x[border:], y[border:])


@lru_cache(maxsize=2)
def find_weights(base: str) -> WeightsSource:
    """Return the weights in use; what they are makes no difference to the time."""
    return resolve_weights(base)
