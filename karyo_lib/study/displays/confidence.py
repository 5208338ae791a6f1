"""What a confidence score is worth: risk-coverage curves, and scores of right and wrong answers."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from karyo_lib.judge import REFERRAL_THRESHOLD, UNCERTAINTIES, RiskCoverage, compute_risk_coverage
from karyo_lib.study.displays.pages import ImageGridDisplay
from karyo_lib.study.displays.style import COLUMN_WIDTH, DASHES, PALETTE, Display, assign_colours, new_grid


@dataclass(eq=False)
class RiskCoverageDisplay(Display, made="from_curves"):
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
        colours = assign_colours(self.curves)
        for i, (name, curve) in enumerate(self.curves.items()):
            (self.lines_[name],) = self.ax_.plot(
                curve.coverage, curve.risk, color=colours[name], linestyle=DASHES[i % len(DASHES)],
                label=f"{name}: area {curve.aurc:.3f}",
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
                1 - self.referral, color=PALETTE["referred"], linewidth=1.2, zorder=1, label=told
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
class ScoreHistogramDisplay(Display, made="from_predictions"):
    """The thesis's confidence, in percent, of right answers above, of wrong ones below."""

    score: np.ndarray  # (N,), 50 to 100, larger is surer; below ``REFERRAL_THRESHOLD`` it is referred
    wrong: np.ndarray  # bool, shape (N,)

    def plot(self, ax=None) -> "ScoreHistogramDisplay":
        """Draw on two axes, one above the other, or on a new figure."""
        self.score, self.wrong = np.asarray(self.score, dtype=float), np.asarray(self.wrong, dtype=bool)
        self.figure_, grid = new_grid(ax, 2, 1, height=3.2, sharex=True)
        self.axes_ = grid[:, 0]
        parts = {"right": (~self.wrong, "neutral"), "wrong": (self.wrong, "wrong")}
        for ax, (what, (chosen, colour)) in zip(self.axes_, parts.items(), strict=True):
            sns.histplot(
                x=self.score[chosen], bins=25, binrange=(50, 100), color=PALETTE[colour], alpha=1, ax=ax,
                edgecolor="white",
            )  # fmt: skip
            ax.axvline(REFERRAL_THRESHOLD, color=PALETTE["referred"], linewidth=1.4)
            ax.set(title=f"{chosen.sum()} {what} answers", ylabel="Images", xlabel="Confidence score (%)")
            ax.yaxis.get_major_locator().set_params(integer=True)
        caught = int((self.score[self.wrong] < REFERRAL_THRESHOLD).sum())
        told = f"{caught} of {self.wrong.sum()} below the threshold of {REFERRAL_THRESHOLD:g}"
        self.caught_text_ = self.axes_[1].set_title(told, loc="right", fontweight="normal")
        return self


@dataclass(eq=False)
class ReferralDisplay(Display, made="from_scores"):
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
        below = 0.35 + n_rows * (COLUMN_WIDTH / 4 + 0.62) if n_rows else 0.0
        self.figure_ = plt.figure(figsize=(COLUMN_WIDTH, 3.4 + below), layout="constrained")
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
