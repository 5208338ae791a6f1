"""A folder of karyograms in, a worklist out, here or on a cluster; what is finished is kept."""

import contextlib
import itertools
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm.auto import tqdm

from karyo_lib import __version__
from karyo_lib.judge import compute_smallest_n
from karyo_lib.machines import connect
from karyo_lib.screening import ALPHA, DELTA
from karyo_lib.screening.cases import CaseFile, find_files
from karyo_lib.screening.journal import (
    DECISIONS,
    Journal,
    Names,
    Result,
    group_files,
    read_patients,
    read_salt,
)
from karyo_lib.screening.package import Package, load_package, shipped_reader
from karyo_lib.screening.screener import Rule, Screener, model_name
from karyo_lib.screening.worklist import PICTURES, About, write_csv, write_worklist

if TYPE_CHECKING:
    from distributed import Client

CHUNK = 32
_AHEAD = 3  # chunks waiting per worker
_EVERY_SECONDS = 60  # between two partial worklists
_LEAST_RATIO = 20  # of screening time to the time a worklist takes


def screen_on_cluster(
    scheduler: str,
    model: Path | Literal["reading"],
    files: list[CaseFile],
    clear_below: float | None,
    heat_map: str = "grad-cam",
) -> Iterator[Result]:
    """Screen files, in order, on the workers of 'tcp://host:port'; ValueError without Dask or an answer.
    Workers need karyo and must see the files, the model's too, under the same paths."""
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


@dataclass(frozen=True)
class ScreenOptions:
    """How a folder is screened."""

    fresh: bool = False  # screen everything again; otherwise what is finished is kept
    workers: int | None = None  # threads that read files, per process
    scheduler: str = ""  # address of a Dask scheduler, 'tcp://host:port'; '' for this process alone
    clear_below: float | None = None  # in place of the package's threshold, without a promise
    patients: str = "none"  # {'none', 'show', 'mask'}; patient ids of ``metadata.csv`` in the worklist
    # Regular expression whose first group in a file's name is the patient, where no table names one.
    patient_pattern: str = ""
    practice: str = "constitutional"  # {'constitutional', 'acquired'}; of the patients' formulae
    mask_names: bool = False  # numbers in place of file names; ``names.csv`` tells them, and stays with you
    pictures: str = "auto"  # {'auto', 'inside', 'beside', 'none'}; see `write_worklist`
    heat_map: str = "grad-cam"  # {'grad-cam', 'occlusion'}; see `Screener`
    progress: bool = True

    def __post_init__(self) -> None:
        if self.pictures not in PICTURES:
            raise ValueError(
                f"Expected pictures to be one of {', '.join(PICTURES)}. Received {self.pictures!r}."
            )


@dataclass(frozen=True)
class Screened:
    """What came of a screening."""

    worklist: Path  # of ``worklist.html``
    files: int
    counts: dict[str, int]  # cases of each decision, most urgent first
    clears: bool  # whether the model has a threshold below which cases are cleared

    def __str__(self) -> str:
        cases = sum(self.counts.values())
        said = f"{cases} case{'s' * (cases != 1)} from {self.files} file{'s' * (self.files != 1)}"
        return f"{said}: {', '.join(f'{n} {decision}' for decision, n in self.counts.items())}"


def screen_folder(
    model: Package | str | os.PathLike,
    folder: str | os.PathLike,
    out: str | os.PathLike,
    options: ScreenOptions | None = None,
) -> Screened:
    """Screen all karyograms below a folder and write ``worklist.csv`` and ``worklist.html``.

    Results are added to ``journal.jsonl`` in `out` as they come. An interrupted screening leaves a worklist
    of what is finished; the same call goes on from there. Nothing outside `out` is written.

    Parameters
    ----------
    model : Package, path or 'reading'
        See :class:`karyo_lib.screening.Screener`.
    folder, out : path
    options : ScreenOptions, optional

    Returns
    -------
    Screened
        How many cases got which decision, and where the worklist is.

    Raises
    ------
    ValueError
        If the folder holds no file, the model cannot be used, or `out` holds the results of another model.
    """
    options = options or ScreenOptions()
    folder, out = Path(folder), Path(out)
    files = find_files(folder, leave_out=out)
    if out.resolve() == folder.resolve():
        raise ValueError("Expected an out folder other than the folder that is screened. Received the same.")
    screen, about = _open_source(model, options)
    known_patients = {}
    # where patients are not shown, a table without them is no fault: folders and names tell whose a cell is
    with contextlib.suppress(*([ValueError] if options.patients == "none" else [])):
        known_patients = read_patients(folder)
    groups = group_files((file.name for file in files), known_patients, options.patient_pattern)
    made_from = {
        "karyo": __version__,
        "model": about.digest,
        "threshold": repr(options.clear_below),
        "heat map": about.heat_map,
    }
    with contextlib.closing(Journal(out, made_from, fresh=options.fresh)) as journal:
        return _screen(screen, about, journal, files, groups, known_patients, options)


def _screen(
    screen: Callable[[list[CaseFile]], Iterator[Result]],
    about: About,
    journal: Journal,
    files: list[CaseFile],
    groups: dict[str, str],
    known_patients: dict[str, str],
    options: ScreenOptions,
) -> Screened:
    out, by_reading = journal.path.parent, about.method == "reading"
    names = Names(
        groups if by_reading else known_patients,
        options.patients,
        masked=options.mask_names,
        salt=read_salt(out) if options.patients == "mask" else b"",
    )

    def write() -> Screened:
        present = [entry for entry in journal.entries if entry.file in known]
        screened = len({entry.file for entry in present})
        by_patient = bool(by_reading and groups)
        told = replace(about, screened=screened, found=len(files))
        write_worklist(out, present, journal.read, names, told, options.pictures, by_patient)
        if by_patient:
            from karyo_lib.screening.patients import write_patients  # networks need nothing that reads

            write_patients(out, present, journal.read, groups, names, options.practice)
        if options.mask_names:
            key = ({"case": entry.number, "file": entry.file, "page": entry.page} for entry in present)
            write_csv(out / "names.csv", ("case", "file", "page"), key)
            (out / "names.csv").chmod(0o600)
        found = Counter(entry.decision for entry in present)
        counts = {decision: found[decision] for decision in DECISIONS}
        return Screened(out / "worklist.html", screened, counts, about.clears)

    known = {file.name for file in files}
    fingerprints = {file.name: file.fingerprint() for file in files}
    left = [file for file in files if not journal.holds(file.name, fingerprints[file.name])]
    bar = tqdm(
        total=len(files), initial=len(files) - len(left), desc="Screening", unit="image",
        disable=not options.progress, smoothing=0.05,
    )  # fmt: skip
    written, took = time.monotonic(), 0.0
    try:
        with _asked_to_stop() as asked, contextlib.closing(screen(left)) as results:
            for name, group in itertools.groupby(results, key=lambda result: result.file):
                journal.add(list(group), fingerprints[name])
                bar.update()
                if asked():
                    raise KeyboardInterrupt
                if time.monotonic() - written > max(_EVERY_SECONDS, _LEAST_RATIO * took):
                    began = time.monotonic()
                    write()
                    written = time.monotonic()
                    took = written - began
    finally:  # also when stopped: what is finished is of use
        bar.close()
        screened = write()
    return screened


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Ask for Ctrl-C, or a request to end, between images: raised inside a network's step it can damage
    TensorFlow's memory. A second Ctrl-C is raised at once."""
    got: list[int] = []

    def note(number: int, frame: object) -> None:
        if got:
            raise KeyboardInterrupt
        got.append(number)
        # Past Python's own streams, which may be in use at this very moment.
        os.write(2, b"\nStopping after the images at hand; Ctrl-C again stops at once.\n")

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):  # not where a shell has Ctrl-C ignored
                before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(got)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open_source(
    model: Package | str | os.PathLike, options: ScreenOptions
) -> tuple[Callable[[list[CaseFile]], Iterator[Result]], About]:
    """Where results come from, and what the worklist says of it."""
    if options.scheduler:
        if isinstance(model, Package):
            raise ValueError(
                "Expected a model file to screen on a cluster, or 'reading'. Received a package in memory: "
                "save it with save_package first."
            )

        own = model == "reading"
        package = shipped_reader() if own else load_package(model)

        def screen(files: list[CaseFile]) -> Iterator[Result]:
            how = options.clear_below, options.heat_map
            return screen_on_cluster(options.scheduler, model if own else Path(model), files, *how)
    else:
        screener = Screener(
            model, workers=options.workers, clear_below=options.clear_below, heat_map=options.heat_map
        )
        package, screen = screener.package, screener.screen_files
    about = About(
        model=model_name(model),
        digest=package.digest or "unsaved",
        method=package.recipe.method,
        heat_map=options.heat_map,
        threshold=_describe_threshold(package, options.clear_below),
        clears=bool(package.facts.get("promise of number"))
        or Rule.from_promise(package.promise, 0, options.clear_below).clear_below is not None,
        warning=str(package.facts.get("warning", "")),
        screened=0,
        found=0,
    )
    return screen, about


def _describe_threshold(package: Package, clear_below: float | None) -> str:
    if clear_below is not None:
        return f"Cleared below a probability of {clear_below:g}, set by the user. Nothing is promised."
    if promised := package.facts.get("promise of number"):
        return promised
    if package.promise is None:
        least = compute_smallest_n(ALPHA, DELTA)
        method = " --method reading" if package.recipe.method == "reading" else ""
        return (
            f"No operating threshold was fitted. To have one, run 'karyo train{method} --data DIR -o "
            "model.karyo' on your own labelled karyograms and screen with that model. It takes at least "
            f"{least} calibration cases that look normal, none of them abnormal, to promise at most "
            f"{100 * ALPHA:g} % missed."
        )
    return package.promise.sentence
