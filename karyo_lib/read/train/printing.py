"""Words to train the reading of print with: rendered in many types, worn as scans and small pictures are."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.read.network import warm_cosine
from karyo_lib.read.printed import GROUP_NAMES, WORDS, PrintReader, build_print_model, find_words

#: Share of words that are no name.
_OTHER = 0.3
#: Words on a sheet.
_ON_SHEET = 12
_NAMES = [*CLASSES, *CLASSES[22:], "XY", *GROUP_NAMES]
_LETTERS = list("HIJKLMNOPQRSTUVWZabdefghijklmnopqrstuvwz?!#&%*+=/")
_SIGNS = ("+", "->", "M", "mar", "?", "q", "p", "XX", "XO", "der", "t", "No", "of", "46", "47", "45")


def _any_text(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.3:
        return str(rng.choice(_SIGNS))
    if kind < 0.6:
        return str(rng.choice([0, *range(23, 100)]))
    if kind < 0.7:  # two names that stand too close
        return " ".join(rng.choice(CLASSES, 2))
    return "".join(rng.choice(_LETTERS, rng.integers(1, 4)))


@cache
def _face(font: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font), 40)


def _render(text: str, font: Path, high: float, rng: np.random.Generator) -> np.ndarray:
    """Black on white, float32; capitals about ``high`` pixels high, drawn larger and shrunk."""
    face = _face(font)
    box = face.getbbox(text)
    image = Image.new("L", (box[2] - box[0] + 60, box[3] - box[1] + 60), 255)
    stroke = int(rng.integers(0, 2)) if rng.random() < 0.2 else 0
    ImageDraw.Draw(image).text((30 - box[0], 30 - box[1]), text, 0, face, stroke_width=stroke)
    cap = face.getbbox("8")
    scale = high / max(cap[3] - cap[1], 1)
    out = np.asarray(image, np.float32)
    middle = (out.shape[1] / 2, out.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, float(rng.normal(0, 2)), 1.0)
    turn[0, 1] += rng.normal(0, 0.06)
    out = cv2.warpAffine(out, turn, out.shape[::-1], borderValue=255)
    size = max(4, round(out.shape[1] * scale * rng.uniform(0.85, 1.2))), max(4, round(out.shape[0] * scale))
    return cv2.resize(out, size, interpolation=cv2.INTER_AREA)


def _blob(high: float, rng: np.random.Generator) -> np.ndarray:
    """A piece of chromosome, an arrow, a smudge: dark bands across a bent stroke, or lines that cross."""
    side = int(3 * high) + 24
    out = np.full((side, side), 255, np.float32)
    middle, kind = side / 2, rng.random()
    for _ in range(1 + (kind < 0.5)):
        angle, long = rng.uniform(0, np.pi), rng.uniform(0.5, 1.6) * high
        along = np.array([np.cos(angle), np.sin(angle)]) * long / 2
        points = (
            np.array([-along, rng.normal(0, 0.12, 2) * high, along]) + middle + rng.normal(0, 0.1 * high, 2)
        )
        thick = max(1, round(rng.uniform(0.1, 0.6) * high))
        for a, b in pairwise(points):
            for t in np.linspace(0, 1, 4):
                p, q = a + (b - a) * t, a + (b - a) * min(1.0, t + 0.3)
                shade = float(rng.uniform(0, 170)) if kind < 0.8 else 0.0
                ends = [tuple(int(v) for v in np.round(point)) for point in (p, q)]
                cv2.line(out, *ends, shade, thick, cv2.LINE_AA)
    return out


def _wear(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weak ink, uneven paper, blur, noise, JPEG; a negative at times; uint8."""
    ink, paper = rng.uniform(0, 110), rng.uniform(205, 255)
    out = paper - (255 - image) / 255 * (paper - ink)
    out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.15, 0.9)))
    out = out + rng.normal(0, rng.uniform(0, 7), out.shape)
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(30, 95))
        out = cv2.imdecode(
            cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE
        )
    return 255 - out if rng.random() < 0.08 else out


def make_words(n: int, fonts: Sequence[Path], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of words as `find_words` cuts them from a page, with what they say.

    ``fonts`` (sequence of pathlib.Path): files of scalable fonts. Returns ``images``: float32, shape (n,
    *WORD_SHAPE); ``labels``: int, shape (n,); positions in `WORDS`.
    """
    rng = np.random.default_rng([seed, 77])
    images, labels = [], []
    while len(images) < n:
        for image, label in _make_sheet(fonts, rng):
            images.append(image)
            labels.append(label)
    return np.array(images[:n], np.float32), np.array(labels[:n])


def _make_sheet(fonts: Sequence[Path], rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Words of one height on one worn sheet."""
    high = float(np.exp(rng.uniform(np.log(4.5), np.log(22))))
    texts = [_any_text(rng) if rng.random() < _OTHER else str(rng.choice(_NAMES)) for _ in range(_ON_SHEET)]
    blobs = [text not in WORDS and rng.random() < 0.4 for text in texts]
    words = [
        _blob(high, rng)
        if blob
        else _render(
            "X Y" if text == "XY" and rng.random() < 0.3 else text, fonts[rng.integers(len(fonts))], high, rng
        )
        for text, blob in zip(texts, blobs, strict=True)
    ]
    step = max(word.shape[0] for word in words) + 8
    sheet = np.full((step * len(words) + 20, max(word.shape[1] for word in words) + 60), 255, np.float32)
    for i, word in enumerate(words):
        left = int(rng.integers(20, sheet.shape[1] - word.shape[1] - 19))
        sheet[10 + i * step : 10 + i * step + word.shape[0], left : left + word.shape[1]] = word
    found = find_words(_wear(sheet, rng), high * float(rng.uniform(0.6, 1.9)))
    at = ((found.boxes["y0"] + found.boxes["y1"]) / 2 - 10) // step
    for i, (text, blob) in enumerate(zip(texts, blobs, strict=True)):
        own = np.flatnonzero(at == i)
        if len(own) and (len(own) == 1 or blob or text not in WORDS):  # else a word that fell apart
            yield found.images[own[0]], WORDS.index("" if blob or text not in WORDS else text)


def train_print_reader(
    fonts: Sequence[Path], n: int = 40_000, epochs: int = 8, seed: int = 2020
) -> tuple[PrintReader, float]:
    """Train on nine in ten fonts; the share of words of the others that are read right comes with it."""
    rng = np.random.default_rng(seed)
    families = sorted({font.parent.name + font.stem.split("-")[0].lower()[:9] for font in fonts})
    kept = set(rng.permutation(families)[: max(1, len(families) // 10)].tolist())
    apart = [font for font in fonts if font.parent.name + font.stem.split("-")[0].lower()[:9] in kept]
    x, y = make_words(n, [font for font in fonts if font not in apart], seed)
    keras.utils.set_random_seed(seed)
    reader = PrintReader()
    reader.model = build_print_model()
    rate = warm_cosine(2e-3, epochs * (n // 128))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    reader.model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), loss, **compile_options())
    reader.model.fit(x[..., None], y, batch_size=128, epochs=epochs, verbose=0)
    x, y = make_words(max(500, n // 20), apart, seed + 1)
    logits = reader.model.predict(x[..., None], batch_size=256, verbose=0)
    return reader, float((np.asarray(logits).argmax(1) == y).mean())
