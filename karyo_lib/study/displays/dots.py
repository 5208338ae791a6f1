"""Runs as dots and metrics as intervals: nothing is hidden in a mean; from printed to what is left."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from karyo_lib.judge.words import format_interval
from karyo_lib.study.displays.style import DASHES, PALETTE, Display, assign_colours, place_legend, wrap_title

ROW_TITLE_WIDTH = 26  # characters
MARKS = "os^DvP"


def _label_rows(ax: Axes, rows: list[str], label: str) -> None:
    for i in range(1, len(rows), 2):
        ax.axhspan(i - 0.5, i + 0.5, color="#F5F5F5", zorder=0)
    ax.set_yticks(range(len(rows)), [wrap_title(name, ROW_TITLE_WIDTH) for name in rows])
    ax.set(ylim=(max(len(rows), 1) - 0.5, -0.5), xlabel=label, ylabel="")
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)


@dataclass(eq=False)
class DotsDisplay(Display, made="from_table"):
    """Every value as a dot, rows by one column and colours by another, with the mean as a bar."""

    table: pd.DataFrame  # one row a value
    row: str  # columns: of the row, of the colour within the row, and of the number
    series: str
    value: str
    label: str  # of the value axis
    titles: dict[str, str] = field(default_factory=dict)  # names of series to show in the legend
    hollow: tuple[str, ...] = ()  # series drawn as open dots
    reference: tuple[float, str] | None = None  # dashed line and its label: chance, for example
    log: bool = False  # logarithmic value axis

    def plot(self, ax: Axes | None = None) -> "DotsDisplay":
        """Draw on ``ax`` or on a new figure; rows and series in their order of appearance."""
        rows, series = (list(dict.fromkeys(self.table[column])) for column in (self.row, self.series))
        self._open(ax, height=0.8 + len(rows) * max(0.36, 0.15 * len(series)))
        ax, colours, n = self.ax_, assign_colours(series), len(series)
        placed = {"x": self.value, "y": self.row, "hue": self.series, "order": rows, "hue_order": series}
        placed |= {"legend": False, "ax": ax}
        strip = {"dodge": True, "jitter": False, "zorder": 3}
        known = self.table.dropna(subset=self.value)
        sns.stripplot(known, **placed, **strip, palette=colours, size=4.8)
        if self.hollow:
            open_ones = known[known[self.series].isin(self.hollow)]
            white = dict.fromkeys(series, "white")
            sns.stripplot(open_ones, **placed, **strip, palette=white, size=3)
        several = known[known.duplicated([self.row, self.series], keep=False)]
        if len(several):
            sns.pointplot(
                several, **placed, palette=colours, dodge=0.8 * (n - 1) / n, errorbar=None, linestyle="none",
                marker="|", markersize=8, markeredgewidth=2.2, zorder=4,
            )  # fmt: skip
        _label_rows(ax, rows, self.label)
        if self.log:
            ax.set_xscale("log")
        handles = [
            Line2D(
                [], [], marker="o", linestyle="none", color=colours[one], label=self.titles.get(one, one),
                markerfacecolor="white" if one in self.hollow else colours[one],
            )
            for one in series
        ]  # fmt: skip
        if self.reference is not None:
            at, told = self.reference
            handles.append(ax.axvline(at, color=PALETTE["neutral"], ls="--", lw=1, zorder=1, label=told))
        place_legend(self.figure_, handles)
        groups = known.groupby([self.row, self.series], sort=False)[self.value]
        self.alt_ = f"{self.label}. " + " ".join(
            f"{name}, {self.titles.get(one, one)}: {_tell(values)}." for (name, one), values in groups
        )
        return self


def _tell(values: pd.Series) -> str:
    if len(values) == 1:
        return f"{values.iloc[0]:.3g}"
    return f"mean {values.mean():.3g}, {len(values)} values from {values.min():.3g} to {values.max():.3g}"


@dataclass(eq=False)
class MetricsForestDisplay(Display, made="from_table"):
    """Values with their intervals, one below the other; several series may share a row."""

    table: pd.DataFrame  # ``title, value, low, high``, ``series`` or not. NaN leaves an empty row
    label: str = "Value"  # of the value axis
    reference: tuple[float, str] | None = None  # dashed line and its label

    def plot(self, ax: Axes | None = None) -> "MetricsForestDisplay":
        table = self.table if "series" in self.table.columns else self.table.assign(series="")
        rows, series = list(dict.fromkeys(table["title"])), list(dict.fromkeys(table["series"]))
        self._open(ax, height=0.8 + len(rows) * (0.2 + 0.12 * len(series)))
        ax, colours = self.ax_, assign_colours(series)
        known = table[table["value"].notna()].astype({"value": float, "low": float, "high": float})
        self.bars_, told = {}, []
        for j, one in enumerate(series):
            part = known[known["series"] == one]
            at = part["title"].map(rows.index) + (j - (len(series) - 1) / 2) * 0.7 / len(series)
            away = [part["value"] - part["low"], part["high"] - part["value"]]
            self.bars_[one] = ax.errorbar(
                part["value"], at, xerr=np.clip(np.nan_to_num(away), 0, None), fmt=MARKS[j % len(MARKS)],
                capsize=2.5, color=colours[one], elinewidth=1.3, label=one or None,
            )  # fmt: skip
            for y, row in zip(at, part.itertuples(), strict=True):
                text = format_interval(row.value, row.low, row.high)
                told.append(f"{row.title} {one}".strip() + f": {text}.")
                if len(series) == 1:
                    ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        if self.reference is not None:
            at, name = self.reference
            ax.axvline(at, color=PALETTE["neutral"], linestyle=DASHES[1], linewidth=1, label=name)
        _label_rows(ax, rows, self.label)
        handles, labels = ax.get_legend_handles_labels()
        if handles:
            place_legend(self.figure_, handles, labels)
        self.alt_ = f"{self.label}. {' '.join(told)}"
        return self


@dataclass(eq=False)
class SizeCurvesDisplay(Display, made="from_table"):
    """Sensitivity against the size of what is to be seen, a line a series, with intervals."""

    table: pd.DataFrame  # columns ``size, series, value, low, high``
    label: str  # of the size axis
    reference: tuple[float, str]  # dotted line and its label: what is found where there is nothing

    def plot(self, ax: Axes | None = None) -> "SizeCurvesDisplay":
        self._open(ax, height=3.6)
        series = dict(list(self.table.sort_values("size").groupby("series", sort=False)))
        colours, sizes = assign_colours(series), sorted(self.table["size"].unique())
        self.bars_ = {}
        for i, (name, part) in enumerate(series.items()):
            aside = 1 + 0.03 * (i - (len(series) - 1) / 2)  # so that bars do not hide each other
            errors = [part["value"] - part["low"], part["high"] - part["value"]]
            self.bars_[name] = self.ax_.errorbar(
                part["size"] * aside, part["value"], yerr=np.clip(errors, 0, None), label=name,
                color=colours[name], linestyle=DASHES[i % len(DASHES)], marker=MARKS[i % len(MARKS)],
                capsize=2.5, elinewidth=1,
            )  # fmt: skip
        at, told = self.reference
        self.ax_.axhline(at, color=PALETTE["neutral"], linestyle=":", linewidth=1.2, label=told)
        self.ax_.set_xscale("log")
        self.ax_.set_xticks(sizes, [f"{size:g}" for size in sizes])
        self.ax_.minorticks_off()
        self.ax_.set(xlabel=self.label, ylabel="Sensitivity", ylim=(-0.02, 1.02))
        self.figure_.legend(loc="outside lower center", ncols=3)
        return self


# Which steps a part lies between; the truth is what is above chance.
_BETWEEN = {"leak": ("thesis", "grouped"), "source": ("grouped", "apart"), "truth": ("apart", None)}


@dataclass(eq=False)
class StoryDisplay(Display, made="from_tables"):
    """Test AUC of several conditions from step to step, and what each loss is worth."""

    table: pd.DataFrame  # ``condition, step, value, low, high``; intervals may be missing
    worth: pd.DataFrame  # ``part`` (leak, source, truth), ``value, low, high`` of the condition told
    steps: dict[str, str]  # step and condition -> name, in the order they are drawn in
    titles: dict[str, str]

    def plot(self, ax: Axes | None = None) -> "StoryDisplay":
        steps = {step: name for step, name in self.steps.items() if step in set(self.table["step"])}
        self._open(ax, height=3.9)
        ax, place = self.ax_, {step: i for i, step in enumerate(steps)}
        conditions = list(dict.fromkeys(self.table["condition"]))
        colours = assign_colours(conditions)
        self.bars_, self.texts_ = {}, {}
        for i, condition in enumerate(conditions):
            rows = self.table[self.table["condition"] == condition]
            x = rows["step"].map(place).to_numpy() + 0.13 * (i - (len(conditions) - 1) / 2)
            limits = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["value"].to_numpy(float))
            self.bars_[condition] = ax.errorbar(
                x, rows["value"], yerr=np.nan_to_num(limits), fmt=MARKS[i % 5], capsize=2,
                color=colours[condition], elinewidth=1.2, label=self.titles.get(condition, condition),
            )  # fmt: skip
        chance = ax.axhline(0.5, color=PALETTE["neutral"], linestyle="--", linewidth=1, label="chance: 0.5")
        for row in self.worth.itertuples():
            first, last = _BETWEEN[row.part]
            middle = place[first] if last is None else (place[first] + place[last]) / 2
            told = format_interval(row.value, row.low, row.high).replace(" [", "\n[")
            self.texts_[row.part] = ax.text(
                middle, 1.03, f"{row.part}\n{told}", ha="center", va="bottom", fontsize=8
            )
        ax.set_xticks(range(len(place)), [wrap_title(name, 13) for name in steps.values()])
        ax.set_ylim(min(0.3, np.nanmin(self.table[["low", "value"]].to_numpy(float)) - 0.02), 1.18)
        ax.set_yticks(np.arange(0.3, 1.01, 0.1))
        ax.set_ylabel("Test AUC")
        ax.grid(False, axis="x")
        place_legend(self.figure_, [*self.bars_.values(), chance])
        self.alt_ = "Test AUC. " + " ".join(
            f"{self.titles.get(row.condition, row.condition)}, {steps[row.step]}: "
            f"{format_interval(row.value, row.low, row.high)}."
            for row in self.table.itertuples()
        )
        return self
