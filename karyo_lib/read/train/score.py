"""Readings against the truth: chromosomes found, named, counted, compared."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from karyo_lib.draw.page import Page
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import NORMAL_FORMULAE, count_formula
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.judge.intervals import wilson
from karyo_lib.judge.promise import compute_smallest_n
from karyo_lib.read.reader import Reader
from karyo_lib.shape.boxes import match_boxes


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

    One row a page: ``style, width, truth, formula, exact, abnormal, p_count, p_abnormal, chromosomes, found,
    false, discarded`` (false objects that the reader itself took for no chromosome), ``named`` (matched
    chromosomes named right with the counts respected), ``named_alone``, ``decision``, ``refer_reason``.
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
                "decision": reading.decision,
                "refer_reason": reading.refer_reason,
            }
        )
    return pd.DataFrame(rows)


def summarise_pages(scores: pd.DataFrame, by: str | list[str] = "style") -> pd.DataFrame:
    """Rates by style (or another column), with Wilson 95 % intervals of sensitivity and specificity.

    Columns ``pages, found_rate, false_per_page, named, named_alone`` (shares of those found), ``exact``,
    ``sensitivity, sensitivity_low, sensitivity_high, specificity, ..., cleared`` (share of the normal ones),
    ``abnormal_cleared, referred``.
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
        cleared = group["decision"] == "cleared for number"
        for name, chosen in (("cleared", ~group["abnormal"]), ("abnormal_cleared", group["abnormal"])):
            out[name] = cleared[chosen].mean()
        return pd.Series(out | {"referred": (group["refer_reason"] != "").mean()})

    groups = {key: one(group) for key, group in scores.groupby(by)}
    return pd.DataFrame({**groups, "all": one(scores)}).T


def fit_clearing(reader: Reader, pages: Iterable[Page], alpha: float = 0.01, below: float = 0.002) -> Reader:
    """Let a reader clear the number of chromosomes where it is shown, with 95 % confidence, that it clears at
    most ``alpha`` of the cells with an abnormal one.

    Parameters
    ----------
    reader : Reader
    pages : iterable of Page
        With an abnormal number, each of another patient, on whom nothing of the reader was trained or chosen;
        whole ones, since what the finder misses counts.
    alpha : float
    below : float
        Threshold, chosen beforehand: an abnormal number is rarely so improbable by chance.

    Returns
    -------
    Reader
        The same with `ReaderSettings.clear_below` and its promise; both are empty where it cannot be shown.
    """
    table = score_pages(reader.with_settings(clear_below=below), pages)
    table = table[table["abnormal"]]
    n, missed = len(table), int((table["decision"] == "cleared for number").sum())
    shown = n >= compute_smallest_n(alpha, 0.05, missed)
    said = (
        f"Of cells with an abnormal number of chromosomes at most {alpha:.1%} are cleared for number, with "
        f"95 % confidence, on pages like those that this was tried on: {n} composed of the real chromosomes "
        f"of as many patients, of which {missed} were cleared. Of structure nothing is promised."
    )
    return reader.with_settings(clear_below=below if shown else None, promise=said if shown else "")


def score_cells(
    reader: Reader, bank: ChromosomeBank, cells: Iterable[str]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Name and count the chromosomes of cells as they were cut out, with no page around them.

    Returns ``cells``: ``cell, truth, formula, probability, p_count, right`` (share of chromosomes named
    right); ``accuracy``: ``alone`` and ``assigned``: share of chromosomes named right.
    """
    rows, alone = [], 0
    for cell in cells:
        cutouts = bank.cutouts(cell)
        names = [cutout.chromosome for cutout in cutouts]
        truth = np.array([CLASSES.index(name) for name in names])
        decoded = reader.decode_cell([cutout.image for cutout in cutouts])
        alone += int((decoded.log_proba.argmax(1) == truth).sum())
        count = reader.count(decoded)
        rows.append(
            {
                "cell": cell,
                "truth": count_formula(Counter(names)),
                "formula": count.formula,
                "probability": count.probability,
                "p_count": count.p_abnormal,
                "right": float((count.assigned == truth).mean()),
                "n": len(truth),
            }
        )
    table = pd.DataFrame(rows)
    assigned = float((table["right"] * table["n"]).sum() / table["n"].sum())
    return table, {"alone": alone / int(table["n"].sum()), "assigned": assigned}
