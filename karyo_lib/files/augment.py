"""Altered copies of karyograms, as in the thesis (section 3.2): brighter or darker, noisy, slightly blurred.
Never flipped or moved: position in a karyogram carries meaning."""

import functools
import os
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from karyo_lib.files.images import read_image
from karyo_lib.files.pages import make_pages, source_digest

AUGMENTED_COLUMNS = (
    "image_id", "parent_id", "path", "label", "patient_id", "copy", "brightness", "noise", "blur", "sha256",
)  # fmt: skip
# Images after augmentation, originals included, over originals (thesis, sections 3.1 and 3.2).
THESIS_GROWTH = {"normal": (376, 105), "abnormal": (316, 41)}


@dataclass(frozen=True)
class AugmentSettings:
    """How far copies may differ from their parent, and how many images there should be."""

    brightness: float = 0.25  # largest relative change, 0 to 1; the thesis has 0.25
    noise_fraction: float = 0.05  # largest share of pixels turned black or white, 0 to 1; the thesis has 0.05
    # Largest standard deviation of the Gaussian blur, in pixels (the thesis names blur in its conclusions).
    blur_sigma: float = 0.8
    # Images of each label, originals included. None grows each label as the thesis does, 105 to 376 and 41 to
    # 316, and other numbers in proportion.
    normal: int | None = None
    abnormal: int | None = None

    def __post_init__(self):
        for name, highest in (("brightness", 1.0), ("noise_fraction", 1.0), ("blur_sigma", 20.0)):
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise ValueError(f"Expected {name} within 0 and {highest:g}. Received {value!r}.")

    def total(self, label: str, originals: int) -> int:
        """Return how many images of a label there should be, its originals included."""
        wanted = getattr(self, label)
        if wanted is None:
            grown, from_ = THESIS_GROWTH[label]
            return round(originals * grown / from_)
        if wanted < originals:
            raise ValueError(
                f"Expected at least as many augmented {label} images as there are originals, {originals}. "
                f"Received {wanted}; raise it, or give None for the thesis's proportions."
            )
        return wanted


@dataclass(frozen=True)
class Alteration:
    """What is done to one copy: relative brightness, share of noisy pixels, blur in pixels."""

    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0


def draw_alteration(rng: np.random.Generator, settings: AugmentSettings) -> Alteration:
    """Draw an alteration, each part uniform within its bounds and rounded to four decimals."""
    low, high = (
        (-settings.brightness, 0, 0),
        (settings.brightness, settings.noise_fraction, settings.blur_sigma),
    )
    return Alteration(*(round(rng.uniform(*bounds), 4) for bounds in zip(low, high, strict=True)))


def alter_image(image: np.ndarray, alteration: Alteration, rng: np.random.Generator) -> np.ndarray:
    """Apply an alteration to a uint8 page: blur, then brightness, then salt-and-pepper noise."""
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"Expected a uint8 image (H, W). Received {image.dtype} of shape {image.shape}.")
    altered = image
    if alteration.blur > 0:
        altered = cv2.GaussianBlur(altered, (0, 0), alteration.blur)
    scaled = np.rint(altered * np.float32(1 + alteration.brightness))
    altered = np.clip(scaled, 0, 255).astype(np.uint8)
    n_noisy = int(alteration.noise * image.size)
    where = rng.choice(image.size, n_noisy, replace=False, shuffle=False)
    altered.flat[where] = 255 * rng.integers(0, 2, n_noisy, dtype=np.uint8)
    return altered


def augment_image(image: np.ndarray, rng: np.random.Generator, settings: AugmentSettings) -> np.ndarray:
    return alter_image(image, draw_alteration(rng, settings), rng)


def augment_dataset(
    index: pd.DataFrame,
    root: str | os.PathLike,
    out_dir: str | os.PathLike,
    settings: AugmentSettings | None = None,
    seed: int = 0,
    *,
    progress: bool = True,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Write originals and altered copies as PNG pages below ``out_dir``; one row an image, parents in the
    order of the index, each followed by its copies (``copy`` 0 is the original). Every copy depends on its
    parent's content, its number and the seed alone. Finished pages are kept, so an interrupted call resumes.
    """
    settings = settings or AugmentSettings()
    extra = _count_copies(index, settings, seed)
    code = source_digest(sys.modules[__name__])
    rows, jobs = [], []
    for parent in index.itertuples():
        for copy in range(extra[parent.image_id] + 1):
            rng = np.random.default_rng([seed, copy, int(parent.sha256, 16)])
            alteration = draw_alteration(rng, settings) if copy else Alteration()
            image_id = f"{parent.image_id}-c{copy}" if copy else parent.image_id
            path = f"{image_id}.png"
            make = functools.partial(_make_copy, Path(root) / parent.path, alteration, rng)
            jobs.append((path, f"{code} {seed} {parent.sha256} {copy} {alteration}", make))
            of = (parent.image_id, path, parent.label, parent.patient_id)
            rows.append((image_id, *of, copy, *astuple(alteration)))
    digests = make_pages(jobs, out_dir, title="Augmenting", progress=progress, n_jobs=n_jobs)
    return pd.DataFrame(rows, columns=list(AUGMENTED_COLUMNS[:-1])).assign(sha256=digests)


def _make_copy(parent: Path, alteration: Alteration, rng: np.random.Generator) -> np.ndarray:
    return alter_image(read_image(parent), alteration, rng)


def _count_copies(index: pd.DataFrame, settings: AugmentSettings, seed: int) -> dict[str, int]:
    """Share a label's copies out evenly; who gets one more is drawn from the seed and the contents."""
    extra = {}
    for label, parents in index.groupby("label"):
        parents = parents.sort_values("sha256")["image_id"].to_numpy()
        each, more = divmod(settings.total(label, len(parents)) - len(parents), len(parents))
        lucky = set(np.random.default_rng(seed).permutation(parents)[:more])
        extra |= {image_id: each + (image_id in lucky) for image_id in parents}
    return extra
