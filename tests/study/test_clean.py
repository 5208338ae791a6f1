"""Cleaning against pages whose print is known: annotations go, chromosomes stay."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.study.data import clean, collection
from karyo_lib.study.data.clean import clean_page
from karyo_lib.study.data.collection import load_collection, load_images, prepare_collection
from karyo_lib.study.runs import Run


@pytest.fixture(scope="module", params=["classic", "photocopy"])
def annotated(request):
    formula = "47,XX,+21"
    with_print, without = (
        draw_karyogram(formula, style=request.param, seed=3, size=(416, 416), annotate=annotate)
        for annotate in (True, False)
    )
    printed = (np.abs(with_print.image.astype(int) - without.image) > 40) & (with_print.labels == 0)
    return with_print, without, printed, clean_page(with_print.image)


def test_annotations_are_painted_over_and_chromosomes_are_not(annotated):
    page, _, printed, cleaned = annotated
    assert printed.sum() > 100
    assert cleaned.painted[printed].mean() > 0.9
    assert cleaned.painted[page.labels > 0].mean() < 0.02
    assert "arrow" in set(cleaned.removed["kind"]) or "box" in set(cleaned.removed["kind"])


def test_nothing_dark_is_left_where_print_was(annotated):
    _, without, printed, cleaned = annotated
    before = np.abs(annotated[0].image.astype(int) - without.image)[printed].mean()
    after = np.abs(cleaned.image.astype(int) - without.image)[printed].mean()
    assert after < 0.2 * before


def test_pixels_that_are_not_painted_stay_as_they_were(annotated):
    page, _, _, cleaned = annotated
    assert np.array_equal(cleaned.image[~cleaned.painted], page.image[~cleaned.painted])


def test_cleaning_twice_gives_the_same_page(annotated):
    page = annotated[0]
    assert np.array_equal(clean_page(page.image).image, annotated[3].image)


def test_a_page_without_chromosomes_is_returned_as_it_is():
    blank = np.full((300, 300), 240, np.uint8)
    blank[100:140, 100:140] = 20
    cleaned = clean_page(blank)
    assert np.array_equal(cleaned.image, blank)
    assert not cleaned.painted.any()


def test_a_colour_image_is_refused():
    with pytest.raises(ValueError, match=r"Expected a grey image"):
        clean_page(np.zeros((50, 50, 3), np.uint8))


def test_a_run_that_cleans_studies_the_cleaned_pages(tmp_path, monkeypatch):
    few = {"normal": 10, "abnormal": 10, "image_size": 150}
    plain, cleaning = (
        Run.open("smoke", str(tmp_path / name), clean=name == "clean", **few) for name in ("plain", "clean")
    )
    before = prepare_collection(plain)
    shutil.copytree(plain.path("data"), cleaning.path("data"), dirs_exist_ok=True)  # drawn once
    monkeypatch.setattr(clean, "clean_page", lambda page: SimpleNamespace(image=255 - page))
    here = partial(clean.clean_pages, n_jobs=1)
    monkeypatch.setattr(collection, "clean_pages", lambda *tables, n_jobs: here(*tables))
    after = prepare_collection(cleaning)
    assert list(before.index["image_id"]) == list(after.index["image_id"])
    for original, cleaned in zip(load_images(before), load_images(load_collection(cleaning)), strict=True):
        assert np.array_equal(255 - original, cleaned)
    assert (before.index["sha256"] != after.index["sha256"]).all()
    assert "--set clean=true" in cleaning.command()
