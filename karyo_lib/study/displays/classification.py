"""Confusion matrices, ROC curves, calibration, and the operating point that both depend on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import RocCurveDisplay, confusion_matrix

from karyo_lib.files.listing import LABELS
from karyo_lib.judge.intervals import wilson
from karyo_lib.study.displays.style import (
    COLUMN_WIDTH,
    DASHES,
    INK,
    PALETTE,
    Display,
    assign_colours,
    new_grid,
    wrap_title,
)

_RATES = {"xlim": (-0.02, 1.02), "ylim": (-0.02, 1.02), "aspect": "equal"}
Curves = dict[str, tuple[np.ndarray, np.ndarray]]
"""Name -> labels (N,) of 0 and 1, and probabilities (N,) of abnormal."""


def _shade(ax: Axes, counts: np.ndarray, texts: np.ndarray, **settings) -> np.ndarray:
    """Draw counts, shaded by the share of their row: a rare class is as visible as a frequent one."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sns.heatmap(share, annot=texts, fmt="", cmap="Greys", vmin=0, vmax=1.35, cbar=False, ax=ax, **settings)
    ax.grid(False)
    return np.array(ax.texts, dtype=object).reshape(counts.shape)


@dataclass(eq=False)
class ConfusionMatricesDisplay(Display, made="from_matrices"):
    """Confusion matrices side by side, in counts and shares of each row; rows are the truth."""

    matrices: dict[str, np.ndarray]  # title -> ``[[TN, FP], [FN, TP]]``, as in scikit-learn

    @classmethod
    def from_predictions(cls, y_true, label, *, title: str = "", ax=None) -> "ConfusionMatricesDisplay":
        return cls({title: confusion_matrix(y_true, label, labels=[0, 1])}).plot(ax)

    def plot(self, ax=None) -> "ConfusionMatricesDisplay":
        """Draw on as many axes as there are matrices, or on a new figure."""
        n = len(self.matrices)
        width = min(COLUMN_WIDTH, 2.8 * n)
        titles = [wrap_title(title, 34 // n + 6) for title in self.matrices]
        lines = 1 + max(title.count("\n") for title in titles)
        self.figure_, grid = new_grid(ax, 1, n, height=width / n * 0.92 + 0.15 * lines + 0.1, width=width)
        self.axes_, self.texts_, words = grid[0], {}, []
        for i, (title, matrix) in enumerate(self.matrices.items()):
            ax, matrix = grid[0, i], np.asarray(matrix)
            share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            told = np.array([f"{n}\n{part:.0%}" for n, part in zip(matrix.flat, share.flat, strict=True)])
            self.texts_[title] = _shade(
                ax, matrix, told.reshape(2, 2), square=True, xticklabels=LABELS, yticklabels=LABELS
            )
            ax.set(title=titles[i], xlabel="predicted", ylabel="true" if i == 0 else "")
            for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
                for label, name in zip(ticks, LABELS, strict=True):
                    label.set(color=INK[name], va="center" if ticks[0] in ax.get_yticklabels() else "top")
            right = [f"{matrix[j, j]} of {matrix[j].sum()} {c} called {c}" for j, c in enumerate(LABELS)]
            words.append(f"{title}: {', '.join(right)}." if title else f"{', '.join(right)}.")
        self.alt_ = " ".join(words)
        return self


@dataclass(eq=False)
class CountsDisplay(Display, made="from_counts"):
    """A table of counts, ``rows`` against ``columns``, shaded by row: a confusion matrix by group."""

    counts: pd.DataFrame
    rows: str
    columns: str

    def plot(self, ax: Axes | None = None) -> "CountsDisplay":
        values = self.counts.to_numpy()
        n_rows, n_columns = values.shape
        self._open(ax, height=1.1 + 0.3 * n_rows, width=1.8 + 0.55 * n_columns)
        sums = zip(self.counts.index, values.sum(1), strict=True)
        self.texts_ = _shade(
            self.ax_, values, np.where(values, values.astype(str), ""), annot_kws={"fontsize": 8},
            xticklabels=self.counts.columns, yticklabels=[f"{name} ({n})" for name, n in sums],
        )  # fmt: skip
        self.ax_.set(xlabel=self.columns, ylabel=self.rows)
        self.ax_.set_xticks(self.ax_.get_xticks(), self.counts.columns, rotation=35, ha="right")
        self.ax_.tick_params(axis="y", rotation=0)
        return self


@dataclass(eq=False)
class RocDisplay(Display, made="from_predictions"):
    """ROC curves over each other: train and test (Fig 4.3 ...), or fine-tuned and frozen (Fig 4.16 ...)."""

    curves: Curves
    threshold: float | None = None  # marks the operating point on each curve
    colours: dict[str, str] | None = None

    def __post_init__(self) -> None:
        for name, (y, _) in self.curves.items():
            if len(np.unique(y)) != 2:
                raise ValueError(
                    f"Expected normal and abnormal images for the ROC of {name!r}. Received one class."
                )

    def plot(self, ax: Axes | None = None) -> "RocDisplay":
        self._open(ax, height=3.9, width=4.2)
        self.displays_, self.points_ = {}, {}
        colours = assign_colours(self.curves, self.colours)
        for i, (name, (y, p)) in enumerate(self.curves.items()):
            shown = self.displays_[name] = RocCurveDisplay.from_predictions(
                y, p, ax=self.ax_, plot_chance_level=name == list(self.curves)[-1],
                chance_level_kw={"color": PALETTE["neutral"], "linewidth": 1, "linestyle": ":"},
                curve_kwargs={"color": colours[name], "linestyle": DASHES[i % len(DASHES)]},
            )  # fmt: skip
            shown.line_.set_label(f"{name}: AUC {shown.roc_auc:.2f}")
            if self.threshold is not None:
                called, y = np.asarray(p) >= self.threshold, np.asarray(y)
                (self.points_[name],) = self.ax_.plot(
                    called[y == 0].mean(), called[y == 1].mean(), "o", color=colours[name], markersize=7,
                    markeredgecolor="white", zorder=4,
                )  # fmt: skip
        self.ax_.set(xlabel="1 - specificity (false alarms)", ylabel="Sensitivity", **_RATES)
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))  # curves may run anywhere inside
        return self


@dataclass(eq=False)
class OperatingPointDisplay(Display, made="from_predictions"):
    """A threshold's confusion matrix and its point on the ROC curve, for trying thresholds."""

    y_true: np.ndarray
    p: np.ndarray
    threshold: float

    def plot(self, ax=None) -> "OperatingPointDisplay":
        """Draw on two axes or on a new figure."""
        self.figure_, grid = new_grid(ax, 1, 2, height=3.0)
        self.axes_ = grid[0]
        title = f"p \N{GREATER-THAN OR EQUAL TO} {self.threshold:g} is called abnormal"
        called = np.asarray(self.p) >= self.threshold
        self.matrix_ = ConfusionMatricesDisplay.from_predictions(
            self.y_true, called.astype(int), title=title, ax=self.axes_[:1]
        )
        self.roc_ = RocDisplay({"test": (self.y_true, self.p)}, self.threshold).plot(self.axes_[1])
        point, area = self.roc_.points_["test"], self.roc_.displays_["test"].roc_auc
        self.alt_ = (
            f"{self.matrix_.alt_} On the ROC curve (AUC {area:.2f}): sensitivity "
            f"{point.get_ydata()[0]:.0%}, false alarms {point.get_xdata()[0]:.0%}."
        )
        return self


@dataclass(eq=False)
class CalibrationCurvesDisplay(Display, made="from_predictions"):
    """Predicted against observed share of abnormal: scikit-learn's display, with Wilson intervals."""

    curves: Curves

    N_BINS = 5  # equally wide; empty ones are left out

    def plot(self, ax: Axes | None = None) -> "CalibrationCurvesDisplay":
        self._open(ax, height=3.9, width=4.2)
        self.displays_, self.bars_, self.counts_ = {}, {}, {}
        colours = assign_colours(self.curves)
        for i, (name, (y, p)) in enumerate(self.curves.items()):
            shown = self.displays_[name] = CalibrationDisplay.from_predictions(
                y, p, n_bins=self.N_BINS, name=name, ax=self.ax_, ref_line=i == 0, color=colours[name],
                marker="o", linestyle=DASHES[i % len(DASHES)],
            )  # fmt: skip
            inside = np.searchsorted(np.linspace(0, 1, self.N_BINS + 1)[1:-1], p)
            self.counts_[name] = counts = np.unique(inside, return_counts=True)[1]
            share = shown.prob_true
            low, high = np.array([wilson(min(s * n, n), n) for s, n in zip(share, counts, strict=True)]).T
            self.bars_[name] = self.ax_.errorbar(
                shown.prob_pred, share, yerr=np.clip([share - low, high - share], 0, None), fmt="none",
                ecolor=colours[name], elinewidth=1, capsize=2, alpha=0.7,
            )  # fmt: skip
        self.ax_.set(
            xlabel="Predicted probability of abnormal", ylabel="Observed share of abnormal", **_RATES
        )
        self.ax_.legend(loc="upper left")
        return self
