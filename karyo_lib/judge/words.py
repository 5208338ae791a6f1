"""Conclusions in words, and checklists filled in from the numbers: a weak result reads as a weak result."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from karyo_lib.judge.intervals import NO_INTERVAL, wilson
from karyo_lib.resources import data_file

CHANCE = 0.5
SHORTCUT_V = 0.1  # Cramér's V above which source or style tells the label, by chance or not


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


def load_checklist(name: str) -> pd.DataFrame:
    """Return the checklist ``leakage`` or ``reporting``: ``item, question, needs, answer, otherwise``."""
    return pd.read_csv(data_file("checklists", f"{name}.csv"), dtype=str, keep_default_na=False)


def _fields(template: str) -> list[str]:
    return [field for _, field, _, _ in Formatter().parse(template) if field]


def _known(facts: Mapping[str, Any], key: str) -> bool:
    value = facts.get(key)
    return value is not None and value != "" and not (isinstance(value, float) and np.isnan(value))


def _holds(facts: Mapping[str, Any], need: str) -> bool:
    """Whether a fact is known and, with ``!``, nought or false; a number that may be nought is just known."""
    key = need.removeprefix("!")
    if not _known(facts, key):
        return False
    if need.startswith("!"):
        return not facts[key]
    return bool(facts[key]) or not isinstance(facts[key], bool | np.bool_)


def fill_checklist(name: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Answer the checklist ``leakage`` or ``reporting`` from facts of `compute_split_facts` and the run; one
    that is absent, None, NaN or empty is not known. Columns ``checklist, item, question, answer, status``:
    ``met`` only where all facts of the answer are known and its condition holds, else ``not met``."""
    rows = []
    for _, row in load_checklist(name).iterrows():
        met = all(_holds(facts, need) for need in row["needs"].split())
        met = met and all(_known(facts, field) for field in _fields(row["answer"]))
        template = row["answer"] if met else row["otherwise"]
        if not all(_known(facts, field) for field in _fields(template)):
            missing = [field for field in _fields(template) if not _known(facts, field)]
            template = f"Not known in this run: {', '.join(missing)}."
        rows.append({
            "checklist": row["checklist"], "item": row["item"], "question": row["question"],
            "answer": template.format_map(dict(facts)), "status": "met" if met else "not met",
        })  # fmt: skip
    return pd.DataFrame(rows)


def associate(a: pd.Series, b: pd.Series) -> tuple[float, float]:
    """Cramér's V without its bias on small tables (Bergsma 2013; 0 where one of the two has a single value),
    and the p-value of no association."""
    table = pd.crosstab(a, b)
    if min(table.shape) < 2:
        return 0.0, 1.0
    test = chi2_contingency(table, correction=False)
    n, (rows, columns) = table.to_numpy().sum(), table.shape
    phi2 = max(0.0, test.statistic / n - (rows - 1) * (columns - 1) / (n - 1))
    rows, columns = (k - (k - 1) ** 2 / (n - 1) for k in (rows, columns))
    return float(np.sqrt(phi2 / (min(rows, columns) - 1))), float(test.pvalue)


def _overlap(rows: pd.DataFrame, column: str) -> tuple[float, int]:
    """Share of test rows whose value stands in training too, and number of such values."""
    train, test = rows.loc[rows["part"] == "train", column], rows.loc[rows["part"] == "test", column]
    seen = test.isin(set(train))
    return float(seen.mean()) if len(test) else float("nan"), int(test[seen].nunique())


def compute_split_facts(index: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Any]:
    """What the checklists ask about data and splits, from an index (one row an original) and the ``thesis``
    and ``grouped`` splits. Those of the augmented data are described: sizes of the first repeat, leaks the
    worst of all repeats."""
    facts: dict[str, Any] = {
        "n_images": len(index),
        "n_patients": int(index["patient_id"].nunique()),
        "n_without_patient": int(index["patient_id"].isna().sum()),
        "sources": ", ".join(sorted(index["source"].dropna().astype(str).unique())),
    }
    found = {
        column: associate(index[column], index["label"]) if column in index.columns else (0.0, 1.0)
        for column in ("source", "style")
    }
    large = {column: p for column, (v, p) in found.items() if v > SHORTCUT_V}
    facts |= {f"{column}_label_v": v for column, (v, _) in found.items()}
    facts["source_tells_label"] = bool(large)
    # An association that arose by chance can be learnt from these karyograms all the same.
    facts["shortcut"] = (
        f"whether annotations tell the label is not known, and V is at most {SHORTCUT_V:g}"
        if not large
        else f"V of {' and '.join(large)} is above {SHORTCUT_V:g}, "
        + ("which is no chance" if min(large.values()) < 0.01 else "which on so few may be chance")
    )
    originals = index.set_index("image_id")
    rows = splits[splits["data"] == "augmented"]
    rows = rows.assign(patient=rows["parent_id"].map(originals["patient_id"]))
    rows = rows.assign(digest=rows["parent_id"].map(originals["sha256"]))
    for protocol in ("thesis", "grouped"):
        repeats = [part for _, part in rows[rows["protocol"] == protocol].groupby("repeat")]
        if not repeats:
            continue
        facts[f"leaky_share_{protocol}"] = max(_overlap(part, "parent_id")[0] for part in repeats)
        facts[f"shared_patients_{protocol}"] = max(_overlap(part, "patient")[1] for part in repeats)
        facts[f"duplicates_{protocol}"] = max(_overlap(part, "digest")[1] for part in repeats)
    grouped = rows[rows["protocol"] == "grouped"]
    if len(grouped):
        first = grouped[grouped["repeat"] == grouped["repeat"].min()]
        for part in ("train", "val", "test"):
            mine = first[first["part"] == part]
            share = float((mine["label"] == "abnormal").mean()) if len(mine) else float("nan")
            facts[f"n_{part}"] = len(mine)
            facts["abnormal_share" if part == "test" else f"abnormal_share_{part}"] = share
        n_abnormal = int((first.loc[first["part"] == "test", "label"] == "abnormal").sum())
        low, high = wilson(round(0.9 * n_abnormal), n_abnormal)
        facts |= {"n_test_abnormal": n_abnormal, "sensitivity_width": high - low}
    return facts
