"""Notebook 04: how small a change within a chromosome the reader sees, on chromosomes cut and joined."""

import numpy as np
import pandas as pd

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.judge.intervals import wilson
from karyo_lib.read.reader import Reader
from karyo_lib.read.train.learn import strips_of_bank, strips_of_drawings
from karyo_lib.read.train.score_decoder import score_decoder
from karyo_lib.study.displays.dots import SizeCurvesDisplay
from karyo_lib.study.runs import Run

CELLS = {"smoke": 2, "quick": 12, "thesis": 60}
ANY, NORMAL, SHAM = "any change", "normal", "sham"


def measure_changes(run: Run) -> pd.DataFrame:
    """Cut and join chromosomes of normal cells, one a patient of the bank (else drawn), and count what the
    decoder sees: ``cells`` ('real', 'drawn'), ``kind``, ``megabases`` (0: any), ``chromosomes``;
    ``sensitivity, low, high`` at 1 in 100 false calls; of those seen the shares ``located, kind_right``."""
    n = CELLS[run.settings.name]
    if run.bank:
        bank = ChromosomeBank(run.bank)
        normal = bank.cells[bank.cells["label"] == NORMAL].drop_duplicates("case")
        strips = strips_of_bank(bank, np.random.default_rng([run.seed, 9]).permutation(normal["cell"])[:n])
    else:
        strips = strips_of_drawings(n, seed=run.seed)
    scores = score_decoder(Reader.load().decoder, strips, each=5 * n, seed=run.seed)
    table = scores.rename(columns={"Mb": "megabases", "n": "chromosomes"})
    table["seen"] = (table["seen at 1 %"] * table["chromosomes"]).round()
    table["located"], table["kind_right"] = (table[name] * table["seen"] for name in ("place", "kind right"))
    table = pd.concat([table, table[table["megabases"] > 0].assign(kind=ANY)])
    counted = ["chromosomes", "seen", "located", "kind_right"]
    table = table.groupby(["kind", "megabases"], as_index=False, sort=False)[counted].sum()
    table[counted[2:]] = table[counted[2:]].div(table["seen"].where(table["seen"] > 0), axis=0)
    n = len(strips)
    normal = {"kind": NORMAL, "megabases": 0, "chromosomes": n, "seen": round(0.01 * n)}
    table = pd.concat([table, pd.DataFrame([normal])], ignore_index=True)
    table["sensitivity"] = table["seen"] / table["chromosomes"]
    table[["low", "high"]] = [wilson(int(k), int(n)) for n, k in table[counted[:2]].to_numpy()]
    return table.drop(columns="seen").assign(cells="real" if run.bank else "drawn")


def changes_display(table: pd.DataFrame) -> SizeCurvesDisplay:
    changed = table[(table["kind"] != NORMAL) & (table["megabases"] > 0)]
    shown = changed.rename(columns={"megabases": "size", "kind": "series", "sensitivity": "value"})
    called = float(table.loc[table["kind"] == NORMAL, "sensitivity"].iloc[0])
    return SizeCurvesDisplay.from_table(
        shown, label="Size of the change, megabases", reference=(called, "unchanged called changed")
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
        f"Of changes cut and joined in {table['cells'].iloc[0]} chromosomes are seen: {told}. Of unchanged "
        f"ones {normal['sensitivity']:.0%} are called changed all the same."
    ]
    blind = rows[rows["sensitivity"] < 0.5]
    if len(blind):
        sentences.append(
            f"At {blind['megabases'].max():g} Mb and below more are missed than seen: one that looks "
            "normal rules out no change of that size."
        )
    unseen = sorted({
        kind for kind, part in table[table["low"] <= normal["sensitivity"]].groupby("kind")
        if kind not in (ANY, NORMAL, SHAM)
    })  # fmt: skip
    if unseen:
        sentences.append(
            f"Not shown to be seen more often than unchanged ones are called changed, at some size: "
            f"{', '.join(f'{kind}s' for kind in unseen)}."
        )
    seen = rows[rows["located"].notna()]
    if len(seen):
        last = seen.iloc[-1]
        sentences.append(
            f"Of the seen ones of {last['megabases']:g} Mb the named place is right for "
            f"{last['located']:.0%}, the kind for {last['kind_right']:.0%}."
        )
    return sentences
