"""Prepares an executed notebook for its report: what goes to the top, what is left out, and no paths."""

import copy
import os
import re
import site
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from karyo_lib.study.present import BANNER, FIGURE, HEADLINE, RUN
from karyo_lib.study.runs import Run, project_dir

_WIDGET = "application/vnd.jupyter.widget-view+json"
_WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_PROGRESS = re.compile(r"\d+%\|.*\||\d+/\d+ \[|\d+it \[|━|^Epoch \d+/\d+$|\x1b\[[A-Z]")
_PARAMETERS_HELP = re.compile(r"\s*\*\*Parameters\b")
_KERNEL_FILE = re.compile(r"[^\s\"'<>(]{0,200}?/ipykernel_\d+/\d+\.py")
_WARNING = re.compile(r"\b\w*Warning: .+")


@dataclass(frozen=True)
class Content:
    title: str
    notebook: NotebookNode  # without its first heading, its progress bars and what was lifted to the top
    banners: list[dict[str, str]]  # ``text`` and ``kind``
    headlines: list[dict[str, str]]  # ``label``, ``value``, ``interval`` and ``note``, all as text
    # ``name, thesis, anchor, caption`` of each figure; ``cover``: it stands for the report on the index.
    figures: list[dict[str, Any]]
    failed: str  # anchor of the failing cell, empty if none failed


def prepare(executed: NotebookNode, title: str, clean: Callable[[str], str]) -> Content:
    """Return the content of a report; *executed* is left as it is and *clean* takes paths out of texts."""
    notebook = copy.deepcopy(executed)
    states = notebook.metadata.get("widgets", {}).get(_WIDGET_STATE, {}).get("state", {})
    notebook.metadata.pop("widgets", None)
    banners: list[dict[str, str]] = []
    headlines: list[dict[str, str]] = []
    figures: list[dict[str, Any]] = []
    failed = ""
    kept = []
    injected = any("injected-parameters" in _tags(cell) for cell in notebook.cells)
    for number, cell in enumerate(notebook.cells):
        if _PARAMETERS_HELP.match(cell.source) and cell.cell_type == "markdown":
            continue  # for those who run the notebook themselves
        if injected and "parameters" in _tags(cell):
            continue  # the values of this run stand in the next cell
        cell.source = clean(cell.source)
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\A\s*# .*$", "", cell.source, count=1, flags=re.MULTILINE)
            if cell.source.strip():
                kept.append(cell)
            continue
        if cell.cell_type != "code" or not (cell.source.strip() or cell.get("outputs")):
            continue
        cell.metadata.karyo_anchor = f"cell-{number}"
        outputs = []
        flat, moved = _flatten(cell.outputs, states)
        for output in flat:
            output = NotebookNode(scrub(output, clean))
            data = output.get("data", {})
            if output.output_type == "stream":
                output.text = without_progress(output.text)
                if not output.text.strip():
                    continue
            elif BANNER in data:
                banners.append(dict(data[BANNER]))
                continue
            elif HEADLINE in data:
                headlines += [dict(item) for item in data[HEADLINE]]
                continue
            elif RUN in data or data.get("text/plain") == "" or "application/javascript" in data:
                continue
            elif FIGURE in data:
                figures.append({**data[FIGURE], "cover": "cover" in _tags(cell)})
            elif output.output_type == "error":
                failed = cell.metadata.karyo_anchor
            outputs.append(output)
        cell.metadata.karyo_widget = moved
        cell.outputs = outputs
        cell.metadata.karyo_failed = any(output.output_type == "error" for output in outputs)
        kept.append(cell)
    notebook.cells = kept
    unique = [banner for place, banner in enumerate(banners) if banner not in banners[:place]]
    return Content(title, notebook, unique, headlines, figures, failed)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _flatten(outputs: list[NotebookNode], states: dict[str, Any]) -> tuple[list[NotebookNode], bool]:
    """Put what a widget showed in the place of the widget, which needs a running kernel."""
    flat, moved = [], False
    for output in outputs:
        view = output.get("data", {}).get(_WIDGET)
        if view is None:
            flat.append(output)
        else:
            shown = [NotebookNode(one) for one in _shown(view["model_id"], states)]
            flat, moved = flat + shown, moved or bool(shown)
    return flat, moved


def _shown(model: str, states: dict[str, Any]) -> list[dict[str, Any]]:
    state = states.get(model, {}).get("state", {})
    found = list(state.get("outputs", []))
    for child in state.get("children", []):
        found += _shown(child.removeprefix("IPY_MODEL_"), states)
    return found


def without_progress(text: str) -> str:
    """Return what a terminal would show in the end, without the lines of progress bars."""
    lines = [line.split("\r")[-1] for line in text.split("\n")]
    return "\n".join(line for line in lines if not _PROGRESS.search(line))


def find_warnings(executed: NotebookNode) -> list[str]:
    """Return each Python warning that the cells wrote to the error stream, once."""
    texts = (
        output.text
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    )
    return list(dict.fromkeys(found[0] for text in texts for found in _WARNING.finditer(text)))


def cell_times(executed: NotebookNode) -> list[dict[str, Any]]:
    """Return anchor, execution count and seconds of every code cell that ran."""
    return [
        {"anchor": f"cell-{number}", "count": cell.execution_count, "seconds": _seconds(cell)}
        for number, cell in enumerate(executed.cells)
        if cell.cell_type == "code" and cell.get("execution_count")
    ]


def _seconds(cell: NotebookNode) -> float | None:
    times = cell.metadata.get("execution", {})
    ends = [times.get(name) for name in ("iopub.status.busy", "iopub.status.idle")]
    if None in ends:
        return None
    began, ended = map(datetime.fromisoformat, ends)
    return (ended - began).total_seconds()


def scrubber(run: Run) -> Callable[[str], str]:
    """Return a function that writes for this machine's folders what they are to karyo: ``RUN``, ``DATA``,
    ``BANK``, ``WEIGHTS``, ``KARYO`` (the checkout), ``PYTHON`` (installed packages), ``~`` and ``TMP``."""
    python = {*site.getsitepackages(), sys.prefix, sys.base_prefix} - {"/usr", "/usr/local"}
    places = {
        "RUN": [run.dir], "DATA": [run.data], "BANK": [run.bank], "PYTHON": python, "KARYO": [project_dir()],
        "WEIGHTS": [run.weights.removeprefix("random"), os.environ.get("KARYO_WEIGHTS")],
        "~": [Path.home()], "TMP": [tempfile.gettempdir()],
    }  # fmt: skip
    names: dict[str, str] = {}
    for word, paths in places.items():
        for path in filter(None, paths):
            names |= {form: word for form in (str(path), str(Path(path).resolve())) if form not in names}
    names.pop("/", None)  # a home folder may be the root
    # The longest first: a checkout in the home folder is a checkout.
    pattern = re.compile("|".join(re.escape(path) for path in sorted(names, key=len, reverse=True)))

    def clean(text: str) -> str:
        text = pattern.sub(lambda found: names[found[0]], text)
        return _KERNEL_FILE.sub("<this notebook>", text) if "ipykernel_" in text else text

    return clean


def scrub(value: Any, clean: Callable[[str], str]) -> Any:
    """Apply *clean* to every text in nested dicts and lists."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: scrub(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(item, clean) for item in value]
    return value
