"""The numbers of the README: kept in ``data/figures.csv``, written from there into the README's tables.

``python -m benchmarks.figures`` writes the README again; with ``--run reports/quick`` the thesis's rows are
first renewed from that run.
"""

import argparse
import re
from pathlib import Path

import pandas as pd

from karyo_lib.store import writing

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "data" / "figures.csv"
COLUMNS = ["group", "what", "value", "low", "high", "unit", "source"]
_BLOCK = re.compile(r"(<!-- figures: (?P<group>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
STORY = {
    "printed": "printed",
    "thesis": "done the thesis's way",
    "grouped": "copies of a karyogram held together",
    "within": "the same, judged within one source",
    "apart": "trained on one source, tested on the other",
    "random": "labels drawn at random, the thesis's way",
}
TOLD = "augmented-vgg16-frozen"  # the condition that the README tells


def load_figures(path: Path = FIGURES) -> pd.DataFrame:
    """Return the committed figures, text as it stands in the file."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def render(figures: pd.DataFrame, group: str) -> str:
    """Return a group of figures as a Markdown table."""
    rows = figures[figures["group"] == group]
    lines = [f"| {' | '.join(rows['source'].unique())} | |", "| --- | --- |"]
    for row in rows.itertuples():
        unit = f" {row.unit}" if row.unit else ""
        interval = f" ({row.low} to {row.high})" if row.low else ""
        lines.append(f"| {row.what} | **{row.value}{unit}**{interval} |")
    return "\n".join(lines) + "\n"


def fill(readme: str, figures: pd.DataFrame) -> str:
    """Return the README with every block of figures written from the table."""
    return _BLOCK.sub(lambda found: found[1] + render(figures, found["group"]) + found[3], readme)


def read_run(folder: Path) -> pd.DataFrame:
    """Return the thesis's rows from a run: test AUC of one condition, step by step, with 95 % limits."""
    table = pd.read_csv(folder / "tables" / "story_numbers.csv")
    table = table[table["condition"] == TOLD].set_index("step")
    source = (
        f"test AUC, VGG16 frozen, augmented data, drawn karyograms, profile {folder.name} (95 % interval)"
    )
    rows = []
    for step, what in STORY.items():
        if step in table.index:
            value, low, high = (
                "" if pd.isna(number) else f"{number:.2f}".replace("0.", ".")
                for number in table.loc[step, ["value", "low", "high"]]
            )
            rows.append(("thesis", what, value, low, high, "", source))
    return pd.DataFrame(rows, columns=COLUMNS)


def main(arguments: list[str] | None = None) -> None:
    """Renew the figures from a run where one is named, and write the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run, such as reports/quick")
    chosen = parser.parse_args(arguments)
    figures = load_figures()
    if chosen.run:
        figures = pd.concat([figures[figures["group"] != "thesis"], read_run(chosen.run)])
        with writing(FIGURES) as part:
            figures.to_csv(part, index=False)
    readme = ROOT / "README.md"
    text = fill(readme.read_text(encoding="utf-8"), figures)
    with writing(readme) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
