"""Work on many machines: what runs through joblib inside :func:`on_cluster` runs on the workers of a Dask
scheduler. They need karyo and must see the run's folder (and karyo's cache, to share features) under the same
paths. A worker that dies takes its tasks with it only until the scheduler gives them to another one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import joblib

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER = "KARYO_SCHEDULER"
"""Environment variable with the scheduler's address, which a study's notebooks inherit."""
_CONNECT_SECONDS = 20


def connect(scheduler: str) -> "Client":
    """A client of the Dask scheduler at 'tcp://host:port'; to be closed."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            "Expected the package distributed for --scheduler. Received an installation without it: "
            "pip install 'karyo[cluster]', or leave --scheduler out."
        ) from None
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
