"""Monte Carlo dropout: the distribution of the textbook loop, and what goes wrong when it is done naively."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from karyo_lib.networks.backend import keras
from karyo_lib.networks.inference import draw_masks, sample_dropout
from karyo_lib.networks.models import build_model, get_cut, seed_dropout, split_model

SHAPE = (96, 96, 3)  # 3 x 3 x 512 before the head
RNG_SEED = 5


@pytest.fixture(scope="module")
def tail(random_vgg16):
    _, tail = split_model(build_model("VGG16", random_vgg16, input_shape=SHAPE), "block5_pool")
    rng = np.random.default_rng(RNG_SEED)
    normalization = tail.get_layer("hidden_normalization")  # averages as training would leave them
    ones = np.ones(256, "float32")
    normalization.set_weights(
        [
            ones,
            0 * ones,
            rng.uniform(0.2, 0.8, 256).astype("float32"),
            rng.uniform(0.3, 2, 256).astype("float32"),
        ]
    )
    return tail


@pytest.fixture(scope="module")
def features():
    return np.abs(np.random.default_rng(RNG_SEED).normal(0, 2, (6, 3, 3, 512))).astype("float32")


def loop_with_masks(tail, features, map_masks, hidden_masks):
    """One pass at a time, dropout written out."""
    out = []
    for on_maps, on_hidden in zip(map_masks, hidden_masks, strict=True):
        x = tail.get_layer("pooling")(features * on_maps)
        x = tail.get_layer("hidden_normalization")(tail.get_layer("hidden")(x), training=False)
        out.append(keras.ops.convert_to_numpy(tail.get_layer("p_abnormal")(x * on_hidden))[:, 0])
    return np.array(out)


def textbook_loop(tail, features, passes, at_once=50):
    """Keras's own dropout layers switched on, everything else in inference mode; copies save calls."""
    seed_dropout(tail, RNG_SEED, 0)
    inputs = keras.ops.convert_to_tensor(np.repeat(features, at_once, axis=0))
    out = []
    for _ in range(passes // at_once):
        x = inputs
        for layer in tail.layers[1:]:
            x = layer(x, training=True) if isinstance(layer, keras.layers.Dropout) else layer(x)
        out.append(keras.ops.convert_to_numpy(x).reshape(len(features), at_once).T)
    return np.concatenate(out)


def test_same_masks_same_outputs(tail, features):
    masks = draw_masks(tail, 40, seed=3)
    sampled = sample_dropout(tail, features, passes=40, seed=3)
    assert sampled.shape == (40, 6)
    assert sampled.dtype == np.float32
    # equal but for the last bit, which may depend on how many rows a matrix product has
    np.testing.assert_allclose(sampled, loop_with_masks(tail, features, *masks), rtol=0, atol=2.5e-7)


def test_the_distribution_is_that_of_the_textbook_loop(tail, features):
    passes = 1500
    sampled, looped = sample_dropout(tail, features, passes, seed=1), textbook_loop(tail, features, passes)
    assert sampled.std(axis=0).min() > 0.01  # there is something to compare
    for image in range(features.shape[0]):
        assert ks_2samp(sampled[:, image], looped[:, image]).pvalue > 0.001
    standard_error = sampled.std(axis=0).max() * np.sqrt(2 / passes)
    np.testing.assert_allclose(sampled.mean(axis=0), looped.mean(axis=0), atol=4 * standard_error, rtol=0)
    np.testing.assert_allclose(sampled.std(axis=0), looped.std(axis=0), rtol=0.1)


def test_masks_keep_the_right_share_and_the_mean(tail):
    for mask in draw_masks(tail, 200, seed=0):
        assert set(np.unique(mask)) == {0.0, 2.0}  # rate 0.5
        kept = (mask > 0).mean()
        assert abs(kept - 0.5) < 4 * np.sqrt(0.25 / mask.size)


def test_naive_training_mode_gives_other_numbers_and_damages_the_network(tail, features):
    naive_model = keras.models.clone_model(tail)
    naive_model.set_weights(tail.get_weights())
    averages = np.array(naive_model.get_layer("hidden_normalization").moving_mean)
    naive = np.array([np.array(naive_model(features, training=True))[:, 0] for _ in range(100)])
    right = sample_dropout(tail, features, 300)
    assert np.abs(naive.mean(axis=0) - right.mean(axis=0)).max() > 0.03
    assert np.abs(np.array(naive_model.get_layer("hidden_normalization").moving_mean) - averages).max() > 0.01
    # a batch of one is normalised to zero: the image has no say, and the answer is sigmoid(bias) = 0.5
    assert {float(np.array(naive_model(features[i : i + 1], training=True))[0, 0]) for i in range(3)} == {0.5}
    assert sample_dropout(tail, features[:1], 50).std() > 0.01


def test_the_network_is_left_as_it_was(tail, features):
    before = [np.array(v) for v in tail.variables]
    sample_dropout(tail, features, 10)
    for variable, old in zip(tail.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), old)


def test_an_image_scores_the_same_in_any_company(tail, features):
    together = sample_dropout(tail, features, 30)
    for image in range(len(features)):
        alone = sample_dropout(tail, features[image : image + 1], 30)
        np.testing.assert_allclose(alone[:, 0], together[:, image], rtol=0, atol=2.5e-7)


def test_blocks_of_any_size_give_the_same(tail, features, monkeypatch):
    whole = sample_dropout(tail, np.tile(features, (20, 1, 1, 1)), 12)
    monkeypatch.setattr("karyo_lib.networks.inference._BLOCK_BYTES", 1)
    pieces = sample_dropout(tail, np.tile(features, (20, 1, 1, 1)), 12)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=2.5e-7)


def test_more_passes_begin_with_the_same_ones(tail, features):
    np.testing.assert_allclose(
        sample_dropout(tail, features, 20, seed=8)[:7], sample_dropout(tail, features, 7, seed=8), atol=2.5e-7
    )
    assert (
        np.abs(sample_dropout(tail, features, 7, seed=9) - sample_dropout(tail, features, 7, seed=8)).max()
        > 0.01
    )


def test_a_fine_tuned_base_is_sampled_too(random_vgg16):
    model = build_model("VGG16", random_vgg16, trainable="last-block", input_shape=(32, 32, 3))
    _, tail = split_model(model, get_cut("VGG16", "last-block"))
    x = np.abs(np.random.default_rng(0).normal(size=(3, 2, 2, 512))).astype("float32")
    sampled = sample_dropout(tail, x, 15, seed=2)
    certain = keras.Model(tail.input, tail.get_layer("features_dropout").input)
    looped = loop_with_masks(tail, np.array(certain(x)), *draw_masks(tail, 15, seed=2))
    np.testing.assert_allclose(sampled, looped, rtol=0, atol=1e-6)


def test_without_dropout_all_passes_agree(random_vgg16):
    model = build_model("VGG16", random_vgg16, dropout=0.0, input_shape=(32, 32, 3))
    _, tail = split_model(model, "block5_pool")
    x = np.ones((2, 1, 1, 512), "float32")
    sampled = sample_dropout(tail, x, 5)
    np.testing.assert_allclose(sampled, np.tile(np.array(tail(x))[:, 0], (5, 1)), atol=2.5e-7)


def test_wrong_arguments(tail, features):
    with pytest.raises(ValueError, match=r"at least 1 pass\. Received 0"):
        sample_dropout(tail, features, 0)
    with pytest.raises(ValueError, match=r"shape \(N, 3, 3, 512\)\. Received \(6, 3, 3, 100\)"):
        sample_dropout(tail, features[..., :100])
