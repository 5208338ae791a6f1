"""Print of a page: words found beside the chromosomes, read as names of classes or groups by a network."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import log_softmax

from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.networks.backend import keras
from karyo_lib.read.network_files import read_weights
from karyo_lib.resources import data_file
from karyo_lib.shape.boxes import measure_ink, resize

#: Groups of the Denver classification, as they are printed over a row or a bracket.
GROUP_NAMES = {
    "A": CLASSES[:3],
    "B": CLASSES[3:5],
    "C": (*CLASSES[5:12], "X"),
    "D": CLASSES[12:15],
    "E": CLASSES[15:18],
    "F": CLASSES[18:20],
    "G": (*CLASSES[20:22], "Y"),
}
#: What a word may be: a class, both sex chromosomes, a group, or anything else.
WORDS = (*CLASSES, "XY", *GROUP_NAMES, "")
#: Height and width of the picture of a word.
WORD_SHAPE = 24, 40
#: Width of a chromosome, in pixels, that pages are scaled to where print is looked for.
_WIDTH = 16.0
_MOST_SCALE, _MOST_PIXELS = 4.0, 6e6
#: Ink, as a share of black, that is print.
_INK = 0.3
#: Least and greatest height of print in widths of a chromosome, and its greatest width in its own heights.
_HEIGHTS, _LONGEST = (0.28, 2.4), 2.4
#: Letters of a word stand no farther apart than this share of their height.
_GAP = 0.42
_EIGHT = np.ones((3, 3))


@dataclass(frozen=True)
class Words:
    """Print that may be the name of a slot."""

    boxes: pd.DataFrame  # ``x0, y0, x1, y1`` in pixels of the page, one row a word
    images: np.ndarray  # float32 (n, *WORD_SHAPE): each word, 0 paper to 1 ink, as high as the picture allows

    def __len__(self) -> int:
        return len(self.boxes)


def find_words(image: np.ndarray, width: float, taken: np.ndarray | None = None) -> Words:
    """Find words of one or two letters; ``width``: of a chromosome; ``taken`` (any scale): not there."""
    if not width > 0:  # a page without chromosomes
        nothing = pd.DataFrame(columns=["x0", "y0", "x1", "y1"], dtype=float)
        return Words(nothing, np.zeros((0, *WORD_SHAPE), np.float32))
    scale = min(max(1.0, _WIDTH / width), _MOST_SCALE, float(np.sqrt(_MOST_PIXELS / image.size)))
    ink = measure_ink(resize(image, scale)).astype(np.float32)
    width *= scale
    print_ = ink > _INK
    if taken is not None:
        near = cv2.resize(taken.astype(np.uint8), ink.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        print_ &= ~ndimage.binary_dilation(near, iterations=max(1, round(0.1 * width)))
    labels, _ = ndimage.label(print_, _EIGHT)
    parts = []
    for rows, columns in ndimage.find_objects(labels):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if _HEIGHTS[0] * width <= high <= _HEIGHTS[1] * width and wide <= _LONGEST * high:
            parts.append((columns.start, rows.start, columns.stop, rows.stop))
    boxes = _join_letters(np.array(parts, int).reshape(-1, 4))
    long = boxes[:, 2] - boxes[:, 0] > _LONGEST * (boxes[:, 3] - boxes[:, 1])
    boxes = boxes[~long]
    images = np.array([_picture(ink, box) for box in boxes], np.float32).reshape(-1, *WORD_SHAPE)
    return Words(pd.DataFrame(boxes / scale, columns=["x0", "y0", "x1", "y1"]), images)


def _join_letters(parts: np.ndarray) -> np.ndarray:
    """Boxes of words, from those of letters, (n, 4)."""
    if not len(parts):
        return parts
    x0, y0, x1, y1 = parts.T
    high = y1 - y0
    level = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0) > 0.5 * np.maximum.outer(high, high)
    gap = np.maximum.outer(x0, x0) - np.minimum.outer(x1, x1)
    beside = level & (gap <= _GAP * np.maximum.outer(high, high))
    _, word = connected_components(csr_array(beside), directed=False)
    words = range(word.max() + 1)
    return np.array([[*parts[word == i, :2].min(0), *parts[word == i, 2:].max(0)] for i in words])


def _picture(ink: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A word in the middle of a picture of fixed size, two pixels of paper around it."""
    x0, y0, x1, y1 = box
    part = ink[y0:y1, x0:x1]
    high, wide = WORD_SHAPE[0] - 4, WORD_SHAPE[1] - 4
    scale = min(high / part.shape[0], wide / part.shape[1])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = cv2.resize(part, size, interpolation=way) / max(float(part.max()), 1e-3)
    out = np.zeros(WORD_SHAPE, np.float32)
    top, left = (WORD_SHAPE[0] - size[1]) // 2, (WORD_SHAPE[1] - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = np.clip(part, 0, 1)
    return out


def build_print_model() -> keras.Model:
    """Build the network: input ``word`` (*WORD_SHAPE, 1), output ``logits`` (len(WORDS),)."""
    word = keras.Input((*WORD_SHAPE, 1), name="word")
    x = word
    for channels, kernel in ((16, 5), (32, 3), (48, 3)):
        x = keras.layers.Conv2D(channels, kernel, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(x))
    x = keras.layers.Dense(96, activation="relu")(x)
    return keras.Model(word, keras.layers.Dense(len(WORDS), name="logits")(x), name="print")


@cache
def _shipped() -> keras.Model:
    return read_weights(data_file("reader"), "print", build_print_model())


def read_words(words: Words) -> np.ndarray:
    """Log-probability of each of `WORDS`, float32 (n, len(WORDS))."""
    if not len(words):
        return np.zeros((0, len(WORDS)), np.float32)
    return log_softmax(np.asarray(_shipped().predict_on_batch(words.images[..., None])), axis=1)
