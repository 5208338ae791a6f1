"""Results -> ``worklist.csv`` and ``worklist.html`` to look at, correct and sign, most urgent first."""

import base64
import csv
import html
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from karyo_lib.screening.card import NOTICE, environment
from karyo_lib.screening.journal import DECISIONS, Entry, Names, Result
from karyo_lib.screening.view import band_tables
from karyo_lib.store import write_whole, writing

CSV_COLUMNS = (
    "rank", "case", "file", "page", "patient_id", "decision", "reason", "label", "probability", "confidence",
    "formula", "formula_probability", "evidence", "notes", "sha256",
)  # fmt: skip
PICTURES = ("auto", "inside", "beside", "none")
MOST_INSIDE = 50_000_000  # bytes of a page with its pictures; those of a larger one lie beside it
PICTURE_FOLDER = "pictures"


@dataclass(frozen=True)
class About:
    model: str  # name of the model's file
    digest: str  # of the model
    method: str  # 'network' or 'reading'
    heat_map: str  # {'grad-cam', 'occlusion'}; what is laid over the pages (method network)
    threshold: str  # in words
    clears: bool  # whether there is a threshold below which cases are cleared
    warning: str  # of the model's weights; may be ''
    screened: int  # files screened; fewer than found is a partial worklist
    found: int

    @property
    def partial(self) -> bool:
        return self.screened < self.found


def write_worklist(
    folder: Path,
    entries: list[Entry],
    results,
    names: Names,
    about: About,
    pictures: str = "auto",
    by_patient: bool = False,
) -> None:
    """Write both files, each whole or not at all, one result in memory at a time. ``pictures`` ('auto',
    'inside', 'beside', 'none'): in the page, in a folder beside it ('auto': of more than `MOST_INSIDE`), or
    nowhere; ``by_patient``: whether ``patients.html`` lies beside it."""
    ordered, size = sorted(entries, key=Entry.urgency), 0

    def rows() -> Iterator[tuple[dict[str, Any], Result]]:
        for rank, (entry, result) in enumerate(zip(ordered, results(ordered), strict=True), 1):
            yield _describe(rank, entry, result, names), result

    def measured() -> Iterator[dict[str, Any]]:
        nonlocal size
        for row, result in rows():
            pictures_of = (result.picture, result.thumbnail, result.heat)
            size += sum(map(len, pictures_of)) * 4 // 3 + len(result.cell) // 3  # as the page holds them
            yield row

    write_csv(folder / "worklist.csv", CSV_COLUMNS, measured())
    beside = pictures == "beside" or (pictures == "auto" and size > MOST_INSIDE)

    def place(content: bytes, name: str, kind: str) -> str:
        if not content or pictures == "none":
            return ""
        if not beside:
            return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
        path = folder / PICTURE_FOLDER / f"{name}.{kind}"
        if not path.is_file() or path.stat().st_size != len(content):
            write_whole(path, content)
        return f"{PICTURE_FOLDER}/{path.name}"

    def shown() -> Iterator[dict[str, Any]]:
        """What opening a case takes; unpacked, thousands of cells would take a browser minutes to load."""
        for row, result in rows():
            yield {
                "cell": base64.b64encode(zlib.compress(result.cell.encode(), 9)).decode()
                if result.cell
                else "",
                "thumbnail": place(result.thumbnail, f"{result.digest}-small", "webp"),
                "picture": place(result.picture, result.digest, "webp"),
                "heat": place(result.heat, f"{result.digest}-heat", "png"),
                "facts": [fact for fact in _facts(row) if fact[1]],
            }

    counts = Counter(entry.decision for entry in entries)
    constants = {
        "bands": band_tables(),
        "notice": NOTICE,
        "formulae": about.method == "reading",
        "patients": names.shows_patients,
        "pictures": pictures != "none",
    }
    page = environment().get_template("worklist.html.j2").generate(
        rows=(row for row, _ in rows()),
        shown=shown(),
        counts=[(d, d.capitalize(), counts[d]) for d in DECISIONS],
        total=len(entries),
        beside=beside,
        constants=constants,
        about=about,
        by_patient=by_patient,
        **constants,
    )  # fmt: skip
    with writing(folder / "worklist.html") as part, part.open("w", encoding="utf-8") as file:
        file.writelines(page)


def _describe(rank: int, entry: Entry, result: Result, names: Names) -> dict[str, Any]:
    file = names.file(result.file, entry.number)
    return {
        "rank": rank,
        "case": entry.number,
        "file": file,
        "page": result.page,
        "name": file + (f", page {result.page}" if result.page > 1 else ""),
        "patient_id": names.patient(result.file),
        "decision": result.decision,
        "title": result.decision.capitalize(),
        "reason": result.reason,
        "label": result.label,
        "probability": _number(result.probability, ".4f"),
        "confidence": _number(result.confidence, ".1f"),
        "formula": result.formula,
        "formula_probability": _number(result.formula_probability, ".4f"),
        "evidence": result.evidence,
        "notes": result.notes,
        "sha256": "" if names.masked else result.sha256,
        "digest": result.digest,
    }


def _facts(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """What is said of a case; each probability once, by the statement that it belongs to."""
    agree = f"{row['confidence']} %" if row["confidence"] else ""
    return [
        ("P(abnormal)", row["probability"]), ("P(formula)", row["formula_probability"]),
        ("Passes that agree", agree), ("Evidence", row["evidence"]), ("Case", row["case"]),
        ("Patient", row["patient_id"]), ("Notes", row["notes"]), ("SHA-256", row["sha256"]),
    ]  # fmt: skip


def write_csv(
    path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]], encoding: str = "utf-8-sig"
) -> None:
    """Write a table for spreadsheets, none of whose cells is taken for a formula."""
    columns = list(columns)
    with writing(path) as part, part.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([safe_cell(row[column]) for column in columns] for row in rows)


def safe_cell(value: Any) -> str:
    """Return a value that no spreadsheet takes for a formula."""
    text = str(value)
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


class Worklist:
    """Results as a table: in a notebook with pictures, in code as a DataFrame.

    Parameters
    ----------
    results : iterable of Result
        From :meth:`karyo_lib.screening.Screener.screen`; held in memory.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> open("no_image.png", "w").close()
    >>> karyo.Worklist(karyo.Screener("reading").screen(["no_image.png"]))
    0 abnormal, 0 refer, 1 quarantined, 0 cleared for number, 0 cleared
    """

    SHOWN = 50

    def __init__(self, results: Iterable[Result]):
        if isinstance(results, str | PathLike):
            raise TypeError(f"Expected results, as of Screener.screen. Received {results!r}.")
        numbered = enumerate(results, 1)
        entries = [(Entry(0, r.file, r.page, r.decision, r.probability, number), r) for number, r in numbered]
        self.results = tuple(r for _, r in sorted(entries, key=lambda pair: pair[0].urgency()))

    def __len__(self) -> int:
        return len(self.results)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a case, most urgent first, without pictures."""
        columns = [c for c in CSV_COLUMNS if c not in ("rank", "case", "patient_id")]
        return pd.DataFrame([[getattr(r, c) for c in columns] for r in self.results], columns=columns)

    def __repr__(self) -> str:
        counts = Counter(r.decision for r in self.results)
        return ", ".join(f"{counts[d]} {d}" for d in DECISIONS) or "empty worklist"

    def _repr_html_(self) -> str:
        def row(r: Result) -> dict[str, str]:
            small = base64.b64encode(r.thumbnail).decode("ascii")
            told = {
                "File": html.escape(r.file + (f", page {r.page}" if r.page > 1 else "")),
                "Decision": f"<b>{r.decision}</b>",
                "P(abnormal)": _number(r.probability, ".2f"),
                "Formula": html.escape(r.formula),
                "Reason": html.escape(r.reason),
            }
            return {"": f'<img src="data:image/webp;base64,{small}" width="110" alt="">' * bool(small)} | told

        table = pd.DataFrame([row(r) for r in self.results[: self.SHOWN]])
        if not any(r.formula for r in self.results):
            table = table.drop(columns="Formula", errors="ignore")
        left = len(self.results) - len(table)
        with pd.option_context("display.max_colwidth", None):
            shown = table.to_html(index=False, escape=False, border=0, justify="left")
        return f"<p><b>{html.escape(repr(self))}</b>. {NOTICE}</p>{shown}" + f"<p>{left} more cases.</p>" * (
            left > 0
        )


def _number(value: float, how: str) -> str:
    return "" if math.isnan(value) else f"{value:{how}}"
