"""What the thesis printed (``data/published``), what follows from its own numbers, and where its figures are
in ours.

Chu, G. (2020), *Machine Learning for Automation of Chromosome based Genetic Diagnostics*, KTH.
"""

from dataclasses import asdict
from math import floor

import pandas as pd

from karyo_lib.iscn.bands import AUTOSOMES, CHROMOSOMES
from karyo_lib.judge.intervals import wilson
from karyo_lib.judge.scores import REFERRAL_THRESHOLD
from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.resources import data_file

MATRIX_METRICS = ("accuracy", "precision", "recall")
METRIC_TITLES = {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "auc": "AUC"}
_COUNTS = ("tp", "fp", "tn", "fn")


def load_conditions() -> pd.DataFrame:
    """Table 5.1 and the matrices of chapter 4 as printed, by condition key: ``title, data, base, trainable``
    of `CONDITIONS`, ``printed_title``, ``tp, fp, tn, fn`` as drawn, ``text_tp`` ... as told (NaN where not),
    ``accuracy, precision, recall, auc``, ``section`` and the figures ``curves, matrix, roc``."""
    printed = pd.read_csv(
        data_file("published", "conditions.csv"), index_col="condition", dtype={"section": str}
    )
    ours = pd.DataFrame([asdict(condition) for condition in CONDITIONS]).set_index("key")
    return ours.rename_axis("condition").join(printed, how="right", validate="one_to_one")


def load_wrong_cases() -> pd.DataFrame:
    return pd.read_csv(data_file("published", "wrong_cases.csv"), dtype={"table": str})


def load_datasets() -> pd.DataFrame:
    """Return the sizes of the data sets and their parts, indexed by ``first, original, augmented``."""
    return pd.read_csv(data_file("published", "datasets.csv"), index_col="data", dtype={"section": str})


def load_models() -> pd.DataFrame:
    """Return the parameter counts of Figs 3.5 and 3.6, indexed by base."""
    return pd.read_csv(data_file("published", "models.csv"), index_col="base")


def load_items() -> pd.DataFrame:
    """Return the checklist of the reproduction: every figure and table, in the thesis's order."""
    items = pd.read_csv(data_file("published", "items.csv"), keep_default_na=False)
    anchors = items["item"].str.lower().str.replace(r"[ .]", "-", regex=True)
    return items.assign(anchor=anchors, ours=items["ours"] == "yes")


def recompute_from_matrix(tp: int, fp: int, tn: int, fn: int) -> dict[str, tuple[int, int]]:
    """``accuracy, precision, recall, specificity`` -> (right, out of), of a confusion matrix."""
    return {
        "accuracy": (tp + tn, tp + fp + tn + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
    }


def _of(condition: pd.Series) -> dict[str, tuple[int, int]]:
    return recompute_from_matrix(*(int(condition[name]) for name in _COUNTS))


def _rate(counts: tuple[int, int]) -> float:
    return counts[0] / counts[1]


def _share(counts: tuple[int, int]) -> str:
    return f"{counts[0]}/{counts[1]} = {_rate(counts):.4f}"


def _agreement(printed: float, exact: float) -> str:
    """How a figure of two decimals relates to the exact value."""
    if abs(printed - exact) <= 0.005 + 5e-6:
        return "rounded"
    return "truncated" if printed == floor(exact * 100 + 1e-9) / 100 else "does not follow"


def compare_with_matrices() -> pd.DataFrame:
    """Set every printed metric of Table 5.1 beside the one that its own matrix gives: ``condition, title,
    metric, printed, recomputed, low, high`` (Wilson), ``arithmetic``, ``agreement``: ``rounded``,
    ``truncated`` after two decimals, or ``does not follow`` (the AUC cannot be recomputed: NaN)."""
    rows, nan = [], float("nan")
    for key, condition in load_conditions().iterrows():
        for metric in (*MATRIX_METRICS, "auc"):
            printed = condition[metric]
            if metric == "auc":
                found = (nan, nan, nan, "", "needs the scores")
            else:
                counts = _of(condition)[metric]
                agreement = _agreement(printed, _rate(counts))
                found = (_rate(counts), *wilson(*counts), _share(counts), agreement)
            rows.append((key, condition["title"], metric, printed, *found))
    columns = "condition title metric printed recomputed low high arithmetic agreement"
    return pd.DataFrame(rows, columns=columns.split())


def published_recalls() -> pd.DataFrame:
    """Return how wide the printed recalls are: a row a condition, with 95 % Wilson limits."""
    found = {key: _of(condition)["recall"] for key, condition in load_conditions().iterrows()}
    rows = [(key, counts[1], counts[0], _rate(counts), *wilson(*counts)) for key, counts in found.items()]
    return pd.DataFrame(rows, columns=["condition", "abnormal", "found", "recall", "low", "high"])


def count_published_referrals() -> tuple[int, int]:
    """Return how many of the published errors the published score refers, and how many there are."""
    cases = load_wrong_cases()
    return int((cases["confidence"] < REFERRAL_THRESHOLD).sum()), len(cases)


def _text_counts(condition: pd.Series) -> dict[str, int]:
    told = {name: condition[f"text_{name}"] for name in _COUNTS}
    return {name: int(value) for name, value in told.items() if not pd.isna(value)}


def _check_test_set_size(conditions: pd.DataFrame) -> tuple[str, bool]:
    row = conditions.loc["augmented-vgg16-frozen"]
    told = _text_counts(row)
    total, expected = sum(told.values()), int(load_datasets().loc["augmented", "test"])
    arithmetic = (
        f"{' + '.join(str(told[name]) for name in _COUNTS)} = {total}, but the test set has {expected} "
        f"images; with TN = {row['tn']}, as in {row['matrix']}, the sum is "
        f"{sum(row[name] for name in _COUNTS)}"
    )
    return arithmetic, total == expected


def _check_false_negative_wording(conditions: pd.DataFrame) -> tuple[str, bool]:
    row = conditions.loc["augmented-inceptionv3-frozen"]
    told = _text_counts(row)
    taken = recompute_from_matrix(told["tp"], 0, told["tn"], told["fn"] + 1)["precision"]
    arithmetic = (
        f"as false negative the precision would be {_share(taken)}; printed is {row['precision']:.2f}, which "
        f"is {_share(_of(row)['precision'])}: the one case is a false positive"
    )
    return arithmetic, _agreement(row["precision"], _rate(taken)) == "rounded"


def _check_better_on_abnormal(conditions: pd.DataFrame, key: str) -> tuple[str, bool]:
    shares = _of(conditions.loc[key])
    recall, specificity = shares["recall"], shares["specificity"]
    arithmetic = f"of the abnormal {_share(recall)} are right, of the normal {_share(specificity)}"
    return arithmetic, _rate(recall) > _rate(specificity)


def _check_vgg16_recall_precision(conditions: pd.DataFrame) -> tuple[str, bool]:
    told, holds = [], []
    for data in ("original", "augmented"):
        vgg, inception = (_of(conditions.loc[f"{data}-{base}-frozen"]) for base in ("vgg16", "inceptionv3"))
        (a, b), (c, d) = (
            [_rate(of[metric]) for of in (vgg, inception)] for metric in ("recall", "precision")
        )
        holds.append(a > b and c < d)
        told.append(
            f"{data} data, frozen bases: recall {a:.3f} against {b:.3f}, precision {c:.3f} against {d:.3f}"
        )
    return "; ".join(told), all(holds)


def _check_more_layers_better(conditions: pd.DataFrame) -> tuple[str, bool]:
    keys = ("augmented-vgg16-frozen", "augmented-vgg16-last-block", "augmented-vgg16-last-two-blocks")
    shares = {conditions.loc[key, "trainable"].replace("-", " "): _of(conditions.loc[key]) for key in keys}
    told = ", ".join(f"{trained} {_share(share['accuracy'])}" for trained, share in shares.items())
    rates = [_rate(share["accuracy"]) for share in shares.values()]
    return f"accuracy of VGG16 from the matrices, trained: {told}", rates == sorted(rates)


def _check_wrong_cases(conditions: pd.DataFrame, table: str) -> tuple[str, bool]:
    cases = load_wrong_cases().query("table == @table")
    base, fp, fn = (
        cases["base"].iloc[0],
        *((cases["actual"] == name).sum() for name in ("normal", "abnormal")),
    )
    rows = conditions[(conditions["base"] == base) & (conditions["data"] == "augmented")]
    told = ", ".join(f"{row['fp']} and {row['fn']} ({row['matrix']})" for _, row in rows.iterrows())
    holding = rows.loc[(rows["fp"] >= fp) & (rows["fn"] >= fn), "matrix"]
    part = f"as a part of the errors it fits {' and '.join(holding)}" if len(holding) else "none holds it"
    arithmetic = (
        f"lists {fp} false positives and {fn} false negatives; the matrices of {base} on augmented data have "
        f"{told}: no model is named, and {part}"
    )
    return arithmetic, bool(((rows["fp"] == fp) & (rows["fn"] == fn)).any())


def _check_down_pair(_: pd.DataFrame) -> tuple[str, bool]:
    place = AUTOSOMES.index("21") + 1  # Down syndrome: 47,XX,+21 or 47,XY,+21
    return f"trisomy 21 is in pair {place}; pair {len(AUTOSOMES) + 1} is the sex chromosomes", place == 23


def _check_24_pairs(_: pd.DataFrame) -> tuple[str, bool]:
    pairs, types = len(AUTOSOMES) + 1, len(CHROMOSOMES)
    told = f"{pairs - 1} pairs of autosomes and the sex chromosomes are {pairs}"
    return f"{told}; {types} is the number of types", pairs == 24


_CHECKS = {
    "test-set-size": _check_test_set_size,
    "false-negative-wording": _check_false_negative_wording,
    "better-on-abnormal-vgg16": lambda c: _check_better_on_abnormal(c, "augmented-vgg16-frozen"),
    "better-on-abnormal-inceptionv3": lambda c: _check_better_on_abnormal(c, "augmented-inceptionv3-frozen"),
    "vgg16-recall-precision": _check_vgg16_recall_precision,
    "more-layers-better": _check_more_layers_better,
    "table-4-1-errors": lambda c: _check_wrong_cases(c, "4.1"),
    "table-4-2-errors": lambda c: _check_wrong_cases(c, "4.2"),
    "down-23rd-pair": _check_down_pair,
    "24-pairs": _check_24_pairs,
}


def find_inconsistencies() -> pd.DataFrame:
    """List what the thesis prints and what does not follow from its own numbers, with the arithmetic."""
    conditions, found = load_conditions(), {"does not follow": [], "statement": [], "truncated": []}
    for cell in compare_with_matrices().itertuples():
        if cell.agreement in found:
            printed = f"{METRIC_TITLES[cell.metric]} {cell.printed:.2f} ({cell.title})"
            arithmetic = f"{cell.arithmetic} from {conditions.loc[cell.condition, 'matrix']}"
            kind = "figure" if cell.agreement == "does not follow" else "rounding"
            found[cell.agreement].append((kind, "Table 5.1", printed, arithmetic))
    for row in pd.read_csv(data_file("published", "statements.csv"), dtype=str).itertuples():
        arithmetic, holds = _CHECKS[row.statement](conditions)
        if not holds:
            found["statement"].append(("statement", row.section, row.quote, arithmetic))
    rows = [row for group in found.values() for row in group]
    return pd.DataFrame(rows, columns=["kind", "section", "printed", "arithmetic"])
