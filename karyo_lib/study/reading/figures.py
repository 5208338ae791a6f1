"""Figures of notebooks 04 and 06: what the reader read -> displays."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix

from karyo_lib.files.images import read_image
from karyo_lib.networks.conditions import READER, get_condition
from karyo_lib.read.evidence import ReadingDisplay
from karyo_lib.read.reading import Reading
from karyo_lib.study.data.clean import SEEN
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.displays.classification import ConfusionMatricesDisplay, CountsDisplay, RocDisplay
from karyo_lib.study.displays.style import draw_words, new_grid, style
from karyo_lib.study.networks.fits import Fits
from karyo_lib.study.reading.results import ALL_PAGES, TEST_PAGES, find_examples, group_counts
from karyo_lib.study.reading.tables import Readings, beside_networks, own_reader
from karyo_lib.study.runs import Run

BESIDE = ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen")  # networks drawn beside the reader


def reading_roc(run: Run, readings: Readings, fits: Fits):
    """Return the ROC of reader and networks on the same test part, and of the reader on all karyograms."""
    both = beside_networks(fits, readings.predictions(run))
    trained = [key for key in BESIDE if key in set(fits.summary["condition"])]
    rows = {"reader": both.select(READER.key, "grouped")}
    rows |= {f"{get_condition(key).base} frozen": both.select(key, "grouped") for key in trained}
    table = readings.table
    panels = {
        TEST_PAGES: {name: (part["y_true"], part["p"]) for name, part in rows.items()},
        ALL_PAGES: {
            name: (table["y_true"], table[column])
            for name, column in (
                ("number and structure", "p_abnormal"),
                ("number alone", "p_count"),
                ("structure alone", "p_structural"),
            )
        },
    }
    with style():
        figure, axes = new_grid(None, 1, 2, height=4.4, width=7.4)
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        RocDisplay.from_predictions(curves, ax=ax)
        ax.set_title(title)
    return figure


def reading_confusion(run: Run, readings: Readings) -> ConfusionMatricesDisplay:
    """Return the reader's confusion matrices on the test part and on all karyograms, at one half."""
    test = readings.predictions(run).query("part == 'test' and repeat == 0")
    parts = {TEST_PAGES: test.rename(columns={"p": "p_abnormal"}), ALL_PAGES: readings.table}
    return ConfusionMatricesDisplay.from_matrices(
        {
            title: confusion_matrix(part["y_true"], part["p_abnormal"] >= 0.5, labels=[0, 1])
            for title, part in parts.items()
        }
    )


def group_confusion(readings: Readings) -> CountsDisplay:
    """Return true group against the group that was read, all karyograms."""
    return CountsDisplay.from_counts(group_counts(readings), rows="true group", columns="read as")


def reading_page(run: Run, readings: Readings, which: str = "found"):
    """Return a page with boxes and names: an abnormal one that was ``'found'``, or ``'missed'``."""
    image, reading = _read_again(run, readings, which)
    if reading is None:
        return draw_words(f"No abnormal karyogram was {which}.")
    shown = ReadingDisplay.from_reading(image, reading)
    truth = readings.table.set_index("image_id").loc[find_examples(readings)[which], "iscn"]
    if isinstance(truth, str) and truth:
        read = shown.ax_.get_title(loc="left")
        shown.ax_.set_title(f"true karyotype {truth}, read as\n{read}", fontsize=9, loc="left", wrap=True)
    return shown


def reading_pair(run: Run, readings: Readings, which: str = "found"):
    """Return the chromosomes of the class that looks most changed on the same page, as they were cut out."""
    _, reading = _read_again(run, readings, which)
    if reading is None or not reading.chromosomes["readable"].any():
        return draw_words(f"No chromosomes to show: no abnormal karyogram was {which}.")
    table = reading.chromosomes
    name = table.loc[table["score"].where(table["readable"]).idxmax(), "chromosome"]
    own = table[table["chromosome"] == name]
    with style():
        figure, axes = new_grid(None, 1, len(own), height=2.2)
    for ax, i in zip(axes[0], own.index, strict=True):
        ax.imshow(reading.found.cutouts[i], cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{name}: log-odds of a change {own.loc[i, 'score']:.0f}", fontsize=8)
        ax.set_axis_off()
    return figure


def _read_again(run: Run, readings: Readings, which: str) -> tuple[np.ndarray | None, Reading | None]:
    chosen = find_examples(readings).get(which)
    if chosen is None:
        return None, None
    collection = load_collection(run)
    path = collection.index.set_index("image_id").loc[chosen, "path"]
    image = read_image(collection.pages / path)
    return image, _read(run, collection.pages / path)


@lru_cache(maxsize=2)
def _read(run: Run, path: Path) -> Reading:
    return own_reader(run.path("data", SEEN)).read(read_image(path))
