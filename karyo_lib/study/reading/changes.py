"""Notebook 04: how small a change within a chromosome the reader sees, on chromosomes cut and joined."""

import numpy as np
import pandas as pd

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.read.reader import Reader
from karyo_lib.read.train.score import score_comparison
from karyo_lib.read.train.training import draw_cells, strips_of_bank
from karyo_lib.study.displays.dots import SizeCurvesDisplay
from karyo_lib.study.runs import Run

CELLS = {"smoke": 3, "quick": 12, "thesis": 60}
SPECIFICITY = 0.95
ANY, NORMAL = "any change", "normal"


def measure_changes(run: Run) -> pd.DataFrame:
    """Cut and join one homologue of each pair of normal cells, and count what the reader's comparison sees.

    The cells are the bank's, one a patient, none of which trained the reader that comes with karyo; without a
    bank they are drawn.

    Returns
    -------
    pandas.DataFrame
        ``cells`` ('real' or 'drawn') and the columns of :func:`karyo_lib.read.train.score.score_comparison`.
    """
    n = CELLS[run.settings.name]
    if run.bank:
        bank = ChromosomeBank(run.bank)
        normal = bank.cells[bank.cells["label"] == NORMAL].drop_duplicates("case")
        chosen = np.random.default_rng([run.seed, 9]).permutation(normal["cell"])[:n]
        data = strips_of_bank(bank, chosen)
    else:
        data = draw_cells(n, seed=run.seed)
    table = score_comparison(Reader.load(), data, seed=run.seed, specificity=SPECIFICITY)
    return table.assign(cells="real" if run.bank else "drawn")


def changes_display(table: pd.DataFrame) -> SizeCurvesDisplay:
    """Return sensitivity against size of the change, by kind."""
    changed = table[table["kind"] != NORMAL]
    shown = changed.rename(columns={"megabases": "size", "kind": "series", "sensitivity": "value"})
    called = float(table.loc[table["kind"] == NORMAL, "sensitivity"].iloc[0])
    return SizeCurvesDisplay.from_table(
        shown, label="Size of the change, megabases", reference=(called, "normal pairs called changed")
    )


def describe_changes(table: pd.DataFrame) -> list[str]:
    """Say in words from which size on changes are seen, and which kinds are not."""
    rows = table[table["kind"] == ANY].sort_values("megabases")
    normal = table[table["kind"] == NORMAL].iloc[0]
    told = "; ".join(
        f"{row.megabases:g} Mb {row.sensitivity:.0%} [{row.low:.0%}, {row.high:.0%}]"
        for row in rows.iloc[[0, -1]].itertuples()
    )
    sentences = [
        f"Of changes cut and joined in {table['cells'].iloc[0]} chromosomes are seen: {told}. Of normal "
        "pairs "
        f"{normal['sensitivity']:.0%} are called changed all the same."
    ]
    blind = rows[rows["sensitivity"] < 0.5]
    if len(blind):
        sentences.append(
            f"At {blind['megabases'].max():g} Mb and below more are missed than seen: a pair that looks "
            "alike "
            "rules out no change of that size."
        )
    unseen = sorted({
        kind for kind, part in table[table["low"] <= normal["sensitivity"]].groupby("kind")
        if kind not in (ANY, NORMAL)
    })  # fmt: skip
    if unseen:
        sentences.append(
            f"Not shown to be seen more often than normal pairs are called changed, at some size: "
            f"{', '.join(f'{kind}s' for kind in unseen)}."
        )
    seen = rows[rows["located"].notna()]
    if len(seen):
        last = seen.iloc[-1]
        sentences.append(
            f"Of the seen ones of {last['megabases']:g} Mb the named place is right for "
            f"{last['located']:.0%}, "
            f"the kind for {last['kind_right']:.0%}; an exchange is always called something else."
        )
    return sentences
