"""What the notebooks must be: stored without outputs, free of logic and of typed-in results."""

import ast
import re
from pathlib import Path

import nbformat

PARAMETERS = ("profile", "run_dir", "seed", "data", "bank", "weights", "overrides")
# Numbers that tell where something stands, not what came out: 'sections 3.3, 4.1 and 4.2', 'Fig 4.8'.
_REFERENCE = re.compile(
    r"(?:sections?|§|chapters?|figs?\.?|figures?|tables?|version|ISCN|items?)\s*\d[\d.]*"
    r"(?:\s*(?:,|and|to|-)\s*\d[\d.]*)*",
    re.IGNORECASE,
)
_RESULT = re.compile(r"(?<![\w.])(?:\d*\.\d+|\d+(?:\.\d+)?\s?%)(?![\w.]*\d)")


def complaints(path: Path) -> list[str]:
    """Return what is wrong with a notebook, each with the number of its cell."""
    notebook = nbformat.read(path, as_version=4)
    found = []
    kernel = notebook.metadata.get("kernelspec", {})
    if kernel.get("name") != "python3" or kernel.get("language") != "python":
        found.append("kernelspec is not python3 with its language")
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        found.append(f"{len(tagged)} cells are tagged 'parameters', one is needed")
    else:
        names = re.findall(r"^(\w+)\s*=", tagged[0].source, re.MULTILINE)
        if tuple(names) != PARAMETERS:
            found.append(f"parameters are {', '.join(names)}, not {', '.join(PARAMETERS)}")
        place = notebook.cells.index(tagged[0])
        if place == 0 or "Parameters" not in notebook.cells[place - 1].source:
            found.append("no words before the parameters cell say what they are")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("the first cell is not a title")
    for number, cell in enumerate(notebook.cells):
        found += [f"cell {number}: {said}" for said in _cell(cell)]
    return found


def _cell(cell: nbformat.NotebookNode) -> list[str]:
    if cell.cell_type == "markdown":
        if "published" in cell.metadata.get("tags", []):
            return []
        text = _REFERENCE.sub("", re.sub(r"`[^`]*`|\]\([^)]*\)", "", cell.source))
        said = [f"typed-in result {result!r}" for result in _RESULT.findall(text)]
        return said + (
            ["mathematics, which the reports do not typeset"] if re.search(r"\$[^$\n]+\$", text) else []
        )
    if cell.cell_type != "code":
        return [f"a {cell.cell_type} cell"]
    said = ["outputs are stored"] if cell.outputs else []
    said += ["an execution count is stored"] if cell.execution_count is not None else []
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return [*said, "not plain Python"]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            said.append(f"defines {node.name!r}: logic belongs into karyo_lib")
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("text", "headline", "banner"):
            said += _typed(node)
    return said


def shown_names(path: Path) -> list[str]:
    """Return the names under which a notebook keeps figures and tables."""
    notebook = nbformat.read(path, as_version=4)
    trees = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        f"{call.func.attr} {call.args[1].value}"
        for call in calls
        if getattr(call.func, "attr", "") in ("figure", "table", "save_table", "save_array")
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
    ]


def _typed(call: ast.Call) -> list[str]:
    """Return the numbers typed into what a conclusion or a headline says."""
    said = []
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            said.append(f"typed-in result {node.value!r}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said += [
                f"typed-in result {result!r}" for result in _RESULT.findall(_REFERENCE.sub("", node.value))
            ]
    return said
