"""Training curves (Figs 4.1, 4.4, ...) and the hyper-parameter search (Figs 3.3, 3.4)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from karyo_lib.study.displays.style import PALETTE, Display, new_grid

CURVES = {"loss": "Loss", "auc": "AUC", "precision": "Precision", "recall": "Recall"}
PARTS = {"": ("training", "train", "-"), "val_": ("validation", "val", "--")}
SEARCHED = {"learning_rate": "Learning rate", "batch_size": "Batch size"}

_FEW = 6  # epochs: fewer are marked one by one


@dataclass(eq=False)
class TrainingCurvesDisplay(Display, made="from_histories"):
    """Loss, AUC, precision and recall by epoch, training and validation, with the epoch that is kept."""

    # By protocol, a row an epoch: ``epoch, loss, auc, precision, recall``, ``val_``: of validation.
    histories: dict[str, pd.DataFrame]
    best_epochs: dict[str, int]  # the epoch kept of each history

    def plot(self, ax=None) -> "TrainingCurvesDisplay":
        """Draw a row a metric and a column a history."""
        self.figure_, self.axes_ = new_grid(
            ax, len(CURVES), len(self.histories), height=6.4, sharex="col", sharey="row"
        )
        self.lines_, told = {}, []
        for column, (title, history) in zip(self.axes_.T, self.histories.items(), strict=True):
            best = self.best_epochs[title]
            for ax, (metric, name) in zip(column, CURVES.items(), strict=True):
                for prefix, (part, colour, dash) in PARTS.items():
                    (self.lines_[title, metric, colour],) = ax.plot(
                        history["epoch"], history[prefix + metric], color=PALETTE[colour], linestyle=dash,
                        label=part, marker="o" if len(history) < _FEW else "",
                    )  # fmt: skip
                ax.axvline(best, color=PALETTE["referred"], linewidth=1.2, label="best epoch")
                if metric != "loss":
                    ax.set_ylim(-0.03, 1.03)
                ax.set_ylabel(name)
                ax.label_outer()
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(history) == 1:
                ax.set_xlim(best - 1, best + 1)
            ax.set_xlabel(f"Epoch (best: {best})")
            column[0].set_title(title)
            row = history[history["epoch"] == best].iloc[0]
            reached = ", ".join(
                f"{name} {row[metric]:.2f} training and {row['val_' + metric]:.2f} validation"
                for metric, name in CURVES.items()
            )
            told.append(f"{title}: {len(history)} epochs, best {best}: {reached}.")
        handles = self.axes_[0, 0].get_legend_handles_labels()
        self.figure_.legend(*handles, loc="outside upper center", ncols=3)
        self.alt_ = " ".join(told)
        return self


def _scale(ax: Axes, parameter: str) -> None:
    """Make the axis of a parameter logarithmic; batch sizes are labelled 8, 16, 32 ..."""
    ax.set_xscale("log", base=2 if parameter == "batch_size" else 10)
    if parameter == "batch_size":
        ax.xaxis.set(major_locator=LogLocator(2, numticks=12), major_formatter=ScalarFormatter())


@dataclass(eq=False)
class SearchDisplay(Display, made="from_trials"):
    """Trials of the search: validation loss against one parameter, accuracy as colour (Figs 3.3, 3.4)."""

    trials: pd.DataFrame  # ``learning_rate, batch_size, val_loss, val_accuracy, status``; not ``ok``: on top
    parameter: str  # {'learning_rate', 'batch_size'}
    chosen: float  # the value this run settles on, and the thesis's
    published: float

    def plot(self, ax: Axes | None = None) -> "SearchDisplay":
        self._open(ax)
        ax, ok = self.ax_, self.trials["status"] == "ok"
        done, failed = self.trials[ok], self.trials[~ok]
        self.points_ = ax.scatter(
            done[self.parameter], done["val_loss"], c=done["val_accuracy"], cmap="cividis", s=32,
            edgecolors="white", linewidths=0.5, zorder=3,
        )  # fmt: skip
        _scale(ax, self.parameter)
        (self.failed_,) = ax.plot(
            failed[self.parameter], np.full(len(failed), 0.97), "x", color=PALETTE["neutral"], zorder=3,
            transform=ax.get_xaxis_transform(), label=f"failed ({len(failed)})" if len(failed) else None,
        )  # fmt: skip
        ax.axvline(self.chosen, color=PALETTE["val"], label=f"chosen here: {self.chosen:.3g}")
        ax.axvline(self.published, color=PALETTE["thesis"], ls="--", label=f"thesis: {self.published:g}")
        ax.set(xlabel=SEARCHED[self.parameter], ylabel="Validation loss")
        self.figure_.colorbar(self.points_, ax=ax, label="Validation accuracy")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return self


@dataclass(eq=False)
class ConvergenceDisplay(Display, made="from_trials"):
    """Lowest validation loss after each trial that succeeded, from ``trial, val_loss, status``."""

    trials: pd.DataFrame

    def plot(self, ax: Axes | None = None) -> "ConvergenceDisplay":
        self._open(ax, height=2.6)
        done = self.trials[self.trials["status"] == "ok"].sort_values("trial")
        (self.points_,) = self.ax_.plot(
            done["trial"], done["val_loss"], "o", color=PALETTE["neutral"], alpha=0.5, label="trial"
        )
        (self.line_,) = self.ax_.step(
            done["trial"], done["val_loss"].cummin(), where="post", color=PALETTE["val"], label="best so far"
        )
        self.ax_.set(xlabel="Trial", ylabel="Validation loss")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.figure_.legend(*self.ax_.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return self


@dataclass(eq=False)
class PartialDependenceDisplay(Display, made="from_curves"):
    """What the search's model of the loss believes about each parameter, the other averaged out."""

    curves: pd.DataFrame  # columns ``parameter, value, mean, low, high``

    def plot(self, ax=None) -> "PartialDependenceDisplay":
        """Draw a panel for each parameter, on logarithmic scales."""
        curves = dict(list(self.curves.groupby("parameter", sort=False)))
        self.figure_, grid = new_grid(ax, 1, len(curves), height=2.6, sharey=True)
        self.axes_, self.lines_, self.bands_ = grid[0], {}, {}
        for ax, (name, curve) in zip(self.axes_, curves.items(), strict=True):
            (self.lines_[name],) = ax.plot(curve["value"], curve["mean"], color=PALETTE["val"])
            self.bands_[name] = ax.fill_between(
                curve["value"], curve["low"], curve["high"], color=PALETTE["val"], alpha=0.15, linewidth=0
            )
            _scale(ax, name)
            ax.set(xlabel=SEARCHED[name], ylabel="Validation loss")
            ax.label_outer()
        return self
