"""Confusion matrices, ROC curves and calibration; what a confidence score is worth."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import RocCurveDisplay, confusion_matrix

from karyo_lib.files.index import LABELS
from karyo_lib.judge import REFERRAL_THRESHOLD, UNCERTAINTIES, RiskCoverage, compute_risk_coverage
from karyo_lib.judge.intervals import wilson
from karyo_lib.study.displays import style
from karyo_lib.study.displays.diagrams import ImageGridDisplay

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
class ConfusionMatricesDisplay(style.Display, made="from_matrices"):
    """Confusion matrices side by side, in counts and shares of each row; rows are the truth."""

    matrices: dict[str, np.ndarray]  # title -> ``[[TN, FP], [FN, TP]]``, as in scikit-learn

    @classmethod
    def from_predictions(cls, y_true, label, *, title: str = "", ax=None) -> "ConfusionMatricesDisplay":
        return cls({title: confusion_matrix(y_true, label, labels=[0, 1])}).plot(ax)

    def plot(self, ax=None) -> "ConfusionMatricesDisplay":
        """Draw on as many axes as there are matrices, or on a new figure."""
        n = len(self.matrices)
        width = min(style.COLUMN_WIDTH, 2.8 * n)
        titles = [style.wrap_title(title, 34 // n + 6) for title in self.matrices]
        lines = 1 + max(title.count("\n") for title in titles)
        self.figure_, grid = style.new_grid(
            ax, 1, n, height=width / n * 0.92 + 0.15 * lines + 0.1, width=width
        )
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
                    label.set(
                        color=style.INK[name], va="center" if ticks[0] in ax.get_yticklabels() else "top"
                    )
            right = [f"{matrix[j, j]} of {matrix[j].sum()} {c} called {c}" for j, c in enumerate(LABELS)]
            words.append(f"{title}: {', '.join(right)}." if title else f"{', '.join(right)}.")
        self.alt_ = " ".join(words)
        return self


@dataclass(eq=False)
class CountsDisplay(style.Display, made="from_counts"):
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
class RocDisplay(style.Display, made="from_predictions"):
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
        colours = style.assign_colours(self.curves, self.colours)
        for i, (name, (y, p)) in enumerate(self.curves.items()):
            shown = self.displays_[name] = RocCurveDisplay.from_predictions(
                y, p, ax=self.ax_, plot_chance_level=name == list(self.curves)[-1],
                chance_level_kw={"color": style.PALETTE["neutral"], "linewidth": 1, "linestyle": ":"},
                curve_kwargs={"color": colours[name], "linestyle": style.DASHES[i % len(style.DASHES)]},
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
class OperatingPointDisplay(style.Display, made="from_predictions"):
    """A threshold's confusion matrix and its point on the ROC curve, for trying thresholds."""

    y_true: np.ndarray
    p: np.ndarray
    threshold: float

    def plot(self, ax=None) -> "OperatingPointDisplay":
        """Draw on two axes or on a new figure."""
        self.figure_, grid = style.new_grid(ax, 1, 2, height=3.0)
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
class CalibrationCurvesDisplay(style.Display, made="from_predictions"):
    """Predicted against observed share of abnormal: scikit-learn's display, with Wilson intervals."""

    curves: Curves

    N_BINS = 5  # equally wide; empty ones are left out

    def plot(self, ax: Axes | None = None) -> "CalibrationCurvesDisplay":
        self._open(ax, height=3.9, width=4.2)
        self.displays_, self.bars_, self.counts_ = {}, {}, {}
        colours = style.assign_colours(self.curves)
        for i, (name, (y, p)) in enumerate(self.curves.items()):
            shown = self.displays_[name] = CalibrationDisplay.from_predictions(
                y, p, n_bins=self.N_BINS, name=name, ax=self.ax_, ref_line=i == 0, color=colours[name],
                marker="o", linestyle=style.DASHES[i % len(style.DASHES)],
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


@dataclass(eq=False)
class RiskCoverageDisplay(style.Display, made="from_curves"):
    """Error rate among the images kept, while the least sure are referred first."""

    curves: dict[str, RiskCoverage]  # name of the score -> its curve
    referral: float | None = None  # share of images referred, marked on each curve

    @classmethod
    def from_scores(
        cls, wrong: np.ndarray, uncertainties, *, referral: float | None = None, ax: Axes | None = None
    ) -> "RiskCoverageDisplay":
        """Draw the curves of several scores (columns; larger is less sure) of the same N images."""
        curves = {
            UNCERTAINTIES.get(name, name): compute_risk_coverage(wrong, np.asarray(uncertainties[name]))
            for name in uncertainties
        }
        return cls(curves, referral).plot(ax)

    def plot(self, ax: Axes | None = None) -> "RiskCoverageDisplay":
        self._open(ax, height=3.4)
        self.lines_, self.points_ = {}, {}
        colours = style.assign_colours(self.curves)
        for i, (name, curve) in enumerate(self.curves.items()):
            (self.lines_[name],) = self.ax_.plot(
                curve.coverage, curve.risk, color=colours[name], label=f"{name}: area {curve.aurc:.3f}",
                linestyle=style.DASHES[i % len(style.DASHES)],
            )  # fmt: skip
            if self.referral is not None:
                n = curve.risk.size
                kept = n - int(np.floor(n * self.referral + 1e-9))
                (self.points_[name],) = self.ax_.plot(
                    kept / n, curve.risk[kept - 1], "o", color=colours[name], markersize=7,
                    markeredgecolor="white", zorder=4,
                )  # fmt: skip
        if self.referral is not None:
            told = f"{self.referral:.0%} referred"
            self.ax_.axvline(
                1 - self.referral, color=style.PALETTE["referred"], linewidth=1.2, zorder=1, label=told
            )
        highest = max([0.05, *(float(curve.risk.max()) for curve in self.curves.values())])
        self.ax_.set(
            xlabel="Share of images kept (the surest first)", ylabel="Error rate among them", xlim=(0, 1.01),
            ylim=(-0.02 * highest, 1.08 * highest),
        )  # fmt: skip
        self.ax_.xaxis.set_major_formatter(PercentFormatter(1))
        self.ax_.yaxis.set_major_formatter(PercentFormatter(1))
        self.figure_.legend(*self.ax_.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return self


@dataclass(eq=False)
class ScoreHistogramDisplay(style.Display, made="from_predictions"):
    """The thesis's confidence, in percent, of right answers above, of wrong ones below."""

    score: np.ndarray  # (N,), 50 to 100, larger is surer; below ``REFERRAL_THRESHOLD`` it is referred
    wrong: np.ndarray  # bool, shape (N,)

    def plot(self, ax=None) -> "ScoreHistogramDisplay":
        """Draw on two axes, one above the other, or on a new figure."""
        self.score, self.wrong = np.asarray(self.score, dtype=float), np.asarray(self.wrong, dtype=bool)
        self.figure_, grid = style.new_grid(ax, 2, 1, height=3.2, sharex=True)
        self.axes_ = grid[:, 0]
        parts = {"right": (~self.wrong, "neutral"), "wrong": (self.wrong, "wrong")}
        for ax, (what, (chosen, colour)) in zip(self.axes_, parts.items(), strict=True):
            sns.histplot(
                x=self.score[chosen], bins=25, binrange=(50, 100), color=style.PALETTE[colour], alpha=1,
                ax=ax, edgecolor="white",
            )  # fmt: skip
            ax.axvline(REFERRAL_THRESHOLD, color=style.PALETTE["referred"], linewidth=1.4)
            ax.set(title=f"{chosen.sum()} {what} answers", ylabel="Images", xlabel="Confidence score (%)")
            ax.yaxis.get_major_locator().set_params(integer=True)
        caught = int((self.score[self.wrong] < REFERRAL_THRESHOLD).sum())
        told = f"{caught} of {self.wrong.sum()} below the threshold of {REFERRAL_THRESHOLD:g}"
        self.caught_text_ = self.axes_[1].set_title(told, loc="right", fontweight="normal")
        return self


@dataclass(eq=False)
class ReferralDisplay(style.Display, made="from_scores"):
    """A share of images is referred: its point on the risk-coverage curve, and the errors it meets.
    ``chances_``: of each to be referred, between 0 and 1 at the cut; ``gallery_``: None without errors."""

    wrong: np.ndarray  # bool, shape (N,)
    uncertainty: np.ndarray  # float, shape (N,); larger is less sure; those are referred first
    # Every wrongly read image, uint8 (H, W), in the order of ``np.flatnonzero(wrong)``.
    errors: list[tuple[np.ndarray, str]]
    referral: float  # share of images referred, from 0 to below 1
    name: str  # of the score

    MOST = 8  # errors shown: those nearest to the cut, the least sure first

    def _chances(self) -> np.ndarray:
        n, unsure = self.wrong.size, np.sort(self.uncertainty)[::-1]
        referred = int(np.floor(n * self.referral + 1e-9))
        if referred == 0:
            return np.zeros(self.wrong.sum())
        cut = unsure[referred - 1]
        above, tied = np.sum(unsure > cut), np.sum(unsure == cut)
        chances = np.where(self.uncertainty == cut, (referred - above) / tied, self.uncertainty > cut)
        return chances[self.wrong].astype(float)

    def plot(self, ax: None = None) -> "ReferralDisplay":
        """Draw on a new figure: the curve above, the errors below."""
        self.chances_, self.gallery_ = self._chances(), None
        order = np.argsort(-self.uncertainty[self.wrong], kind="stable")
        first = round(self.chances_.sum()) - self.MOST // 2
        first = int(np.clip(first, 0, max(order.size - self.MOST, 0)))
        order = order[first : first + self.MOST]
        n_columns = min(4, max(len(order), 1))
        n_rows = -(-len(order) // n_columns)
        below = 0.35 + n_rows * (style.COLUMN_WIDTH / 4 + 0.62) if n_rows else 0.0
        self.figure_ = plt.figure(figsize=(style.COLUMN_WIDTH, 3.4 + below), layout="constrained")
        upper, lower = self.figure_.subfigures(2, 1, height_ratios=(3.4, max(below, 0.01)))
        self.curve_ = RiskCoverageDisplay.from_scores(
            self.wrong, {self.name: self.uncertainty}, referral=self.referral, ax=upper.subplots()
        )
        risk = self.curve_.points_[self.name].get_ydata()[0]
        self.alt_ = (
            f"Of {self.wrong.size} images {self.referral:.0%} are referred, with "
            f"{self.chances_.sum():.3g} of {len(self.errors)} errors; {risk:.1%} of the others are wrong."
        )
        if not n_rows:
            return self
        told = [_fate(self.chances_[i]) for i in order]
        self.gallery_ = ImageGridDisplay.from_images(
            [self.errors[i][0] for i in order],
            [f"{self.errors[i][1]}\n{words}" for i, (words, _) in zip(order, told, strict=True)],
            labels=[label for _, label in told], n_columns=n_columns,
            ax=lower.subplots(n_rows, n_columns, squeeze=False),
        )  # fmt: skip
        shown = "" if len(order) == len(self.errors) else f"; the {len(order)} nearest to the cut"
        lower.suptitle(
            f"{self.chances_.sum():.3g} of {len(self.errors)} errors referred{shown}",
            x=0.01, ha="left", fontsize=9, fontweight="bold",
        )  # fmt: skip
        return self


def _fate(chance: float) -> tuple[str, str]:
    """Return what becomes of an error, in words and as the label that colours its frame."""
    if chance in (0, 1):
        return ("referred", "referred") if chance else ("not referred", "wrong")
    return f"referred: {chance:.0%} chance", "neutral"
