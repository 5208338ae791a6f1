"""Confusion matrices, ROC curves, calibration, and the operating point that both depend on."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    confusion_matrix,
    roc_auc_score,
    roc_curve,
)

from karyo_lib.judge.intervals import wilson
from karyo_lib.judge.words import format_interval
from karyo_lib.study.displays.style import (
    COLUMN_WIDTH,
    DASHES,
    INK,
    PALETTE,
    assign_colours,
    new_axes,
    new_grid,
    styled,
    wrap_title,
)

CLASSES = ("normal", "abnormal")


class ConfusionMatricesDisplay:
    """Confusion matrices side by side, scikit-learn's display in karyo's style; rows are the truth.

    Parameters
    ----------
    matrices : dict of str to ndarray of int, shape (2, 2)
        Title -> ``[[TN, FP], [FN, TP]]``, as ``sklearn.metrics.confusion_matrix`` gives it.

    Attributes
    ----------
    displays_ : dict of str to sklearn.metrics.ConfusionMatrixDisplay
        Each with its own ``text_`` and ``im_``.
    alt_ : str
        The counts in words.
    axes_, figure_
    """

    def __init__(self, matrices: dict[str, np.ndarray]):
        self.matrices = {title: np.asarray(matrix) for title, matrix in matrices.items()}

    @classmethod
    def from_predictions(
        cls, y_true: np.ndarray, label: np.ndarray, *, title: str = "", axes: Iterable[Axes] | None = None
    ) -> "ConfusionMatricesDisplay":
        """Count labels (1 abnormal) and draw one matrix."""
        return cls({title: confusion_matrix(y_true, label, labels=[0, 1])}).plot(axes=axes)

    @classmethod
    def from_matrices(
        cls, matrices: dict[str, np.ndarray], axes: Iterable[Axes] | None = None
    ) -> "ConfusionMatricesDisplay":
        """Draw given matrices; parameters as of the class."""
        return cls(matrices).plot(axes=axes)

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "ConfusionMatricesDisplay":
        """Draw counts, with the share of each row below."""
        n = len(self.matrices)
        width = min(COLUMN_WIDTH, 2.8 * n)
        titles = [wrap_title(title, 34 // n + 6) for title in self.matrices]
        lines = 1 + max(title.count("\n") for title in titles)
        self.figure_, grid = new_grid(axes, 1, n, height=width / n * 0.92 + 0.15 * lines + 0.1, width=width)
        self.axes_, self.displays_ = grid[0], {}
        for i, (title, matrix) in enumerate(self.matrices.items()):
            ax = grid[0, i]
            share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            shown = ConfusionMatrixDisplay(matrix, display_labels=CLASSES)
            shown.plot(ax=ax, cmap="Greys", colorbar=False, values_format="d")
            shown.im_.set_data(share)  # shade by row: a rare class is as visible as a frequent one
            shown.im_.set_clim(0, 1.35)
            for (row, column), text in np.ndenumerate(shown.text_):
                text.set_text(f"{matrix[row, column]}\n{share[row, column]:.0%}")
                text.set_color("white" if share[row, column] > 0.75 else "black")
            ax.grid(False)
            ax.set(title=titles[i], xlabel="predicted", ylabel="true" if i == 0 else "")
            ax.tick_params(axis="y", rotation=90)
            for label in ax.get_yticklabels():
                label.set_va("center")
            for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
                for label, name in zip(ticks, CLASSES, strict=True):
                    label.set_color(INK[name])
            self.displays_[title] = shown
        self.alt_ = " ".join(map(_tell_matrix, self.matrices, self.matrices.values()))
        return self


def _tell_matrix(title: str, matrix: np.ndarray) -> str:
    rows = ", ".join(
        f"{matrix[i, i]} of {matrix[i].sum()} {name} called {name}" for i, name in enumerate(CLASSES)
    )
    return f"{title}: {rows}." if title else f"{rows}."


class CountsDisplay:
    """A table of counts, rows against columns, shaded by the share of its row: a confusion matrix by group.

    Parameters
    ----------
    counts : DataFrame of int
        Index and columns name rows and columns.
    rows, columns : str
        Labels of the axes.

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
    text_ : ndarray of Text
    ax_, figure_
    """

    def __init__(self, counts: pd.DataFrame, *, rows: str = "true", columns: str = "predicted"):
        self.counts, self.rows, self.columns = counts, rows, columns

    @classmethod
    def from_counts(
        cls, counts: pd.DataFrame, *, rows: str = "true", columns: str = "predicted", ax: Axes | None = None
    ) -> "CountsDisplay":
        """Draw a table of counts; parameters as of the class."""
        return cls(counts, rows=rows, columns=columns).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "CountsDisplay":
        """Draw on ``ax`` or on a new figure."""
        values = self.counts.to_numpy()
        n_rows, n_columns = values.shape
        self.figure_, self.ax_ = new_axes(ax, height=1.1 + 0.3 * n_rows, width=1.8 + 0.55 * n_columns)
        share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
        self.im_ = self.ax_.imshow(share, cmap="Greys", vmin=0, vmax=1.35, aspect="auto")
        self.text_ = np.empty(values.shape, dtype=object)
        for (row, column), count in np.ndenumerate(values):
            colour = "white" if share[row, column] > 0.75 else "black"
            self.text_[row, column] = self.ax_.text(
                column, row, str(count) if count else "", ha="center", va="center", color=colour, fontsize=8
            )
        self.ax_.grid(False)
        self.ax_.set_xticks(range(n_columns), self.counts.columns, rotation=35, ha="right")
        self.ax_.set_yticks(
            range(n_rows), [f"{name} ({n})" for name, n in zip(self.counts.index, values.sum(1), strict=True)]
        )
        self.ax_.set(xlabel=self.columns, ylabel=self.rows)
        return self


class SizeCurvesDisplay:
    """Sensitivity against the size of what is to be seen, a line a series, with intervals.

    Parameters
    ----------
    table : DataFrame
        Columns ``size, series, value, low, high``.
    label : str
        Of the size axis.
    reference : (float, str), optional
        Dashed line and its label: what is found where there is nothing.

    Attributes
    ----------
    bars_ : dict of str to ErrorbarContainer
    ax_, figure_
    """

    def __init__(self, table: pd.DataFrame, *, label: str, reference: tuple[float, str] | None = None):
        self.table, self.label, self.reference = table, label, reference

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        label: str,
        reference: tuple[float, str] | None = None,
        ax: Axes | None = None,
    ) -> "SizeCurvesDisplay":
        """Draw from a table; parameters as of the class."""
        return cls(table, label=label, reference=reference).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "SizeCurvesDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=3.6)
        series = list(dict.fromkeys(self.table["series"]))
        colours, sizes = assign_colours(series, None), sorted(self.table["size"].unique())
        self.bars_ = {}
        for i, name in enumerate(series):
            part = self.table[self.table["series"] == name].sort_values("size")
            aside = 1 + 0.03 * (i - (len(series) - 1) / 2)  # so that bars do not hide each other
            errors = [part["value"] - part["low"], part["high"] - part["value"]]
            self.bars_[name] = self.ax_.errorbar(
                part["size"] * aside, part["value"], yerr=np.clip(errors, 0, None), label=name,
                color=colours[name], linestyle=DASHES[i % len(DASHES)], marker="os^DvP"[i % 6], capsize=2.5,
                elinewidth=1,
            )  # fmt: skip
        if self.reference is not None:
            self.ax_.axhline(
                self.reference[0], color=PALETTE["neutral"], linestyle=":", linewidth=1.2,
                label=self.reference[1],
            )  # fmt: skip
        self.ax_.set_xscale("log")
        self.ax_.set_xticks(sizes, [f"{size:g}" for size in sizes])
        self.ax_.minorticks_off()
        self.ax_.set(xlabel=self.label, ylabel="Sensitivity", ylim=(-0.02, 1.02))
        self.figure_.legend(loc="outside lower center", ncols=3)
        return self


class RocDisplay:
    """ROC curves over each other: train and test (Fig 4.3 ...), or fine-tuned and frozen (Fig 4.16 ...).

    Parameters
    ----------
    curves : dict of str to (y_true, p)
        Name -> labels (N,) and probabilities (N,) of abnormal.
    intervals : dict of str to (low, high), optional
        Confidence limits of the AUC, for the legend.
    threshold : float, optional
        Marks the operating point on each curve.
    colours : dict of str to str, optional

    Attributes
    ----------
    displays_ : dict of str to sklearn.metrics.RocCurveDisplay
    lines_ : dict of str to Line2D
    points_ : dict of str to Line2D
        Operating points.
    aucs_ : dict of str to float
    ax_, figure_
    """

    def __init__(self, curves, *, intervals=None, threshold: float | None = None, colours=None):
        self.curves = {name: (np.asarray(y), np.asarray(p, dtype=float)) for name, (y, p) in curves.items()}
        self.intervals = intervals or {}
        self.threshold = threshold
        self.colours = colours

    @classmethod
    def from_predictions(
        cls, curves, *, intervals=None, threshold: float | None = None, colours=None, ax: Axes | None = None
    ) -> "RocDisplay":
        """Draw curves from labels and probabilities; parameters as of the class.

        Raises
        ------
        ValueError
            If one of the curves holds a single class, for which there is none.
        """
        for name, (y, _) in curves.items():
            if len(np.unique(y)) != 2:
                raise ValueError(
                    f"Expected normal and abnormal images for the ROC of {name!r}. Received one class."
                )
        return cls(curves, intervals=intervals, threshold=threshold, colours=colours).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "RocDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=3.9, width=4.2)
        self.displays_, self.lines_, self.points_, self.aucs_ = {}, {}, {}, {}
        colours = assign_colours(self.curves, self.colours)
        for (name, (y, p)), dash in zip(self.curves.items(), DASHES * len(self.curves), strict=False):
            false_rate, true_rate, _ = roc_curve(y, p)
            area = float(roc_auc_score(y, p))
            label = f"{name}: AUC {format_interval(area, *self.intervals.get(name, (None, None)))}"
            shown = RocCurveDisplay(fpr=false_rate, tpr=true_rate)
            shown.plot(ax=self.ax_, curve_kwargs={"color": colours[name], "linestyle": dash, "label": label})
            self.displays_[name], self.lines_[name], self.aucs_[name] = shown, shown.line_, area
            if self.threshold is not None:
                called = p >= self.threshold
                (self.points_[name],) = self.ax_.plot(
                    called[y == 0].mean(), called[y == 1].mean(), "o", color=colours[name], markersize=7,
                    markeredgecolor="white", zorder=4,
                )  # fmt: skip
        self.ax_.plot(
            [0, 1], [0, 1], color=PALETTE["neutral"], linewidth=1, linestyle=":", label="chance: AUC 0.50"
        )
        self.ax_.set(
            xlabel="1 - specificity (false alarms)", ylabel="Sensitivity", xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
        )  # fmt: skip
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))  # curves may run anywhere inside
        return self


class OperatingPointDisplay:
    """A threshold's confusion matrix and its point on the ROC curve, for trying thresholds.

    Attributes
    ----------
    matrix_ : ConfusionMatricesDisplay
    roc_ : RocDisplay
    axes_, figure_
    """

    def __init__(self, y_true: np.ndarray, p: np.ndarray, threshold: float = 0.5, name: str = "test"):
        self.y_true, self.p = np.asarray(y_true), np.asarray(p, dtype=float)
        self.threshold = threshold
        self.name = name

    @classmethod
    def from_predictions(
        cls, y_true: np.ndarray, p: np.ndarray, *, threshold: float = 0.5, name: str = "test",
        axes: Iterable[Axes] | None = None,
    ) -> "OperatingPointDisplay":  # fmt: skip
        """Draw both panels for labels and probabilities (N,)."""
        return cls(y_true, p, threshold, name).plot(axes=axes)

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "OperatingPointDisplay":
        """Draw on two axes or on a new figure."""
        self.figure_, grid = new_grid(axes, 1, 2, height=3.0)
        self.axes_ = grid[0]
        title = f"p \N{GREATER-THAN OR EQUAL TO} {self.threshold:g} is called abnormal"
        label = (self.p >= self.threshold).astype(int)
        self.matrix_ = ConfusionMatricesDisplay.from_predictions(
            self.y_true, label, title=title, axes=[self.axes_[0]]
        )
        self.roc_ = RocDisplay.from_predictions(
            {self.name: (self.y_true, self.p)}, threshold=self.threshold, ax=self.axes_[1]
        )
        point = self.roc_.points_[self.name]
        self.alt_ = (
            f"{self.matrix_.alt_} On the ROC curve (AUC {self.roc_.aucs_[self.name]:.2f}): sensitivity "
            f"{point.get_ydata()[0]:.0%}, false alarms {point.get_xdata()[0]:.0%}."
        )
        return self


class CalibrationCurvesDisplay:
    """Predicted against observed share of abnormal: scikit-learn's display, with Wilson intervals.

    Parameters
    ----------
    curves : dict of str to (y_true, p)

    Attributes
    ----------
    displays_ : dict of str to sklearn.calibration.CalibrationDisplay
    bars_ : dict of str to ErrorbarContainer
    counts_ : dict of str to ndarray of int
        Images in each bin drawn.
    ax_, figure_
    """

    N_BINS = 5  # equally wide; empty ones are left out

    def __init__(self, curves):
        self.curves = {name: (np.asarray(y), np.asarray(p, dtype=float)) for name, (y, p) in curves.items()}

    @classmethod
    def from_predictions(cls, curves, *, ax: Axes | None = None) -> "CalibrationCurvesDisplay":
        """Draw from labels and probabilities; parameters as of the class."""
        return cls(curves).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "CalibrationCurvesDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=3.9, width=4.2)
        self.displays_, self.bars_, self.counts_ = {}, {}, {}
        colours = assign_colours(self.curves)
        edges = np.linspace(0, 1, self.N_BINS + 1)
        for i, (name, (y, p)) in enumerate(self.curves.items()):
            observed, predicted = calibration_curve(y, p, n_bins=self.N_BINS)
            inside = np.searchsorted(edges[1:-1], p)
            counts = np.bincount(inside, minlength=self.N_BINS)
            counts = counts[counts > 0]
            limits = np.array([wilson(min(o * n, n), n) for o, n in zip(observed, counts, strict=True)])
            shown = CalibrationDisplay(observed, predicted, p, estimator_name=name)
            shown.plot(
                ax=self.ax_,
                ref_line=i == 0,
                color=colours[name],
                marker="o",
                linestyle=DASHES[i % len(DASHES)],
            )
            self.bars_[name] = self.ax_.errorbar(
                predicted, observed,
                yerr=np.clip([observed - limits[:, 0], limits[:, 1] - observed], 0, None),
                fmt="none", ecolor=colours[name], elinewidth=1, capsize=2, alpha=0.7,
            )  # fmt: skip
            self.displays_[name], self.counts_[name] = shown, counts
        self.ax_.set(
            xlabel="Predicted probability of abnormal", ylabel="Observed share of abnormal",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02), aspect="equal",
        )  # fmt: skip
        self.ax_.legend(loc="upper left")
        return self
