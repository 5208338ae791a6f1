"""From what was printed to what is left: one quantity, step by step."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from karyo_lib.judge.words import format_interval
from karyo_lib.study.displays.style import PALETTE, Display, assign_colours, place_legend, wrap_title

# Which steps a part lies between; the truth is what is above chance.
_BETWEEN = {"leak": ("thesis", "grouped"), "source": ("grouped", "apart"), "truth": ("apart", None)}


@dataclass(eq=False)
class StoryDisplay(Display, made="from_tables"):
    """Test AUC of several conditions from step to step, and what each loss is worth.

    ``bars_`` (dict of str to ErrorbarContainer): by condition; ``texts_`` (dict of str to Text): by part.
    """

    table: pd.DataFrame  # ``condition, step, value, low, high``; intervals may be missing
    # ``part`` (leak, source, truth), ``value, low, high`` of the condition that is told in words.
    worth: pd.DataFrame
    steps: dict[str, str]  # step and condition -> name, in the order they are drawn in
    titles: dict[str, str]

    def plot(self, ax: Axes | None = None) -> "StoryDisplay":
        """Draw on ``ax`` or on a new figure."""
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
                x, rows["value"], yerr=np.nan_to_num(limits), fmt="os^Dv"[i % 5], capsize=2,
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
