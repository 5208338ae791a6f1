"""The model card of a package, in Markdown and HTML, from the package's own numbers."""

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

if TYPE_CHECKING:  # a card is shown without the networks' engine
    from karyo_lib.networks.train import FitResult
    from karyo_lib.networks.weights import WeightsSource

_METRICS = ("roc_auc", "pr_auc", "sensitivity", "specificity", "ppv_at_0.1", "brier", "ece")
NOTICE = "Research tool, not a medical device. No diagnosis may rest on it."


@cache
def environment() -> Environment:
    """Return the templates of this room; HTML is escaped."""
    return Environment(
        loader=PackageLoader("karyo_lib.screening"),
        autoescape=select_autoescape(["html.j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_card(facts: dict[str, Any]) -> tuple[str, str]:
    """Return a card as Markdown and as one HTML page. ``facts``: ``title``, ``warning`` (may be ''),
    ``sections``: dicts of ``title``, ``text`` (list of str) and ``rows`` (the first one the headings)."""
    told = {"notice": NOTICE, "title": "karyo model", "warning": "", "sections": [], **facts}
    markdown = environment().get_template("card.md.j2").render(told, cell=_cell)
    return markdown, environment().get_template("card.html.j2").render(told)


def _cell(text: Any) -> str:
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def make_section(title: str, *text: str, rows: list[list[str]] | None = None) -> dict:
    """Return a section of a card: paragraphs, then a table whose first row holds the headings."""
    return {"title": title, "text": list(text), "rows": rows or []}


def describe_quality(metrics: pd.DataFrame) -> dict:
    """Say how good the model is, from :func:`karyo_lib.judge.compute_metrics` on the calibration part."""
    about = "On the calibration part, whose patients neither trained nor tuned anything."
    return make_section("How good it is", about, _judge_auc(metrics), rows=_metric_rows(metrics))


def _judge_auc(metrics: pd.DataFrame) -> str:
    auc = metrics[metrics["metric"] == "roc_auc"].iloc[0]
    if auc.value == 1:  # resamples of a perfect order are all perfect, however few the cases
        return (
            "Every case here was told apart, so resampling cannot say how far the ROC-AUC is to be trusted: "
            "go by the intervals of sensitivity and specificity."
        )
    if np.isnan(auc.low):
        return "Too few cases to say whether it tells abnormal from normal."
    if auc.low > 0.5:
        return "It tells abnormal from normal better than guessing (ROC-AUC 0.5) does."
    return (
        "Nothing here shows that it tells abnormal from normal: guessing has a ROC-AUC of 0.5, which the "
        "interval does not exclude. It is of use to try the steps, not to sort cases."
    )


def _metric_rows(metrics: pd.DataFrame) -> list[list[str]]:
    rows = [["Measure", "Value", "95 % interval", "Cases"]]
    for row in metrics[metrics["metric"].isin(_METRICS)].itertuples():
        value = "not defined" if np.isnan(row.value) else f"{row.value:.3f}"
        interval = "" if np.isnan(row.low) else f"{row.low:.3f} to {row.high:.3f}"
        rows.append([row.title, value, interval, str(row.n)])
    return rows


def describe_use() -> dict:
    return make_section(
        "What it is for",
        "It sorts karyograms of one laboratory into cleared, abnormal and refer, to measure how far that can "
        "be trusted. It names no abnormality to a patient and replaces no specialist.",
        "It knows karyograms like those it was trained on: another laboratory, stain, microscope or layout "
        "needs another model.",
    )


def describe_data(rows: pd.DataFrame, n_unusable: int, method: str) -> dict:
    """Say which karyograms did what; `rows` has ``part, label, patient_id, sha256``."""
    used_for = {
        "train": "training" if method == "network" else "limits of the page measures",
        "val": "best epoch, calibration, limits" if method == "network" else "calibration, limits",
        "test": "operating threshold and the numbers below",
    }
    table = [["Part", "Normal", "Abnormal", "Patients", "Used for"]]
    for part, use in used_for.items():
        some = rows[rows["part"] == part]
        counts = some["label"].value_counts()
        table.append([
            {"train": "training", "val": "validation", "test": "calibration part"}[part],
            str(counts.get("normal", 0)), str(counts.get("abnormal", 0)),
            str(some["patient_id"].nunique()), use,
        ])  # fmt: skip
    digest = hashlib.sha256("\n".join(sorted(rows["sha256"])).encode()).hexdigest()
    text = [f"{len(rows)} karyograms, split by patient. Digest of their files: {digest}."]
    if n_unusable:
        text.append(f"{n_unusable} files of the folder could not be used.")
    return make_section("What it was made from", *text, rows=table)


def describe_network(fit: "FitResult", source: "WeightsSource", passes: int, n_augmented: int) -> list[dict]:
    """Say how a network was trained, and from what."""
    settings = fit.settings
    best = fit.history.loc[fit.history["epoch"] == fit.best_epoch].iloc[0]
    trained = (
        f"{fit.condition.base}, trained part: {fit.condition.trainable}; {n_augmented} training images after "
        f"augmentation; {settings.epochs} epochs of batches of {settings.batch_size} at a learning rate of "
        f"{settings.learning_rate:g}; epoch {fit.best_epoch} kept, validation AUC {best['val_auc']:.3f}. "
        f"Confidence from {passes} Monte Carlo dropout passes."
    )
    weights = f"Base weights: {source.purity}, {source.origin}, digest {source.digest[:16]}."
    return [make_section("How it was trained", trained, weights)]


def describe_reading() -> list[dict]:
    told = "The reader finds, names, counts and compares the chromosomes of a page. It was trained before; "
    return [make_section("How it was trained", f"{told}here it was only calibrated.")]
