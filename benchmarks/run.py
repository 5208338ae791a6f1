"""Measures the rows, keeps every turn, and writes ``reports/bench/``."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.growth import Growth, tabulate_growth
from benchmarks.material import QUICK, Sizes
from benchmarks.measure import Job, Row, compute_ratios, measure
from benchmarks.report import write_page
from benchmarks.rows import make_rows
from karyo_lib.study.runs import Run, project_dir

GROWTH = "growth"


def run_bench(out: str | Path = "", quick: bool = False, only: Sequence[str] = ()) -> pd.DataFrame:
    """Measure and write the report.

    Parameters
    ----------
    out : path, optional
        Folder; ``reports/bench`` (``reports/bench-quick``) if not given. Rows that are measured replace those
        of an earlier call, the others are kept.
    quick : bool
        A small version, which shows that everything works.
    only : sequence of str
        Names of rows; all if empty.

    Returns
    -------
    pandas.DataFrame
        The table: one row a reference.

    Raises
    ------
    ValueError
        If a name does not exist.
    """
    sizes = QUICK if quick else Sizes()
    rows = make_rows(sizes)
    names = [*(row.name for row in rows), GROWTH]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ValueError(f"Expected rows among {', '.join(names)}. Received {', '.join(unknown)}.")
    folder = Path(out) if out else project_dir() / "reports" / ("bench-quick" if quick else "bench")
    run = Run.open("quick", run_dir=str(folder))
    for row in rows:
        if not only or row.name in only:
            _keep(run, "turns", _measure_row(row, sizes.repeats), row.name)
    if not only or GROWTH in only:
        _keep(run, "growth", _measure_growth(sizes), GROWTH)
    turns, growth = (_load(run, name) for name in ("turns", "growth"))
    table = tabulate(turns, rows)
    write_page(run, table, turns, growth, rows, sizes, quick)
    return table


def _measure_row(row: Row, repeats: int) -> pd.DataFrame:
    turns = measure(row.jobs, repeats)
    if row.check is not None:
        turns["difference"] = measure([row.check], 1)["difference"].iloc[0]
    return turns


def _measure_growth(sizes: Sizes) -> pd.DataFrame:
    job: Job = Growth(sizes=sizes)
    return tabulate_growth(measure([job], 1)["curves"].iloc[0])


def _keep(run: Run, name: str, measured: pd.DataFrame, row: str) -> None:
    before = _load(run, name)
    if "row" in before:
        before = before[before["row"] != row]
    measured = measured.assign(row=row)
    run.save_table(pd.concat([before, measured], ignore_index=True) if len(before) else measured, name)


def _load(run: Run, name: str) -> pd.DataFrame:
    path = run.path("tables", f"{name}.csv")
    return pd.read_csv(path, keep_default_na=True) if path.exists() else pd.DataFrame()


def tabulate(turns: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """Return one line a comparison: times, ratio with quartiles, aim, memory, whether results agree."""
    lines = []
    for row in rows:
        mine = turns[turns["row"] == row.name] if len(turns) else turns
        if mine.empty:
            continue
        difference = mine["difference"].iloc[0] if "difference" in mine else float("nan")
        notes = mine.groupby("side")["note"].first().fillna("")
        for told in compute_ratios(mine).to_dict("records"):
            lines.append(
                {
                    "row": row.name,
                    "what": row.title,
                    "reference": told["side"],
                    "karyo_s": told["karyo"],
                    "reference_s": told["reference"],
                    "ratio": told["ratio"],
                    "q25": told["q25"],
                    "q75": told["q75"],
                    "aim": row.aim,
                    "karyo_mib": told["karyo_mib"],
                    "reference_mib": told["reference_mib"],
                    "result": _judge(difference, row.tolerance),
                    "note": "; ".join(
                        f"{side}: {notes[side]}" for side in (told["side"], "karyo") if notes[side]
                    ),
                }
            )
    return pd.DataFrame(lines)


def _judge(difference: float, tolerance: float) -> str:
    if pd.isna(difference):
        return ""
    word = "same" if difference <= tolerance else "differs"
    return f"{word} ({difference:.1g} apart)"
