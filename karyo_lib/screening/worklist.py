"""Results -> ``worklist.csv`` and one self-contained ``worklist.html``, most urgent first."""

import base64
import csv
import html
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from karyo_lib.screening.card import NOTICE, environment
from karyo_lib.screening.decision import DECISIONS
from karyo_lib.screening.journal import Entry
from karyo_lib.screening.names import Names
from karyo_lib.screening.screener import Result
from karyo_lib.store import writing

CSV_COLUMNS = (
    "rank", "case", "file", "page", "patient_id", "decision", "reason", "label", "probability", "confidence",
    "formula", "formula_probability", "evidence", "notes", "sha256",
)  # fmt: skip
PICTURES = 1000  # cases with a picture in the page: 10,000 would be more than a browser opens
TITLES = {"abnormal": "Abnormal", "refer": "Refer", "quarantined": "Quarantined", "cleared": "Cleared"}


@dataclass(frozen=True)
class About:
    """What a worklist says of its screening.

    Attributes
    ----------
    model : str
        Name of the model's file.
    digest : str
        Of the model.
    method, threshold : str
        In words.
    heat_map : {'grad-cam', 'occlusion', 'marks'}
        What is laid over the pages; marks are those of the reader.
    clears : bool
        Whether there is a threshold below which cases are cleared.
    warning : str
        Of the model's weights; may be ''.
    screened, found : int
        Files screened and files found; fewer screened than found is a partial worklist.
    """

    model: str
    digest: str
    method: str
    heat_map: str
    threshold: str
    clears: bool
    warning: str
    screened: int
    found: int

    @property
    def partial(self) -> bool:
        """Whether files are missing."""
        return self.screened < self.found


def write_worklist(
    folder: Path, entries: list[Entry], results, names: Names, about: About, pictures: int = PICTURES
) -> None:
    """Write both files, each whole or not at all, with one result in memory at a time.

    Parameters
    ----------
    folder : pathlib.Path
    entries : list of Entry
    results : callable
        Maps a list of entries to an iterator of their results.
    names : Names
        How files and patients are called.
    about : About
    pictures : int
        Cases that get a picture in the page, most urgent first.
    """
    ordered = sorted(entries, key=Entry.urgency)
    with writing(folder / "worklist.csv") as part, part.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for row in _rows(ordered, results(ordered), names, pictures=0):
            writer.writerow([_csv_cell(row[column]) for column in CSV_COLUMNS])
    counts = Counter(entry.decision for entry in entries)
    page = environment().get_template("worklist.html.j2").generate(
        rows=_rows(ordered, results(ordered), names, pictures),
        counts=[(d, TITLES[d], counts[d]) for d in DECISIONS],
        total=len(entries),
        without_picture=max(0, len(entries) - pictures),
        about=about,
        notice=NOTICE,
        formulae=about.method == "reading",
        patients=names.shows_patients,
    )  # fmt: skip
    with writing(folder / "worklist.html") as part, part.open("w", encoding="utf-8") as file:
        file.writelines(page)


def _rows(
    ordered: list[Entry], results: Iterable[Result], names: Names, pictures: int
) -> Iterator[dict[str, Any]]:
    for rank, (entry, result) in enumerate(zip(ordered, results, strict=True), 1):
        shown = rank <= pictures
        yield {
            "rank": rank,
            "case": entry.number,
            "file": names.file(result.file, entry.number),
            "page": result.page,
            "patient_id": names.patient(result.file),
            "decision": result.decision,
            "title": TITLES[result.decision],
            "reason": result.reason,
            "label": result.label,
            "probability": _number(result.probability, ".4f"),
            "confidence": _number(result.confidence, ".1f"),
            "formula": result.formula,
            "formula_probability": _number(result.formula_probability, ".4f"),
            "evidence": result.evidence,
            "notes": result.notes,
            "sha256": "" if names.masked else result.sha256,
            "picture": _uri(result.picture, "image/jpeg") if shown else "",
            "heat": _uri(result.heat, "image/png") if shown else "",
            "detail": _uri(result.detail, "image/png") if shown else "",
        }


def _uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}" if content else ""


def _csv_cell(value: Any) -> str:
    """Return a value that no spreadsheet takes for a formula."""
    text = str(value)
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


_CELL = 'style="text-align:left;vertical-align:top;padding:.3em .8em"'


class Worklist:
    """Results as a table: in a notebook with pictures, in code as a DataFrame.

    Parameters
    ----------
    results : iterable of Result
        From :meth:`karyo_lib.screening.Screener.screen`; held in memory.
    """

    SHOWN = 50

    def __init__(self, results: Iterable[Result]):
        numbered = enumerate(results, 1)
        entries = [(Entry(0, r.file, r.page, r.decision, r.probability, number), r) for number, r in numbered]
        self.results = tuple(r for _, r in sorted(entries, key=lambda pair: pair[0].urgency()))

    def __len__(self) -> int:
        return len(self.results)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a case, most urgent first, without pictures."""
        columns = [
            "file", "page", "decision", "reason", "label", "probability", "confidence", "formula",
            "formula_probability", "evidence", "notes", "sha256",
        ]  # fmt: skip
        return pd.DataFrame([[getattr(r, c) for c in columns] for r in self.results], columns=columns)

    def __repr__(self) -> str:
        counts = Counter(r.decision for r in self.results)
        return ", ".join(f"{counts[d]} {d}" for d in DECISIONS) or "empty worklist"

    def _repr_html_(self) -> str:
        read = any(r.formula for r in self.results)
        titles = [
            "",
            "File",
            "Decision",
            "P(abnormal)",
            "Confidence",
            *(["Formula"] if read else []),
            "Reason",
        ]
        head = "".join(f"<th {_CELL}>{title}</th>" for title in titles)
        rows = []
        for r in itertools.islice(self.results, self.SHOWN):
            picture = f'<img src="{_uri(r.picture, "image/jpeg")}" width="110" alt="">' if r.picture else ""
            heat = (
                f'<img src="{_uri(r.heat, "image/png")}" alt="" style="position:absolute;inset:0;width:100%;'
                'height:100%;opacity:.55;mix-blend-mode:multiply">'
                if r.heat
                else ""
            )
            page = f", page {r.page}" if r.page > 1 else ""
            cells = (
                html.escape(r.file + page), f"<b>{r.decision}</b>", _number(r.probability, ".2f"),
                _number(r.confidence, ".0f", " %"), *([html.escape(r.formula)] if read else []),
                html.escape(r.reason),
            )  # fmt: skip
            rows.append(
                f'<tr><td><span style="position:relative;display:inline-block">{picture}{heat}</span></td>'
                + "".join(f"<td {_CELL}>{cell}</td>" for cell in cells)
                + "</tr>"
            )
        left = len(self.results) - len(rows)
        more = f"<p>{left} more cases.</p>" if left > 0 else ""
        return (
            f"<p><b>{html.escape(repr(self))}</b>. {NOTICE}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>{more}"
        )


def _number(value: float, how: str, unit: str = "") -> str:
    return "" if math.isnan(value) else f"{value:{how}}{unit}"
