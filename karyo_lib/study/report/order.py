"""The notebooks of the study: which there are, in what order, and which needs the files of which."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from papermill import inspect_notebook

from karyo_lib.settings import SettingsError, suggest


@dataclass(frozen=True)
class Notebook:
    name: str  # file name without suffix, ``'04_transfer'``
    path: Path
    title: str  # its first heading
    # Earlier notebooks whose files it reads, by ``run.require("tables/splits.csv", made_by="02_augment")``.
    needs: tuple[str, ...]
    parameters: tuple[str, ...]  # names assigned in its parameters cell
    cells: int


def find_notebooks(folder: Path) -> tuple[Notebook, ...]:
    """Return the notebooks of *folder* whose names begin with two digits, in that order."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise SettingsError(
            f"Expected notebooks named 01_..., 02_... in the folder {folder.name!r}. Received none: "
            "run karyo from a checkout of its repository."
        )
    found: dict[str, Notebook] = {}
    for path in paths:
        found[path.stem] = _read(path, found)
    return tuple(found.values())


def _read(path: Path, earlier: dict[str, Notebook]) -> Notebook:
    content = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in content.cells if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", prose, re.MULTILINE)
    named = {name for name in earlier if re.search(rf"[\"']{re.escape(name)}[\"']", code)}
    needed = named.union(*(earlier[name].needs for name in named))
    return Notebook(
        name=path.stem,
        path=path,
        title=heading[1].strip() if heading else path.stem,
        needs=tuple(name for name in earlier if name in needed),
        parameters=tuple(inspect_notebook(path)),
        cells=len(content.cells),
    )


def check_parameters(notebook: Notebook, given: dict[str, Any]) -> None:
    """Raise unless the notebook declares every parameter given; papermill alone would only warn."""
    for name in given:
        if name not in notebook.parameters:
            raise SettingsError(
                f"Expected a parameter of {notebook.name}, one of {', '.join(notebook.parameters)}. "
                f"Received {name!r}.{suggest(name, notebook.parameters)}"
            )


def choose(notebooks: tuple[Notebook, ...], only: Iterable[str]) -> tuple[Notebook, ...]:
    """Return the notebooks named in *only*, by full name or by number (``'04'``); all if it is empty."""
    names = tuple(notebook.name for notebook in notebooks)
    chosen = set()
    for wanted in only:
        wanted = wanted.removesuffix(".ipynb")
        found = [name for name in names if wanted in (name, name[:2], name[:2].lstrip("0"))]
        if not found:
            raise SettingsError(
                f"Expected a notebook, one of {', '.join(names)}. "
                f"Received {wanted!r}.{suggest(wanted, names)}"
            )
        chosen.update(found)
    return tuple(notebook for notebook in notebooks if notebook.name in chosen) if chosen else notebooks
