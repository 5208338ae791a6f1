"""Readings against the truth: chromosomes found, named, counted, compared."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from karyo_lib.draw.page import Page
from karyo_lib.iscn import NORMAL_FORMULAE, count_formula
from karyo_lib.judge.intervals import wilson
from karyo_lib.read.alter import AlteredCells, alter_cells
from karyo_lib.read.change import explain_pair
from karyo_lib.read.name import class_indices
from karyo_lib.read.reader import Reader
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.shape.strips import CLASSES, LabelledStrips

_NEAR = 0.05  # of a chromosome's length: about what a band is long


def score_finding(found: pd.DataFrame, truth: pd.DataFrame, least: float = 0.5) -> dict[str, int]:
    """Counts ``chromosomes``, ``found`` and ``false`` of one page."""
    hits = int((match_boxes(found, truth, least) >= 0).sum())
    return {"chromosomes": len(truth), "found": hits, "false": len(found) - hits}


def truth_counts(page: Page) -> str:
    """Count formula of what is on a page: abnormal chromosomes count as their class, markers are left out."""
    classes = page.truth["chromosome"]
    return count_formula(Counter(classes[classes.isin(CLASSES)]))


def score_pages(reader: Reader, pages: Iterable[Page]) -> pd.DataFrame:
    """Read pages whose truth is known.

    Returns
    -------
    pandas.DataFrame
        One row a page: ``style, width, truth, formula, exact, abnormal, p_count, p_abnormal, chromosomes,
        found,
        false, discarded`` (false objects that the reader itself took for no chromosome), ``named`` (matched
        chromosomes named right with the counts respected), ``named_alone``, ``refer_reason``.
    """
    rows = []
    for page in pages:
        reading = reader.read(page.image)
        table = reading.chromosomes
        match = match_boxes(table, page.truth).to_numpy()
        classes = (
            page.truth["chromosome"].to_numpy()[np.maximum(match, 0)] if len(page.truth) else np.array([])
        )
        hit, truth = match >= 0, truth_counts(page)
        rows.append(
            {
                "style": page.style,
                "width": page.image.shape[1],
                "truth": truth,
                "formula": reading.formula,
                "exact": reading.formula == truth,
                "abnormal": truth not in NORMAL_FORMULAE,
                "p_count": reading.p_count,
                "p_abnormal": reading.p_abnormal,
                "chromosomes": len(page.truth),
                "found": int(hit.sum()),
                "false": int((~hit & (table["chromosome"] != "")).sum()),
                "discarded": int((~hit & (table["chromosome"] == "")).sum()),
                "named": int((hit & (table["chromosome"].to_numpy() == classes)).sum()),
                "named_alone": int((hit & (table["alone"].to_numpy() == classes)).sum()),
                "refer_reason": reading.refer_reason,
            }
        )
    return pd.DataFrame(rows)


def summarise_pages(scores: pd.DataFrame, by: str | list[str] = "style") -> pd.DataFrame:
    """Rates by style (or another column), with Wilson 95 % intervals of sensitivity and specificity.

    Returns
    -------
    pandas.DataFrame
        ``pages, found_rate, false_per_page, named, named_alone`` (shares of those found), ``exact``,
        ``sensitivity, sensitivity_low, sensitivity_high, specificity, ..., referred``.
    """

    def one(group: pd.DataFrame) -> pd.Series:
        called = group["p_count"] > 0.5
        out = {
            "pages": len(group),
            "found_rate": group["found"].sum() / max(group["chromosomes"].sum(), 1),
            "false_per_page": group["false"].mean(),
            "named": group["named"].sum() / max(group["found"].sum(), 1),
            "named_alone": group["named_alone"].sum() / max(group["found"].sum(), 1),
            "exact": group["exact"].mean(),
        }
        for name, chosen, right in (
            ("sensitivity", group["abnormal"], called),
            ("specificity", ~group["abnormal"], ~called),
        ):
            n, k = int(chosen.sum()), int((chosen & right).sum())
            low, high = wilson(k, n) if n else (np.nan, np.nan)
            out |= {name: k / n if n else np.nan, f"{name}_low": low, f"{name}_high": high}
        return pd.Series(out | {"referred": (group["refer_reason"] != "").mean()})

    groups = {key: one(group) for key, group in scores.groupby(by)}
    return pd.DataFrame({**groups, "all": one(scores)}).T


def score_cells(reader: Reader, data: LabelledStrips) -> tuple[pd.DataFrame, dict[str, float]]:
    """Name and count cut-out chromosomes, with no page around them.

    Returns
    -------
    cells : pandas.DataFrame
        ``cell, truth, formula, probability, p_count, right`` (share of chromosomes named right).
    accuracy : dict
        ``alone`` and ``assigned``: share of chromosomes named right.
    """
    truth = class_indices(data.names)
    rows, alone = [], 0
    for cell in dict.fromkeys(data.cells.tolist()):
        own = np.flatnonzero(data.cells == cell)
        strips = data.strips.take(own)
        alone += int((reader.namer.predict(strips).log_proba.argmax(1) == truth[own]).sum())
        count = reader.count_cell(strips)
        rows.append(
            {
                "cell": cell,
                "truth": count_formula(Counter(data.names[own].tolist())),
                "formula": count.formula,
                "probability": count.probability,
                "p_count": count.p_abnormal,
                "right": float((count.assigned == truth[own]).mean()),
                "n": len(own),
            }
        )
    cells = pd.DataFrame(rows)
    assigned = float((cells["right"] * cells["n"]).sum() / cells["n"].sum())
    return cells, {"alone": alone / len(data), "assigned": assigned}


def score_comparison(
    reader: Reader, data: LabelledStrips, seed: int = 1, specificity: float = 0.95
) -> pd.DataFrame:
    """Sensitivity to cut-and-joined changes by kind and size, at a pair-wise specificity.

    Parameters
    ----------
    reader : Reader
    data : LabelledStrips
        Normal cells, at least two, of patients who did not train the reader.
    seed : int
        Of the changes.
    specificity : float
        Share of normal pairs to be left alone; the threshold for the pairs of one half of the cells is set on
        the normal pairs of the other half.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (one of `KINDS`, 'any change', or 'normal', whose ``sensitivity`` is the share called
        changed), ``megabases`` (0 where normal), ``pairs, sensitivity`` with Wilson limits ``low, high``,
        and of those seen the shares ``located`` (the middle of the part that `explain_pair` names lies in the
        changed one, give or take a twentieth of the length) and ``kind_right``; NaN where there are none.
    """
    cells = alter_cells(data, seed)
    score, measures = reader.comparison.score(cells, reader.namer)
    half = pd.factorize(cells.cells)[0] % 2
    normal, seen = cells.altered == 0, np.zeros(len(score), bool)
    for own in (0, 1):
        limit = np.quantile(score[normal & (half != own)], specificity)
        seen[half == own] = score[half == own] > limit
    table = pd.DataFrame({"kind": cells.kind, "megabases": cells.megabases, "seen": seen})
    table = table.join(_check_changes(reader, cells, measures.odd, np.flatnonzero(seen & ~normal)))
    changed = table[~normal]
    table = pd.concat([table[normal], changed, changed.assign(kind="any change")])
    out = (
        table.groupby(["kind", "megabases"], sort=False)
        .agg(
            pairs=("seen", "size"),
            found=("seen", "sum"),
            located=("located", "mean"),
            kind_right=("kind_right", "mean"),
        )
        .reset_index()
        .sort_values(["kind", "megabases"], ignore_index=True)
    )
    limits = [wilson(k, n) for k, n in zip(out["found"], out["pairs"], strict=True)]
    low, high = zip(*limits, strict=True)
    out = out.assign(sensitivity=out["found"] / out["pairs"], low=low, high=high)
    return out[["kind", "megabases", "pairs", "sensitivity", "low", "high", "located", "kind_right"]]


def _check_changes(reader: Reader, cells: AlteredCells, odd: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """Whether the changes that would explain some pairs are those that were made: ``located, kind_right``."""
    out = []
    for i in rows:
        change = explain_pair(
            cells.strips, tuple(cells.pairs[i]), cells.labels[i], reader.comparison.reference, int(odd[i])
        )
        middle = (change.start + change.stop) / 2
        located = cells.start[i] - _NEAR <= middle <= cells.stop[i] + _NEAR
        out.append((float(located), float(change.kind == cells.kind[i])))
    return pd.DataFrame(out, index=rows, columns=["located", "kind_right"])
