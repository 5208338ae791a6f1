"""Activations of the frozen part of a base, computed once per image and kept on disk by content: the image's
bytes, the digest of the weights, the cut, the input shape, the preprocessing and the engine. Adding images
computes only the new ones, whatever run or condition asks."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from karyo_lib.networks.backend import inference_engine, keras
from karyo_lib.networks.inference import Forward, prepare_forward
from karyo_lib.networks.models import CUTS, INPUT, INPUT_SHAPE, copy_model
from karyo_lib.networks.weights import WeightsSource, cache_folder, load_base
from karyo_lib.store import writing

_PREPROCESS = {
    "VGG16": keras.applications.vgg16.preprocess_input,
    "InceptionV3": keras.applications.inception_v3.preprocess_input,
}
_PREPROCESSING = "pillow-bilinear-antialiased, keras preprocess_input, 1"  # part of every key
_CHUNK = 64  # images between two looks at the disk
_DEFAULT_LIMIT_GB = 4.0


class FeatureCache:
    """A folder of activations with a limit on its size (4 GB, or ``KARYO_CACHE_GB``), written whole or not at
    all, so that runs may share it; what was not used for longest is dropped first."""

    def __init__(self, folder: str | Path | None = None, limit_bytes: int | None = None):
        self.folder = Path(folder) if folder else cache_folder() / "features"
        said = os.environ.get("KARYO_CACHE_GB") or _DEFAULT_LIMIT_GB
        try:
            self.limit_bytes = int(float(said) * 1e9) if limit_bytes is None else limit_bytes
        except ValueError:
            raise ValueError(f"Expected KARYO_CACHE_GB to be a number. Received {said!r}.") from None
        if self.limit_bytes < 0:
            raise ValueError(f"Expected a size limit of at least 0 bytes. Received {self.limit_bytes}.")

    def load(self, group: str, key: str) -> np.ndarray | None:
        """Return an entry, or None if it is absent or damaged."""
        path = self._path(group, key)
        try:
            array = np.load(path, allow_pickle=False)
            os.utime(path)  # the time of last use decides what is dropped
        except (OSError, ValueError, EOFError):
            return None
        return array

    def holds(self, group: str, key: str) -> bool:
        return self._path(group, key).is_file()

    def store(self, group: str, key: str, array: np.ndarray) -> None:
        with writing(self._path(group, key)) as part:
            np.save(part, array, allow_pickle=False)

    def trim(self) -> None:
        """Drop the entries used least recently until the limit holds."""
        entries = []
        for path in self.folder.glob("*/[!.]*.npy"):
            with contextlib.suppress(FileNotFoundError):  # another run has just dropped it
                entries.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, group: str, key: str) -> Path:
        return self.folder / group / f"{key}.npy"


def preprocess(
    base: str, images: Sequence[np.ndarray], input_shape: tuple[int, int, int] = INPUT_SHAPE
) -> np.ndarray:
    """Turn greyscale pages (uint8, any sizes) into the input of a base, float32 (N, height, width, 3),
    resized with anti-aliasing: BGR minus the ImageNet means for VGG16, [-1, 1] for InceptionV3."""
    height, width, channels = input_shape
    out = np.empty((len(images), height, width, channels), "float32")
    for position, image in enumerate(images):
        _check_image(image, position)
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        out[position] = np.asarray(resized, "float32")[..., None]
    return _PREPROCESS[base](out)


def compute_features(
    base: str,
    weights: WeightsSource,
    images: Sequence[np.ndarray],
    cut: str,
    cache: FeatureCache | None = None,
    progress: bool = True,
    keep_cuts: Sequence[str] = (),
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
) -> np.ndarray:
    """Activations of a base at a cut, float32, in the order of the images (uint8, greyscale); equal in any
    company to about 1e-6; from the cache, or on from an earlier cut in it. ``keep_cuts`` are stored on the
    way, for conditions that will train the last blocks; ``"input"`` gives the preprocessed images."""
    stages = _stages(base, weights)
    for name in (cut, *keep_cuts):
        if name not in stages:
            raise ValueError(f"Expected a cut of {base}, one of {', '.join(stages)}. Received {name!r}.")
    if len(images) == 0:
        raise ValueError("Expected at least one image. Received none.")
    if cut == INPUT:
        return preprocess(base, images, input_shape)
    groups = {name: _group(weights, name, input_shape) for name in stages}
    keys = [content_key(image, position) for position, image in enumerate(images)]
    image_of = dict(zip(keys, images, strict=True))  # the same image twice is computed once
    found = {key: array for key in image_of if cache and (array := cache.load(groups[cut], key)) is not None}
    earlier = stages[: stages.index(cut)]
    with tqdm(
        total=len(image_of) - len(found),
        desc=f"{base} features at {cut}",
        unit="image",
        disable=not progress or len(found) == len(image_of),
    ) as bar:
        for start in reversed(earlier):  # from the latest cut that is cached; what is left, from the image
            outputs = (*(name for name in earlier[earlier.index(start) + 1 :] if name in keep_cuts), cut)
            missing = [key for key in image_of if key not in found]
            if start != INPUT:
                missing = [key for key in missing if cache and cache.holds(groups[start], key)]
            for chunk in (missing[i : i + _CHUNK] for i in range(0, len(missing), _CHUNK)):
                if start == INPUT:
                    arrays = preprocess(base, [image_of[key] for key in chunk], input_shape)
                    inputs = dict(zip(chunk, arrays, strict=True))
                else:
                    inputs = {k: array for k in chunk if (array := cache.load(groups[start], k)) is not None}
                if not inputs:
                    continue
                segment = _segment(weights, input_shape, start, outputs, _engine())
                computed = segment.predict(np.stack(list(inputs.values())))
                found.update(zip(inputs, computed[cut], strict=True))
                if cache:
                    for name, arrays in computed.items():
                        for key, array in zip(inputs, arrays, strict=True):
                            cache.store(groups[name], key, array)
                    cache.trim()
                bar.update(len(inputs))
    return np.stack([found[key] for key in keys])


def _stages(base: str, weights: WeightsSource) -> list[str]:
    """Return the input and all cuts of a base, in the order data flows."""
    if base not in CUTS:
        raise ValueError(f"Expected base to be one of {', '.join(CUTS)}. Received {base!r}.")
    if weights.base != base:
        raise ValueError(f"Expected weights of {base}. Received weights of {weights.base}.")
    return [INPUT, *(cut for cut in reversed(CUTS[base].values()) if cut != INPUT)]


def _group(weights: WeightsSource, cut: str, input_shape: tuple[int, int, int]) -> str:
    engine, precision = _engine()  # engines differ in the last bits: no table mixes them
    said = repr((weights.base, weights.digest, cut, tuple(input_shape), _PREPROCESSING, precision, engine))
    return f"{weights.base.lower()}-{cut}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _engine() -> tuple[str, str]:
    return inference_engine(), keras.config.dtype_policy().name


def content_key(image: np.ndarray, position: int = 0) -> str:
    """Return the SHA-256 of an image's shape and bytes; `position` names it if it is no greyscale page."""
    _check_image(image, position)
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _check_image(image: np.ndarray, position: int) -> None:
    if not isinstance(image, np.ndarray) or image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(
            f"Expected image {position} to be a greyscale array (H, W) of uint8. Received "
            f"{getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}."
        )


@lru_cache(maxsize=4)
def _segment(
    weights: WeightsSource,
    input_shape: tuple[int, int, int],
    start: str,
    outputs: tuple[str, ...],
    how: tuple[str, str],  # engine and precision, part of the key
) -> Forward:
    """Return the part of a base from one cut to others, ready to run."""
    base = load_base(weights, input_shape)
    inlet = base.input if start == INPUT else base.get_layer(start).output
    segment = keras.Model(inlet, {name: base.get_layer(name).output for name in outputs})
    return prepare_forward(segment if start == INPUT else copy_model(segment))
