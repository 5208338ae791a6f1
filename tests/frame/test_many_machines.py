"""A cluster of two processes: the same results as here, a killed worker, an address that does not answer."""

import os
import shutil
import signal
import threading
import time

import pandas as pd
import pytest

from karyo_lib import machines as cluster
from karyo_lib.machines import SCHEDULER, connect, on_cluster
from karyo_lib.networks.search import SearchSettings, run_search
from karyo_lib.study.data.collection import prepare_collection, prepare_copies, prepare_splits
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset
from karyo_lib.study.networks.fits import fit_conditions
from karyo_lib.study.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, while its workers come and go
RECIPE = AlphaRecipe(normal=6, abnormal=6, size=(200, 200), seed=4)


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=2, silence_logs=50, **options) as local:
        yield local.scheduler_address


@pytest.fixture
def here_and_there(scheduler, monkeypatch):
    """Do something without and with the cluster, and say what each gave."""

    def both(work):
        monkeypatch.delenv(SCHEDULER, raising=False)
        here = work("here")
        monkeypatch.setenv(SCHEDULER, scheduler)
        return here, work("there")

    return both


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The index of a data set that was drawn here."""
    return draw_dataset(RECIPE, tmp_path_factory.mktemp("drawn"), progress=False)


def process_of_worker():
    return os.getpid()


def test_pages_drawn_by_workers_are_the_same(drawn, scheduler, tmp_path, monkeypatch):
    monkeypatch.setenv(SCHEDULER, scheduler)
    assert drawn["sha256"].nunique() == 12
    pd.testing.assert_frame_equal(drawn, draw_dataset(RECIPE, tmp_path, progress=False))


def test_a_search_on_workers_tries_the_same_points(here_and_there):
    def objective(learning_rate, batch_size):  # in here, so that it travels whole
        import os

        return {"val_loss": learning_rate * batch_size, "val_accuracy": float(os.getpid())}

    settings = SearchSettings(trials=8, initial_points=4, points_at_once=4, seed=1)
    here, there = here_and_there(lambda place: run_search(objective, settings, progress=False))
    columns = ["learning_rate", "batch_size", "val_loss", "status"]
    pd.testing.assert_frame_equal(here[columns], there[columns])
    assert set(here["val_accuracy"]) == {float(os.getpid())}
    assert os.getpid() not in set(there["val_accuracy"])


def test_fits_by_workers_are_the_same(here_and_there, tmp_path, monkeypatch):
    monkeypatch.setenv("KARYO_CACHE", str(tmp_path / "cache"))
    sizes = {"normal": 10, "abnormal": 10, "augmented_normal": 12, "augmented_abnormal": 12, "repeats": 1}

    def open_run(place):
        folder = str(tmp_path / place)
        return Run.open("smoke", run_dir=folder, weights="random", epochs_head=1, image_size=150, **sizes)

    first = open_run("here")
    prepare_collection(first)
    prepare_copies(first)
    prepare_splits(first)
    shutil.copytree(first.dir, tmp_path / "there")

    def fit(place):
        return fit_conditions(open_run(place), ["augmented-vgg16-frozen"]).predictions

    here, there = here_and_there(fit)
    assert len(here) == len(there) > 0
    pd.testing.assert_frame_equal(here, there, check_exact=False, atol=1e-5, rtol=0)


def test_a_worker_killed_while_drawing_loses_no_page(drawn, scheduler, tmp_path, monkeypatch):
    monkeypatch.setenv(SCHEDULER, scheduler)
    with connect(scheduler) as client:
        before = client.run(process_of_worker)

    def kill():
        while len(list(tmp_path.rglob("*.png"))) < 3:
            time.sleep(0.01)
        os.kill(next(iter(before.values())), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    there = draw_dataset(RECIPE, tmp_path, progress=False)
    with connect(scheduler) as client:
        assert set(client.run(process_of_worker).values()) != set(before.values())
    pd.testing.assert_frame_equal(drawn, there)


def test_a_scheduler_that_does_not_answer_is_named_soon(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"tcp://127\.0\.0\.1:9.*no answer"), on_cluster():
        pass
    assert time.monotonic() - began < 10


def test_without_an_address_nothing_changes(monkeypatch):
    monkeypatch.delenv(SCHEDULER, raising=False)
    with on_cluster() as spread:
        assert not spread
