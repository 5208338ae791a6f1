"""Chunks on a Dask cluster whose workers die and come back: nothing lost, nothing doubled, order kept."""

import os
import signal
from contextlib import nullcontext

import pytest

from karyo_lib.screening import folder
from karyo_lib.screening.folder import deal_out
from karyo_lib.screening.package import shipped_reader


@pytest.mark.filterwarnings("ignore")  # Dask's own, while its workers are killed
def test_a_killed_worker_loses_and_doubles_nothing():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")

    def job(chunk, factor):  # in here, so that it travels whole
        import time

        time.sleep(0.05)
        return [factor * i for i in chunk]

    chunks = [list(range(10 * k, 10 * k + 10)) for k in range(60)]
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(n_workers=2, silence_logs=50, **options) as folder,
        distributed.Client(folder, set_as_default=False) as client,
    ):
        before = client.run(os.getpid)
        found = []
        for number, results in enumerate(deal_out(client, job, chunks, 3)):
            found += results
            if number == 10:
                os.kill(next(iter(before.values())), signal.SIGKILL)
            if number == 20:
                folder.scale(3)
        after = client.run(os.getpid)
    assert found == [3 * i for i in range(600)]
    assert set(after.values()) != set(before.values())


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    from karyo_lib import machines as connection

    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 1)
    with pytest.raises(ValueError, match=r"tcp://127\.0\.0\.1:9.*no answer"):
        next(folder.screen_on_cluster("tcp://127.0.0.1:9", tmp_path / "m.karyo", [], None))


def test_the_reader_needs_no_file_on_a_cluster(monkeypatch):
    sent = []
    monkeypatch.setattr(folder, "connect", lambda scheduler: nullcontext())
    monkeypatch.setattr(folder, "deal_out", lambda client, job, chunks, *how: sent.append(how) or [])
    assert list(folder.screen_on_cluster("tcp://x:1", "reading", [], None)) == []
    assert sent == [("reading", shipped_reader().digest, None, "grad-cam")]
    assert folder._screener(*sent[0]).package.recipe.method == "reading"
