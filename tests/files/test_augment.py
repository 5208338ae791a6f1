"""Altered copies: within the bounds of the thesis, the same for the same seed, nothing moved."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from karyo_lib.files.augment import (
    AUGMENTED_COLUMNS,
    Alteration,
    AugmentSettings,
    alter_image,
    augment_dataset,
    augment_image,
    draw_alteration,
)
from karyo_lib.files.images import UnusableImage, read_image
from karyo_lib.files.pages import load_pages, write_page

IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))
SEEDS = st.integers(0, 2**32 - 1)


def make_page(seed, side=120):
    rng = np.random.default_rng(seed)
    page = np.full((side, side), 250, np.uint8)
    for _ in range(30):
        y, x = rng.integers(0, side - 12, 2)
        page[y : y + 12, x : x + 4] = rng.integers(20, 200)
    return page


@pytest.fixture
def dataset(tmp_path):
    def make(normal, abnormal):
        rows = []
        for number in range(normal + abnormal):
            image_id = f"k{number:03d}"
            digest = write_page(tmp_path / "in" / f"{image_id}.png", make_page(number))
            label = "normal" if number < normal else "abnormal"
            rows.append((image_id, f"{image_id}.png", label, f"p{number // 2}", digest))
        return pd.DataFrame(rows, columns=["image_id", "path", "label", "patient_id", "sha256"])

    return make


@settings(max_examples=100, deadline=None)
@given(IMAGES, SEEDS)
def test_same_shape_and_type_and_same_seed_same_copy(image, seed):
    before = image.copy()
    copies = [augment_image(image, np.random.default_rng(seed), AugmentSettings()) for _ in range(2)]
    assert copies[0].dtype == np.uint8
    assert copies[0].shape == image.shape
    np.testing.assert_array_equal(*copies)
    np.testing.assert_array_equal(image, before)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(0, 1), st.floats(0, 1), st.floats(0, 5))
def test_alterations_stay_within_their_bounds(seed, brightness, noise, blur):
    alteration = draw_alteration(np.random.default_rng(seed), AugmentSettings(brightness, noise, blur))
    assert abs(alteration.brightness) <= brightness + 5e-5
    assert 0 <= alteration.noise <= noise + 5e-5
    assert 0 <= alteration.blur <= blur + 5e-5


@settings(max_examples=100, deadline=None)
@given(IMAGES, SEEDS, st.floats(0, 1))
def test_noise_touches_at_most_its_share_of_pixels(image, seed, noise):
    noisy = alter_image(image, Alteration(noise=noise), np.random.default_rng(seed))
    changed = noisy != image
    assert changed.sum() <= noise * image.size
    assert np.isin(noisy[changed], (0, 255)).all()


def test_noise_touches_nearly_its_share_and_both_ways():
    image = np.full((400, 400), 128, np.uint8)
    noisy = alter_image(image, Alteration(noise=0.05), np.random.default_rng(0))
    assert (noisy != image).mean() == pytest.approx(0.05)
    assert (noisy == 0).sum() == pytest.approx((noisy == 255).sum(), rel=0.1)


@settings(max_examples=100, deadline=None)
@given(IMAGES, st.floats(-1, 1))
def test_brightness_scales_every_pixel(image, brightness):
    changed = alter_image(image, Alteration(brightness=brightness), np.random.default_rng(0))
    np.testing.assert_allclose(changed, np.clip(image * (1 + brightness), 0, 255), atol=0.501)


@settings(max_examples=50, deadline=None)
@given(IMAGES, st.floats(0.1, 3))
def test_blur_stays_within_the_values_around(image, sigma):
    blurred = alter_image(image, Alteration(blur=sigma), np.random.default_rng(0))
    assert image.min() <= blurred.min()
    assert blurred.max() <= image.max()


@settings(max_examples=50, deadline=None)
@given(IMAGES, SEEDS)
def test_no_alteration_changes_nothing(image, seed):
    np.testing.assert_array_equal(alter_image(image, Alteration(), np.random.default_rng(seed)), image)


def test_nothing_is_flipped_or_moved():
    for seed in range(20):
        page = make_page(seed).astype(float)
        copy = augment_image(make_page(seed), np.random.default_rng(seed), AugmentSettings()).astype(float)
        moved = [page[::-1], page[:, ::-1], page[::-1, ::-1], page.T, np.roll(page, 2, 0), np.roll(page, 2)]
        here, *elsewhere = (np.corrcoef(copy.ravel(), other.ravel())[0, 1] for other in (page, *moved))
        assert here > max(elsewhere)


def test_draws_fill_their_bounds():
    rng = np.random.default_rng(0)
    drawn = pd.DataFrame([dataclasses.asdict(draw_alteration(rng, AugmentSettings())) for _ in range(2000)])
    assert drawn["brightness"].min() == pytest.approx(-0.25, abs=0.01)
    assert drawn["brightness"].max() == pytest.approx(0.25, abs=0.01)
    assert drawn["brightness"].mean() == pytest.approx(0, abs=0.02)
    assert drawn["noise"].max() == pytest.approx(0.05, abs=0.001)
    assert drawn["blur"].max() == pytest.approx(0.8, abs=0.01)


def test_totals_of_the_thesis():
    settings_ = AugmentSettings()
    assert settings_.total("normal", 105) == 376
    assert settings_.total("abnormal", 41) == 316
    assert settings_.total("normal", 210) == 752
    assert settings_.total("abnormal", 7) == 54
    assert AugmentSettings(normal=40).total("normal", 20) == 40
    with pytest.raises(ValueError, match=r"originals, 50\. Received 40"):
        AugmentSettings(abnormal=40).total("abnormal", 50)


@pytest.mark.parametrize("wrong", [{"brightness": 1.5}, {"noise_fraction": -0.1}, {"blur_sigma": 99}])
def test_impossible_settings(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))} within"):
        AugmentSettings(**wrong)


def test_wrong_arrays():
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="Expected a uint8 image"):
            augment_image(image, np.random.default_rng(0), AugmentSettings())


def test_augmented_table_and_files(dataset, tmp_path):
    index = dataset(7, 4)
    table = augment_dataset(index, tmp_path / "in", tmp_path / "out", seed=3, progress=False)
    assert tuple(table.columns) == AUGMENTED_COLUMNS
    assert table["label"].value_counts().to_dict() == {"normal": 25, "abnormal": 31}
    assert table["image_id"].is_unique
    originals = table[table["copy"] == 0]
    assert originals["image_id"].to_list() == originals["parent_id"].to_list() == index["image_id"].to_list()
    assert originals["sha256"].to_list() == index["sha256"].to_list()
    assert (originals[["brightness", "noise", "blur"]] == 0).all(axis=None)
    parents = index.set_index("image_id")
    assert (table["label"] == table["parent_id"].map(parents["label"])).all()
    assert (table["patient_id"] == table["parent_id"].map(parents["patient_id"])).all()
    per_parent = table.groupby("parent_id").size().groupby(parents["label"])
    assert (per_parent.max() - per_parent.min() <= 1).all()
    pages = load_pages(table, tmp_path / "out")
    assert len(np.unique(pages.reshape(len(pages), -1), axis=0)) == len(pages)
    for row, page in zip(table.itertuples(), pages, strict=True):
        parent = read_image(tmp_path / "in" / f"{row.parent_id}.png")
        expected = np.median(parent) * (1 + row.brightness)
        assert np.median(page) == pytest.approx(min(255, expected), abs=1)
        assert not any(label in row.path for label in ("normal", "abnormal"))


def test_copies_depend_on_parent_number_and_seed_alone(dataset, tmp_path):
    index = dataset(5, 3)
    first = augment_dataset(index, tmp_path / "in", tmp_path / "a", seed=1, progress=False)
    other_order = index.sample(frac=1, random_state=0)
    second = augment_dataset(other_order, tmp_path / "in", tmp_path / "b", seed=1, progress=False)
    joined = first.merge(second, on="image_id", how="outer", suffixes=("", "_b"), validate="1:1")
    assert (joined["sha256"] == joined["sha256_b"]).all()
    third = augment_dataset(index, tmp_path / "in", tmp_path / "c", seed=2, progress=False)
    altered = first.merge(third, on="image_id", suffixes=("", "_c")).query("copy > 0")
    assert (altered["sha256"] != altered["sha256_c"]).all()


def test_processes_give_the_same_files(dataset, tmp_path):
    index = dataset(3, 3)
    tables = [
        augment_dataset(index, tmp_path / "in", tmp_path / str(n), seed=1, progress=False, n_jobs=n)
        for n in (1, 2)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_interrupted_call_resumes(dataset, tmp_path):
    index = dataset(4, 3)
    (tmp_path / "in" / "k004.png").rename(tmp_path / "k004.png")
    out = tmp_path / "out"
    with pytest.raises(UnusableImage, match=r"k004\.png"):
        augment_dataset(index, tmp_path / "in", out, seed=1, progress=False)
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 0 < len(written) < 37
    (tmp_path / "k004.png").rename(tmp_path / "in" / "k004.png")
    with open(out / "pages.jsonl", "a") as file:
        file.write("k005.png,abc")  # a line cut short
    damaged = sorted(written)[0]
    (out / damaged).write_bytes(b"damaged")
    table = augment_dataset(index, tmp_path / "in", out, seed=1, progress=False)
    fresh = augment_dataset(index, tmp_path / "in", tmp_path / "fresh", seed=1, progress=False)
    pd.testing.assert_frame_equal(table, fresh)
    assert {path.name for path in out.iterdir()} == {*table["path"], "pages.jsonl"}
    for name, time in written.items():
        if name != damaged:
            assert (out / name).stat().st_mtime_ns == time
    # A second call makes nothing anew.
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    augment_dataset(index, tmp_path / "in", out, seed=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
