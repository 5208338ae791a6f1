"""Training curves (Figs 4.1, 4.4, ...) and the hyper-parameter search (Figs 3.3, 3.4)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter

from karyo_lib.study.displays.style import COLUMN_WIDTH, PALETTE, new_axes, new_grid, styled

CURVES = {"loss": "Loss", "auc": "AUC", "precision": "Precision", "recall": "Recall"}
PARTS = {"": ("training", "train", "-"), "val_": ("validation", "val", "--")}
SEARCHED = {"learning_rate": "Learning rate", "batch_size": "Batch size"}

_FEW = 6  # epochs: fewer are marked one by one


class TrainingCurvesDisplay:
    """Loss, AUC, precision and recall by epoch, training and validation, with the epoch that is kept.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Title (a protocol, for example) -> one row an epoch, with the columns ``loss, auc, precision, recall``
        and the same with the prefix ``val_``; ``epoch`` where it does not count from 1.
    best_epochs : dict of str to int, optional
        The epoch kept of each history; the first with the highest ``val_auc`` if not given.

    Attributes
    ----------
    lines_ : dict
        ``(title, metric, 'train' | 'val')`` -> Line2D.
    best_lines_ : dict
        ``(title, metric)`` -> Line2D at the epoch that is kept.
    axes_, figure_
    """

    def __init__(self, histories: dict[str, pd.DataFrame], best_epochs: dict[str, int] | None = None):
        self.histories = histories
        self.best_epochs = best_epochs

    @classmethod
    def from_histories(
        cls,
        histories: dict[str, pd.DataFrame] | pd.DataFrame,
        best_epochs: dict[str, int] | int | None = None,
        axes=None,
    ) -> "TrainingCurvesDisplay":
        """Draw one history, or several side by side; parameters as of the class."""
        if isinstance(histories, pd.DataFrame):
            histories = {"": histories}
            best_epochs = None if best_epochs is None else {"": int(best_epochs)}
        wanted = [prefix + metric for metric in CURVES for prefix in PARTS]
        for title, history in histories.items():
            missing = [column for column in wanted if column not in history.columns]
            if missing:
                raise ValueError(
                    f"Expected the columns {wanted} in the history {title!r}. Received none named {missing}."
                )
        return cls(histories, best_epochs).plot(axes=axes)

    def _epochs(self, title: str) -> np.ndarray:
        history = self.histories[title]
        return history["epoch"].to_numpy() if "epoch" in history.columns else np.arange(1, len(history) + 1)

    def _best_epoch(self, title: str) -> int:
        if self.best_epochs is not None:
            return self.best_epochs[title]
        return int(self._epochs(title)[int(np.nanargmax(self.histories[title]["val_auc"].to_numpy()))])

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "TrainingCurvesDisplay":
        """Draw 2 x 2 panels for one history, else a row a metric and a column a history."""
        titles = list(self.histories)
        alone = len(titles) == 1
        shape = (2, 2) if alone else (len(CURVES), len(titles))
        self.figure_, grid = new_grid(
            axes, *shape, height=3.6 if alone else 6.4, sharex="col", sharey=False if alone else "row"
        )
        self.axes_, self.lines_, self.best_lines_ = grid, {}, {}
        for column, title in enumerate(titles):
            best = self._best_epoch(title)
            for row, (metric, name) in enumerate(CURVES.items()):
                ax = grid.ravel()[row] if alone else grid[row, column]
                for prefix, (part, colour, dash) in PARTS.items():
                    (line,) = ax.plot(
                        self._epochs(title), self.histories[title][prefix + metric],
                        color=PALETTE[colour], linestyle=dash, label=part,
                        marker="o" if len(self.histories[title]) < _FEW else "",
                    )  # fmt: skip
                    self.lines_[title, metric, colour] = line
                self.best_lines_[title, metric] = ax.axvline(
                    best,
                    color=PALETTE["referred"],
                    linewidth=1.2,
                    label=f"best epoch {best}" if alone else "best epoch",
                )
                if metric != "loss":
                    ax.set_ylim(-0.03, 1.03)
                ax.xaxis.set_major_locator(MaxNLocator(integer=True))
                if len(self.histories[title]) == 1:
                    ax.set_xlim(best - 1, best + 1)
                if alone or column == 0:
                    ax.set_ylabel(name)
                if (alone and row >= 2) or (not alone and row == len(CURVES) - 1):
                    ax.set_xlabel("Epoch" if alone else f"Epoch (best: {best})")
                if row == 0 and not alone:
                    ax.set_title(title)
        self.figure_.legend(*grid.ravel()[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        self.alt_ = " ".join(map(self._tell, titles))
        return self

    def _tell(self, title: str) -> str:
        """Say in words what was reached at the epoch that is kept."""
        history, best = self.histories[title], self._best_epoch(title)
        row = history.iloc[int(np.flatnonzero(self._epochs(title) == best)[0])]
        reached = ", ".join(
            f"{name} {row[metric]:.2f} training and {row['val_' + metric]:.2f} validation"
            for metric, name in CURVES.items()
        )
        return f"{title + ': ' if title else ''}{len(history)} epochs, best {best}: {reached}."


def _mark_powers_of_two(ax: Axes, values: pd.Series) -> None:
    """Label a logarithmic axis 8, 16, 32 ... instead of powers of ten."""
    powers = 2.0 ** np.arange(np.floor(np.log2(values.min())), np.ceil(np.log2(values.max())) + 1)
    ax.xaxis.set_major_locator(FixedLocator(powers))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


class SearchDisplay:
    """Trials of the search: validation loss against one parameter, accuracy as colour (Figs 3.3, 3.4).

    Parameters
    ----------
    trials : DataFrame
        Columns ``learning_rate, batch_size, val_loss, val_accuracy, status``; a trial whose status is not
        ``ok`` failed and is marked at the upper edge.
    parameter : {'learning_rate', 'batch_size'}
    chosen, published : float, optional
        The value this run settles on, and the thesis's.

    Attributes
    ----------
    points_ : PathCollection
        The trials that succeeded.
    failed_ : Line2D or None
    chosen_line_, published_line_ : Line2D or None
    ax_, figure_, colorbar_
    """

    def __init__(
        self,
        trials: pd.DataFrame,
        parameter: str,
        chosen: float | None = None,
        published: float | None = None,
    ):
        self.trials = trials
        self.parameter = parameter
        self.chosen = chosen
        self.published = published

    @classmethod
    def from_trials(
        cls, trials: pd.DataFrame, parameter: str, *, chosen: float | None = None,
        published: float | None = None,
        ax: Axes | None = None,
    ) -> "SearchDisplay":  # fmt: skip
        """Draw the trials of a search; parameters as of the class."""
        if parameter not in SEARCHED:
            raise ValueError(f"Expected one of {list(SEARCHED)}. Received {parameter!r}.")
        return cls(trials, parameter, chosen, published).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "SearchDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax)
        ax, ok = self.ax_, self.trials["status"] == "ok"
        done, failed = self.trials[ok], self.trials[~ok]
        self.points_ = ax.scatter(
            done[self.parameter], done["val_loss"], c=done["val_accuracy"], cmap="cividis", s=32,
            edgecolors="white", linewidths=0.5, zorder=3,
        )  # fmt: skip
        self.failed_ = self.chosen_line_ = self.published_line_ = None
        ax.set_xscale("log")
        if len(failed):
            (self.failed_,) = ax.plot(
                failed[self.parameter], np.full(len(failed), 0.97), "x", color=PALETTE["neutral"],
                transform=ax.get_xaxis_transform(), label=f"failed ({len(failed)})", zorder=3,
            )  # fmt: skip
        if self.chosen is not None:
            self.chosen_line_ = ax.axvline(
                self.chosen, color=PALETTE["val"], label=f"chosen here: {self.chosen:.3g}"
            )
        if self.published is not None:
            self.published_line_ = ax.axvline(
                self.published, color=PALETTE["thesis"], linestyle="--", label=f"thesis: {self.published:g}"
            )
        if self.parameter == "batch_size" and len(self.trials):
            _mark_powers_of_two(ax, self.trials[self.parameter])
        ax.set_xlabel(SEARCHED[self.parameter])
        ax.set_ylabel("Validation loss")
        self.colorbar_ = self.figure_.colorbar(self.points_, ax=ax, label="Validation accuracy")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return self


class ConvergenceDisplay:
    """Lowest validation loss after each trial.

    Attributes
    ----------
    line_ : Line2D
        Best so far, by trial that succeeded.
    points_ : Line2D
        Each of them.
    ax_, figure_
    """

    def __init__(self, trials: pd.DataFrame):
        self.trials = trials

    @classmethod
    def from_trials(cls, trials: pd.DataFrame, *, ax: Axes | None = None) -> "ConvergenceDisplay":
        """Draw from a table with the columns ``trial, val_loss, status``."""
        return cls(trials).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "ConvergenceDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=2.6)
        done = self.trials[self.trials["status"] == "ok"].sort_values("trial")
        (self.points_,) = self.ax_.plot(
            done["trial"], done["val_loss"], "o", color=PALETTE["neutral"], alpha=0.5, label="trial"
        )
        (self.line_,) = self.ax_.plot(
            done["trial"],
            done["val_loss"].cummin(),
            drawstyle="steps-post",
            color=PALETTE["val"],
            label="best so far",
        )
        self.ax_.set(xlabel="Trial", ylabel="Validation loss")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.figure_.legend(*self.ax_.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return self


class PartialDependenceDisplay:
    """What the search's model of the validation loss believes about each parameter, the other averaged out.

    Parameters
    ----------
    curves : DataFrame
        Columns ``parameter, value, mean`` and, where known, ``low, high``.

    Attributes
    ----------
    lines_ : dict of str to Line2D
    bands_ : dict of str to PolyCollection
    axes_, figure_
    """

    def __init__(self, curves: pd.DataFrame):
        self.curves = curves

    @classmethod
    def from_curves(
        cls, curves: pd.DataFrame, axes: Iterable[Axes] | None = None
    ) -> "PartialDependenceDisplay":
        """Draw from a table; parameters as of the class."""
        return cls(curves).plot(axes=axes)

    @styled
    def plot(self, *, axes: Iterable[Axes] | None = None) -> "PartialDependenceDisplay":
        """Draw a panel for each parameter, on logarithmic scales."""
        names = list(dict.fromkeys(self.curves["parameter"]))
        self.figure_, grid = new_grid(axes, 1, len(names), height=2.6, width=COLUMN_WIDTH, sharey=True)
        self.axes_, self.lines_, self.bands_ = grid[0], {}, {}
        for ax, name in zip(grid[0], names, strict=True):
            curve = self.curves[self.curves["parameter"] == name]
            (self.lines_[name],) = ax.plot(curve["value"], curve["mean"], color=PALETTE["val"])
            if {"low", "high"} <= set(curve.columns):
                self.bands_[name] = ax.fill_between(
                    curve["value"], curve["low"], curve["high"], color=PALETTE["val"], alpha=0.15, linewidth=0
                )
            ax.set_xscale("log")
            if name == "batch_size":
                _mark_powers_of_two(ax, curve["value"])
            ax.set_xlabel(SEARCHED.get(name, name))
        grid[0, 0].set_ylabel("Validation loss")
        return self
