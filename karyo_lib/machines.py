"""Work on many machines: what runs through joblib inside :func:`on_cluster` runs on the workers of a Dask
scheduler. They need karyo and must see the run's folder (and karyo's cache, to share features) under the same
paths. A worker that dies takes its tasks with it only until the scheduler gives them to another one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import joblib
from joblib.externals.loky import process_executor

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER = "KARYO_SCHEDULER"
"""Environment variable with the scheduler's address, which a study's notebooks inherit."""
_CONNECT_SECONDS = 20
_MOST_GROWTH = 4_000_000_000  # bytes


def connect(scheduler: str) -> "Client":
    """A client of the Dask scheduler at 'tcp://host:port'; to be closed."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            "Expected the package distributed for --scheduler. Received an installation without it: "
            "pip install 'karyo[cluster]', or leave --scheduler out."
        ) from None
    if "://" not in scheduler:
        raise ValueError(f"Expected a Dask scheduler's address, 'tcp://host:port'. Received {scheduler!r}.")
    try:
        return Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(
            f"Expected a Dask scheduler at {scheduler!r}. Received no answer ({type(error).__name__}): "
            "start one with 'dask scheduler', or leave --scheduler out."
        ) from None


@contextmanager
def on_cluster() -> Iterator[bool]:
    """Let joblib work on the scheduler that ``KARYO_SCHEDULER`` names; gives whether there is one."""
    scheduler = os.environ.get(SCHEDULER)
    if not scheduler:
        yield False
        return
    with connect(scheduler) as client, joblib.parallel_config("dask", client=client):
        yield True


def keep_worker() -> None:
    """Let this worker grow by what a network and its engine take; called first in a job that may load one.
    Loky takes a worker that has grown by 300 MB for one that leaks; where several leave at once, the parent
    and the last of them can wait for each other for ever (seen with joblib 1.5)."""
    process_executor._MAX_MEMORY_LEAK_SIZE = _MOST_GROWTH


def count_processes(pieces: int, least: int) -> int:
    """How many processes share so many pieces of work: at most one a core, each with ``least`` or more."""
    return max(1, min(joblib.cpu_count(), pieces // least))
