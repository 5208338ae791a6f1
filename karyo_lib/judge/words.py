"""Conclusions in words, written from the numbers: a weak result reads as a weak result."""

import numpy as np
import pandas as pd
from scipy import stats

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


def describe_best(table: pd.DataFrame, where: str, *, metric: str = "AUC", chance: float = CHANCE) -> str:
    """Say which condition is best, and whether it differs from chance.

    Parameters
    ----------
    table : DataFrame
        Columns ``title, value, low, high``, one row a condition.
    where : str
        Opens the sentence: ``'Split by patient'``.
    chance : float
        What guessing gives.
    """
    known = table.dropna(subset="value")
    if known.empty:
        return f"{where}, no condition has a defined {metric}."
    best = known.loc[known["value"].idxmax()]
    flattered = f" (the best of {len(known)}, and therefore flattered)" if len(known) > 1 else ""
    return (
        f"{where}, {'the best condition' if len(known) > 1 else 'the condition'} is {best['title']} with "
        f"{metric} {format_interval(best['value'], best['low'], best['high'])}{flattered}, "
        f"{_against(best['low'], best['high'], chance)}."
    )


def describe_leak(
    runs: pd.DataFrame, *, metric: str = "AUC", chance: float = CHANCE, tolerance: float = 0.1
) -> str:
    """Say what splitting after augmenting is worth, and what the shuffled labels show.

    Parameters
    ----------
    runs : DataFrame
        Columns ``protocol`` (thesis, grouped, shuffled-thesis, shuffled-grouped), ``value`` and, where runs
        are of several, ``condition``; one row a run.
    tolerance : float
        A mean nearer to chance than this counts as chance; one farther off does not where its 95 % interval
        over the runs holds chance.
    """
    parts = dict(list(runs.dropna(subset="value").groupby("protocol")))
    values = {name: part["value"] for name, part in parts.items()}
    means = {name: float(part.mean()) for name, part in values.items()}

    def told(name: str) -> str:
        part = values[name]
        if len(part) == 1:
            return f"{means[name]:.2f} (one run)"
        n = parts[name]["condition"].nunique() if "condition" in runs else 1
        counted = f"{len(part)} runs" if n == 1 else f"{n} conditions"
        if n > 1:
            counted += ", one run each" if n == len(part) else f" in {len(part)} runs"
        return f"{means[name]:.2f} (mean of {counted}, {part.min():.2f} to {part.max():.2f})"

    def off_chance(name: str) -> bool | None:
        """Whether the mean is off chance; None where so few runs, so far apart, cannot tell."""
        if abs(means[name] - chance) <= tolerance:
            return False
        part = values[name]
        error = part.sem() * stats.t.ppf(0.975, len(part) - 1) if len(part) > 1 else np.inf
        return True if abs(means[name] - chance) > error else None

    if not {"thesis", "grouped"} <= set(means):
        return f"The leak cannot be told: it needs runs under both protocols, not only {sorted(means)}."
    gap = means["thesis"] - means["grouped"]
    spread = max(
        float(values[name].std(ddof=1)) if len(values[name]) > 1 else 0.0 for name in ("thesis", "grouped")
    )
    sentences = [
        f"Copies split at random, as in the thesis, give {metric} {told('thesis')}; split by patient, "
        f"the same training gives {told('grouped')}.",
        f"The difference of {gap:.2f} is what the leak is worth."
        if gap > spread
        else f"The difference of {gap:.2f} is no larger than the spread among them: no leak shows.",
    ]
    if "shuffled-thesis" in means:
        above = off_chance("shuffled-thesis") if means["shuffled-thesis"] > chance else False
        sentences.append(
            f"With labels drawn at random, so that there is nothing to learn, the thesis's protocol gives "
            f"{told('shuffled-thesis')}: "
            + {
                True: "it measures memory of the training images.",
                False: "no memory shows here.",
                None: "above chance, but too few runs, too far apart, to tell memory from luck.",
            }[above]
        )
    if "shuffled-grouped" in means:
        sentences.append(
            f"Split by patient, random labels give {told('shuffled-grouped')}: "
            + {
                True: "not chance, which needs an explanation.",
                False: "chance, as it must be.",
                None: "off chance, but too few runs, too far apart, to tell it from luck.",
            }[off_chance("shuffled-grouped")]
        )
    return " ".join(sentences)


def describe_differences(table: pd.DataFrame, *, metric: str = "AUC", baseline: str = "the baseline") -> str:
    """Say which changes helped, harmed, or cannot be told from no change.

    Parameters
    ----------
    table : DataFrame
        Columns ``title, difference, low, high``: each change less the baseline, with its paired interval.
    """
    told = table.dropna(subset="difference")
    known = told.dropna(subset=["low", "high"])
    unknown = told.drop(known.index)
    if told.empty:
        return f"No change can be set against {baseline}."

    def listed(rows: pd.DataFrame) -> str:
        return _join(
            [
                f"{row.title} ({row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}])"
                for row in rows.itertuples()
            ]
        )

    helped, harmed = known[known["low"] > 0], known[known["high"] < 0]
    unclear = known.drop(helped.index).drop(harmed.index)
    sentences = []
    if len(helped):
        sentences.append(f"Better than {baseline} in {metric}: {listed(helped)}.")
    if len(harmed):
        sentences.append(f"Worse: {listed(harmed)}.")
    if len(unclear):
        sentences.append(f"Not shown to matter, as the interval includes zero: {listed(unclear)}.")
    if len(unknown):
        names = [f"{row.title} ({row.difference:+.2f})" for row in unknown.itertuples()]
        sentences.append(f"The interval {NO_INTERVAL}: {_join(names)}.")
    if not len(helped):
        sentences.append(f"Nothing is shown to help against {baseline}.")
    if len(told) > 1:
        sentences.append(f"{len(told)} comparisons were made and the intervals are not corrected for it.")
    return " ".join(sentences)


def describe_groups(table: pd.DataFrame) -> str:
    """Say what is found and what is missed by group of abnormality.

    Parameters
    ----------
    table : DataFrame
        From :func:`karyo_lib.judge.compute_metrics_by_group`.
    """
    abnormal = table[table["group"] != "normal"]
    if abnormal.empty:
        return "There is no abnormal image to look at by group."
    found, n = int(abnormal["called_abnormal"].sum()), int(abnormal["n"].sum())
    sentences = [f"Of {n} abnormal images {found} are found ({found / n:.0%})."]
    rows = [
        f"{row.group} {row.called_abnormal} of {row.n} [{row.low:.0%}, {row.high:.0%}]"
        for row in abnormal.itertuples()
    ]
    sentences.append(f"By group, with 95 % intervals: {'; '.join(rows)}.")
    missed = abnormal[abnormal["called_abnormal"] == 0]
    if len(missed):
        sentences.append(f"Not one image is found of {_join(missed['group'].tolist())}.")
    small = abnormal[abnormal["n"] < 10]
    if len(small):
        sentences.append(f"{len(small)} of {len(abnormal)} groups have fewer than ten images and say little.")
    return " ".join(sentences)


def describe_referral(judged: pd.DataFrame, *, score: str = "combined", reference: str = "vote_share") -> str:
    """Say whether a score is better than the thesis's at sending errors to the specialist.

    The aim: at 20 % referral at least twice the errors caught, and a smaller area under the risk-coverage
    curve with an interval that excludes zero.

    Parameters
    ----------
    judged : DataFrame
        From :func:`karyo_lib.judge.judge_scores`, with the rates 5, 10 and 20 %.
    score, reference : str
        Names in its column ``score``.
    """
    rows = judged.set_index(["score", "measure"])
    names = {"combined": "the combined score", "vote_share": "the thesis's vote share"}
    ours, theirs = names.get(score, score), names.get(reference, reference)
    mine, other = rows.loc[(score, "caught_20")], rows.loc[(reference, "caught_20")]
    if not np.isfinite(mine["value"]):
        return "No answer is wrong, so that no score can be judged by the errors it catches."
    area = rows.loc[(score, "aurc")]
    twice = mine["value"] >= 2 * other["value"] and mine["value"] > 0
    smaller = area["difference_high"] < 0
    verdict = {
        (True, True): "Both aims are met.",
        (True, False): "The first aim is met, the second is not: the difference in area may be chance.",
        (False, True): "The second aim is met, the first is not: fewer than twice the errors are caught.",
        (False, False): "Neither aim is met.",
    }[bool(twice), bool(smaller)]
    return (
        f"At 20 % referral {ours} catches {format_interval(mine['value'], mine['low'], mine['high'])} of "
        f"the errors, {theirs} {format_interval(other['value'], other['low'], other['high'])}. The area "
        f"under the risk-coverage curve is {area['value']:.3f}, a difference of "
        f"{format_interval(area['difference'], area['difference_low'], area['difference_high'], 3)}. Aims: "
        f"twice the errors, and an area whose difference excludes zero. {verdict}"
    )
