"""Probability, confidence and doubts -> cleared, abnormal or refer, with the reason.

Cleared only where all speaks for it: a page like the training karyograms, passes that agree, and a
probability below a threshold with a promise (or one that the user took on himself).
"""

import math
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np

from karyo_lib.judge import Promise, choose_threshold, compute_smallest_n

EVERYTHING = 2.0  # a threshold above every probability


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
    """Decide a case that could be read, by its calibrated probability of abnormal; ``number_cleared``: what
    a reader that clears the number alone says of it, None of other models."""
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
