"""Writes one notebook's report: a single HTML file that needs nothing else and asks nobody."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

from nbconvert import HTMLExporter
from nbformat import NotebookNode

from karyo_lib.screening.card import NOTICE
from karyo_lib.store import write_whole
from karyo_lib.study.present import TEMPLATES, static
from karyo_lib.study.report.content import prepare, scrub, scrubber
from karyo_lib.study.report.order import Notebook
from karyo_lib.study.report.progress import duration
from karyo_lib.study.runs import Run

LARGEST = 8_000_000  # bytes
_HEADING = re.compile(r'<h([23])[^>]*\bid="([^"]+)"[^>]*>(.*?)</h\1>', re.DOTALL)
_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*>.*?</a>')
_FIGURE = re.compile(r'<figure class="karyo karyo-figure".*?</figure>', re.DOTALL)
_SHOWN = re.compile(r'\bsrc="(?P<address>[^"]+)"')
_DOWNLOAD = re.compile(r'<a [^>]*\bdownload="(?P<name>[^"]+\.(?:png|svg))"[^>]*>')


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
