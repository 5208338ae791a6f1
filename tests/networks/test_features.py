"""Preprocessing, and activations that are computed once per image."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karyo_lib.networks import features
from karyo_lib.networks.features import FeatureCache, compute_features, preprocess
from karyo_lib.networks.models import build_model, split_model
from karyo_lib.networks.weights import resolve_weights

SMALL = (32, 32, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 40, 40), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights():
    return resolve_weights("VGG16", explicit="random")


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features", limit_bytes=10**9)


@pytest.fixture
def work(monkeypatch):
    """A record of what was really computed: (first cut, last cut, number of images)."""
    done = []
    original = features._segment

    class Recorder:
        def __init__(self, segment, start, outputs):
            self.segment, self.start, self.outputs = segment, start, outputs

        def predict(self, inputs):
            done.append((self.start, self.outputs[-1], len(inputs)))
            return self.segment.predict(inputs)

    monkeypatch.setattr(
        features,
        "_segment",
        lambda w, s, start, outputs, how: Recorder(original(w, s, start, outputs, how), start, outputs),
    )
    return done


def compute(weights, images, cut="block5_pool", cache=None, **kwargs):
    return compute_features("VGG16", weights, images, cut, cache, progress=False, input_shape=SMALL, **kwargs)


def test_preprocessing_is_the_one_of_each_base():
    grey = np.full((1, 300, 200), 200, np.uint8)
    vgg16 = preprocess("VGG16", grey)
    assert vgg16.shape == (1, 150, 150, 3)
    assert vgg16.dtype == np.float32
    np.testing.assert_allclose(vgg16[0, 75, 75], [200 - 103.939, 200 - 116.779, 200 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(preprocess("InceptionV3", grey), 200 / 127.5 - 1, rtol=1e-6)
    assert (grey == 200).all()


def test_resizing_averages_instead_of_skipping():
    checkers = np.indices((416, 416)).sum(axis=0) % 2 * 255
    resized = preprocess("InceptionV3", [checkers.astype(np.uint8)])
    assert np.abs(resized).max() < 0.1  # grey; nearest-neighbour would give black and white


def test_sizes_may_differ():
    assert preprocess("VGG16", [np.zeros((10, 20), np.uint8), np.zeros((500, 90), np.uint8)]).shape[0] == 2


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5)), np.zeros((0, 5), np.uint8), "page.png"]
)
def test_what_is_no_greyscale_page_is_named(weights, image):
    with pytest.raises(
        ValueError, match=r"Expected image 1 to be a greyscale array \(H, W\) of uint8\. Received"
    ):
        preprocess("VGG16", [IMAGES[0], image])
    with pytest.raises(ValueError, match="Expected image 1"):
        compute(weights, [IMAGES[0], image])


@pytest.mark.parametrize("trainable", ["head", "last-block", "last-two-blocks"])
def test_features_are_the_output_of_the_trunk(weights, trainable, cache):
    cut = {"head": "block5_pool", "last-block": "block4_pool", "last-two-blocks": "block3_pool"}[trainable]
    model = build_model("VGG16", weights, trainable=trainable, input_shape=SMALL)
    trunk, _ = split_model(model, cut)
    expected = trunk(preprocess("VGG16", IMAGES, SMALL))
    np.testing.assert_allclose(compute(weights, IMAGES, cut, cache), expected, rtol=1e-5, atol=1e-5)


def test_nothing_is_computed_twice(weights, cache, work):
    first = compute(weights, IMAGES[:6], cache=cache)
    assert work == [("input", "block5_pool", 6)]
    np.testing.assert_array_equal(compute(weights, IMAGES[:6], cache=cache), first)
    np.testing.assert_array_equal(compute(weights, IMAGES[5::-1], cache=cache), first[::-1])
    assert len(work) == 1
    more = compute(weights, IMAGES, cache=cache)
    assert work[1:] == [("input", "block5_pool", 4)]
    np.testing.assert_array_equal(more[:6], first)


def test_an_image_that_comes_twice_is_computed_once(weights, work):
    result = compute(weights, [IMAGES[0], IMAGES[1], IMAGES[0]])
    assert work == [("input", "block5_pool", 2)]
    np.testing.assert_array_equal(result[0], result[2])


def test_later_cuts_start_from_earlier_ones(weights, cache, work):
    direct = compute(weights, IMAGES[:8])
    compute(weights, IMAGES[:3], "block3_pool", cache)
    compute(weights, IMAGES[3:5], "block4_pool", cache)
    del work[:]
    chained = compute(weights, IMAGES[:8], cache=cache)
    assert work == [
        ("block4_pool", "block5_pool", 2),
        ("block3_pool", "block5_pool", 3),
        ("input", "block5_pool", 3),
    ]
    np.testing.assert_allclose(chained, direct, rtol=1e-5, atol=1e-6)


def test_one_pass_can_keep_the_earlier_cuts(weights, cache, work):
    compute(weights, IMAGES, cache=cache, keep_cuts=("block3_pool", "block4_pool"))
    third = compute(weights, IMAGES, "block3_pool", cache)
    fourth = compute(weights, IMAGES, "block4_pool", cache)
    assert work == [("input", "block5_pool", 10)]
    assert third.shape[1:] == (4, 4, 256)
    assert fourth.shape[1:] == (2, 2, 512)


def test_what_the_values_depend_on_is_in_the_key(weights, cache, work):
    compute(weights, IMAGES[:2], cache=cache)
    compute(replace(weights, digest="other"), IMAGES[:2], cache=cache)
    compute_features(
        "VGG16", weights, IMAGES[:2], "block5_pool", cache, progress=False, input_shape=(64, 64, 3)
    )
    changed = IMAGES[:2].copy()
    changed[:, 0, 0] ^= 1
    compute(weights, changed, cache=cache)
    compute(weights, IMAGES[:2].reshape(2, 20, 80), cache=cache)  # same bytes, other shape
    assert [images for _, _, images in work] == [2] * 5


def test_a_damaged_entry_is_computed_again(weights, cache, work):
    first = compute(weights, IMAGES[:3], cache=cache)
    path = next(cache.folder.glob("*/*.npy"))
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(compute(weights, IMAGES[:3], cache=cache), first)
    assert [images for _, _, images in work] == [3, 1]


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.npy"))


def test_the_cache_is_bounded_and_drops_what_was_not_used(tmp_path):
    entry = np.zeros(1000, np.float32)  # 4,128 bytes on disk
    cache = FeatureCache(tmp_path, limit_bytes=10_000)
    for age, key in enumerate(["new", "old", "middle"]):
        cache.store("group", key, entry)
        os.utime(cache._path("group", key), (0, [300, 100, 200][age]))
    cache.trim()
    assert size_of(tmp_path) <= 10_000
    assert not cache.holds("group", "old")
    os.utime(cache._path("group", "new"), (0, 50))
    cache.load("group", "new")  # now the most recently used
    cache.store("group", "last", entry)
    cache.trim()
    assert cache.holds("group", "new")
    assert not cache.holds("group", "middle")


def test_a_limit_of_zero_still_gives_features(weights, tmp_path):
    cache = FeatureCache(tmp_path, limit_bytes=0)
    np.testing.assert_array_equal(compute(weights, IMAGES[:3], cache=cache), compute(weights, IMAGES[:3]))
    assert size_of(tmp_path) == 0


def test_runs_may_share_the_cache_at_the_same_time(tmp_path):
    cache = FeatureCache(tmp_path, limit_bytes=20_000)

    def use(seed):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            value = int(rng.integers(12))
            read = cache.load("group", str(value))
            if read is None:
                cache.store("group", str(value), np.full(1000, value, np.float32))
            elif not (read.shape == (1000,) and (read == value).all()):
                return "torn"
            cache.trim()
        return "whole"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(8))) == {"whole"}
    assert size_of(tmp_path) <= 20_000
    assert not list(tmp_path.rglob(".part*"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_any_selection_of_images_gives_its_rows(weights, cache, chosen):
    whole = compute(weights, IMAGES, cache=cache)
    np.testing.assert_array_equal(compute(weights, IMAGES[chosen], cache=cache), whole[chosen])


def test_an_unwritable_number_of_gigabytes(monkeypatch):
    monkeypatch.setenv("KARYO_CACHE_GB", "many")
    with pytest.raises(ValueError, match=r"KARYO_CACHE_GB to be a number\. Received 'many'"):
        FeatureCache()
    with pytest.raises(ValueError, match="at least 0 bytes"):
        FeatureCache(limit_bytes=-1)


def test_arguments_that_do_not_exist(weights):
    with pytest.raises(ValueError, match=r"input, block3_pool, block4_pool, block5_pool\. Received 'mixed8'"):
        compute(weights, IMAGES, "mixed8")
    with pytest.raises(ValueError, match="Expected at least one image"):
        compute(weights, [])
    with pytest.raises(ValueError, match="Expected weights of InceptionV3"):
        compute_features("InceptionV3", weights, IMAGES, "mixed10")
    with pytest.raises(ValueError, match="Received 'VGG19'"):
        compute_features("VGG19", weights, IMAGES, "mixed10")


def test_progress_is_shown_only_while_there_is_work(weights, cache, capsys):
    arguments = ("VGG16", weights, IMAGES[:2], "block5_pool", cache)
    compute_features(*arguments, input_shape=SMALL)
    assert "VGG16 features at block5_pool" in capsys.readouterr().err
    compute_features(*arguments, input_shape=SMALL)
    assert capsys.readouterr().err == ""


def test_features_of_the_pretrained_base_are_equal_with_and_without_cache(weights_dir, cache):
    source = resolve_weights("VGG16", explicit=weights_dir)
    compute_features("VGG16", source, IMAGES[:2], "block4_pool", cache, progress=False)
    chained = compute_features("VGG16", source, IMAGES[:2], "block5_pool", cache, progress=False)
    plain = compute_features("VGG16", source, IMAGES[:2], "block5_pool", progress=False)
    np.testing.assert_allclose(chained, plain, rtol=1e-5, atol=1e-5)
    assert plain.shape == (2, 4, 4, 512)
