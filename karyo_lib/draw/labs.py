"""The lab styles that pages are drawn in, as ``data/lab_styles.json`` lists them."""

import json
from typing import Any

from karyo_lib.draw.styles import GLUED_ROWS, PLAIN_ROWS, STANDARD_ROWS, Artefacts, LabStyle, Layout, Look
from karyo_lib.resources import data_file

_ROWS = {"standard": STANDARD_ROWS, "plain": PLAIN_ROWS, "glued": GLUED_ROWS}
_PARTS = {"layout": Layout, "look": Look, "artefacts": Artefacts}


def _part(kind: type, told: dict[str, Any]) -> Any:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    if "rows" in values:
        values["rows"] = _ROWS[values["rows"]]
    return kind(**values)


def _style(name: str, told: dict[str, Any]) -> LabStyle:
    parts = {part: _part(kind, told.get(part, {})) for part, kind in _PARTS.items()}
    return LabStyle(name, told["description"], **parts, annotations=tuple(told.get("annotations", ())))


STYLES: dict[str, LabStyle] = {
    name: _style(name, told)
    for name, told in json.loads(data_file("lab_styles.json").read_text(encoding="utf-8")).items()
}
