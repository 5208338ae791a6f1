"""Conclusions in words, written from the numbers: a weak result reads as a weak result."""

import numpy as np
import pandas as pd

from karyo_lib.judge.intervals import NO_INTERVAL

CHANCE = 0.5


def format_interval(
    value: float, low: float | None = None, high: float | None = None, digits: int = 2
) -> str:
    """Return ``'0.56 [0.41, 0.70]'``, the value alone without an interval, or ``'not defined'``."""
    if not np.isfinite(value):
        return "not defined"
    if low is None or high is None or not (np.isfinite(low) and np.isfinite(high)):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _against(low: float, high: float, reference: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"an interval that {NO_INTERVAL}"
    if low > reference:
        return f"an interval above chance ({reference:g})"
    where = "below" if high < reference else "that includes"
    return f"an interval {where} chance ({reference:g})"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def describe_best(table: pd.DataFrame, where: str) -> str:
    """Say which condition (a row with ``title, value, low, high``) has the best AUC, and whether it differs
    from chance; ``where`` opens the sentence."""
    known = table.dropna(subset="value")
    if known.empty:
        return f"{where}, no condition has a defined AUC."
    best = known.loc[known["value"].idxmax()]
    flattered = f" (the best of {len(known)}, and therefore flattered)" if len(known) > 1 else ""
    return (
        f"{where}, {'the best condition' if len(known) > 1 else 'the condition'} is {best['title']} with "
        f"AUC {format_interval(best['value'], best['low'], best['high'])}{flattered}, "
        f"{_against(best['low'], best['high'], CHANCE)}."
    )


def describe_differences(table: pd.DataFrame, *, baseline: str = "the baseline") -> str:
    """Say which changes (``title, difference, low, high``) helped, harmed, or cannot be told from none."""
    told = table.dropna(subset="difference")
    known = told.dropna(subset=["low", "high"])
    if told.empty:
        return f"No change can be set against {baseline}."
    helped, harmed = known[known["low"] > 0], known[known["high"] < 0]
    unclear = known.drop(helped.index).drop(harmed.index)
    best = f"Better than {baseline} in AUC: {_listed(helped)}." if len(helped) else ""
    sentences = [best or f"Nothing is shown to help against {baseline}."]
    if len(harmed):
        sentences.append(f"Worse: {_listed(harmed)}.")
    if len(unclear):
        sentences.append(f"Of {len(unclear)} others the interval of the difference includes zero.")
    if len(told) > len(known):
        sentences.append(f"Of {len(told) - len(known)} the interval {NO_INTERVAL}.")
    if len(told) > 1:
        sentences.append("Intervals are not corrected for the number of comparisons.")
    return " ".join(sentences)


_NAMED = 3  # changes that a sentence names; the table has all


def _listed(rows: pd.DataFrame) -> str:
    rows = rows.reindex(rows["difference"].abs().sort_values(ascending=False).index)
    told = [
        f"{row.title} ({row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}])"
        for row in rows.head(_NAMED).itertuples()
    ]
    return _join([*told, *([f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else [])])


def describe_groups(table: pd.DataFrame) -> str:
    """Say what share of abnormal images is found, and which groups of `compute_metrics_by_group` are not."""
    abnormal = table[table["group"] != "normal"]
    if abnormal.empty:
        return "There is no abnormal image to look at by group."
    found, n = int(abnormal["called_abnormal"].sum()), int(abnormal["n"].sum())
    sentences = [f"Of {n} abnormal images {found} are found ({found / n:.0%})."]
    missed = abnormal[abnormal["called_abnormal"] == 0]
    if len(missed):
        sentences.append(f"Not one image is found of {_join(missed['group'].tolist())}.")
    small = abnormal[abnormal["n"] < 10]
    if len(small):
        sentences.append(f"{len(small)} of {len(abnormal)} groups have fewer than ten images and say little.")
    return " ".join(sentences)


def describe_referral(judged: pd.DataFrame) -> str:
    """Say whether the combined score is better than the thesis's at sending errors to the specialist. The
    aim: at 20 % referral at least twice the errors caught, and a smaller area under the risk-coverage curve
    with an interval that excludes zero."""
    rows = judged.set_index(["score", "measure"])
    mine, other = rows.loc[("combined", "caught_20")], rows.loc[("vote_share", "caught_20")]
    if not np.isfinite(mine["value"]):
        return "No answer is wrong, so that no score can be judged by the errors it catches."
    twice = mine["value"] >= 2 * other["value"] and mine["value"] > 0
    smaller = rows.loc[("combined", "aurc"), "difference_high"] < 0
    area = "smaller area under the risk-coverage curve"
    verdict = {
        (True, True): f"Twice the errors, and a {area}: both aims are met.",
        (True, False): "Twice the errors, but the difference in area may be chance: one aim is met.",
        (False, True): f"A {area}, but not twice the errors: one aim is met.",
        (False, False): "Not twice the errors, and no smaller area: neither aim is met.",
    }[bool(twice), bool(smaller)]
    return (
        f"{verdict} At 20 % referral the combined score catches "
        f"{format_interval(*mine[['value', 'low', 'high']])} of the errors, the thesis's vote share "
        f"{format_interval(*other[['value', 'low', 'high']])}."
    )
