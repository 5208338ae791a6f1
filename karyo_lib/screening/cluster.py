"""Screening on many machines: a Dask scheduler deals chunks out, results come back in order, once.

Workers need karyo and must see the files, the model's too, under the same paths.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from karyo_lib.machines import connect
from karyo_lib.screening.cases import CaseFile
from karyo_lib.screening.package import load_package, shipped_reader
from karyo_lib.screening.result import Result
from karyo_lib.screening.screener import Screener

if TYPE_CHECKING:
    from distributed import Client

CHUNK = 32
_AHEAD = 3  # chunks waiting per worker


def screen_on_cluster(
    scheduler: str,
    model: Path | Literal["reading"],
    files: list[CaseFile],
    clear_below: float | None,
    heat_map: str = "grad-cam",
) -> Iterator[Result]:
    """Screen files, in order, on the workers of 'tcp://host:port'; ValueError without Dask or an answer."""
    with connect(scheduler) as client:
        own = model == "reading"
        digest = (shipped_reader() if own else load_package(model)).digest
        files = [replace(file, path=file.path.absolute()) for file in files]
        chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
        settings = ("reading" if own else str(model.resolve()), digest, clear_below, heat_map)
        for results in deal_out(client, screen_chunk, chunks, *settings):
            yield from results


def deal_out(client: "Client", job: Callable, chunks: list, *settings: object) -> Iterator[list]:
    """Yield ``job(chunk, *settings)`` of each chunk, in order, with a few chunks waiting per worker."""
    waiting: deque = deque()
    for chunk in chunks:
        waiting.append(client.submit(job, chunk, *settings, pure=False, retries=3))
        if len(waiting) > _AHEAD * max(1, len(client.scheduler_info()["workers"])):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def screen_chunk(
    files: list[CaseFile], model: str, digest: str, clear_below: float | None, heat_map: str
) -> list[Result]:
    """What a worker does."""
    return list(_screener(model, digest, clear_below, heat_map).screen_files(files))


@lru_cache(maxsize=2)
def _screener(model: str, digest: str, clear_below: float | None, heat_map: str) -> Screener:
    screener = Screener(model, workers=2, clear_below=clear_below, heat_map=heat_map)
    if screener.package.digest != digest:
        raise ValueError(
            "Expected the model that was sent out. Received another one under its path, or of another karyo."
        )
    return screener
