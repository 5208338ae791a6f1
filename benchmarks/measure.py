"""Two ways of doing the same, each in a process of its own, measured in turn.

A side keeps its process from beginning to end, so that its peak memory is its own; the sides take turns, so
that whatever else the machine does falls on both, and what is reported is the ratio of neighbouring runs.
"""

import os
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Job:
    """One side of a comparison; subclasses say what it does.

    Attributes
    ----------
    side : str
        Its name in the table; karyo's own is ``"karyo"``.
    times : float
        How many times what is measured makes the whole: 30 where one epoch of 30 is measured.
    note : str
        What was left out or extrapolated, in words.
    """

    side: str = "karyo"
    times: float = 1.0
    note: str = ""

    def prepare(self) -> Any:
        """Do what is not measured (imports, weights, tracing) and return what :meth:`run` takes."""
        raise NotImplementedError

    def run(self, state: Any) -> dict[str, float]:
        """Do the work once and return its numbers; ``seconds`` among them replaces the time measured."""
        raise NotImplementedError


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    name : str
        As ``--only`` takes it.
    title : str
    aim : float or None
        Least ratio (reference's time / karyo's time) hoped for on two cores; None for what is only shown.
    jobs : tuple of Job
        karyo's first.
    check : Job or None
        Says how far the results of both ways lie apart (``difference``).
    tolerance : float
        Largest difference that is rounding.
    missing : str
        References that could not be had here, and why.
    """

    name: str
    title: str
    aim: float | None
    jobs: tuple[Job, ...]
    check: Job | None = None
    tolerance: float = 1e-4
    missing: str = ""


_state: Any = None


def _prepare(job: Job) -> None:
    global _state
    _state = job.prepare()


def _run(job: Job) -> dict[str, float]:
    began = time.perf_counter()
    told = job.run(_state) or {}
    seconds = time.perf_counter() - began
    return {"seconds": seconds, **told}


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.is_file():  # Linux hands the peak of getrusage down from the process that started this one
        kilobytes = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM:")).split()[1]
        return int(kilobytes) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(jobs: Sequence[Job], repeats: int = 3) -> pd.DataFrame:
    """Run jobs in turn, each in its own process.

    Parameters
    ----------
    jobs : sequence of Job
        Sides of one comparison.
    repeats : int
        Turns.

    Returns
    -------
    pandas.DataFrame
        One row a side and turn: ``side``, ``repeat``, ``seconds`` (of the whole, `times` counted in),
        ``measured_seconds``, ``peak_mib`` (of the side's process, the same in all turns), ``load`` (of the
        machine over the last minute), ``note``, and whatever else the job returned.
    """
    rows = []
    with ExitStack() as stack:
        context = get_context("spawn")
        pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=context)) for _ in jobs]
        for pool, job in zip(pools, jobs, strict=True):
            pool.submit(_prepare, job).result()
        for repeat in range(repeats):
            for pool, job in zip(pools, jobs, strict=True):
                told = pool.submit(_run, job).result()
                measured = told.pop("seconds")
                rows.append(
                    {
                        "side": job.side,
                        "repeat": repeat,
                        "seconds": measured * job.times,
                        "measured_seconds": measured,
                        "load": os.getloadavg()[0],
                        "note": job.note,
                        **told,
                    }
                )
        peaks = {job.side: pool.submit(_peak_mib).result() for pool, job in zip(pools, jobs, strict=True)}
    table = pd.DataFrame(rows)
    table["peak_mib"] = table["side"].map(peaks)
    if "child_mib" in table:  # the work was done by a process that the side started
        table["peak_mib"] = table["child_mib"].fillna(table["peak_mib"])
    return table


def compute_ratios(turns: pd.DataFrame, value: str = "seconds") -> pd.DataFrame:
    """Return how many times karyo's figure another side's is, from neighbouring turns.

    Parameters
    ----------
    turns : pandas.DataFrame
        Of :func:`measure`.
    value : str
        Column compared: for ``seconds`` 3 means that karyo takes a third of the time.

    Returns
    -------
    pandas.DataFrame
        One row a reference: ``side``, ``ratio`` (median), ``q25``, ``q75``, ``karyo`` and ``reference``
        (median figures), ``karyo_mib``, ``reference_mib``.
    """
    by_side = turns.pivot(index="repeat", columns="side", values=value)
    peaks = turns.groupby("side")["peak_mib"].max()
    rows = []
    for side in by_side.columns.drop("karyo"):
        ratios = by_side[side] / by_side["karyo"]
        q25, ratio, q75 = np.quantile(ratios, [0.25, 0.5, 0.75])
        rows.append(
            {
                "side": side,
                "ratio": ratio,
                "q25": q25,
                "q75": q75,
                "karyo": by_side["karyo"].median(),
                "reference": by_side[side].median(),
                "karyo_mib": peaks["karyo"],
                "reference_mib": peaks[side],
            }
        )
    return pd.DataFrame(rows)
