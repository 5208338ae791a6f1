"""Writes ``index.html``: the run at a glance, a card per report, and the runs before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from nbformat import NotebookNode

from karyo_lib.store import writing
from karyo_lib.study.present import Table, thumbnail
from karyo_lib.study.report.content import Content, prepare
from karyo_lib.study.report.order import Notebook
from karyo_lib.study.report.page import TEMPLATES, assets
from karyo_lib.study.report.progress import duration
from karyo_lib.study.report.records import STATE, Records
from karyo_lib.study.report.scrub import scrub, scrubber
from karyo_lib.study.runs import Run

_SUMMARY = "table_5_1"  # thesis beside ours, written by the last notebook
_SUMMARY_METRICS = ("Accuracy", "AUC")
_THUMBNAIL = (480, 288)  # px


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "karyo"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(assets())
    environment.filters["duration"] = duration
    return environment.get_template("overview.html.j2")


def write_index(
    run: Run, records: Records, notebooks: tuple[Notebook, ...], provenance: dict[str, Any]
) -> None:
    """Write the index from the records of the run folder, as far as they go."""
    clean = scrubber(run)
    cards, banners, headlines, stale = [], [], [], []
    headlines_of = notebooks[-1]
    for notebook in notebooks:
        record = scrub(records.read(notebook.name), clean)
        executed = records.read_notebook(notebook.name) if record else None
        content = prepare(executed, notebook.title, clean) if executed is not None else None
        cards.append(_card(run, notebook, record, content))
        if content and record.get("status") == "done":
            banners += [
                banner for banner in content.banners if banner not in banners and banner["kind"] != "info"
            ]
            if content.headlines:  # the last notebook's are the study's
                headlines, headlines_of = content.headlines, notebook
            stale += [notebook.name] if _differs(record["provenance"], scrub(provenance, clean)) else []
    told = {
        "cards": cards,
        "banners": banners,
        "troubles": [card for card in cards if card["status"] in ("failed", "skipped", "running")],
        "stale": stale,
        "headlines": headlines,
        "headlines_of": "" if headlines_of is notebooks[-1] else headlines_of.title,
        "summary": _summary(run),
        "provenance": scrub(provenance, clean),
        "reports": [{"name": notebook.name, "title": notebook.title} for notebook in notebooks],
        "history": scrub(find_history(run.dir), clean),
        "profile": run.settings.name,
        "source": run.source,
        "command": clean(run.command()),
        "written": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    told["history_json"] = json.dumps(told["history"]).replace("</", "<\\/")
    with writing(run.dir / "index.html") as part:
        part.write_text(_template().render(**told), encoding="utf-8")


def _differs(made: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether a report was made from other settings or inputs than the run that the index is of."""
    return any(made[key] != now[key] for key in ("settings", "seed", "karyograms", "digests"))


def _card(run: Run, notebook: Notebook, record: dict[str, Any], content: Content | None) -> dict[str, Any]:
    status = record.get("status", "not run")
    done = status == "done"
    return {
        "name": notebook.name,
        "title": notebook.title,
        "status": status,
        "seconds": record.get("seconds"),
        "error": record.get("error", ""),
        "anchor": content.failed if content and status == "failed" else "",
        "headline": content.headlines[0] if content and content.headlines and done else None,
        "thumbnail": _thumbnail(run, content) if content and done else None,
    }


def _thumbnail(run: Run, content: Content) -> str | None:
    """Return a report's cover, or its first figure, small, as an address that needs no file."""
    for figure in sorted(content.figures, key=lambda figure: not figure["cover"]):
        path = run.dir / "figures" / f"{figure['name']}.png"
        if path.exists():
            return thumbnail(path, _THUMBNAIL)
    return None


def _summary(run: Run) -> str | None:
    path = run.path("tables", f"{_SUMMARY}.csv")
    if not path.exists():
        return None
    table = pd.read_csv(path)
    caption = "The seven conditions: what the thesis prints, what its matrices give, and this run."
    if "metric" in table:
        table = table[table["metric"].isin(_SUMMARY_METRICS)]
        caption += " Accuracy and AUC with 95 % intervals; the CSV has the other metrics."
    return Table(_SUMMARY, caption, "Table 5.1", table, path.read_bytes(), rows=50, digits=2).to_html()


def find_history(folder: Path) -> list[dict[str, Any]]:
    """Return what is remembered of the runs in this folder and in those beside it, oldest first."""
    entries = []
    for beside in sorted(folder.parent.iterdir()):
        if (beside / STATE / "history.json").is_file():
            entries += [{"folder": beside.name, **entry} for entry in Records(beside).read_history()]
    return sorted(entries, key=lambda entry: entry["when"])


def history_entry(
    run: Run,
    records: dict[str, dict[str, Any]],
    numbers: dict[str, str],
    seconds: float,
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """Return what is remembered of a run: its settings, its inputs and its headline numbers."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "status": "failed" if any(record["status"] != "done" for record in records.values()) else "done",
        "notebooks": sorted(records),
        "settings": {"seed": run.seed, "karyograms": run.source, **run.settings.as_dict()},
        "inputs": {
            "commit": provenance["commit"],
            **{name: digest[:16] for name, digest in provenance["digests"].items()},
            **provenance["versions"],
        },
        "numbers": numbers,
    }


def headline_numbers(contents: dict[str, NotebookNode], notebooks: tuple[Notebook, ...]) -> dict[str, str]:
    """Return each headline number by notebook and label: ``{'04_transfer: AUC': '0.56 (0.4 to 0.7)'}``."""
    numbers = {}
    for notebook in notebooks:
        if notebook.name in contents:
            content = prepare(contents[notebook.name], notebook.title, str)
            for item in content.headlines:
                label = f"{notebook.name}: {item['label']}"
                numbers[label] = f"{item['value']} {item['interval']}".strip()
    return numbers
