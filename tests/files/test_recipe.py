"""Data sets by recipe: the right numbers, no shortcut to the label, resumable, no shared patients."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from karyo_lib.draw import draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.files.images import read_image
from karyo_lib.files.index import MAX_DISTANCE, compute_page_hash, find_groups
from karyo_lib.files.pages import load_pages
from karyo_lib.iscn import parse_karyotype
from karyo_lib.study.data.recipe import (
    G_BANDED,
    INTERNET_STYLES,
    LAB_STYLES,
    NUMERICAL,
    RECIPE_COLUMNS,
    AlphaRecipe,
    _change_cells,
    _choose_cells,
    draw_dataset,
    plan_dataset,
)

SMALL = AlphaRecipe(normal=4, abnormal=3, size=(150, 150), seed=5, sources="balanced")


@pytest.fixture(scope="module")
def bank(bank_dir):
    return ChromosomeBank(bank_dir)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return folder, draw_dataset(SMALL, folder, progress=False)


@pytest.fixture(scope="module")
def composed(bank, tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    recipe = dataclasses.replace(SMALL, abnormal=8)
    return folder, draw_dataset(recipe, folder, bank, progress=False)


def test_default_is_the_alpha_dataset():
    table = plan_dataset(AlphaRecipe())
    assert table["label"].value_counts().to_dict() == {"normal": 105, "abnormal": 41}
    assert AlphaRecipe().size == (416, 416)
    labels = [parse_karyotype(formula).label for formula in table["iscn"]]
    assert labels == table["label"].to_list()
    assert table["group"].nunique() > 4  # of many kinds, not trisomy 21 alone
    assert set(table.query("label == 'normal'")["iscn"]) == {"46,XX", "46,XY"}


def test_plan_follows_the_seed():
    first, again, other = (plan_dataset(AlphaRecipe(seed=seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert first["iscn"].to_list() != other["iscn"].to_list()
    assert first["label"].to_list() != other["label"].to_list()
    assert set(first["seed"]).isdisjoint(other["seed"])


def test_nothing_but_the_karyotype_tells_the_label():
    table = plan_dataset(AlphaRecipe(normal=2000, abnormal=2000, groups=("trisomy",), sources="balanced"))
    abnormal = table["label"] == "abnormal"
    assert table["seed"].is_unique
    shares = pd.crosstab(table["style"], abnormal, normalize="columns")
    assert set(shares.index) == set(G_BANDED)
    assert (shares[True] - shares[False]).abs().max() < 0.04
    # Place in the order, and so id and file name.
    assert abnormal[:2000].mean() == pytest.approx(0.5, abs=0.05)
    assert np.corrcoef(abnormal, np.arange(4000))[0, 1] == pytest.approx(0, abs=0.05)
    assert table["image_id"].iloc[[0, -1]].to_list() == ["drawn-0001", "drawn-4000"]
    assert not table["path"].str.contains("normal").any()
    # Men and women among both.
    male = table["iscn"].str.contains("Y")
    assert male[abnormal].mean() == pytest.approx(male[~abnormal].mean(), abs=0.05)


def test_the_default_has_the_thesis_sources():
    table = plan_dataset(AlphaRecipe())
    counts = pd.crosstab(table["source"], table["label"])
    assert counts.loc["lab"].to_dict() == {"normal": 75, "abnormal": 9}
    assert counts.loc["internet"].to_dict() == {"normal": 30, "abnormal": 32}
    assert set(table.query("source == 'lab'")["style"]) == set(LAB_STYLES)
    assert set(table.query("source == 'internet'")["style"]) == set(INTERNET_STYLES)
    assert (table["published"] == (table["source"] == "internet")).all()
    assert np.corrcoef(table["source"] == "lab", np.arange(146))[0, 1] == pytest.approx(0, abs=0.25)


def test_annotations_stand_on_a_share_of_the_internets_abnormal_pages_and_nest():
    tables = {share: plan_dataset(AlphaRecipe(annotated=share)) for share in (0.0, 0.25, 0.75, 1.0)}
    marked = {share: set(table.loc[table["annotated"], "image_id"]) for share, table in tables.items()}
    assert marked[0.0] == set()
    assert marked[0.25] < marked[0.75] < marked[1.0]
    whole = tables[1.0].query("annotated")
    assert len(whole) == 32
    assert set(whole["label"]) == {"abnormal"}
    assert set(whole["source"]) == {"internet"}
    same = [column for column in tables[0.0] if column != "annotated"]
    pd.testing.assert_frame_equal(tables[0.0][same], tables[1.0][same])  # nothing else differs


def test_pictures_of_the_internet_are_smaller_and_compressed(tmp_path):
    recipe = AlphaRecipe(normal=4, abnormal=4, size=(150, 150), seed=5)
    index = draw_dataset(recipe, tmp_path, progress=False)
    for row in index.itertuples():
        look = {"style": row.style, "seed": row.seed, "size": (150, 150), "annotate": row.annotated}
        as_drawn = draw_karyogram(row.iscn, **look).image
        stored = read_image(tmp_path / row.path)
        assert stored.shape == as_drawn.shape
        assert np.array_equal(stored, as_drawn) == (row.source == "lab")
        assert np.abs(stored.astype(int) - as_drawn).mean() < 12  # the same picture all the same
    only = draw_dataset(recipe, tmp_path / "some", only=index["image_id"][:2], progress=False)
    pd.testing.assert_frame_equal(only, index[:2])


def test_groups():
    for groups, allowed in (("numerical", NUMERICAL), (("inversion", "deletion"), ("inversion", "deletion"))):
        table = plan_dataset(AlphaRecipe(normal=1, abnormal=60, groups=groups))
        assert set(table.query("label == 'abnormal'")["group"]) <= set(allowed)


def test_drawn_pages_and_index(drawn):
    folder, index = drawn
    assert tuple(index.columns) == RECIPE_COLUMNS
    assert len(index) == 7
    assert load_pages(index, folder).shape == (7, 150, 150)
    assert index["sha256"].is_unique
    assert (index["patient_id"] == index["image_id"]).all()
    assert {path.name for path in folder.iterdir()} == {*index["path"], "pages.jsonl"}
    with Image.open(folder / index["path"][0]) as image:
        assert image.info == {}
        assert image.mode == "L"


def test_a_page_can_be_drawn_again_with_its_truth(drawn):
    folder, index = drawn
    row = index.query("label == 'abnormal'").iloc[0]
    page = draw_karyogram(row["iscn"], style=row["style"], seed=row["seed"], size=(150, 150), annotate=False)
    np.testing.assert_array_equal(page.image, read_image(folder / row["path"]))
    assert not set(page.annotations["kind"]) & {"arrow", "box", "title"}


def test_drawing_resumes(drawn, tmp_path):
    folder, index = drawn
    draw_dataset(dataclasses.replace(SMALL, level=400), tmp_path, progress=False)  # pages to be made again
    half = [path for path in folder.glob("*.png")][:3]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    pd.testing.assert_frame_equal(draw_dataset(SMALL, folder, progress=False), index)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    for path in half:
        path.unlink()
    half[0].write_bytes(b"damaged")
    pd.testing.assert_frame_equal(draw_dataset(SMALL, folder, progress=False), index)
    pd.testing.assert_frame_equal(draw_dataset(SMALL, tmp_path, progress=False), index)
    assert not list(folder.glob(".part*"))


def test_processes_draw_the_same_pages(drawn, tmp_path):
    _, index = drawn
    pd.testing.assert_frame_equal(draw_dataset(SMALL, tmp_path, progress=False, n_jobs=2), index)


def test_composed_plan(bank):
    pages = _choose_cells(AlphaRecipe(), bank)
    assert pages["label"].value_counts().to_dict() == {"normal": 105, "abnormal": 41}
    real = pages.query("origin == 'real-aneuploid'")
    assert set(real["cell"]) == set(bank.cells.query("label == 'abnormal'")["cell"])
    assert (real["donor"] == "").all()
    cases = bank.cells.set_index("cell")["case"]
    assert pages["cell"].is_unique
    assert (pages["patient_id"] == pages["cell"].map(cases)).all()
    donors = pd.Series(" ".join(pages["donor"]).split()).map(cases)
    assert len(donors) > 3
    assert donors.is_unique
    assert set(donors).isdisjoint(pages["patient_id"])
    assert set(pages.query("label == 'normal'")["iscn"]) == {"46,XX", "46,XY"}


def test_donors_have_what_a_gain_needs(bank):
    normal = bank.cells.query("label == 'normal'")
    formulae = ["47,XX,+21", "49,XXXXY", "45,X", "92,XXXX", "46,XX,t(9;22)(q34;q11.2)", "48,XXYY"]
    pages = _change_cells(formulae, normal, set())
    sexes = bank.cells.set_index("cell")["count_formula"]
    donors = [[sexes[cell] for cell in donor.split()] for donor in pages["donor"]]
    assert [len(donors[i]) for i in (0, 1, 2, 4, 5)] == [1, 2, 0, 0, 1]
    assert sum(sex.count("X") for sex in donors[3]) >= 2
    assert donors[5] == ["46,XY"]
    assert sexes[pages["cell"]].to_list() == ["46,XX", "46,XY", "46,XX", "46,XX", "46,XX", "46,XY"]


def test_real_aneuploid_cells_do_not_fill_a_small_set(bank):
    pages = _choose_cells(AlphaRecipe(normal=20, abnormal=14), bank)
    assert (pages["origin"] == "real-aneuploid").sum() == 4


def test_composing_more_than_the_bank_has(bank):
    with pytest.raises(ValueError, match=r"at least 439 normal cells.*Received 397"):
        _choose_cells(AlphaRecipe(normal=400, abnormal=50), bank)
    with pytest.raises(ValueError, match="Received none that is left as"):
        _choose_cells(AlphaRecipe(normal=250, abnormal=150), bank)


def test_composed_pages(composed, bank, tmp_path):
    folder, index = composed
    assert tuple(index.columns) == (*RECIPE_COLUMNS, "cell", "donor")
    assert index["label"].value_counts().to_dict() == {"normal": 4, "abnormal": 8}
    assert (index["origin"] == "real-aneuploid").sum() == 2
    pages = load_pages(index, folder)
    assert pages.shape == (12, 150, 150)
    assert len(set(find_groups(np.stack([compute_page_hash(page) for page in pages])))) == 12
    counts = bank.cells.set_index("cell")["count_formula"]
    real = index.query("origin == 'real-aneuploid'")
    assert real["iscn"].to_list() == real["cell"].map(counts).to_list()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    recipe = dataclasses.replace(SMALL, abnormal=8)
    pd.testing.assert_frame_equal(draw_dataset(recipe, folder, bank, progress=False), index)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_near_duplicate_search_tells_recipe_pages_of_one_style_apart(tmp_path):
    for style in ("ruled", "patched"):  # print and grounds that are alike on every page
        recipe = AlphaRecipe(normal=8, abnormal=0, styles=(style,), sources="balanced", seed=1)
        pages = load_pages(draw_dataset(recipe, tmp_path / style, progress=False), tmp_path / style)
        hashes = np.stack([compute_page_hash(page) for page in pages])
        first, second = np.triu_indices(len(pages), 1)
        distance = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=-1).min(axis=-1) / 1024
        assert distance.min() > 1.3 * MAX_DISTANCE
