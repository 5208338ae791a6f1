"""Pages in, decisions out: read in parallel ahead of the network, in order, with bounded memory."""

import itertools
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from karyo_lib.judge import Promise, choose_threshold, compute_smallest_n
from karyo_lib.screening.cases import CaseFile, Page, list_files, read_pages
from karyo_lib.screening.journal import Result
from karyo_lib.screening.judges import DIGITS, Judge, Look, crop_to_page, encode_heat, open_judge
from karyo_lib.screening.package import Package, load_package, shipped_reader

EVERYTHING = 2.0  # a threshold above every probability
_AHEAD = 4  # files read ahead per worker
_AT_ONCE = 2  # pages of one file in memory: a file may hold a hundred


@dataclass(frozen=True)
class Rule:
    confidence: float  # percent of the passes that must agree
    clear_below: float | None  # cases whose probability of abnormal is below it are cleared; None: no case is
    basis: str  # where the threshold comes from, or why there is none

    @classmethod
    def from_promise(cls, promise: Promise | None, confidence: float, own: float | None = None) -> "Rule":
        """Take the threshold of a promise, or the user's own without any promise."""
        if own is not None:
            if not 0 < own <= 1:
                raise ValueError(f"Expected a clearing threshold above 0 and up to 1. Received {own!r}.")
            return cls(confidence, own, f"threshold {own:g} set by the user, without a promise")
        if promise is None:
            return cls(confidence, None, "no operating threshold was fitted")
        if promise.threshold is None:
            return cls(confidence, None, "no threshold keeps the promised miss rate")
        kept = f"at most {100 * promise.alpha:g} % missed, promised at {100 * (1 - promise.delta):g} %"
        return cls(confidence, promise.threshold, kept)


class Decision(NamedTuple):
    """`decision` is one of ``DECISIONS``; `reason` is for the user."""

    decision: str
    reason: str


def is_held_back(p: float, confidence: float, doubts: tuple[str, ...], least_confidence: float) -> bool:
    """Whether a case is not cleared whatever the threshold."""
    return bool(doubts) or p >= 0.5 or confidence < least_confidence


def decide(
    p: float, confidence: float, doubts: tuple[str, ...], rule: Rule, number_cleared: bool | None = None
) -> Decision:
    """Decide a case that could be read, by its calibrated probability of abnormal: cleared only where all
    speaks for it. ``number_cleared``: what a reader that clears the number alone says, None of other models.
    """
    if number_cleared:
        said = "; ".join(["number cleared, structure not", *doubts])
        return Decision("refer" if doubts or p >= 0.5 else "cleared for number", said)
    if doubts:
        return Decision("refer", ("looks abnormal, but: " if p >= 0.5 else "") + "; ".join(doubts))
    if confidence < rule.confidence:
        return Decision(
            "refer",
            f"unsure: {confidence:.0f} % of the passes say {'abnormal' if p >= 0.5 else 'normal'}, "
            f"{rule.confidence:.0f} % must agree",
        )
    if p >= 0.5:
        return Decision("abnormal", f"looks abnormal: probability {'above 0.99' if p > 0.99 else f'{p:.2f}'}")
    if number_cleared is False:
        return Decision("refer", "looks normal, but its number is not sure enough to be cleared")
    if rule.clear_below is None:
        return Decision("refer", f"looks normal, but this model clears nothing: {rule.basis}")
    if p < rule.clear_below:
        below = f" below {rule.clear_below:.2g}" if rule.clear_below <= 1 else ""
        return Decision("cleared", f"looks normal: probability of abnormal {p:.2f}{below} ({rule.basis})")
    return Decision(
        "refer", f"not normal enough: probability of abnormal {p:.2f} is not below {rule.clear_below:.2g}"
    )


def fit_promise(
    p: np.ndarray,
    held_back: np.ndarray,
    y_true: np.ndarray,
    groups: np.ndarray,
    *,
    alpha: float,
    delta: float,
    risk: str,
    seed: int,
) -> Promise:
    """Choose the operating threshold for the whole rule, see :func:`karyo_lib.judge.choose_threshold`.

    Among cleared cases, those held back are left out: the promise then holds among cases that reach the
    threshold, which are the only ones it clears. Among abnormal cases they stay, at the top of the order.
    """
    if held_back.all():  # nothing says anything about cases that would reach a threshold
        promise = choose_threshold(p, y_true, alpha=alpha, delta=delta, risk=risk, groups=groups, seed=seed)
        return replace(
            promise,
            threshold=None,
            n_cleared=0,
            misses=0,
            bound=float("nan"),
            yield_share=0.0,
            sentence=f"No threshold can promise anything: all {len(p)} calibration cases are called abnormal "
            "or referred before a threshold matters.",
        )
    if risk == "cleared":
        score, y, groups = p[~held_back], y_true[~held_back], groups[~held_back]
    else:
        score, y = np.where(held_back, 1.0, p), y_true
    promise = choose_threshold(score, y, alpha=alpha, delta=delta, risk=risk, groups=groups, seed=seed)
    if promise.threshold is not None and not np.isfinite(promise.threshold):
        promise = replace(promise, threshold=EVERYTHING)
    return promise


def describe_need(
    promise: Promise, p: np.ndarray, held_back: np.ndarray, y_true: np.ndarray, groups: np.ndarray, total: int
) -> str:
    """Say how many labelled karyograms a threshold would take, where there is none; '' where there is one.

    The estimate takes the share of cases that reach a threshold, and the share of abnormal ones among the
    lowest scores, as they are in this calibration part. ``total``: patients of the whole labelled folder.
    """
    if promise.threshold is not None:
        return ""
    among_cleared = promise.risk == "cleared"
    counted = ~held_back if among_cleared else y_true == 1
    what = "look normal and are held back by no rule" if among_cleared else "are abnormal"
    have = np.unique(groups[counted]).size
    least = compute_smallest_n(promise.alpha, promise.delta)
    if have == 0:
        return f"None of its cases {what}: it takes a model that is surer first."
    if have < least:
        needed, given = least, "none of them missed"
    else:
        lowest = np.argsort(p[counted], kind="stable")[:least]
        misses = int(y_true[counted][lowest].sum())
        rate = misses / least
        if not among_cleared or rate >= promise.alpha:
            return (
                f"Of the {least} such cases with the lowest scores {misses} are abnormal: it takes a model "
                "that tells them apart better, not more karyograms alone."
            )
        sizes = ((m, compute_smallest_n(promise.alpha, promise.delta, m)) for m in count())
        needed = next(n for m, n in sizes if rate * n <= m)
        given = f"{100 * rate:.1f} % of them abnormal, as among the lowest scores here"
    about = _round_up(needed * total / have)
    return (
        f"It would take {needed} calibration cases of different patients that {what}, {given}. Of {total} "
        f"patients {have} gave such a case, so about {about:,} labelled patients are needed."
    )


def _round_up(number: float) -> int:
    """Two digits: more would claim to know better."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return int(step * math.ceil(number / step))


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
        model: Package | str | os.PathLike,
        *,
        workers: int | None = None,
        clear_below: float | None = None,
        heat_map: str = "grad-cam",
    ):
        model = shipped_reader() if model == "reading" else model
        self.package = model if isinstance(model, Package) else load_package(model)
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
