"""Pages in, results out: read in parallel ahead of the network, in order, with bounded memory."""

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from karyo_lib.screening.cases import CaseFile, Page, list_files, read_pages
from karyo_lib.screening.decision import Rule, decide
from karyo_lib.screening.heatmap import crop_to_page, encode_heat
from karyo_lib.screening.judges import DIGITS, Judge, Look, open_judge
from karyo_lib.screening.package import Package, load_package, shipped_reader
from karyo_lib.screening.result import Result

_AHEAD = 4  # files read ahead per worker
_AT_ONCE = 2  # pages of one file in memory: a file may hold a hundred


class Screener:
    """Screens karyograms with a package, or with the reader that comes with karyo.

    Parameters
    ----------
    model : Package, path or 'reading'
        'reading' needs no training, and clears the number of chromosomes under the promise that comes with
        the reader, unless `clear_below` is given.
    workers : int, optional
        Threads that read files; all processors by default.
    clear_below : float, optional
        Clear below this probability of abnormal instead of the package's threshold, without any promise.
    method : {'network', 'reading'}, optional
        ``method='reading'`` is another way to say ``model='reading'``.
    heat_map : {'grad-cam', 'occlusion'}
        How to show what a network's decision rested on. Occlusion covers each pair of chromosomes in turn,
        which points at them, and takes some 25 times as long. The reader shows what it found.

    Raises
    ------
    karyo_lib.screening.package.PackageError
        If the file is no package that this karyo can use.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> from PIL import Image
    >>> page = karyo.draw_karyogram("47,XX,+21", style="digital", size=None)
    >>> Image.fromarray(page.image).save("page.png")
    >>> [(result.file, result.formula) for result in karyo.Screener("reading").screen(["page.png"])]
    [('page.png', '47,XX,+21')]
    """

    def __init__(
        self,
        model: Package | str | os.PathLike | None = None,
        *,
        workers: int | None = None,
        clear_below: float | None = None,
        method: str | None = None,
        heat_map: str = "grad-cam",
    ):
        if model in (None, "reading") and method in (None if model else "reading", "reading"):
            model = shipped_reader()
        if model is None:
            raise ValueError("Expected a package or method='reading'. Received neither.")
        self.package = model if isinstance(model, Package) else load_package(model)
        if method not in (None, self.package.recipe.method):
            raise ValueError(
                f"Expected a package of the method {method!r}. Received {self.package.recipe.method!r}."
            )
        if workers is not None and workers < 1:
            raise ValueError(f"Expected at least 1 worker. Received {workers}.")
        self.workers = workers or os.cpu_count() or 1
        self.rule = Rule.from_promise(
            self.package.promise, self.package.recipe.referral_confidence, clear_below
        )
        self.judge: Judge = open_judge(self.package, heat_map)

    def __repr__(self) -> str:
        recipe = self.package.recipe
        model = recipe.base if recipe.method == "network" else recipe.method
        return f"Screener({model!r}, clears: {'number alone' if self._clears_number else self.rule.basis})"

    @property
    def _clears_number(self) -> bool:
        """Whether its reader clears the number alone."""
        return bool(self.package.facts.get("promise of number")) and self.rule.clear_below is None

    def screen(self, paths: str | os.PathLike | Iterable[str | os.PathLike]) -> Iterator[Result]:
        """Screen a folder (all files below it) or files, and yield results in that order.

        A file that cannot be read gives a result with the decision 'quarantined'; a file of several pages one
        result a page. No more than a few files are in memory at a time.
        """
        return self.screen_files(list_files(paths))

    def screen_files(self, files: Iterable[CaseFile]) -> Iterator[Result]:
        batch: list[Page] = []
        waiting = 0
        for page in self._read_ahead(files):
            batch.append(page)
            waiting += not page.reason
            if waiting == self.judge.batch or len(batch) >= 4 * self.judge.batch:
                yield from self._judge(batch)
                batch, waiting = [], 0
        yield from self._judge(batch)

    def _read_ahead(self, files: Iterable[CaseFile]) -> Iterator[Page]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="karyo-read")
        ahead: deque[tuple[Iterator[Page], Future[list[Page]]]] = deque()

        def start(pages: Iterator[Page]) -> Future[list[Page]]:
            return pool.submit(lambda: list(itertools.islice(pages, _AT_ONCE)))

        def finish(pages: Iterator[Page], some: Future[list[Page]]) -> Iterator[Page]:
            while len(read := some.result()) == _AT_ONCE:
                yield from read
                some = start(pages)
            yield from read

        try:
            for file in files:
                pages = read_pages(file, self.package.recipe.page_size, native=self.judge.native)
                ahead.append((pages, start(pages)))
                if len(ahead) > _AHEAD * self.workers:
                    yield from finish(*ahead.popleft())
            while ahead:
                yield from finish(*ahead.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _judge(self, pages: list[Page]) -> list[Result]:
        readable = [page for page in pages if not page.reason]
        looks = iter(self.judge.look(readable) if readable else ())
        return [_quarantine(page) if page.reason else self._decide(page, next(looks)) for page in pages]

    def _decide(self, page: Page, look: Look) -> Result:
        if look.unread:
            return replace(_quarantine(page), reason="; ".join(look.doubts), **_shown(page))
        calibration, reference = self.package.calibration, self.package.reference
        p = round(float(calibration.transform(np.array([look.p]))[0]), DIGITS)
        confidence = measure_confidence(p, calibration.transform(look.passes))
        doubts = look.doubts
        if reference is not None:
            doubts = (*doubts, *reference.compare(page.measures, look.embedding))
        number_cleared = look.cleared if self._clears_number else None
        decision = decide(p, confidence, doubts, self.rule, number_cleared)
        heat = crop_to_page(look.heat, page.shape)
        return Result(
            page.name,
            page.page,
            "abnormal" if p >= 0.5 else "normal",
            p,
            confidence,
            decision.decision,
            decision.reason,
            heat=encode_heat(heat) if heat.any() else b"",
            **look.told,
            **_shown(page),
        )


def measure_confidence(p: float, passes: np.ndarray) -> float:
    """Percent of the calibrated passes that agree with the label of `p`; NaN without any."""
    agree = (passes >= 0.5) == (p >= 0.5)
    return round(100 * float(agree.mean()), 1) if passes.size else float("nan")


def _shown(page: Page) -> dict[str, Any]:
    names = ("sha256", "picture", "thumbnail", "digest")
    return {name: getattr(page, name) for name in names} | {"notes": "; ".join(page.notes)}


def _quarantine(page: Page) -> Result:
    nan = float("nan")
    return Result(page.name, page.page, "", nan, nan, "quarantined", page.reason)


def model_name(model: Package | str | os.PathLike) -> str:
    """How a model is called in a worklist: its file's name without the folder, or karyo's reader."""
    if isinstance(model, Package):
        return "a reader of your own" if model.reader and not model.promise else "a package"
    return "the reader that comes with karyo" if model == "reading" else Path(os.fspath(model)).name
