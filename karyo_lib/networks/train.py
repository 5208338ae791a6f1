"""One experimental condition from images to predictions (thesis, chapter 4). The frozen part never runs
inside training: its activations come from the cache, and only the tail is trained. A finished condition is
stored and found again; a fine-tuning that was interrupted goes on from its last finished epoch."""

import hashlib
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from karyo_lib.networks.backend import inference_engine, keras
from karyo_lib.networks.conditions import Condition
from karyo_lib.networks.features import FeatureCache, compute_features, content_key
from karyo_lib.networks.fitting import Examples, Trainer, TrainSettings, predict_abnormal
from karyo_lib.networks.models import build_model, copy_model, get_cut, split_model
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.store import write_whole, writing

LABELS = {"normal": 0, "abnormal": 1}
PARTS = ("train", "val", "test")
_STORED = "fit.json"
_FACTS = ("cut", "best_epoch", "seconds", "feature_seconds", "weights_digest", "purity")
_FORMAT = 2  # raise it when the same settings no longer give the same result


@dataclass(frozen=True)
class FitResult:
    condition: Condition  # what was trained
    settings: TrainSettings  # how
    cut: str  # last frozen layer: `model` starts from the features there
    model: keras.Model  # the trained tail: features at `cut` -> probability of *abnormal*, shape (N, 1)
    # One row an epoch: ``epoch`` (from 1), ``loss``, ``auc``, ``precision``, ``recall``, ``accuracy``, the
    # same with ``val_``, ``seconds``.
    history: pd.DataFrame
    best_epoch: int  # with the highest validation AUC (ties: lowest loss); its weights are the model's
    # ``image_id``, ``part``, ``y_true`` (1 = abnormal), ``p`` (dropout off), one row an image of the split.
    predictions: pd.DataFrame
    seconds: float  # training time
    feature_seconds: float  # time for the features, near zero when they were cached
    weights_digest: str  # of the base's starting weights
    purity: str

    def compute_features(
        self,
        images: Sequence[np.ndarray],
        weights: WeightsSource,
        cache: FeatureCache | None = None,
        progress: bool = True,
    ) -> np.ndarray:
        """Inputs of `model` for further greyscale pages; ``weights`` must be those of the training."""
        if weights.digest != self.weights_digest:
            raise ValueError(
                f"Expected the {self.condition.base} weights this network was trained on "
                f"({self.weights_digest[:12]}). Received {weights.digest[:12]}, {weights.origin}."
            )
        shape = self.settings.input_shape
        return compute_features(
            self.condition.base, weights, images, self.cut, cache, progress, input_shape=shape
        )


def fit_condition(
    condition: Condition,
    images: Mapping[str, np.ndarray],
    split_rows: pd.DataFrame,
    settings: TrainSettings,
    weights: WeightsSource,
    cache: FeatureCache | None = None,
    store: str | Path | None = None,
    progress: bool = True,
) -> FitResult:
    """Train one condition on one split (``image_id, label, part``: one protocol and repeat) and predict all
    of its images. ``store``: a folder whose result is returned if it is of the same condition, images, split,
    settings and weights; a start of it is gone on with. Equal to the bit between runs on one machine when the
    base is frozen."""
    rows = _check_split(split_rows, images)
    pictures = [images[image_id] for image_id in rows["image_id"]]
    folder = Path(store) if store else None
    key = _key(condition, rows, pictures, settings, weights)
    if folder and (stored := load_fit(folder, key)) is not None:
        return stored

    cut = get_cut(condition.base, condition.trainable)
    began = time.perf_counter()
    features = compute_features(
        condition.base, weights, pictures, cut, cache, progress, input_shape=settings.input_shape
    )
    feature_seconds = time.perf_counter() - began
    y = rows["label"].map(LABELS).to_numpy()
    train, validation = (
        Examples(features[chosen], y[chosen])
        for chosen in (rows["part"] == part for part in ("train", "val"))
    )
    trainer = get_trainer(condition.base, condition.trainable, weights, settings)
    checkpoint = None
    if folder and condition.fine_tuned:  # a frozen base trains in seconds
        checkpoint = folder / f"checkpoint-{key[:16]}.npz"
        for other in folder.glob("checkpoint-*.npz"):
            if other != checkpoint:
                other.unlink()
    fit = trainer.fit(train, validation, settings, checkpoint, condition.title if progress else None)
    p = predict_abnormal(trainer.model, features)
    predictions = pd.DataFrame({"image_id": rows["image_id"], "part": rows["part"], "y_true": y, "p": p})
    result = FitResult(
        condition, settings, cut, copy_model(trainer.model), fit.history, fit.best_epoch, predictions,
        fit.seconds, feature_seconds, weights.digest, weights.purity,
    )  # fmt: skip
    if folder:
        _save_fit(result, folder, key)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return result


def load_fit(folder: str | Path, key: str | None = None) -> FitResult | None:
    """Load a stored result; None if the folder holds no finished, undamaged one (of that key)."""
    folder = Path(folder)
    try:
        told = json.loads((folder / _STORED).read_text(encoding="utf-8"))
        if key is not None and told["key"] != key:
            return None
        history = pd.read_csv(folder / "history.csv")
        types = {"image_id": str, "part": str, "p": np.float32}
        predictions = pd.read_csv(folder / "predictions.csv", dtype=types, keep_default_na=False)
        if (len(history), len(predictions)) != (told["epochs"], told["images"]):
            return None
        model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None  # absent or damaged: to be trained again
    settings = told["settings"] | {"input_shape": tuple(told["settings"]["input_shape"])}
    how = {"condition": Condition(**told["condition"]), "settings": TrainSettings(**settings)}
    found = {"model": model, "history": history, "predictions": predictions}
    return FitResult(**how, **found, **{name: told[name] for name in _FACTS})


def _save_fit(result: FitResult, folder: Path, key: str) -> None:
    (folder / _STORED).unlink(missing_ok=True)  # what stands there belongs to something else
    with writing(folder / "model.keras") as part:
        result.model.save(part)
    write_whole(folder / "history.csv", result.history.to_csv(index=False))
    write_whole(folder / "predictions.csv", result.predictions.to_csv(index=False))
    told = {
        "key": key,
        "condition": asdict(result.condition),
        "settings": asdict(result.settings),
        "epochs": len(result.history),
        "images": len(result.predictions),
        **{name: getattr(result, name) for name in _FACTS},
    }
    # last: its presence says that the rest is whole
    write_whole(folder / _STORED, json.dumps(told, indent=1))


def _check_split(split_rows: pd.DataFrame, images: Mapping[str, np.ndarray]) -> pd.DataFrame:
    if missing := {"image_id", "label", "part"} - set(split_rows.columns):
        raise ValueError(f"Expected a split with columns image_id, label, part. Received none of {missing}.")
    rows = split_rows[["image_id", "label", "part"]].reset_index(drop=True)
    for column, known in (("label", LABELS), ("part", PARTS)):
        if unknown := sorted(map(str, set(rows[column]) - set(known))):
            raise ValueError(f"Expected {column} among {', '.join(known)}. Received {unknown}.")
    twice = rows.loc[rows["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ValueError(
            f"Expected each image once: one protocol and repeat of the splits. Received {len(twice)} twice, "
            f"such as {twice.iloc[0]!r}."
        )
    absent = [image_id for image_id in rows["image_id"] if image_id not in images]
    if absent:
        raise ValueError(
            f"Expected an image for every row of the split. Received none for {len(absent)}, "
            f"such as {absent[0]!r}."
        )
    return rows


def _key(
    condition: Condition,
    rows: pd.DataFrame,
    pictures: list[np.ndarray],
    settings: TrainSettings,
    weights: WeightsSource,
) -> str:
    engine = (keras.config.backend(), keras.config.dtype_policy().name, inference_engine())
    told = (_FORMAT, condition, settings, weights.digest, rows.to_csv(), *engine)
    digest = hashlib.sha256(repr(told).encode())
    for position, picture in enumerate(pictures):
        digest.update(content_key(picture, position).encode())
    return digest.hexdigest()


def get_trainer(base: str, trainable: str, weights: WeightsSource, settings: TrainSettings) -> Trainer:
    """The compiled tail of a condition; the last one is kept, so that repeats and trials trace it once."""
    built = {name: getattr(settings, name) for name in ("dropout", "momentum", "input_shape")}
    return _compile_tail(base, weights, settings.optimizer, trainable=trainable, **built)


@lru_cache(maxsize=1)
def _compile_tail(base: str, weights: WeightsSource, optimizer: str, trainable: str, **built: Any) -> Trainer:
    model = build_model(base, weights, trainable=trainable, **built)
    return Trainer(split_model(model, get_cut(base, trainable))[1], optimizer)
