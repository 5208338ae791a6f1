"""What helps: the thesis's future work, each switch alone and together, split by patient."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

import karyo_lib.draw.pairs
from karyo_lib.draw.pairs import augment_pairs, compact_page
from karyo_lib.files.images import read_image
from karyo_lib.files.pages import make_pages, source_digest
from karyo_lib.files.split import TEST_SHARE
from karyo_lib.judge import describe_differences, summarise_runs
from karyo_lib.networks.features import compute_features
from karyo_lib.networks.models import CUTS, INPUT_SHAPE
from karyo_lib.read.find import FoundPage, find_chromosomes, finder_digest
from karyo_lib.shape.boxes import BOX
from karyo_lib.study.data.clean import SEEN, keep_detections
from karyo_lib.study.data.collection import (
    load_collection,
    load_copies,
    load_copy_images,
    load_images,
    split_copies,
)
from karyo_lib.study.displays.diagrams import ImageGridDisplay
from karyo_lib.study.displays.dots import MetricsForestDisplay
from karyo_lib.study.networks.fits import resolve_run_weights
from karyo_lib.study.networks.luck import (
    compare_columns,
    compute_newer,
    compute_pooled,
    predict_probe,
)
from karyo_lib.study.runs import Run

SIZES = (300, 416)  # px, beside the thesis's 150
TIMED = 4  # pages on which the time of a page is measured
BASELINE, BASELINE_INCEPTION = "VGG16, 150 px", "InceptionV3, 150 px"
CHANGES = ("compact", "pairs", "together")  # altered pages: closed up, homologues moved, both


@dataclass(frozen=True, eq=False)
class View:
    """Features of one base on one kind of pages."""

    train: np.ndarray  # shape (M, channels), copies included
    parent: np.ndarray  # shape (M,): the karyogram that each training row shows
    test: np.ndarray  # shape (N, channels), in the order of the index


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to do it: the mean over its views' probes."""

    title: str
    views: tuple[View, ...]
    reference: str  # title of the variant that it is compared with; empty for a baseline
    balanced: bool  # whether classes are weighed inversely to their frequency
    seconds: float  # to bring one page to its features, measured on a few pages without a cache
    purity: str  # what the weights are known to be


def measure_what_helps(run: Run) -> pd.DataFrame:
    """Measure every switch on the same splits by patient, with the linear probe on features of training
    images. Pages are closed up and homologues moved with the chromosomes that are found, as in use."""
    index = load_collection(run).index
    splits = split_copies(run, run.settings.luck_repeats)
    grouped = splits[(splits["protocol"] == "grouped") & (splits["data"] == "original")]
    table = score_variants(_make_variants(run, index), index, grouped)
    run.save_table(table, "what_helps_runs")
    return table


def score_variants(variants: Sequence[Variant], index: pd.DataFrame, grouped: pd.DataFrame) -> pd.DataFrame:
    """Return the test AUC of each variant on each split."""
    truth = (index["label"] == "abnormal").astype(int).set_axis(index["image_id"])
    rows = []
    for repeat, split in tqdm(grouped.groupby("repeat"), "What helps", unit="split"):
        train = set(split.loc[split["part"] == "train", "image_id"])
        test = index["image_id"].isin(split.loc[split["part"] == "test", "image_id"]).to_numpy()
        for variant in variants:
            answers = []
            for view in variant.views:
                mine = np.isin(view.parent, list(train))
                y = truth[view.parent[mine]].to_numpy()
                answers.append(predict_probe(view.train[mine], y, view.test[test], balanced=variant.balanced))
            value = roc_auc_score(truth.to_numpy()[test], np.mean(answers, axis=0))
            rows.append((variant.title, variant.reference, repeat, value, variant.seconds, variant.purity))
    return pd.DataFrame(rows, columns=["title", "reference", "repeat", "value", "seconds", "purity"])


def helps_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUC, paired difference to the reference with interval, and seconds, a row a variant."""
    table = table.fillna({"reference": ""})  # an empty text comes back from a file as missing
    means = summarise_runs(table, ["title"], test_share=TEST_SHARE).set_index("title")
    wide = table.pivot(index="repeat", columns="title", values="value")
    facts = table.drop_duplicates("title").set_index("title")
    references = facts.loc[facts["reference"] != "", "reference"].to_dict()
    compared = compare_columns(wide, references).set_index("condition")
    rows = facts[["reference", "purity"]].join(means[["mean", "sd", "runs"]])
    rows = rows.join(compared[["difference", "low", "high", "better_in"]]).join(facts["seconds"])
    return rows.astype({"better_in": "Int64"}).reset_index()


def helps_display(table: pd.DataFrame) -> MetricsForestDisplay:
    """Return the paired difference of each switch to its reference, with intervals."""
    rows = helps_table(table).dropna(subset="difference").rename(columns={"difference": "value"})
    named = rows["title"].where(rows["reference"] == BASELINE, rows["title"] + " less " + rows["reference"])
    label = f"Difference in test AUC to {BASELINE}"
    return MetricsForestDisplay.from_table(
        rows.assign(title=named), label=label, reference=(0.0, "no difference")
    )


def describe_what_helps(table: pd.DataFrame) -> str:
    rows = helps_table(table)
    told = describe_differences(rows, baseline="its own reference, on the same splits")
    best = rows.loc[rows["mean"].idxmax()]
    random = rows.loc[rows["purity"] == "random", "title"]
    sentences = [
        told,
        f"The highest mean AUC is {best['mean']:.2f} ({best['title']}), the best of {len(rows)} and "
        "therefore flattered.",
    ]
    if len(random):
        sentences.append(
            f"{', '.join(random)}: from random weights, since ImageNet's could not be reached; no "
            "measure of what these networks can do."
        )
    return "\n\n".join(sentences)


def change_examples(run: Run) -> ImageGridDisplay:
    """Return one karyogram as it is, closed up, with its homologues moved, and both."""
    collection = load_collection(run)
    pages = _make_changed(run, collection.index, collection.pages)
    which = int(np.argmax(collection.index["label"] == "abnormal"))
    images = [load_images(collection)[which], *(pages[name][which] for name in CHANGES)]
    captions = ["as it is", "compact layout", "homologues bent, turned, mirrored", "both"]
    return ImageGridDisplay.from_images(images, captions, labels=["abnormal"] * 4, n_columns=2)


def _make_variants(run: Run, index: pd.DataFrame) -> list[Variant]:
    collection = load_collection(run)
    ids = index["image_id"].to_numpy()
    originals = list(load_images(collection))
    changed = _make_changed(run, index, collection.pages)
    copies = load_copies(run)
    altered = list(load_copy_images(copies, copies.table))
    bases, twice = ("VGG16", "InceptionV3"), np.concatenate([ids, ids])
    plain, together, seconds = {}, {}, {}
    for base in bases:
        x, close, both = (
            compute_pooled(run, base, pages) for pages in (originals, changed["compact"], changed["together"])
        )
        plain[base] = View(x, ids, x)
        together[base] = View(np.concatenate([close, both]), twice, close)
        seconds[base] = _time_features(run, base, originals, INPUT_SHAPE[0])
    x, close = plain["VGG16"].test, together["VGG16"].test
    copied = View(compute_pooled(run, "VGG16", altered), copies.table["parent_id"].to_numpy(), x)
    pairs = View(np.concatenate([x, compute_pooled(run, "VGG16", changed["pairs"])]), twice, x)
    squeezed = View(close, ids, close)
    purity = {base: resolve_run_weights(run, base).purity for base in bases}
    find_seconds = _time(lambda page: _compact(page, find_chromosomes(page), 0), originals)
    mixed = purity["VGG16"] if len(set(purity.values())) == 1 else " and ".join(purity.values())
    vgg, inception = purity["VGG16"], purity["InceptionV3"]
    both_bases = sum(seconds.values())
    variants = [
        Variant(BASELINE, (plain["VGG16"],), "", False, seconds["VGG16"], vgg),
        Variant(BASELINE_INCEPTION, (plain["InceptionV3"],), BASELINE, False, seconds["InceptionV3"],
                inception),
        Variant("the thesis's copies", (copied,), BASELINE, False, seconds["VGG16"], vgg),
        Variant("class weights", (plain["VGG16"],), BASELINE, True, seconds["VGG16"], vgg),
        Variant("ensemble of both bases", tuple(plain.values()), BASELINE, False, both_bases, mixed),
        Variant("per-pair augmentation", (pairs,), BASELINE, False, seconds["VGG16"], vgg),
        Variant("compact layout", (squeezed,), BASELINE, False, seconds["VGG16"] + find_seconds, vgg),
        Variant("these four together", tuple(together.values()), BASELINE,
                True, both_bases + find_seconds, mixed),
    ]  # fmt: skip
    # VGG16 costs five times as much a page: it is tried at larger sizes where newer bases are, too
    larger = bases if run.settings.newer_bases else bases[1:]
    for base, side in product(larger, (side for side in SIZES if side <= run.settings.largest_input)):
        x = compute_pooled(run, base, originals, side)
        reference = BASELINE if base == "VGG16" else BASELINE_INCEPTION
        time_ = _time_features(run, base, originals, side)
        variants.append(
            Variant(f"{base}, {side} px", (View(x, ids, x),), reference, False, time_, purity[base])
        )
    for name in run.settings.newer_bases:
        x, time_, weights = compute_newer(name, originals)
        variants.append(Variant(f"{name}, 150 px", (View(x, ids, x),), BASELINE, False, time_, weights))
    return variants


def _time_features(run: Run, base: str, images: list[np.ndarray], side: int) -> float:
    weights, cut = resolve_run_weights(run, base), CUTS[base]["head"]

    def compute(page: np.ndarray) -> None:
        compute_features(base, weights, [page], cut, None, progress=False, input_shape=(side, side, 3))

    return _time(compute, images)


def _time(step: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    """Return the seconds a page of a step, the first call, which builds and traces, left out."""
    step(images[0])
    began = time.perf_counter()
    for page in images[:TIMED]:
        step(page)
    return (time.perf_counter() - began) / len(images[:TIMED])


def _make_changed(run: Run, index: pd.DataFrame, root: Path) -> dict[str, list[np.ndarray]]:
    """Make the altered pages of a collection, those of one page side by side in one file; resumes."""
    code = source_digest(karyo_lib.draw.pairs) + finder_digest()
    folder = run.path("data", "changed")
    jobs = [
        (f"{row.image_id}.png", f"{code} {row.sha256} {run.seed}", partial(_change, root / row.path, run))
        for row in index.itertuples()
    ]
    make_pages(jobs, folder, title="Compact layout, per-pair augmentation")  # the reader saw them before
    pages = [np.hsplit(read_image(folder / name), len(CHANGES)) for name, *_ in jobs]
    return dict(zip(CHANGES, map(list, zip(*pages, strict=True)), strict=True))


def _change(path: Path, run: Run) -> np.ndarray:
    page, seed = read_image(path), run.seed
    found = find_chromosomes(page, keep_detections(run.path("data", SEEN)))
    if not len(found):
        return np.hstack([page] * len(CHANGES))
    moved = augment_pairs(page, found.boxes[BOX], _page_labels(page, found), np.random.default_rng(seed))
    both = _close_up(moved.image, moved.chromosomes, moved.labels, seed)
    return np.hstack([_compact(page, found, seed), moved.image, both])


def _compact(page: np.ndarray, found: FoundPage, seed: int) -> np.ndarray:
    return _close_up(page, found.boxes[BOX], _page_labels(page, found), seed) if len(found) else page


def _close_up(page: np.ndarray, boxes: pd.DataFrame, labels: np.ndarray, seed: int) -> np.ndarray:
    return compact_page(page, boxes, labels, np.random.default_rng(seed), size=page.shape[::-1]).image


def _page_labels(page: np.ndarray, found: FoundPage) -> np.ndarray:
    labels = found.labels.astype(np.float32)
    return cv2.resize(labels, page.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int16)
