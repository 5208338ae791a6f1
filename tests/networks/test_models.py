"""The networks of section 3.3: exact counts, the cut, what is frozen, seeds."""

import numpy as np
import pytest

from karyo_lib.networks.backend import compile_options, keras
from karyo_lib.networks.conditions import CONDITIONS, get_condition
from karyo_lib.networks.models import (
    CUTS,
    HEAD_LAYERS,
    build_model,
    count_parameters,
    describe_structure,
    get_cut,
    seed_head,
    split_model,
    summarize_layers,
)
from karyo_lib.networks.weights import resolve_weights

SMALL = (75, 75, 3)  # the least InceptionV3 takes


@pytest.fixture(scope="module")
def vgg16_random():
    return resolve_weights("VGG16", explicit="random")


@pytest.fixture(scope="module")
def inception_random():
    return resolve_weights("InceptionV3", explicit="random")


@pytest.fixture(scope="module")
def vgg16(vgg16_random):
    return build_model("VGG16", vgg16_random, trainable="all")


@pytest.fixture(scope="module")
def inception(inception_random):
    return build_model("InceptionV3", inception_random, trainable="all", momentum=0.8)


@pytest.fixture(scope="module")
def frozen_inception(inception_random):
    return build_model("InceptionV3", inception_random, momentum=0.8, input_shape=SMALL)


def test_parameter_counts_of_the_thesis(vgg16, inception):
    assert count_parameters(vgg16) == {
        "total": 14_847_297,
        "trainable": 14_846_785,
        "non_trainable": 512,
    }
    assert count_parameters(inception) == {
        "total": 22_328_609,
        "trainable": 22_293_665,
        "non_trainable": 34_944,
    }


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", 132_097),  # 512*256+256 + 2*256 + 256+1
        ("last-block", 132_097 + 3 * 2_359_808),
        ("last-two-blocks", 132_097 + 3 * 2_359_808 + 1_180_160 + 2 * 2_359_808),
    ],
)
def test_what_is_trained(vgg16_random, trainable, expected):
    model = build_model("VGG16", vgg16_random, trainable=trainable, input_shape=(32, 32, 3))
    assert count_parameters(model)["trainable"] == expected
    trunk, tail = split_model(model, get_cut("VGG16", trainable))
    assert count_parameters(trunk)["trainable"] == 0
    assert count_parameters(tail)["trainable"] == expected


def test_output_shapes_of_figures_3_5_and_3_6(vgg16, inception):
    shapes = summarize_layers(vgg16).set_index("layer")["output_shape"]
    assert shapes["block3_pool"] == "18 x 18 x 256"
    assert shapes["block4_pool"] == "9 x 9 x 512"
    assert shapes["block5_pool"] == "4 x 4 x 512"
    top = summarize_layers(inception, start="mixed10")
    assert list(top["layer"]) == ["mixed10", *HEAD_LAYERS]
    assert list(top["output_shape"]) == ["3 x 3 x 2048"] * 2 + ["2048"] + ["256"] * 3 + ["1"]
    assert list(top["parameters"]) == [0, 0, 0, 524_544, 1_024, 0, 257]


def test_structure_of_figures_3_7_and_4_13(vgg16_random, inception):
    model = build_model("VGG16", vgg16_random, trainable="last-two-blocks")
    structure = describe_structure(model).set_index("block")
    assert list(structure.index) == ["input", *(f"block{n}" for n in range(1, 6)), *HEAD_LAYERS]
    assert dict(structure["trainable"].iloc[1:6]) == {
        "block1": "no",
        "block2": "no",
        "block3": "no",
        "block4": "yes",
        "block5": "yes",
    }
    assert structure.loc["block5", "layer_types"] == "3 x Conv2D, MaxPooling2D"
    assert structure["parameters"].sum() == 14_847_297
    blocks = describe_structure(inception)
    assert list(blocks["block"]) == ["input", "stem", *(f"mixed{n}" for n in range(11)), *HEAD_LAYERS]
    assert blocks["layers"].sum() == len(inception.layers)
    assert blocks["parameters"].sum() == 22_328_609


def test_trunk_then_tail_is_the_network(vgg16_random):
    model = build_model("VGG16", vgg16_random, trainable="last-block", input_shape=(32, 32, 3))
    trunk, tail = split_model(model, "block4_pool")
    images = np.random.default_rng(0).normal(0, 50, (3, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(tail(trunk(images)), model(images), rtol=1e-6)
    assert split_model(model, "input") == (None, model)


def test_a_tail_survives_saving_and_safe_loading(vgg16_random, tmp_path):
    model = build_model("VGG16", vgg16_random, input_shape=(64, 64, 3))
    _, tail = split_model(model, "block5_pool")
    tail.save(tmp_path / "tail.keras")
    loaded = keras.saving.load_model(tmp_path / "tail.keras", safe_mode=True)
    features = np.random.default_rng(0).normal(size=(4, 2, 2, 512)).astype("float32")
    np.testing.assert_array_equal(loaded(features), tail(features))


@pytest.mark.parametrize(("network", "moves"), [("frozen_inception", False), ("inception", True)])
def test_batch_normalization_of_a_frozen_base_stays_in_inference_mode(network, moves, request):
    model = request.getfixturevalue(network)
    in_base = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name not in HEAD_LAYERS
    ]
    before = [np.array(layer.moving_mean) for layer in in_base]
    images = np.random.default_rng(0).uniform(-1, 1, (2, *model.input.shape[1:])).astype("float32")
    model(images, training=True)
    changed = [
        bool(np.any(np.array(layer.moving_mean) != b)) for layer, b in zip(in_base, before, strict=True)
    ]
    assert len(changed) == 94
    assert all(changed) if moves else not any(changed)


def test_a_seed_is_a_head(vgg16_random):
    model = build_model("VGG16", vgg16_random, input_shape=(32, 32, 3), seed=1)
    start = [np.array(v) for v in model.variables]
    kernel = np.array(model.get_layer("hidden").kernel)
    limit = np.sqrt(6 / (512 + 256))
    assert np.abs(kernel).max() <= limit
    assert np.std(kernel) == pytest.approx(limit / np.sqrt(3), rel=0.01)
    seed_head(model, 2)
    assert np.abs(np.array(model.get_layer("hidden").kernel) - kernel).mean() > limit / 10
    model.compile("adam", "binary_crossentropy", **compile_options())
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    model.train_on_batch(images, np.array([0, 1, 0, 1], "float32"))
    seed_head(model, 1)
    for after, before in zip(model.variables, start, strict=True):
        np.testing.assert_array_equal(np.array(after), before)


def test_dropout_of_zero_is_allowed_and_of_one_is_not(vgg16_random):
    assert build_model("VGG16", vgg16_random, dropout=0.0, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"dropout rate in \[0, 1\)\. Received 1"):
        build_model("VGG16", vgg16_random, dropout=1)


def test_momentum_is_that_of_the_layers_that_are_trained(frozen_inception, inception, inception_random):
    for model, expected in ((frozen_inception, {0.99: 94, 0.8: 1}), (inception, {0.8: 95})):
        momenta = [x.momentum for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert {m: momenta.count(m) for m in set(momenta)} == expected
    with pytest.raises(ValueError, match=r"momentum in \[0, 1\)\. Received 1"):
        build_model("InceptionV3", inception_random, momentum=1)


def test_choices_that_do_not_exist(vgg16_random, vgg16):
    with pytest.raises(ValueError, match=r"InceptionV3 with head, all trainable\. Received 'last-block'"):
        get_cut("InceptionV3", "last-block")
    with pytest.raises(ValueError, match=r"VGG16, InceptionV3\. Received 'VGG19'"):
        get_cut("VGG19", "head")
    with pytest.raises(ValueError, match="Expected weights of InceptionV3"):
        build_model("InceptionV3", vgg16_random)
    with pytest.raises(ValueError, match="Received 'block9'"):
        summarize_layers(vgg16, start="block9")


def test_the_seven_conditions_of_table_5_1():
    assert len({c.key for c in CONDITIONS}) == len(CONDITIONS) == 7
    assert all(c.trainable in CUTS[c.base] for c in CONDITIONS)
    assert sum(c.fine_tuned for c in CONDITIONS) == 3
    assert get_condition("augmented-inceptionv3-full").trainable == "all"
    with pytest.raises(ValueError, match=r"augmented-vgg16-frozen.*Received 'vgg'"):
        get_condition("vgg")
