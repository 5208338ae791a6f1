"""Karyogram pages of a data set as uniform grey PNG files: written whole, read back as one array."""

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import cv2
import joblib
import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from karyo_lib.files.images import read_image
from karyo_lib.machines import keep_worker, on_cluster
from karyo_lib.store import Journal, write_whole


def write_page(path: str | os.PathLike, pixels: np.ndarray) -> str:
    """Write a page as PNG without metadata, unless it is there; returns the SHA-256 of the file."""
    path = Path(path)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    if not (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest):
        write_whole(path, buffer.getvalue())
    return digest


def fit_page(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a page to fit ``size`` (width, height), its proportions kept, on a margin of its own background.
    The thesis resizes to 416 x 416 (section 3.2); stretching would change the lengths of chromosomes against
    their widths by the shape of the scan, which differs between labs."""
    height, width = pixels.shape
    scale = min(size[0] / width, size[1] / height)
    if scale != 1:
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, fitted, interpolation=how)
    if pixels.shape == (size[1], size[0]):
        return pixels
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    page = np.full((size[1], size[0]), np.uint8(np.median(edge)))
    top, left = (size[1] - pixels.shape[0]) // 2, (size[0] - pixels.shape[1]) // 2
    page[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return page


def load_pages(table: pd.DataFrame, root: str | os.PathLike) -> np.ndarray:
    """Read the pages of a table, whose ``path`` is relative to `root`: uint8, (N, H, W)."""
    pages = []
    for path in table["path"]:
        pages.append(read_image(Path(root) / path))
        if pages[-1].shape != pages[0].shape:
            raise ValueError(
                f"Expected pages of one size. Received {pages[0].shape[::-1]} and, for {path!r}, "
                f"{pages[-1].shape[::-1]} pixels."
            )
    return np.stack(pages) if pages else np.empty((0, 0, 0), np.uint8)


def prepare_dataset(
    index: pd.DataFrame,
    root: str | os.PathLike,
    out_dir: str | os.PathLike,
    *,
    size: tuple[int, int] = (416, 416),
    progress: bool = True,
) -> pd.DataFrame:
    """Copy a user's images into a folder of uniform grey PNG pages, pixels alone; those that are there are
    kept. Returns the index with new ``path`` (relative to ``out_dir``) and ``sha256``."""
    prepared = index.assign(path=index["image_id"] + ".png")
    digests = []
    rows = zip(index["path"], prepared["path"], strict=True)
    for source, target in tqdm(rows, "Preparing pages", len(index), unit="page", disable=not progress):
        pixels = fit_page(read_image(Path(root) / source), size)
        digests.append(write_page(Path(out_dir) / target, pixels))
    return prepared.assign(sha256=digests)


def make_pages(
    jobs: list[tuple[str, str, Callable[[], np.ndarray]]],
    folder: str | os.PathLike,
    *,
    title: str,
    progress: bool = True,
    n_jobs: int = 1,
) -> list[str]:
    """Make and write the pages of a folder that are not finished yet; returns the SHA-256 of each file.
    ``jobs``: for each page its path below ``folder``, a text that names all that it is made from, and a
    function that makes it, which is pickled where ``n_jobs`` is not 1."""
    folder = Path(folder)
    keys = [hashlib.sha256(made_from.encode()).hexdigest() for _, made_from, _ in jobs]
    with closing(Journal(folder / "pages.jsonl", {"format": 1})) as journal:
        kept = {record["path"]: record for record in journal.resume() if "path" in record}
        digests = [_kept(folder, kept.get(path), key) for (path, _, _), key in zip(jobs, keys, strict=True)]
        missing = [i for i, digest in enumerate(digests) if digest is None]
        work = (joblib.delayed(_make_page)(folder / jobs[i][0], jobs[i][2]) for i in missing)
        with on_cluster():
            done = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(work)
            start = len(jobs) - len(missing)
            bar = tqdm(done, title, len(jobs), initial=start, unit="page", disable=not progress)
            for i, digest in zip(missing, bar, strict=True):
                journal.add({"path": jobs[i][0], "made_from": keys[i], "sha256": digest})
                digests[i] = digest
    return digests


def _kept(folder: Path, record: dict | None, key: str) -> str | None:
    """Digest of a page that is there, whole, and made from just this."""
    if record is None or record["made_from"] != key or not (folder / record["path"]).is_file():
        return None
    whole = hashlib.sha256((folder / record["path"]).read_bytes()).hexdigest() == record["sha256"]
    return record["sha256"] if whole else None


def _make_page(path: Path, make: Callable[[], np.ndarray]) -> str:
    keep_worker()
    return write_page(path, make())


def source_digest(*modules: ModuleType) -> str:
    """Return a digest of the source of modules and packages: pages made by other code are made again."""
    files = []
    for file in (Path(module.__file__) for module in modules):
        files += sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
