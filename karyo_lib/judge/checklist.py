"""Checklists of leakage and of reporting: every row is answered from a run's facts, or marked not met."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from karyo_lib.judge.intervals import wilson
from karyo_lib.resources import data_file

SHORTCUT_V = 0.1  # Cramér's V above which source or style tells the label, by chance or not


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
