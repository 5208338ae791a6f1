"""Bayesian search: finds a known optimum, survives failures and interruptions, never sees test data."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.networks import train
from karyo_lib.networks.backend import keras
from karyo_lib.networks.fitting import DivergenceError, Examples, TrainSettings
from karyo_lib.networks.search import (
    COLUMNS,
    HeadObjective,
    SearchSettings,
    choose_best,
    compute_partial_dependence,
    run_search,
)
from karyo_lib.networks.weights import resolve_weights

SETTINGS = SearchSettings(trials=9, seed=3)
LONG = replace(SETTINGS, trials=20)


def bowl(learning_rate, batch_size):
    """Optimum 0.2 at a learning rate of 3e-3 and a batch size of 32."""
    loss = 0.2 + 0.1 * np.log10(learning_rate / 3e-3) ** 2 + 0.05 * np.log2(batch_size / 32) ** 2
    return {"val_loss": loss, "val_accuracy": 1 / (1 + loss)}


def run(objective=bowl, settings=SETTINGS, **kwargs):
    return run_search(objective, settings, progress=False, **kwargs)


@pytest.fixture(scope="module")
def usual():
    return run()


@pytest.fixture(scope="module")
def long():
    """A search of twenty trials, and the kinds of what it was asked with."""
    kinds = set()

    def recording(learning_rate, batch_size):
        kinds.add((type(learning_rate), type(batch_size)))
        return bowl(learning_rate, batch_size)

    return run(recording, LONG), kinds


def same(one, other):
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True
    )


def test_a_known_optimum_is_found(long):
    trials, _ = long
    assert tuple(trials.columns) == COLUMNS
    assert list(trials["trial"]) == list(range(1, 21))
    best = choose_best(trials)
    assert best["val_loss"] < 0.24
    assert 1e-3 < best["learning_rate"] < 1e-2
    assert 16 <= best["batch_size"] <= 64
    guided, spread = trials["val_loss"][6:], trials["val_loss"][:6]
    assert guided.median() < spread.median()


def test_points_lie_in_the_range_of_the_thesis(long):
    trials, kinds = long
    assert trials["learning_rate"].between(1e-5, 1e-1).all()
    assert trials["batch_size"].between(8, 512).all()
    assert kinds == {(float, int)}  # not numpy's, which Keras does not take


def test_a_seed_is_a_search(usual):
    same(run(), usual)
    other = run(settings=replace(SETTINGS, seed=4, trials=7))
    assert not other["learning_rate"].equals(usual["learning_rate"][:7])


def test_failed_trials_are_recorded_and_the_search_moves_on():
    def fragile(learning_rate, batch_size):
        if learning_rate > 1e-2:
            raise DivergenceError("The loss was no finite number.")
        if batch_size > 256:
            raise MemoryError("batch of 512")
        if batch_size < 12:
            return {"val_loss": float("nan"), "val_accuracy": 0.5}
        return bowl(learning_rate, batch_size)

    trials = run(fragile, replace(SETTINGS, trials=24, initial_points=10))
    by_status = trials.groupby("status")["val_loss"]
    assert {"ok", "diverged", "out of memory"} <= set(by_status.groups)
    failed = trials[trials["status"] != "ok"]
    assert failed["val_loss"].isna().all()
    assert (failed["message"] != "").all()
    assert not failed[["learning_rate", "batch_size"]].duplicated().any()  # not proposed again
    assert choose_best(trials)["val_loss"] < 0.3


def test_a_search_that_only_fails_ends_and_says_why():
    def broken(learning_rate, batch_size):
        raise RuntimeError("OOM when allocating tensor: RESOURCE_EXHAUSTED")

    trials = run(broken, replace(SETTINGS, trials=8))
    assert set(trials["status"]) == {"out of memory"}
    with pytest.raises(ValueError, match=r"at least one successful trial.*RESOURCE_EXHAUSTED"):
        choose_best(trials)
    with pytest.raises(ValueError, match=r"at least 3 successful trials\. Received 0"):
        compute_partial_dependence(trials, SETTINGS)


@pytest.mark.parametrize("points_at_once", [1, 3])
def test_an_interrupted_search_goes_on_as_it_would_have(tmp_path, points_at_once, usual):
    settings = replace(SETTINGS, trials=9, points_at_once=points_at_once)
    calls = []

    def interrupted(learning_rate, batch_size):
        calls.append(learning_rate)
        if len(calls) == 7:
            raise KeyboardInterrupt
        if len(calls) == 3:
            raise RuntimeError("once")
        return bowl(learning_rate, batch_size)

    store = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, settings, store=store, key="data")
    assert len(store.read_text().splitlines()) == 1 + 6
    resumed = run(interrupted, settings, store=store, key="data")
    assert len(calls) == 7 + 3
    assert resumed["status"].tolist()[2] == "failed"
    if points_at_once == 1:
        np.testing.assert_array_equal(resumed["learning_rate"][:6], usual["learning_rate"][:6])
    again = run(lambda *point: pytest.fail("tried again"), settings, store=store, key="data")
    same(again, resumed)


def test_resuming_changes_nothing(tmp_path, usual):
    store = tmp_path / "search.json"
    run(settings=replace(SETTINGS, trials=7), store=store)
    same(run(store=store), usual)


def test_another_search_or_a_damaged_file_is_not_taken_over(tmp_path, usual):
    store = tmp_path / "search.json"
    few = replace(SETTINGS, trials=3)
    run(lambda *point: {"val_loss": 9.0, "val_accuracy": 0.0}, few, store=store, key="other data")
    same(run(store=store, key="data"), usual)
    other = replace(few, seed=5)
    same(run(settings=other, store=store, key="data"), run(settings=other))
    store.write_text('{"key": ')
    same(run(store=store, key="data"), usual)


def test_partial_dependence_shows_the_bowl(long):
    dependence = compute_partial_dependence(long[0], LONG, points=25)
    assert set(dependence["parameter"]) == {"learning_rate", "batch_size"}
    for parameter, optimum, ends in (("learning_rate", 3e-3, (1e-5, 1e-1)), ("batch_size", 32, (8, 512))):
        curve = dependence[dependence["parameter"] == parameter]
        assert (curve["value"].iloc[0], curve["value"].iloc[-1]) == pytest.approx(ends)
        lowest = curve.loc[curve["val_loss"].idxmin(), "value"]
        assert abs(np.log(lowest / optimum)) < np.log(4)
        assert (curve["std"] >= 0).all()


def test_failures_have_no_part_in_the_partial_dependence(usual):
    trials = usual
    broken = pd.concat([trials, trials.assign(status="failed", val_loss=np.nan)], ignore_index=True)
    pd.testing.assert_frame_equal(
        compute_partial_dependence(trials, SETTINGS, points=5),
        compute_partial_dependence(broken, SETTINGS, points=5),
    )


@pytest.mark.parametrize(
    "wrong",
    [{"trials": 0}, {"learning_rate": (1e-1, 1e-5)}, {"batch_size": (0, 8)}, {"points_at_once": 0}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected"):
        SearchSettings(**wrong)


@pytest.fixture(scope="module")
def objective():
    """The real one, on features that are easy to tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(0, 1, (60, 1, 1, 512)).astype("float32")
    x[y == 1, ..., :50] += 1
    weights = resolve_weights("VGG16", explicit="random")
    settings = TrainSettings(epochs=3, seed=1, input_shape=(32, 32, 3))
    return HeadObjective("VGG16", weights, Examples(x[:44], y[:44]), Examples(x[44:], y[44:]), settings)


def test_trials_share_one_compiled_head_and_do_not_influence_each_other(objective, monkeypatch):
    compiled = []
    original = keras.Model.compile
    monkeypatch.setattr(keras.Model, "compile", lambda *a, **k: compiled.append(1) or original(*a, **k))
    train._compile_tail.cache_clear()
    points = [(1e-3, 16), (1e-1, 512), (1e-3, 16)]
    first, _, third = [objective(*point) for point in points]
    assert first == third
    assert len(compiled) == 1


def test_a_search_over_heads(objective):
    trials = run(objective, replace(SETTINGS, trials=5, initial_points=3))
    assert set(trials["status"]) == {"ok"}
    best = choose_best(trials)
    assert best["val_loss"] == trials["val_loss"].min()
    assert 0 <= best["val_accuracy"] <= 1
    assert (trials["seconds"] > 0).all()


def test_divergence_is_noticed(objective):
    wild = replace(objective, settings=replace(objective.settings, optimizer="sgd"))
    trials = run(lambda rate, size: wild(1e30, size), replace(SETTINGS, trials=1))
    assert list(trials["status"]) == ["diverged"]


def test_progress_tells_the_best_loss(capsys):
    run_search(bowl, replace(SETTINGS, trials=2))
    shown = capsys.readouterr().err
    assert "Bayesian search" in shown
    assert "best=" in shown
