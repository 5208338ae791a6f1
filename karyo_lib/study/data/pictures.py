"""Figures of notebooks 01 and 02: karyograms of the run, drawn examples, augmented copies."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from karyo_lib.draw import Page, draw_karyogram, draw_metaphase
from karyo_lib.draw.material import compute_realism
from karyo_lib.files.augment import Alteration, alter_image
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.images import UnusableImage
from karyo_lib.files.index import list_images
from karyo_lib.iscn import GROUPS
from karyo_lib.iscn.catalogue import load_catalogue
from karyo_lib.study.data.collection import Collection, Copies, load_copy_images, load_images
from karyo_lib.study.displays.diagrams import ImageGridDisplay
from karyo_lib.study.displays.dots import DotsDisplay
from karyo_lib.study.displays.style import PALETTE, new_grid, style
from karyo_lib.study.runs import Run

CLEAN_STYLE = "digital"  # numbered slots, even background: the one to explain with
NORMAL_MALE, ABNORMAL_MALE = "46,XY", "47,XXY"
_TRIED = 4  # own images that are looked at for a spread
SIZES = {"pixels_150": "150 x 150", "pixels_416": "416 x 416", "pixels_native": "native"}


def show_pages(
    pages: list[Page], captions: list[str], n_columns: int = 2, mark: bool = False
) -> ImageGridDisplay:
    """Return pages beside each other; ``mark`` draws a frame round what is changed, on the figure only."""
    grid = ImageGridDisplay.from_images([page.image for page in pages], captions, n_columns=n_columns)
    for ax, page in zip(grid.axes_, pages if mark else [], strict=False):
        for row in page.truth[page.truth["abnormal"]].itertuples():
            place = (row.x0 - 3, row.y0 - 3), row.x1 - row.x0 + 6, row.y1 - row.y0 + 6
            frame = {"fill": False, "edgecolor": PALETTE["abnormal"], "linewidth": 1.2}
            ax.add_patch(Rectangle(*place, **frame, label=row.name))
    return grid


def male_karyogram(run: Run) -> ImageGridDisplay:
    """Return a normal male karyogram at native size (Fig 2.1)."""
    page = draw_karyogram(NORMAL_MALE, style=CLEAN_STYLE, seed=run.seed, size=None)
    return show_pages([page], [NORMAL_MALE], n_columns=1)


def sorted_metaphase(run: Run) -> ImageGridDisplay:
    """Return a spread, and the karyogram that the reader makes of it (Fig 3.1)."""
    from karyo_lib.read.image import read_image
    from karyo_lib.read.sorting import lay_out

    readings = []
    for file in list_images(Path(run.data))[:_TRIED] if run.data else []:
        with suppress(UnusableImage):
            readings.append(read_image(Path(run.data) / file))
    own = [reading for reading in readings if reading.kind == "metaphase"]
    reading, *_ = own or [read_image(draw_metaphase(NORMAL_MALE, seed=run.seed, size=(900, 720)).image)]
    captions = [f"{'own' if own else 'drawn'} spread", f"sorted by the reader: {reading.formula}"]
    images = [reading.page, lay_out(reading, CLEAN_STYLE).image]
    return ImageGridDisplay.from_images(images, captions, n_columns=2)


def normal_and_abnormal_male(run: Run) -> ImageGridDisplay:
    """Return a normal and an abnormal male karyogram (Fig 3.2)."""
    formulae = [NORMAL_MALE, ABNORMAL_MALE]
    return show_pages(_draw_pages(formulae, run.seed), formulae, mark=True)


def _draw_pages(formulae: list[str], seed: int) -> list[Page]:
    return [
        draw_karyogram(formula, style=CLEAN_STYLE, seed=seed + i, size=(832, 832))
        for i, formula in enumerate(formulae)
    ]


def example_pages(collection: Collection) -> ImageGridDisplay:
    """Return the first four karyograms of each label."""
    rows = collection.index.groupby("label").head(4).sort_values("label", kind="stable")
    captions = [f"{row.iscn or row.image_id}\n{row.label}" for row in rows.itertuples()]
    return ImageGridDisplay.from_images(
        load_images(collection, rows), captions, labels=list(rows["label"]), n_columns=4
    )


def group_gallery(run: Run) -> ImageGridDisplay:
    """Return one drawn page for each group of abnormality: its most frequent formula, the change marked."""
    catalogue = load_catalogue()
    catalogue = catalogue[catalogue["visible"]]
    chosen = catalogue.sort_values("relative_frequency", ascending=False, kind="stable")
    chosen = chosen.drop_duplicates("group").set_index("group")["formula"]
    chosen = chosen[[group for group in GROUPS if group in chosen]]
    captions = [f"{group}\n{formula}" for group, formula in chosen.items()]
    return show_pages(_draw_pages(list(chosen), run.seed), captions, n_columns=3, mark=True)


def measure_realism(run: Run) -> pd.DataFrame:
    """Return the correlation of drawn and real band profiles by chromosome; a note where there is no bank."""
    if not run.bank:
        return pd.DataFrame(
            {"note": ["No bank of real chromosomes was given to this run: name one with --bank."]}
        )
    return compute_realism(ChromosomeBank(run.bank))


def change_sizes() -> pd.DataFrame:
    """Return the size of each change of the catalogue, smallest first; none where no length changes."""
    columns = ["formula", "name", "group", "size_iscn", "size_mb", *SIZES]
    table = load_catalogue()[columns].dropna(subset=["size_iscn"])
    return table.sort_values("size_iscn", ignore_index=True)


def change_size_display():
    """Return the sizes of the changes in pixels, by group and page size."""
    table = change_sizes().melt(["formula", "group"], list(SIZES), var_name="page", value_name="pixels")
    table = table.assign(page=table["page"].map(SIZES))
    return DotsDisplay.from_table(
        table[table["pixels"] > 0], row="group", series="page", value="pixels",
        label="Length of the change, px", log=True, reference=(1.0, "one pixel"),
    )  # fmt: skip


def page_display(formula: str, page_style: str, seed: int) -> ImageGridDisplay:
    """Return the karyogram of a formula, the changed chromosomes marked."""
    page = draw_karyogram(formula, style=page_style, seed=seed, size=None)
    return show_pages([page], [formula], n_columns=1, mark=True)


def before_after(copies: Copies) -> ImageGridDisplay:
    """Return three originals and their first altered copies, with what each received."""
    table = copies.table
    n_copies = min(3, int(table["copy"].max()))  # a small set has few copies
    parents = table[table["copy"] == n_copies]["parent_id"].head(3)
    rows = table[table["parent_id"].isin(parents) & (table["copy"] <= n_copies)]
    captions = [
        f"{row.parent_id}\noriginal"
        if row.copy == 0
        else f"light {row.brightness:+.0%}, noise {row.noise:.1%}\nblur {row.blur:.1f} px"
        for row in rows.itertuples()
    ]
    return ImageGridDisplay.from_images(
        load_copy_images(copies, rows), captions, labels=list(rows["label"]), n_columns=n_copies + 1
    )


def augmentation_ranges(copies: Copies):
    altered = copies.table[copies.table["copy"] > 0]
    shown = {
        "Brightness change, %": 100 * altered["brightness"],
        "Noisy pixels, %": 100 * altered["noise"],
        "Blur, px": altered["blur"],
    }
    with style():
        figure, axes = new_grid(None, 1, 3, height=2.2)
        for ax, (label, values) in zip(axes[0], shown.items(), strict=True):
            ax.hist(values, bins=20, color=PALETTE["neutral"])
            ax.set_xlabel(label)
        axes[0, 0].set_ylabel("Copies")
    return figure


def sibling_example(copies: Copies, splits: pd.DataFrame) -> ImageGridDisplay:
    """Return a test image of the thesis's split and its copy in the training part."""
    rows = splits.query("data == 'augmented' and protocol == 'thesis' and repeat == 0")
    train, test = rows[rows["part"] == "train"], rows[rows["part"] == "test"]
    pairs = test.merge(train, on="parent_id", suffixes=("_test", "_train"))
    pair = pairs.iloc[0][["image_id_test", "image_id_train"]].to_list()
    shown = copies.table.set_index("image_id").loc[pair].reset_index()
    captions = [f"{name}\n{part}" for name, part in zip(pair, ("test", "training"), strict=True)]
    return ImageGridDisplay.from_images(load_copy_images(copies, shown), captions, n_columns=2)


def augment_one(
    copies: Copies, which: int, brightness: float, noise_fraction: float, blur_sigma: float
) -> ImageGridDisplay:
    """Return an original and one altered copy of it."""
    originals = copies.table[copies.table["copy"] == 0]
    image = load_copy_images(copies, originals.iloc[[which]])[0]
    alteration = Alteration(brightness, noise_fraction, blur_sigma)
    altered = alter_image(image, alteration, np.random.default_rng(0))
    caption = f"light {brightness:+.0%}, noise {noise_fraction:.1%}, blur {blur_sigma:.1f} px"
    return ImageGridDisplay.from_images([image, altered], ["original", caption], n_columns=2)
