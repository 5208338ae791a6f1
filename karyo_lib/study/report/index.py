"""Writes reports and ``index.html``: the run at a glance, a card per report, and the runs before it."""

import html
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from karyo_lib.screening.card import NOTICE
from karyo_lib.store import write_whole
from karyo_lib.study.present import TEMPLATES, Table, data_uri, static, templates, thumbnail
from karyo_lib.study.report.content import Content, prepare, scrub, scrubber
from karyo_lib.study.report.kernel import Notebook, duration
from karyo_lib.study.report.records import STATE, Records
from karyo_lib.study.runs import Run

LARGEST = 8_000_000  # bytes
_HEADING = re.compile(r'<h([23])[^>]*\bid="([^"]+)"[^>]*>(.*?)</h\1>', re.DOTALL)
_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*>.*?</a>')
_FIGURE = re.compile(r'<figure class="karyo karyo-figure".*?</figure>', re.DOTALL)
_SHOWN = re.compile(r'\bsrc="(?P<address>[^"]+)"')
_DOWNLOAD = re.compile(r'<a [^>]*\bdownload="(?P<name>[^"]+\.(?:png|svg))"[^>]*>')
# Written by the last notebook: thesis beside ours, three sentences, and the figure that tells them.
SUMMARY, FRONT_PAGE, STORY = "table_5_1", "front_page", "story"
# What of two runs is shown side by side.
COMPARED = {
    "From printed to what is left": STORY,
    "Training, VGG16 frozen, augmented data": "fig-4-7",
    "Training, VGG16, last two blocks": "fig-4-17",
}
_THUMBNAIL = (480, 288)  # px


@cache
def _exporter() -> HTMLExporter:
    exporter = HTMLExporter(template_name="karyo", extra_template_basedirs=[str(TEMPLATES)])
    exporter.filters |= {"duration": duration}
    exporter.environment.globals.update(assets())
    return exporter


@cache
def assets() -> dict[str, str]:
    """Return style sheets and scripts by the names that the templates use."""
    names = ("present.css", "report.css", "tables.js", "report.js", "history.js")
    return {name.replace(".", "_"): static(name) for name in names} | {"notice": NOTICE}


def write_report(
    run: Run, notebook: Notebook, executed: NotebookNode, record: dict[str, Any],
    notebooks: tuple[Notebook, ...],
) -> None:  # fmt: skip
    """Write ``<name>.html`` into the run folder; above 8 MB downloads lead to the ``figures`` folder."""
    clean = scrubber(run)
    content = prepare(executed, notebook.title, clean)
    told = {
        "content": content,
        "record": scrub(record, clean),
        "times": {cell["anchor"]: cell["seconds"] for cell in record.get("cells", [])},
        "place": notebook.name,
        "reports": [{"name": other.name, "title": other.title} for other in notebooks],
        "profile": run.settings.name,
        "source": run.source,
    }
    body, _ = _exporter().from_notebook_node(content.notebook, resources={"karyo": told})
    body = _ANCHOR.sub("", body)  # headings keep their ids; a screen reader need not read a sign at each
    body = body.replace("<!-- contents -->", _contents(body))
    body = _FIGURE.sub(_once, body)
    if len(body.encode()) > LARGEST:
        body = _DOWNLOAD.sub(r'<a download="\g<name>" href="figures/\g<name>">', body)
    write_whole(run.dir / f"{notebook.name}.html", body)


def _once(figure: re.Match[str]) -> str:
    """Leave out of a figure the download that is the image shown; the script takes it from there."""
    shown = _SHOWN.search(figure[0])["address"]

    def link(found: re.Match[str]) -> str:
        name = found["name"]
        repeats = f'href="{shown}"' in found[0]
        return f'<a data-shown="" download="{name}" href="figures/{name}">' if repeats else found[0]

    return _DOWNLOAD.sub(link, figure[0])


def _contents(body: str) -> str:
    """Return the list of headings of a rendered page, as links."""
    items = []
    for level, anchor, text in _HEADING.findall(body):
        words = re.sub(r"<[^>]+>", "", text).strip()
        items.append(f'<li class="level-{level}"><a href="#{html.escape(anchor)}">{words}</a></li>')
    return "\n".join(items)


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
            made, now = record["provenance"], scrub(provenance, clean)
            if any(made[key] != now[key] for key in ("settings", "seed", "karyograms", "digests")):
                stale.append(notebook.name)
    told = {
        "cards": cards,
        "banners": banners,
        "troubles": [card for card in cards if card["status"] in ("failed", "skipped", "running")],
        "stale": stale,
        "headlines": headlines,
        "headlines_of": "" if headlines_of is notebooks[-1] else headlines_of.title,
        "summary": _summary(run),
        "sentences": _sentences(run),
        "story": _story(run),
        "map": _map(run),
        "provenance": scrub(provenance, clean),
        "reports": [{"name": notebook.name, "title": notebook.title} for notebook in notebooks],
        "history": scrub(find_history(run.dir), clean),
        "profile": run.settings.name,
        "source": run.source,
        "command": clean(run.command()),
        "written": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    told["beside_json"] = json.dumps(_beside(run.dir.parent, told["history"])).replace("</", "<\\/")
    told["history_json"] = json.dumps(told["history"]).replace("</", "<\\/")
    templates().filters["duration"] = duration
    page = templates().get_template("overview.html.j2")
    write_whole(run.dir / "index.html", page.render(told | assets()))


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
    path = run.path("tables", f"{SUMMARY}.csv")
    if not path.exists():
        return None
    table = pd.read_csv(path)
    caption = "Each measure as the thesis prints it, and as this run finds it done the thesis's way."
    return Table(SUMMARY, caption, "Table 5.1", table, path.read_bytes(), rows=50, digits=2).to_html()


def _sentences(run: Run) -> list[str]:
    path = run.path("tables", f"{FRONT_PAGE}.csv")
    return pd.read_csv(path)["sentence"].to_list() if path.exists() else []


def _story(run: Run) -> dict[str, str] | None:
    """Return the figure of the front page: its picture as an address that needs no file, and its words."""
    path = run.path("figures", f"{STORY}.svg")
    if not path.exists():
        return None
    return {"picture": data_uri(path.read_bytes(), "image/svg+xml"), "alt": " ".join(_sentences(run))}


def _map(run: Run) -> list[dict[str, str]]:
    """Return every figure and table of the thesis: name, title, where ours is, and its picture."""
    path = run.path("tables", "thesis_map.csv")
    if not path.exists():
        return []
    items = pd.read_csv(path, keep_default_na=False).to_dict("records")
    for item in items:
        picture = run.path("figures", f"{item['thumbnail']}.png")
        item["ours"] = ".html" in item["place"]
        item["picture"] = thumbnail(picture, (200, 130)) if item["thumbnail"] and picture.exists() else ""
    return items


def _beside(place: Path, history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return Table 5.1 and pictures of each folder in the history, so that two runs stand side by side."""
    found = {}
    for folder in dict.fromkeys(entry["folder"] for entry in history):
        table = place / folder / "tables" / f"{SUMMARY}.csv"
        pictures = {name: place / folder / "figures" / f"{file}.png" for name, file in COMPARED.items()}
        found[folder] = {
            "table": pd.read_csv(table).astype(str).to_dict("records") if table.exists() else [],
            "pictures": {n: thumbnail(path, (760, 620)) for n, path in pictures.items() if path.exists()},
        }
    return found


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
        "settings": {"seed": run.seed, "karyograms": run.source, **asdict(run.settings)},
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
