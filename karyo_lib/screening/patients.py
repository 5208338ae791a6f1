"""Cells that were screened -> one row a patient, with its cells folded under it."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from karyo_lib.read.case import compose_case
from karyo_lib.read.case_reading import gather_cells
from karyo_lib.read.case_record import Case, CaseSettings
from karyo_lib.screening.card import NOTICE, environment
from karyo_lib.screening.journal import DECISIONS, Entry, Names, Result
from karyo_lib.screening.worklist import write_csv
from karyo_lib.store import write_whole

COLUMNS = (
    "patient", "karyotype", "probability", "p_abnormal", "cells", "counted", "excluded", "excludes",
    "not_clonal", "cases",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Patient:
    name: str  # as it is shown
    case: Case
    rows: tuple[tuple[Entry, Result], ...]  # its cells, without pictures


def compose_patients(
    entries: Iterable[Entry],
    results: Callable[[list[Entry]], Iterator[Result]],
    groups: Mapping[str, str],
    names: Names,
    settings: CaseSettings | None = None,
) -> list[Patient]:
    """Weigh the cells of every patient together (see `group_files`); the most probably abnormal first."""
    cells: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.file, entry.page)):
        if entry.file in groups:
            cells[groups[entry.file]].append(entry)
    patients = []
    for number, (_, own) in enumerate(sorted(cells.items()), 1):
        light = (replace(result, picture=b"", thumbnail=b"", heat=b"", cell="") for result in results(own))
        rows = list(zip(own, light, strict=True))
        told = [json.loads(result.cell_evidence) if result.cell_evidence else None for _, result in rows]
        shown = [names.file(entry.file, entry.number) for entry, _ in rows]
        case = compose_case(gather_cells(shown, told), settings)
        patients.append(Patient(names.patient(own[0].file) or f"patient {number}", case, tuple(rows)))
    return sorted(patients, key=lambda p: (not p.case.formula, -(p.case.p_abnormal if p.case.formula else 0)))


def write_patients(
    folder: Path,
    entries: Iterable[Entry],
    results: Callable[[list[Entry]], Iterator[Result]],
    groups: Mapping[str, str],
    names: Names,
    practice: str = "constitutional",
) -> None:
    """Write ``patients.csv`` and ``patients.html``, each whole or not at all; see `compose_patients`."""
    patients = compose_patients(entries, results, groups, names, CaseSettings(practice))
    rows = [_row(patient) for patient in patients]
    write_csv(folder / "patients.csv", COLUMNS, rows)
    ranks = {entry.number: rank for rank, entry in enumerate(sorted(entries, key=Entry.urgency), 1)}
    page = environment().get_template("patients.html.j2").render(
        patients=[(row, _fold(patient)) for row, patient in zip(rows, patients, strict=True)],
        ranks=ranks,
        total=sum(len(patient.rows) for patient in patients),
        practice=practice,
        notice=NOTICE,
    )  # fmt: skip
    write_whole(folder / "patients.html", page)


def _row(patient: Patient) -> dict[str, object]:
    case = patient.case
    known = bool(case.formula)
    return {
        "patient": patient.name,
        "karyotype": case.formula,
        "probability": f"{case.probability:.4f}" if known and case.probability == case.probability else "",
        "p_abnormal": f"{case.p_abnormal:.4f}" if known else "",
        "cells": len(case.cells),
        "counted": case.counted,
        "excluded": sum(bool(cell.excluded) for cell in case.cells),
        "excludes": str(case.exclusion),
        "not_clonal": "; ".join(f"{name}: {', '.join(found)}" for name, found in case.single_findings),
        "cases": " ".join(str(entry.number) for entry, _ in patient.rows),
    }


def _fold(patient: Patient) -> dict[str, object]:
    decisions = Counter(result.decision for _, result in patient.rows)
    return {
        "decisions": [(name, decisions[name]) for name in DECISIONS if decisions[name]],
        "notes": patient.case.notes,
        "cells": [
            {"number": entry.number, "decision": result.decision, "reason": result.reason, "cell": cell}
            for (entry, result), cell in zip(patient.rows, patient.case.cells, strict=True)
        ],
    }
