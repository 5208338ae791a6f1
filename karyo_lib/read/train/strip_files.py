"""Many strips in one small file: WebP mosaics, which any machine with OpenCV reads."""

from pathlib import Path

import cv2
import numpy as np

from karyo_lib.shape.scaled import COLUMNS, MOST_ROWS
from karyo_lib.store import writing

_ACROSS = 200


def write_strips(
    path: Path, images: np.ndarray, rows: np.ndarray, quality: int = 88, **columns: np.ndarray
) -> None:
    """Write strips uint8 (n, MOST_ROWS, COLUMNS) with their rows and any columns of length n."""
    order = np.argsort(rows, kind="stable")
    sheets = []
    for start in range(0, len(order), _ACROSS):
        chosen = order[start : start + _ACROSS]
        height = int(rows[chosen].max())
        sheet = np.concatenate(list(images[chosen, :height]), axis=1)
        done, data = cv2.imencode(".webp", sheet, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if not done:
            raise ValueError("Expected OpenCV to write WebP. Received an OpenCV without it: install another.")
        sheets.append(np.frombuffer(data.tobytes(), np.uint8))
    lengths = np.array([len(sheet) for sheet in sheets])
    with writing(path) as file, open(file, "wb") as out:
        np.savez_compressed(
            out, sheets=np.concatenate(sheets), lengths=lengths, order=order, rows=rows, **columns
        )


def read_strips(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_strips` wrote: ``images``, ``rows`` and the columns."""
    with np.load(path, allow_pickle=False) as arrays:
        columns = {key: arrays[key] for key in arrays.files}
    sheets, lengths, order = (columns.pop(key) for key in ("sheets", "lengths", "order"))
    images = np.zeros((len(order), MOST_ROWS, COLUMNS), np.uint8)
    stops = np.cumsum(lengths)
    for number, (stop, length) in enumerate(zip(stops, lengths, strict=True)):
        sheet = cv2.imdecode(sheets[stop - length : stop], cv2.IMREAD_GRAYSCALE)
        if sheet is None:
            raise ValueError(f"Expected WebP mosaics in {path.name}. Received a damaged file: copy it again.")
        chosen = order[number * _ACROSS : (number + 1) * _ACROSS]
        tiles = sheet.reshape(len(sheet), len(chosen), COLUMNS).transpose(1, 0, 2)
        images[chosen, : len(sheet)] = tiles
    beyond = np.arange(MOST_ROWS)[None] >= columns["rows"][:, None]
    images[beyond] = 0
    images[images < 4] = 0  # what compression leaves on the background
    return {"images": images, **columns}
