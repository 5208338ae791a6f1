"""Writes a study of four small notebooks."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from karyo_lib.study.runs import Run

PARAMETERS = """
profile = "quick"
run_dir = ""
seed = 2020
data = ""
bank = ""
weights = ""
overrides = {}
"""
OPEN = """
from karyo_lib.study.runs import Run
run = Run.open(profile, run_dir, seed, data, bank, weights, **overrides)
"""
FIGURE = """
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([0, 1], [1, 0])
ax.set(xlabel="Epoch", ylabel="Loss")
run.figure(ax, "curves", "Loss by epoch.", thesis="Fig 4.8")
"""
TABLE = """
import pandas as pd
frame = pd.DataFrame({"image_id": ["007", "008", "009"], "auc": [0.5, 0.25, 0.75], "kind": ["a", "<b>", "c"]})
run.table(frame, "first", "Three images.")
"""
WIDGETS = """
import ipywidgets
from IPython.display import display
slider = ipywidgets.FloatSlider(value=0.5)
shown = ipywidgets.interactive_output(lambda t: display(run.text(f"At {t}.")), {"t": slider})
display(ipywidgets.VBox([slider, shown]))
"""
NOISE = """
import sys, warnings
from tqdm.auto import tqdm
for _ in tqdm(range(3), "Drawing"): pass
sys.stderr.write("Epoch: 100%|####| 3/3 [00:01<00:00, 2.0it/s]\\n")
warnings.warn(f"Looked into {run.dir}")
print("kept in", run.dir)
"""
HEADLINE = 'run.headline([("AUC, split by patient", 0.561, 0.44, 0.68, "honest"), ("Karyograms", 146)])'


def write_notebook(folder: Path, name: str, *cells: str) -> Path:
    """Write a notebook with a parameters cell; cells that begin with ``#`` are Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [new_markdown_cell(f"# {name}"), new_code_cell(PARAMETERS), new_code_cell(OPEN)]
    made[1].metadata["tags"] = ["parameters"]
    made += [new_markdown_cell(cell) if cell.startswith("#") else new_code_cell(cell) for cell in cells]
    for place, cell in enumerate(made):
        cell["id"] = f"cell-{place}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
    return path


def write_study(folder: Path) -> Path:
    """Write four notebooks, of which the third fails."""
    first = ["## The collection", HEADLINE, FIGURE, "## Tables\n\n### Three", TABLE, NOISE, WIDGETS]
    write_notebook(folder, "01_first", *first, "run.banner('Weights are <random>.')", "run.banner(None)")
    second = "frame = run.load_table('first', made_by='01_first')\nrun.save_table(frame.head(1), 'second')"
    write_notebook(folder, "02_second", second, "run.text(f'One of **{len(frame)}** is kept.')")
    write_notebook(folder, "03_broken", "## Part", "raise ValueError(f'Expected a file in {run.dir}.')", "1")
    need = "run.require('tables/second.csv', made_by='02_second')"
    table = "run.table(pd.DataFrame({'condition': ['a'], 'printed': [0.9]}), 'table_5_1', 'All.')"
    write_notebook(folder, "04_fourth", f"import pandas as pd\n{need}\n{table}")
    return folder


def fake_engine(run: Run) -> dict:
    """Stand in for the look at Keras, which takes seconds and is tested with the real notebooks."""
    source = {"purity": "imagenet", "digest": "0" * 64, "origin": "a test", "warning": ""}
    return {"engine": {"backend": "none"}, "weights": {"VGG16": source}}
