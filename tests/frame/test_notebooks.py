"""The notebooks as stored, the rules they are held to, and all of them run."""

from pathlib import Path

import nbformat
import pytest
from notebook_rules import complaints, shown_names
from small_study import PARAMETERS, write_notebook

from karyo_lib.study.report.kernel import find_notebooks

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


def test_there_are_seven():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_keeps_the_rules(name):
    assert complaints(NOTEBOOKS / f"{name}.ipynb") == []


def test_no_two_figures_or_tables_share_a_file():
    names = [(name, path.stem) for path in sorted(NOTEBOOKS.glob("*.ipynb")) for name in shown_names(path)]
    seen = {}
    for name, notebook in names:
        assert seen.setdefault(name, notebook) == notebook, f"{name}: {seen[name]} and {notebook}"


@pytest.mark.parametrize("name", NAMES)
def test_no_two_cells_share_an_id(name):
    ids = [cell.id for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells]
    assert len(set(ids)) == len(ids)


def test_order_of_the_study():
    needs = {
        notebook.name[:2]: {name[:2] for name in notebook.needs} for notebook in find_notebooks(NOTEBOOKS)
    }
    assert needs["01"] == set()
    assert needs["02"] == {"01"}
    assert needs["03"] == needs["04"] == {"01", "02"}
    assert needs["05"] == {"01", "02", "04"}
    assert needs["06"] >= {"01", "02", "04", "05"}
    assert needs["07"] >= {"01", "02", "04", "05", "06"}


@pytest.fixture
def good(tmp_path):
    return write_good(tmp_path)


def write_good(folder, *cells):
    path = write_notebook(folder, "01_good", *cells)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(
        1, nbformat.v4.new_markdown_cell("**Parameters.** `profile`: how much.", id="words")
    )
    nbformat.write(notebook, path)
    return path


def test_a_good_notebook_passes(tmp_path):
    prose = "## Results\n\nAs in sections 3.3, 4.1 and 4.2 and Fig 4.8, with `rate=0.5`, of 146 images."
    assert complaints(write_good(tmp_path, prose, "run.text(study.describe(fits))")) == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def compute(x):\n    return x", "defines 'compute'"),
        ("class Reader:\n    pass", "defines 'Reader'"),
        ("# Results\n\nThe AUC is 0.97.", "typed-in result '0.97'"),
        ("# Results\n\nIt clears 41 % of them.", "typed-in result '41 %'"),
        ("run.text('The AUC is .93.')", "typed-in result '.93'"),
        ("run.headline([('AUC', 0.93)])", "typed-in result 0.93"),
        ("%matplotlib inline", "not plain Python"),
        ("# Loss\n\n$\\log p$", "mathematics"),
    ],
)
def test_each_rule_fails_a_notebook(tmp_path, cell, said):
    assert any(said in complaint for complaint in complaints(write_good(tmp_path, cell)))


def change(path, edit):
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)
    return complaints(path)


def test_stored_outputs_counts_and_kernels_fail(good):
    def run(notebook):
        notebook.cells[-1].execution_count = 3
        notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="x")]
        notebook.metadata.kernelspec.name = "other"

    said = " ".join(change(good, run))
    assert all(word in said for word in ("outputs are stored", "execution count is stored", "kernelspec"))


def test_missing_and_undocumented_parameters_fail(good):
    assert any("no words before" in said for said in change(good, lambda notebook: notebook.cells.pop(1)))

    def untag(notebook):
        cell = next(cell for cell in notebook.cells if cell.source == PARAMETERS)
        del cell.metadata["tags"]

    assert any("0 cells are tagged" in said for said in change(good, untag))
