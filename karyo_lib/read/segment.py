"""Which pixels of a page belong to chromosomes, and where each one's core runs: a small U-Net.

Two maps are predicted. The *body* is all of a chromosome; print, rules, arrows and dust are not. The *core*
is a thin band along its axis, drawn from the truth through pale constrictions and stalks, so that the cores
of neighbours that touch stay apart and the core of one chromosome stays whole. An object is a connected core,
grown to fill the body.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.read.network import TrainedNetwork, warm_cosine
from karyo_lib.read.network_files import read_record, read_weights, write_network

_STRIDE = 16


@dataclass(frozen=True)
class SegmenterSettings:
    """How the network is built and trained.

    Attributes
    ----------
    channels : tuple of int
        Filters at each level; the first works at half the resolution of the page.
    steps, batch_size, crop, learning_rate, seed
        ``crop`` is the side of a training crop in pixels; the learning rate decays along a cosine.
    widths : (float, float)
        Range of chromosome widths, in pixels, to which training pages are scaled.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64)
    steps: int = 800
    batch_size: int = 16
    crop: int = 144
    learning_rate: float = 3e-3
    seed: int = 2020
    widths: tuple[float, float] = (6.0, 20.0)


def build_segmenter(settings: SegmenterSettings) -> keras.Model:
    """Build the network: input ink (H, W, 1), sides multiples of 16; output logits (H, W, 2): body, core."""
    layers = keras.layers

    def conv(x: keras.KerasTensor, filters: int, size: int = 3, strides: int = 1) -> keras.KerasTensor:
        x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(x))

    page = keras.Input((None, None, 1), name="ink")
    x, levels = conv(page, settings.channels[0], 4, 2), []
    for channels in settings.channels:
        if levels:
            x = layers.MaxPooling2D(2)(x)
        x = conv(conv(x, channels), channels) if levels else conv(x, channels)
        levels.append(x)
    for skip in levels[-2::-1]:
        channels = skip.shape[-1]
        x = layers.UpSampling2D(2)(conv(x, channels, 1))
        x = conv(layers.Add()([x, skip]), channels)
    return keras.Model(page, layers.Conv2DTranspose(2, 2, 2, name="logits")(x), name="segmenter")


@dataclass(frozen=True)
class SegmentedPage:
    """A training page: ``ink`` (H, W), 0 to 1; ``target`` (H, W, 2), body and core; ``weight`` (H, W); all
    uint8, as shares of 255 (weights: as they are)."""

    ink: np.ndarray
    target: np.ndarray
    weight: np.ndarray


class _CropSequence(keras.utils.PyDataset):
    """Random crops of training pages, altered as scanners and printers would."""

    def __init__(self, pages: Sequence[SegmentedPage], settings: SegmenterSettings):
        super().__init__()
        self.pages, self.settings = pages, settings
        self.rng = np.random.default_rng(settings.seed)

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, index: int) -> tuple:
        crops = [self._crop() for _ in range(self.settings.batch_size)]
        return tuple(np.stack(part) for part in zip(*crops, strict=True))

    def _crop(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, side = self.rng, self.settings.crop
        page = self.pages[rng.integers(len(self.pages))]
        corner = [int(rng.integers(max(1, n - side + 1))) for n in page.ink.shape]
        if rng.random() < 0.8:  # most of a page is paper: aim at a chromosome
            inked = np.argwhere(page.target[::8, ::8, 1])
            if len(inked):
                aim = inked[rng.integers(len(inked))] * 8 - rng.integers(0, side, 2)
                corner = [
                    int(np.clip(a, 0, max(0, n - side))) for a, n in zip(aim, page.ink.shape, strict=True)
                ]
        cut = (slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
        ink = page.ink[cut].astype(np.float32) / 255
        target = page.target[cut].astype(np.float32) / 255
        weight = page.weight[cut].astype(np.float32)
        fill = [(0, side - n) for n in ink.shape]
        layers = np.pad(np.dstack([ink, weight, target]), [*fill, (0, 0)])
        layers = np.rot90(layers, rng.choice([0, 0, 0, 1, 2, 3]))
        layers = layers[:, ::-1] if rng.random() < 0.5 else layers
        ink, weight, target = layers[..., 0], layers[..., 1], layers[..., 2:]
        ink = np.clip(ink, 0, 1) ** np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.15))
        if rng.random() < 0.3:
            ink = cv2.GaussianBlur(np.ascontiguousarray(ink), (0, 0), rng.uniform(0.4, 1.3))
        ink = ink + rng.normal(0, rng.uniform(0, 0.03), ink.shape)
        return np.maximum(ink, 0).astype(np.float32)[..., None], target, weight[..., None]


def _loss(target: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.binary_crossentropy(target, logits, from_logits=True)


class Segmenter(TrainedNetwork):
    """Finds bodies and cores of chromosomes.

    Parameters
    ----------
    settings : SegmenterSettings, optional

    Attributes
    ----------
    model : keras.Model
        Built by `fit` or `load`.
    """

    def __init__(self, settings: SegmenterSettings | None = None):
        self.settings = settings or SegmenterSettings()

    def fit(
        self,
        pages: Sequence[SegmentedPage],
        *,
        start: "Segmenter | None" = None,
        on_epoch: Callable[[int, dict], None] | None = None,
    ) -> "Segmenter":
        """Train on pages of `page_targets`; ``start`` continues from another one's weights."""
        if not pages:
            raise ValueError("Expected at least one page to train on. Received none.")
        keras.utils.set_random_seed(self.settings.seed)
        self.model = build_segmenter(self.settings)
        if start is not None:
            self.model.set_weights(start._built().get_weights())
        rate = warm_cosine(self.settings.learning_rate, self.settings.steps)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0)
        self.model.compile(optimizer, _loss, **compile_options())
        callbacks = [] if on_epoch is None else [keras.callbacks.LambdaCallback(on_epoch_end=on_epoch)]
        self.model.fit(_CropSequence(pages, self.settings), verbose=0, callbacks=callbacks, shuffle=False)
        return self

    def predict(self, ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability of body and of core, float32 (H, W) each, for ink of shape (H, W)."""
        high, wide = ink.shape
        padded = np.pad(np.clip(ink, 0, 1), [(0, -n % _STRIDE) for n in ink.shape]).astype(np.float32)
        # called directly: pages differ in size, and a traced function would be traced anew for each
        logits = keras.ops.convert_to_numpy(self._built()(padded[None, ..., None], training=False))
        proba = 1 / (1 + np.exp(-logits[0, :high, :wide]))
        return proba[..., 0], proba[..., 1]

    def save(self, folder: Path) -> None:
        """Write ``finding.npz`` and ``finding.json``."""
        write_network(folder, "finding", self._built(), {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, folder: Path) -> "Segmenter":
        """Read what `save` wrote."""
        values = read_record(folder, "finding")["settings"]
        pairs = {name: tuple(values[name]) for name in ("channels", "widths")}
        segmenter = cls(SegmenterSettings(**(values | pairs)))
        segmenter.model = read_weights(folder, "finding", build_segmenter(segmenter.settings))
        return segmenter
