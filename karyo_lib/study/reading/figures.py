"""Notebooks 04 and 06: figures of what the reader read, and how small a change it sees."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.images import read_image
from karyo_lib.judge.intervals import wilson
from karyo_lib.networks.conditions import READER, get_condition
from karyo_lib.read.evidence import ReadingDisplay
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.read.train.fit_decoder import score_decoder
from karyo_lib.read.train.learn import strips_of_bank, strips_of_drawings
from karyo_lib.study.data.clean import SEEN
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.displays.classification import ConfusionMatricesDisplay, CountsDisplay, RocDisplay
from karyo_lib.study.displays.dots import SizeCurvesDisplay
from karyo_lib.study.displays.style import draw_words, new_grid, style
from karyo_lib.study.networks.fits import Fits
from karyo_lib.study.reading import tables
from karyo_lib.study.runs import Run

BESIDE = ("augmented-vgg16-frozen", "augmented-inceptionv3-frozen")  # networks drawn beside the reader
CELLS = {"smoke": 2, "quick": 12, "thesis": 60}
ANY, NORMAL, SHAM = "any change", "normal", "sham"


def reading_roc(run: Run, readings: tables.Readings, fits: Fits):
    """Return the ROC of reader and networks on the same test part, and of the reader on all karyograms."""
    both = tables.beside_networks(fits, readings.predictions(run))
    trained = [key for key in BESIDE if key in set(fits.summary["condition"])]
    rows = {"reader": both.select(READER.key, "grouped")}
    rows |= {f"{get_condition(key).base} frozen": both.select(key, "grouped") for key in trained}
    table = readings.table
    panels = {
        tables.TEST_PAGES: {name: (part["y_true"], part["p"]) for name, part in rows.items()},
        tables.ALL_PAGES: {
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


def reading_confusion(run: Run, readings: tables.Readings) -> ConfusionMatricesDisplay:
    """Return the reader's confusion matrices on the test part and on all karyograms, at one half."""
    test = readings.predictions(run).query("part == 'test' and repeat == 0")
    parts = {tables.TEST_PAGES: test.rename(columns={"p": "p_abnormal"}), tables.ALL_PAGES: readings.table}
    return ConfusionMatricesDisplay.from_matrices(
        {
            title: confusion_matrix(part["y_true"], part["p_abnormal"] >= 0.5, labels=[0, 1])
            for title, part in parts.items()
        }
    )


def group_confusion(readings: tables.Readings) -> CountsDisplay:
    """Return true group against the group that was read, all karyograms."""
    return CountsDisplay.from_counts(tables.group_counts(readings), rows="true group", columns="read as")


def reading_page(run: Run, readings: tables.Readings, which: str = "found"):
    """Return a page with boxes and names: an abnormal one that was ``'found'``, or ``'missed'``."""
    image, reading = _read_again(run, readings, which)
    if reading is None:
        return draw_words(f"No abnormal karyogram was {which}.")
    shown = ReadingDisplay.from_reading(image, reading)
    truth = readings.table.set_index("image_id").loc[tables.find_examples(readings)[which], "iscn"]
    if isinstance(truth, str) and truth:
        read = shown.ax_.get_title(loc="left")
        shown.ax_.set_title(f"true karyotype {truth}, read as\n{read}", fontsize=9, loc="left", wrap=True)
    return shown


def reading_pair(run: Run, readings: tables.Readings, which: str = "found"):
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


def _read_again(run: Run, readings: tables.Readings, which: str) -> tuple[np.ndarray | None, Reading | None]:
    chosen = tables.find_examples(readings).get(which)
    if chosen is None:
        return None, None
    collection = load_collection(run)
    path = collection.index.set_index("image_id").loc[chosen, "path"]
    image = read_image(collection.pages / path)
    return image, _read(run, collection.pages / path)


@lru_cache(maxsize=2)
def _read(run: Run, path: Path) -> Reading:
    return tables.own_reader(run.path("data", SEEN)).read(read_image(path))


def measure_changes(run: Run) -> pd.DataFrame:
    """Cut and join chromosomes of normal cells, one a patient of the bank (else drawn), and count what the
    decoder sees: ``cells`` ('real', 'drawn'), ``kind``, ``megabases`` (0: any), ``chromosomes``;
    ``sensitivity, low, high`` at 1 in 100 false calls; of those seen the shares ``located, kind_right``."""
    n = CELLS[run.settings.name]
    if run.bank:
        bank = ChromosomeBank(run.bank)
        normal = bank.cells[bank.cells["label"] == NORMAL].drop_duplicates("case")
        strips = strips_of_bank(bank, np.random.default_rng([run.seed, 9]).permutation(normal["cell"])[:n])
    else:
        strips = strips_of_drawings(n, seed=run.seed)
    scores = score_decoder(Reader.load().decoder, strips, each=5 * n, seed=run.seed)
    table = scores.rename(columns={"Mb": "megabases", "n": "chromosomes"})
    table["seen"] = (table["seen at 1 %"] * table["chromosomes"]).round()
    table["located"], table["kind_right"] = (table[name] * table["seen"] for name in ("place", "kind right"))
    table = pd.concat([table, table[table["megabases"] > 0].assign(kind=ANY)])
    counted = ["chromosomes", "seen", "located", "kind_right"]
    table = table.groupby(["kind", "megabases"], as_index=False, sort=False)[counted].sum()
    table[counted[2:]] = table[counted[2:]].div(table["seen"].where(table["seen"] > 0), axis=0)
    n = len(strips)
    normal = {"kind": NORMAL, "megabases": 0, "chromosomes": n, "seen": round(0.01 * n)}
    table = pd.concat([table, pd.DataFrame([normal])], ignore_index=True)
    table["sensitivity"] = table["seen"] / table["chromosomes"]
    table[["low", "high"]] = [wilson(int(k), int(n)) for n, k in table[counted[:2]].to_numpy()]
    return table.drop(columns="seen").assign(cells="real" if run.bank else "drawn")


def changes_display(table: pd.DataFrame) -> SizeCurvesDisplay:
    changed = table[(table["kind"] != NORMAL) & (table["megabases"] > 0)]
    shown = changed.rename(columns={"megabases": "size", "kind": "series", "sensitivity": "value"})
    called = float(table.loc[table["kind"] == NORMAL, "sensitivity"].iloc[0])
    return SizeCurvesDisplay.from_table(
        shown, label="Size of the change, megabases", reference=(called, "unchanged called changed")
    )


def describe_changes(table: pd.DataFrame) -> list[str]:
    """Say in words from which size on changes are seen, and which kinds are not."""
    rows = table[table["kind"] == ANY].sort_values("megabases")
    normal = table[table["kind"] == NORMAL].iloc[0]
    told = "; ".join(
        f"{row.megabases:g} Mb {row.sensitivity:.0%} [{row.low:.0%}, {row.high:.0%}]"
        for row in rows.iloc[[0, -1]].itertuples()
    )
    sentences = [
        f"Of changes cut and joined in {table['cells'].iloc[0]} chromosomes are seen: {told}. Of unchanged "
        f"ones {normal['sensitivity']:.0%} are called changed all the same."
    ]
    blind = rows[rows["sensitivity"] < 0.5]
    if len(blind):
        sentences.append(
            f"At {blind['megabases'].max():g} Mb and below more are missed than seen: one that looks "
            "normal rules out no change of that size."
        )
    unseen = sorted({
        kind for kind, part in table[table["low"] <= normal["sensitivity"]].groupby("kind")
        if kind not in (ANY, NORMAL, SHAM)
    })  # fmt: skip
    if unseen:
        sentences.append(
            f"Not shown to be seen more often than unchanged ones are called changed, at some size: "
            f"{', '.join(f'{kind}s' for kind in unseen)}."
        )
    seen = rows[rows["located"].notna()]
    if len(seen):
        last = seen.iloc[-1]
        sentences.append(
            f"Of the seen ones of {last['megabases']:g} Mb the named place is right for "
            f"{last['located']:.0%}, the kind for {last['kind_right']:.0%}."
        )
    return sentences
