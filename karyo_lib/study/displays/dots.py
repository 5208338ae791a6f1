"""Runs as dots and metrics as intervals: nothing is hidden in a mean."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from karyo_lib.judge.words import format_interval
from karyo_lib.study.displays.style import (
    DASHES,
    PALETTE,
    PROTOCOL_TITLES,
    assign_colours,
    new_axes,
    place_legend,
    styled,
    wrap_title,
)

ROW_TITLE_WIDTH = 26  # characters


class DotsDisplay:
    """Every value as a dot, rows by one column and colours by another, with the mean as a bar.

    Parameters
    ----------
    table : DataFrame
        One row a value.
    row, series, value : str
        Columns: of the row, of the colour within the row, and of the number.
    label : str
        Of the value axis.
    titles : dict of str to str, optional
        Names of series to show in the legend.
    colours : dict of str to str, optional
    hollow : tuple of str
        Series drawn as open dots.
    reference : (float, str), optional
        Dashed line and its label: chance, for example.
    log : bool
        Logarithmic value axis.

    Attributes
    ----------
    dots_ : dict of (row, series) to PathCollection
    means_ : dict of (row, series) to Line2D
        Where there are several dots.
    reference_line_ : Line2D or None
    alt_ : str
        Mean and range of every row and series in words.
    ax_, figure_
    """

    def __init__(
        self, table: pd.DataFrame, *, row: str, series: str, value: str, label: str, titles=None,
        colours=None,
        hollow: tuple[str, ...] = (), reference: tuple[float, str] | None = None, log: bool = False,
    ):  # fmt: skip
        missing = [column for column in (row, series, value) if column not in table.columns]
        if missing:
            raise ValueError(f"Expected the columns {[row, series, value]}. Received none named {missing}.")
        self.table, self.row, self.series, self.value = table, row, series, value
        self.label, self.titles, self.colours = label, titles or {}, colours
        self.hollow, self.reference, self.log = hollow, reference, log

    @classmethod
    def from_table(cls, table: pd.DataFrame, *, ax: Axes | None = None, **settings) -> "DotsDisplay":
        """Draw from a long table; settings as of the class."""
        return cls(table, **settings).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "DotsDisplay":
        """Draw on ``ax`` or on a new figure; rows and series in their order of appearance."""
        rows = list(dict.fromkeys(self.table[self.row]))
        series = list(dict.fromkeys(self.table[self.series]))
        self.figure_, self.ax_ = new_axes(ax, height=0.8 + len(rows) * max(0.36, 0.15 * len(series)))
        ax, colours = self.ax_, assign_colours(series, self.colours)
        self.dots_, self.means_, self.reference_line_ = {}, {}, None
        step = 0.76 / len(series)
        for i, name in enumerate(rows):
            if i % 2:
                ax.axhspan(i - 0.5, i + 0.5, color="#F5F5F5", zorder=0)
            for j, one in enumerate(series):
                chosen = (self.table[self.row] == name) & (self.table[self.series] == one)
                values = self.table.loc[chosen, self.value].dropna().to_numpy(dtype=float)
                if not values.size:
                    continue
                y = i + (j - (len(series) - 1) / 2) * step
                open_dot = one in self.hollow
                self.dots_[name, one] = ax.scatter(
                    values, np.full(values.size, y), s=20, zorder=3, alpha=0.85, linewidths=1,
                    facecolors="white" if open_dot else colours[one],
                    edgecolors=colours[one] if open_dot else "white",
                )  # fmt: skip
                if values.size > 1:
                    (self.means_[name, one],) = ax.plot(
                        [values.mean()] * 2,
                        [y - 0.42 * step, y + 0.42 * step],
                        color=colours[one],
                        linewidth=2.2,
                        zorder=4,
                    )
        if self.reference is not None:
            self.reference_line_ = ax.axvline(
                self.reference[0], color=PALETTE["neutral"], linestyle="--", linewidth=1, zorder=1
            )
        ax.set_yticks(range(len(rows)), [wrap_title(name, ROW_TITLE_WIDTH) for name in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
        if self.log:
            ax.set_xscale("log")
        ax.set_xlabel(self.label)
        handles = [
            Line2D(
                [], [], marker="o", linestyle="none", color=colours[one], label=self.titles.get(one, one),
                markerfacecolor="white" if one in self.hollow else colours[one],
            )
            for one in series
        ]  # fmt: skip
        if self.reference is not None:
            handles.append(Line2D([], [], color=PALETTE["neutral"], linestyle="--", label=self.reference[1]))
        place_legend(self.figure_, handles)
        self.alt_ = f"{self.label}. " + " ".join(
            f"{name}, {self.titles.get(one, one)}: {_tell(dots.get_offsets()[:, 0])}."
            for (name, one), dots in self.dots_.items()
        )
        return self


def _tell(values: np.ndarray) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"mean {values.mean():.3g}, {len(values)} values from {values.min():.3g} to {values.max():.3g}"


class LeakDisplay(DotsDisplay):
    """Every condition under every protocol, each run a dot: what splitting after augmenting is worth.

    A protocol that still looks good on shuffled labels measures memory. Purple: copies split at random, as in
    the thesis; green: split by patient; open dots: labels shuffled. Chance is dashed.
    """

    @classmethod
    def from_runs(
        cls, runs: pd.DataFrame, *, value: str = "value", label: str = "Test AUC", chance: float | None = 0.5,
        ax: Axes | None = None,
    ) -> "LeakDisplay":  # fmt: skip
        """Draw single runs.

        Parameters
        ----------
        runs : DataFrame
            Columns ``condition`` (title), ``protocol`` and ``value``, one row a run.
        value, label : str
            Column and its name on the axis.
        chance : float or None
        ax : Axes, optional
        """
        place = {protocol: i for i, protocol in enumerate(PROTOCOL_TITLES)}
        odd = sorted(set(runs["protocol"]) - set(place))
        if odd:
            raise ValueError(f"Expected protocols among {list(PROTOCOL_TITLES)}. Received {odd}.")
        rows = {name: i for i, name in enumerate(dict.fromkeys(runs["condition"]))}
        order = np.lexsort([runs["protocol"].map(place), runs["condition"].map(rows)])
        return cls(
            runs.iloc[order], row="condition", series="protocol", value=value, label=label,
            titles=PROTOCOL_TITLES,
            hollow=("shuffled-thesis", "shuffled-grouped"),
            reference=None if chance is None else (chance, f"chance: {chance:g}"),
        ).plot(ax=ax)  # fmt: skip


class MetricsForestDisplay:
    """Values with their intervals, one below the other; several series may share a row.

    Parameters
    ----------
    table : DataFrame
        Columns ``title, value, low, high`` and, optionally, ``series``. NaN values leave an empty row.
    label : str
        Of the value axis.
    reference : (float, str), optional
        Dashed line and its label.
    colours : dict of str to str, optional
        By series.

    Attributes
    ----------
    bars_ : dict of str to ErrorbarContainer
        By series; ``''`` without one.
    texts_ : list of Text
        ``'0.56 [0.41, 0.70]'`` at the right of each row, where there is one series.
    ax_, figure_
    """

    def __init__(self, table: pd.DataFrame, *, label: str = "Value", reference=None, colours=None):
        self.table, self.label, self.reference, self.colours = table, label, reference, colours

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        label: str = "Value",
        reference=None,
        colours=None,
        ax: Axes | None = None,
    ) -> "MetricsForestDisplay":
        """Draw from a table, that of ``compute_metrics`` for example; parameters as of the class."""
        return cls(table, label=label, reference=reference, colours=colours).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "MetricsForestDisplay":
        """Draw on ``ax`` or on a new figure."""
        table = self.table if "series" in self.table.columns else self.table.assign(series="")
        rows, series = list(dict.fromkeys(table["title"])), list(dict.fromkeys(table["series"]))
        self.figure_, self.ax_ = new_axes(ax, height=0.8 + len(rows) * (0.2 + 0.12 * len(series)))
        ax, colours = self.ax_, assign_colours(series, self.colours)
        place = {name: i for i, name in enumerate(rows)}
        self.bars_, self.texts_ = {}, []
        step = 0.7 / len(series)
        for j, one in enumerate(series):
            part = table[(table["series"] == one) & table["value"].notna()]
            y = part["title"].map(place).to_numpy() + (j - (len(series) - 1) / 2) * step
            value = part["value"].to_numpy(dtype=float)
            below, above = (
                value - part["low"].to_numpy(dtype=float),
                part["high"].to_numpy(dtype=float) - value,
            )
            self.bars_[one] = ax.errorbar(
                value, y, xerr=np.clip(np.nan_to_num([below, above]), 0, None), fmt="os^DvP"[j % 6],
                capsize=2.5,
                color=colours[one], elinewidth=1.3, label=one or None,
            )  # fmt: skip
            if len(series) == 1:
                for at, (_, shown) in zip(y, part.iterrows(), strict=True):
                    text = format_interval(shown["value"], shown["low"], shown["high"])
                    self.texts_.append(
                        ax.text(1.02, at, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
                    )
        if self.reference is not None:
            ax.axvline(
                self.reference[0],
                color=PALETTE["neutral"],
                linestyle=DASHES[1],
                linewidth=1,
                label=self.reference[1],
            )
        ax.set_yticks(range(len(rows)), [wrap_title(name, ROW_TITLE_WIDTH) for name in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(False, axis="y")
        ax.set_xlabel(self.label)
        handles, labels = ax.get_legend_handles_labels()
        if handles:
            place_legend(self.figure_, handles, labels)
        self.alt_ = f"{self.label}. " + " ".join(
            f"{' '.join(filter(None, (row.title, row.series)))}: "
            f"{format_interval(row.value, row.low, row.high)}."
            for row in table[table["value"].notna()].itertuples()
        )
        return self
