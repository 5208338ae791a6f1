"""A folder of labelled karyograms -> a package: trained, calibrated, with a threshold and its promise.

Patients are shared out first. Only training karyograms are augmented; validation ones choose the epoch,
calibrate and limit what is like training; the calibration part, which did none of it, gives threshold and
card.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from karyo_lib import __version__
from karyo_lib.files.augment import augment_dataset
from karyo_lib.files.images import read_image
from karyo_lib.files.index import index_folder
from karyo_lib.files.pages import fit_page, prepare_dataset
from karyo_lib.files.split import check_no_leak, make_splits
from karyo_lib.judge import compute_metrics
from karyo_lib.networks.backend import backend_facts
from karyo_lib.networks.conditions import Condition
from karyo_lib.networks.features import FeatureCache
from karyo_lib.networks.fitting import TrainSettings
from karyo_lib.networks.models import build_model
from karyo_lib.networks.train import FitResult, fit_condition
from karyo_lib.networks.weights import WeightsSource, resolve_weights
from karyo_lib.screening import ALPHA, DELTA, card
from karyo_lib.screening.cases import Page
from karyo_lib.screening.judges import Judge, Look, NetworkJudge, ReadingJudge, get_flat_weights
from karyo_lib.screening.package import Calibration, Package, Recipe, reader_files
from karyo_lib.screening.reference import Reference, measure_page
from karyo_lib.screening.screener import describe_need, fit_promise, is_held_back, measure_confidence


@dataclass(frozen=True)
class PackSettings:
    """How a package is made."""

    method: str = "network"  # or 'reading', which calibrates the reader, trained already
    base: str = "VGG16"  # see :func:`karyo_lib.networks.models.build_model`
    trainable: str = "head"
    epochs: int = 30
    learning_rate: float = 1e-3
    batch_size: int = 16
    passes: int = 100  # Monte Carlo dropout passes; for the reader 0 takes its probability as it is
    calibration: str = "temperature"  # {'temperature', 'isotonic', 'none'}
    alpha: float = ALPHA  # the promise; see :func:`karyo_lib.judge.choose_threshold`
    delta: float = DELTA
    risk: str = "cleared"
    referral_confidence: float = 80.0  # percent of the passes that must agree
    page_size: int = 416  # side that pages are fitted to, pixels
    input_shape: tuple[int, int, int] = (150, 150, 3)  # of the network
    seed: int = 2020

    def recipe(self) -> Recipe:
        kept = {one.name: getattr(self, one.name) for one in fields(Recipe) if hasattr(self, one.name)}
        return replace(Recipe(**kept), **({} if self.passes else {"referral_confidence": 0.0}))


def train_package(
    data: str | os.PathLike,
    settings: PackSettings | None = None,
    *,
    weights: str | Path | None = None,
    reader: str | os.PathLike | None = None,
    work: str | os.PathLike | None = None,
    progress: bool = True,
    n_jobs: int = 1,
) -> Package:
    """Make a package from a folder of labelled karyograms.

    Parameters
    ----------
    data : str or os.PathLike
        Folders ``normal/`` and ``abnormal/``, or a ``metadata.csv``; see
        :func:`karyo_lib.files.index.index_folder`. Name patients there: they are never shared between
        training and calibration.
    settings : PackSettings, optional
    weights : path or 'random', optional
        What the base starts from.
    reader : path, optional
        Folder of a reader of your own, for the method 'reading'.
    work : path, optional
        Folder for pages, copies and activations on the way; an interrupted training finds them there again.
        By default one among the system's temporary files, which is removed.
    progress : bool
    n_jobs : int
        Threads that read images.

    Returns
    -------
    Package

    Raises
    ------
    ValueError
        If the folder or the settings are not what is expected; the message says what is.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> from PIL import Image
    >>> for label, formula in (("normal", "46,XX"), ("abnormal", "45,X")):
    ...     Path("pages", label).mkdir(parents=True)
    ...     for seed in range(11):
    ...         page = karyo.draw_karyogram(formula, seed=seed, size=(150, 150))
    ...         Image.fromarray(page.image).save(f"pages/{label}/{seed}.png")
    >>> small = PackSettings(epochs=1, passes=2, page_size=150, input_shape=(64, 64, 3))
    >>> package = karyo.train_package("pages", small, weights="random", progress=False)
    >>> package.promise.threshold is None  # so few pages promise nothing: it clears none
    True
    """
    settings = settings or PackSettings()
    recipe = settings.recipe()
    index, quarantine = index_folder(data, progress=progress, n_jobs=n_jobs)
    originals = index.assign(parent_id=index["image_id"], copy=0)
    splits = make_splits(index, originals, settings.seed)
    splits = splits[(splits["protocol"] == "grouped") & (splits["data"] == "original")]
    check_no_leak(splits)
    rows = splits.merge(index[["image_id", "path", "sha256"]], on="image_id", validate="1:1")
    if recipe.method == "network":
        source = resolve_weights(recipe.base, weights)
        with tempfile.TemporaryDirectory() if work is None else nullcontext(work) as folder:
            fit, n_augmented = _fit(rows, index, Path(data), Path(folder), settings, source, progress)
        flat = get_flat_weights(_join(fit, source, settings))
        package = Package(recipe, flat, Calibration(), None, None)
        judge: Judge = NetworkJudge(recipe, flat)
        told = card.describe_network(fit, source, settings.passes, n_augmented)
        warning = source.warning
    else:
        package = Package(recipe, None, Calibration(), None, None, reader=reader_files(reader))
        judge = ReadingJudge(recipe, package.reader)
        # The reader learns nothing here: most karyograms can serve the promise.
        rows = rows.assign(part=rows["part"].map({"train": "test", "val": "val", "test": "train"}))
        told, warning = card.describe_reading(), ""
    looked = _look_at_all(judge, rows, Path(data), recipe.page_size, progress)
    return _finish(package, rows, *looked, settings, told, warning, len(quarantine))


def _fit(
    rows: pd.DataFrame,
    index: pd.DataFrame,
    data: Path,
    folder: Path,
    settings: PackSettings,
    source: WeightsSource,
    progress: bool,
) -> tuple[FitResult, int]:
    size = (settings.page_size, settings.page_size)
    prepared = prepare_dataset(index, data, folder / "pages", size=size, progress=progress)
    part = rows.set_index("image_id")["part"]
    training = prepared[prepared["image_id"].map(part) == "train"]
    copies = augment_dataset(
        training, folder / "pages", folder / "copies", seed=settings.seed, progress=progress
    )
    images = {row.image_id: read_image(folder / "copies" / row.path) for row in copies.itertuples()}
    others = prepared[prepared["image_id"].map(part) != "train"]
    images |= {row.image_id: read_image(folder / "pages" / row.path) for row in others.itertuples()}
    split = pd.concat([
        copies[["image_id", "label"]].assign(part="train"),
        others[["image_id", "label"]].assign(part=others["image_id"].map(part)),
    ])  # fmt: skip
    condition = Condition("package", "package", "augmented", settings.base, settings.trainable)
    shared = ("epochs", "learning_rate", "batch_size", "seed", "input_shape")
    how = TrainSettings(**{name: getattr(settings, name) for name in shared})
    cache = FeatureCache(folder / "features")
    return fit_condition(condition, images, split, how, source, cache, progress=progress), len(copies)


def _join(fit: FitResult, source: WeightsSource, settings: PackSettings):
    """Return the whole network: the base as it came, its trained tail on top."""
    how = {"dropout": fit.settings.dropout, "input_shape": settings.input_shape}
    model = build_model(settings.base, source, trainable=settings.trainable, **how)
    for layer in fit.model.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def _look_at_all(
    judge: Judge, rows: pd.DataFrame, data: Path, page_size: int, progress: bool
) -> tuple[list[Look], np.ndarray]:
    """Look at every original as screening will: the same steps, in the same order."""
    looks: list[Look] = []
    measures: list[np.ndarray] = []
    batches = range(0, len(rows), judge.batch)
    for start in tqdm(batches, "Looking at karyograms", unit="batch", disable=not progress):
        pages = []
        for path in rows["path"].iloc[start : start + judge.batch]:
            pixels = read_image(data / path)
            fitted = fit_page(pixels, (page_size, page_size))
            measures.append(measure_page(fitted))
            native = pixels if judge.native else None
            pages.append(Page("", 1, fitted=fitted, shape=pixels.shape, native=native))
        looks += judge.look(pages)
    return looks, np.stack(measures)


def _finish(
    package: Package,
    rows: pd.DataFrame,
    looks: Sequence[Look],
    measures: np.ndarray,
    settings: PackSettings,
    told: list[dict],
    warning: str,
    n_unusable: int,
) -> Package:
    part, y = rows["part"].to_numpy(), (rows["label"] == "abnormal").to_numpy().astype(int)
    train, val, test = (part == name for name in ("train", "val", "test"))
    raw = np.array([look.p for look in looks])
    calibration = Calibration.fit(settings.calibration, raw[val], y[val])
    embeddings = held_out = None
    if looks[0].embedding is not None:
        stacked = np.stack([look.embedding for look in looks])
        embeddings, held_out = stacked[train], stacked[val]
    reference = Reference.fit(measures[~test], embeddings, held_out)
    p = calibration.transform(raw)
    held_back = np.array([
        is_held_back(
            p[i],
            measure_confidence(p[i], calibration.transform(look.passes)),
            (*look.doubts, *reference.compare(measures[i], look.embedding)),
            package.recipe.referral_confidence,
        )
        for i, look in enumerate(looks)
    ])  # fmt: skip
    groups = rows["patient_id"].to_numpy()
    promise = fit_promise(
        p[test], held_back[test], y[test], groups[test],
        alpha=settings.alpha, delta=settings.delta, risk=settings.risk, seed=settings.seed,
    )  # fmt: skip
    need = describe_need(promise, p[test], held_back[test], y[test], groups[test], np.unique(groups).size)
    promise = replace(promise, sentence=f"{promise.sentence} {need}".strip())
    metrics = compute_metrics(y[test], p[test], groups=groups[test], seed=settings.seed)
    needed = package.recipe.referral_confidence
    clearing = (
        promise.sentence,
        "How it is found: Learn then Test (Angelopoulos et al. 2021, arXiv:2110.01052). Thresholds are tried "
        "upwards in an order fixed beforehand, each with an exact binomial test, for as long as they pass; "
        "one karyogram a patient counts.",
        "A case must also be like the training karyograms"
        + (f", and at least {needed:g} % of the passes must agree" if needed else "")
        + f". Of the {int(test.sum())} karyograms of the calibration part {int(held_back[test].sum())} are "
        "held back by these rules or called abnormal.",
        f"Calibration of the probability: {calibration.describe()}.",
    )
    unlike = (
        f"Limits from {reference.n} karyograms. A page outside any of them is referred.",
        "They catch pages that are plainly something else; they do not prove that a page is like those of "
        "training.",
    )
    made = [["What", "Version"], ["karyo", __version__], *map(list, backend_facts().items())]
    sections = [
        card.describe_use(),
        card.describe_data(rows, n_unusable, package.recipe.method),
        *told,
        card.describe_quality(metrics),
        card.make_section("When a case is cleared", *clearing),
        card.make_section("What is unlike the training karyograms", *unlike),
        card.make_section("Made with", rows=made),
    ]
    facts = {"title": f"karyo model, {package.recipe.method}", "warning": warning, "sections": sections}
    return Package(package.recipe, package.weights, calibration, promise, reference, package.reader, facts)
