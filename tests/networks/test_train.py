"""Training of a condition: reproducible, the same cached and uncached, stored, resumable."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from karyo_lib.networks import fitting, train
from karyo_lib.networks.conditions import Condition, get_condition
from karyo_lib.networks.features import FeatureCache, compute_features, preprocess
from karyo_lib.networks.fitting import DivergenceError, Examples, Trainer, TrainSettings
from karyo_lib.networks.models import build_model, get_cut, split_model
from karyo_lib.networks.train import fit_condition, load_fit

FROZEN = get_condition("augmented-vgg16-frozen")
LAST_BLOCK = get_condition("augmented-vgg16-last-block")
SHAPE = (32, 32, 3)


@pytest.fixture
def fit(pages, split, as_miniature, quick):
    def run(condition=FROZEN, settings=quick, pages=pages, split=split, **kwargs):
        return fit_condition(condition, pages, split, settings, as_miniature, progress=False, **kwargs)

    return run


def weights_differ(one, other):
    return max(np.abs(a - b).max() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_condition_learns_and_says_what_it_did(fit, split, quick):
    result = fit(settings=replace(quick, epochs=12))
    history, best = result.history, result.best_epoch
    assert list(history["epoch"]) == list(range(1, 13))
    assert {f"{p}{m}" for p in ("", "val_") for m in ("loss", "auc", "precision", "recall")} <= set(history)
    order = history.sort_values(["val_auc", "val_loss"], ascending=[False, True])
    assert best == order["epoch"].iloc[0]
    predictions = result.predictions.set_index("image_id")
    assert list(predictions.index) == list(split["image_id"])
    test = predictions[predictions["part"] == "test"]
    assert ((test["p"] > 0.5) == test["y_true"]).all()  # the task is easy
    val = predictions[predictions["part"] == "val"]
    said = history.set_index("epoch")["val_loss"][best]
    assert log_loss(val["y_true"], val["p"].astype(float)) == pytest.approx(said, rel=1e-4)
    assert (result.cut, len(result.predictions), result.purity) == ("block5_pool", 34, "random")


def test_two_runs_are_equal_to_the_bit(fit):
    first = fit()
    other_seed = fit(settings=replace(first.settings, seed=2))
    train._compile_tail.cache_clear()
    second = fit()
    pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)
    drop = {"columns": "seconds"}
    pd.testing.assert_frame_equal(first.history.drop(**drop), second.history.drop(**drop), check_exact=True)
    assert weights_differ(first.model, second.model) == 0
    assert weights_differ(first.model, other_seed.model) > 0.01


def test_global_random_state_has_no_say(fit):
    np.random.seed(1)  # noqa: NPY002
    first = fit()
    np.random.seed(2)  # noqa: NPY002
    assert weights_differ(first.model, fit().model) == 0


def compare_cached_with_uncached(weights, trainable, pages, folder):
    y = np.arange(len(pages)) % 2
    settings = TrainSettings(epochs=2, batch_size=8, learning_rate=1e-2, seed=3, optimizer="sgd")
    arguments = {"trainable": trainable, "input_shape": SHAPE}
    whole = build_model("VGG16", weights, **arguments)
    images = preprocess("VGG16", pages, SHAPE)
    uncached = Trainer(whole, "sgd").fit(
        Examples(images[:20], y[:20]), Examples(images[20:], y[20:]), settings
    )

    cut = get_cut("VGG16", trainable)
    _, tail = split_model(build_model("VGG16", weights, **arguments), cut)
    for _ in range(2):  # computed, then from disk
        x = compute_features(
            "VGG16", weights, pages, cut, FeatureCache(folder), progress=False, input_shape=SHAPE
        )
    cached = Trainer(tail, "sgd").fit(Examples(x[:20], y[:20]), Examples(x[20:], y[20:]), settings)

    np.testing.assert_allclose(cached.history["loss"], uncached.history["loss"], rtol=1e-5)
    compared = 0
    for layer in tail.layers[1:]:
        for a, b in zip(layer.get_weights(), whole.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
            compared += a.size
    assert compared == tail.count_params()


# Plain SGD in both tests: Adam divides by gradients near zero, and so amplifies rounding.
@pytest.mark.parametrize("trainable", ["head", "last-block", "last-two-blocks"])
def test_cached_and_uncached_training_give_the_same_weights(as_miniature, pages, trainable, tmp_path):
    compare_cached_with_uncached(as_miniature, trainable, list(pages.values()), tmp_path)


def test_cached_and_uncached_training_give_the_same_weights_of_vgg16(random_vgg16, pages, tmp_path):
    compare_cached_with_uncached(random_vgg16, "last-block", list(pages.values())[:24], tmp_path)


def test_a_finished_condition_is_found_again(fit, tmp_path, monkeypatch):
    first = fit(store=tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))
    monkeypatch.setattr(train, "get_trainer", lambda *a: pytest.fail("trained again"))
    second = fit(store=tmp_path)
    pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert weights_differ(first.model, second.model) == 0
    assert (second.condition, second.settings, second.best_epoch) == (
        first.condition,
        first.settings,
        first.best_epoch,
    )
    assert second.seconds == first.seconds
    np.testing.assert_array_equal(load_fit(tmp_path).predictions["p"], first.predictions["p"])


def test_another_experiment_is_not_mistaken_for_the_stored_one(fit, pages, tmp_path):
    fit(store=tmp_path)
    pixel = {**pages, "page00": pages["page00"] ^ 1}
    result = fit(store=tmp_path, pages=pixel)
    np.testing.assert_array_equal(result.predictions["p"], fit(pages=pixel).predictions["p"])


def test_the_key_of_a_result_is_all_it_depends_on(pages, split, quick, random_vgg16):
    pictures = list(pages.values())
    key = train._key(FROZEN, split, pictures, quick, random_vgg16)
    assert key == train._key(FROZEN, split.copy(), [p.copy() for p in pictures], replace(quick), random_vgg16)
    others = [
        train._key(LAST_BLOCK, split, pictures, quick, random_vgg16),
        train._key(FROZEN, split.assign(part="train"), pictures, quick, random_vgg16),
        train._key(FROZEN, split, pictures[::-1], quick, random_vgg16),
        train._key(FROZEN, split, pictures, replace(quick, dropout=0.4), random_vgg16),
        train._key(FROZEN, split, pictures, quick, replace(random_vgg16, digest="other")),
    ]
    assert len({key, *others}) == 6


def test_a_damaged_store_is_trained_again(fit, tmp_path):
    first = fit(store=tmp_path)
    for name in ("fit.json", "history.csv", "predictions.csv", "model.keras"):
        (tmp_path / name).write_bytes(b"{")
        assert load_fit(tmp_path) is None
        again = fit(store=tmp_path)
        np.testing.assert_array_equal(again.predictions["p"], first.predictions["p"])


def test_an_empty_folder_holds_no_result(tmp_path):
    assert load_fit(tmp_path) is None
    assert load_fit(tmp_path / "absent") is None


def test_an_interrupted_fine_tuning_goes_on_where_it_was(fit, quick, tmp_path, monkeypatch):
    settings = replace(quick, epochs=4, optimizer="adam", learning_rate=1e-4)
    whole = fit(LAST_BLOCK, settings)
    original = fitting._EpochMemory.on_epoch_end
    trained = []

    def stop_after_two(self, epoch, logs=None):
        original(self, epoch, logs)
        trained.append(epoch)
        if trained == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting._EpochMemory, "on_epoch_end", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        fit(LAST_BLOCK, settings, store=tmp_path)
    assert len(list(tmp_path.glob("checkpoint-*.npz"))) == 1
    resumed = fit(LAST_BLOCK, settings, store=tmp_path)
    assert trained == [0, 1, 2, 3]
    assert not list(tmp_path.glob("checkpoint-*"))
    drop = {"columns": "seconds"}
    pd.testing.assert_frame_equal(whole.history.drop(**drop), resumed.history.drop(**drop), rtol=1e-4)
    np.testing.assert_allclose(resumed.predictions["p"], whole.predictions["p"], atol=1e-4)


def test_a_checkpoint_of_other_settings_is_dropped(fit, quick, tmp_path):
    (tmp_path / "checkpoint-0123.npz").write_bytes(b"of another experiment")
    fit(LAST_BLOCK, replace(quick, epochs=1), store=tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_patience_stops_early_and_keeps_the_best(fit, quick):
    result = fit(settings=replace(quick, epochs=40, patience=3))
    assert len(result.history) == result.best_epoch + 3


def test_validation_is_what_keras_evaluates(as_miniature, quick):
    rng = np.random.default_rng(1)
    examples = Examples(rng.normal(size=(70, 1, 1, 24)).astype("float32"), np.arange(70) % 3 // 2)
    _, tail = split_model(
        build_model("VGG16", as_miniature, input_shape=SHAPE, seed=quick.seed), "block5_pool"
    )
    trainer = Trainer(tail)
    trainer.fit(examples, examples, quick)
    told = fitting.compute_validation(trainer.model, examples)
    keras_told = trainer.model.evaluate(examples.x, examples.y, verbose=0, return_dict=True)
    assert set(told) == set(keras_told) == set(fitting.METRICS)
    for name in fitting.METRICS:  # Keras's AUC takes 200 thresholds
        assert told[name] == pytest.approx(keras_told[name], abs=0.02 if name == "auc" else 1e-5)
    trainer.model.set_weights([np.full_like(w, np.nan) for w in trainer.model.get_weights()])
    assert np.isnan(list(fitting.compute_validation(trainer.model, examples).values())).all()


def test_divergence_is_an_error_with_a_remedy(fit, quick):
    with pytest.raises(DivergenceError, match=r"learning rate of 1e\+30: lower it"):
        fit(settings=replace(quick, learning_rate=1e30, optimizer="sgd"))


def test_features_for_new_pages_want_the_same_weights(fit, pages, as_miniature):
    result = fit()
    features = result.compute_features(list(pages.values())[:3], as_miniature, progress=False)
    p = result.model.predict(features, verbose=0)[:, 0]
    np.testing.assert_allclose(p, result.predictions["p"][:3], atol=1e-6)
    with pytest.raises(ValueError, match=r"weights this network was trained on .* Received other"):
        result.compute_features([], replace(as_miniature, digest="other"))


def test_progress_names_the_condition(pages, split, as_miniature, quick, capsys):
    fit_condition(FROZEN, pages, split, quick, as_miniature)
    shown = capsys.readouterr().err
    assert FROZEN.title in shown
    assert "val_auc" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign(label="sick"), r"label among normal, abnormal\. Received \['sick'\]"),
        (lambda s: s.assign(part="fold1"), r"part among train, val, test\. Received \['fold1'\]"),
        (lambda s: s.drop(columns="part"), r"columns image_id, label, part\. Received none of \{'part'\}"),
        (lambda s: pd.concat([s, s[:1]]), r"each image once.*'page00'"),
        (lambda s: s.assign(image_id=s["image_id"] + "x"), r"Received none for 34, such as 'page00x'"),
        (
            lambda s: s[(s["label"] == "normal") | (s["part"] != "train")],
            r"both classes\. Received only normal",
        ),
        (lambda s: s[s["part"] != "val"], r"both classes\. Received only an empty part"),
    ],
)
def test_a_split_that_cannot_be_trained_on(fit, split, change, message):
    with pytest.raises(ValueError, match=message):
        fit(split=change(split))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"patience": 0},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected"):
        TrainSettings(**wrong)


def test_a_base_is_fine_tuned_in_full(fit):
    result = fit(Condition("own", "Whole network", "augmented", "VGG16", "all"))
    assert result.cut == "input"
    assert result.model.input.shape[1:] == SHAPE
    assert result.predictions["p"].between(0, 1).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_is_every_image_once_in_a_seeded_order(n, batch_size, seed, epoch):
    examples = Examples(np.arange(n + 1, dtype="float32")[:, None], np.arange(n + 1) % 2)
    batches = fitting._Batches(examples, batch_size, seed, epoch)
    seen = [float(x) for position in range(len(batches)) for x in batches[position][0][:, 0]]
    assert sorted(seen) == list(range(n + 1))
    later = fitting._Batches(examples, batch_size, seed, 0)
    for _ in range(epoch):
        later.on_epoch_end()
    assert seen == [float(x) for position in range(len(later)) for x in later[position][0][:, 0]]
