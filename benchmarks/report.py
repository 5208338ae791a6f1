"""The page ``reports/bench/index.html`` and its figures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, PackageLoader

from benchmarks.compose import compose_profile, compose_scale, describe_table
from benchmarks.growth import describe_growth
from benchmarks.material import Sizes
from benchmarks.measure import Row
from karyo_lib.networks.backend import backend_facts
from karyo_lib.store import writing
from karyo_lib.study.displays.style import new_grid, style
from karyo_lib.study.present import static
from karyo_lib.study.report.records import commit, device
from karyo_lib.study.runs import Run


def write_page(
    run: Run,
    table: pd.DataFrame,
    turns: pd.DataFrame,
    growth: pd.DataFrame,
    rows: Sequence[Row],
    sizes: Sizes,
    quick: bool,
) -> None:
    """Write tables, figures and ``index.html`` into the folder of `run`."""
    parts, sentences = [], []
    if len(table):
        shown = table.drop(columns="row")
        parts.append(_part("", "", run.table(shown, "ratios", "karyo and other ways", digits=3)))
        figure = run.figure(plot_ratios(table), "ratios", "Ratio of times, quartiles; a bar is the aim.")
        parts.append(_part("", "", figure))
        sentences = [*describe_table(table)]
    profile = compose_profile(turns, sizes)
    if len(profile):
        ours, plain = profile["karyo_s"].sum(), profile["plain_s"].sum()
        words = (
            f"The profile 'thesis', made up from the rows above and the number of its fits, not run: "
            f"{ours / 3600:.1f} hours against {plain / 3600:.1f} the plain way, {plain / ours:.1f} x."
        )
        sentences.append(words)
        parts.append(
            _part("The whole profile", words, run.table(profile, "profile", "Parts of the profile, seconds"))
        )
    if len(growth):
        shown = growth.drop(columns="row")
        parts.append(
            _part("How time grows", describe_growth(shown), run.table(shown, "growth_shown", "Growth"))
        )
        caption = "Time against number; dashed: proportional, through the last point."
        parts.append(_part("", "", run.figure(plot_growth(shown), "growth", caption)))
    scale = compose_scale(turns)
    if len(scale):
        words = (
            "Network screening with passes, heat map and checks, as in the row above. A GPU was not at hand: "
            "no figure is given for one."
        )
        parts.append(_part("A million karyograms", words, run.table(scale, "scale", "Hours for a million")))
    environment = Environment(loader=PackageLoader("benchmarks"), autoescape=True, trim_blocks=True)
    facts = backend_facts()
    loads = turns["load"] if len(turns) else pd.Series([0.0])
    page = environment.get_template("bench.html.j2").render(
        present_css=static("present.css"),
        report_css=static("report.css"),
        tables_js=static("tables.js"),
        device=device(),
        engine=f"{facts['backend']} {facts['backend_version']}, frozen bases by {facts['inference']}",
        commit=commit(),
        load=f"{loads.min():.1f} to {loads.max():.1f}",
        quick=quick,
        sentences=sentences,
        missing="; ".join(dict.fromkeys(row.missing for row in rows if row.missing)),
        parts=parts,
    )
    with writing(run.dir / "index.html") as part:
        part.write_text(page, encoding="utf-8")


def _part(title: str, text: str, shown) -> dict[str, str]:
    return {"title": title, "text": text, "html": shown.to_html()}


@style()
def plot_ratios(table: pd.DataFrame) -> plt.Figure:
    """Draw the ratios on a logarithmic axis, one line a comparison."""
    figure, axes = new_grid(None, 1, 1, height=0.6 + 0.34 * len(table))
    ax = axes[0, 0]
    for place, line in enumerate(table.to_dict("records")):
        ax.plot([line["q25"], line["q75"]], [place, place], color="0.5")
        ax.plot(line["ratio"], place, "o", color="C0")
        if pd.notna(line["aim"]):
            ax.plot([line["aim"]] * 2, [place - 0.3, place + 0.3], color="C1")
    ax.set_xscale("log")
    ax.axvline(1, color="0.7", linewidth=0.8)
    names = [f"{row} / {side}" for row, side in zip(table["row"], table["reference"], strict=True)]
    ax.set_yticks(range(len(table)), names)
    ax.invert_yaxis()
    ax.set_xlabel("Reference's time / karyo's time")
    return figure


@style()
def plot_growth(growth: pd.DataFrame) -> plt.Figure:
    """Draw time against number, one panel a curve, both axes logarithmic."""
    curves = list(growth.groupby("what", sort=False))
    figure, axes = new_grid(None, 1, len(curves), height=2.6)
    for ax, (what, rows) in zip(axes.ravel(), curves, strict=True):
        ax.loglog(rows["n"], rows["seconds"], "o-")
        first = rows.iloc[-1]
        ax.loglog(rows["n"], first["seconds"] * rows["n"] / first["n"], "--", color="0.6")
        ax.set_title(what)
        ax.set_xlabel("Number")
    axes[0, 0].set_ylabel("Seconds")
    return figure
