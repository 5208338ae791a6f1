"""Networks as files: arrays in half precision and settings as text, nothing that could run."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from karyo_lib.resources import data_file

if TYPE_CHECKING:  # files can be listed and checked without starting Keras
    import keras

#: The files of a reader.
READER_FILES = (
    "reader.json", "detector.json", "detector.npz", "decoding.json", "decoding.npz",
)  # fmt: skip


class TrainedNetwork:
    """Something that reads with a network; `model` is built by its ``fit`` or ``load``."""

    model: "keras.Model | None" = None

    def _built(self) -> "keras.Model":
        if self.model is None:
            raise ValueError(f"Expected a trained {type(self).__name__}. Received one without a model.")
        return self.model


def find_reader(folder: Path | str | None = None) -> Path:
    """The folder of a reader, by default karyo's own; `ValueError` where it holds none."""
    folder = data_file("reader") if folder is None else Path(folder)
    missing = [name for name in READER_FILES if not (folder / name).exists()]
    if missing:
        raise ValueError(
            f"Expected a folder written by Reader.save. Received {folder.name!r} without "
            f"{', '.join(missing)}. "
            "`karyo reader train --bank BANK -o DIR` writes one, `karyo reader train --drawings -o drawn` "
            "one whose decoder saw drawings alone; without a folder, karyo's own is read."
        )
    return folder


def write_network(folder: Path, name: str, model: "keras.Model", record: dict) -> None:
    """Write ``<name>.npz`` (weights, half precision) and ``<name>.json`` (the record)."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(model.get_weights())}
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(folder: Path, name: str) -> dict:
    """Read ``<name>.json``; raises `ValueError` where it is damaged."""
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(f"{name}.json") from error


def _damaged(file: str) -> ValueError:
    return ValueError(
        f"Expected {file} as Reader.save writes it. Received a damaged file: copy or train the reader again."
    )


def read_arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Read ``<name>.npz``; raises `ValueError` where it is damaged."""
    try:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(f"{name}.npz") from error


def read_weights(folder: Path, name: str, model: "keras.Model") -> "keras.Model":
    """Fill a network with the arrays of ``<name>.npz``; raises `ValueError` where they do not fit it."""
    arrays = read_arrays(folder, name)
    model.set_weights([arrays[key].astype(np.float32) for key in sorted(arrays)])
    return model
