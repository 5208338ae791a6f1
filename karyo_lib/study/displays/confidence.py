"""What a confidence score is worth: risk-coverage curves, and scores of right and wrong answers."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from karyo_lib.judge import REFERRAL_THRESHOLD, UNCERTAINTIES, RiskCoverage, compute_risk_coverage
from karyo_lib.study.displays.pages import ImageGridDisplay
from karyo_lib.study.displays.style import (
    COLUMN_WIDTH,
    DASHES,
    PALETTE,
    assign_colours,
    new_axes,
    new_grid,
    styled,
)


class RiskCoverageDisplay:
    """Error rate among the images kept, while the least sure are referred first.

    Parameters
    ----------
    curves : dict of str to karyo_lib.judge.RiskCoverage
        Name of the score -> its curve.
    referral : float, optional
        Share of images referred, marked on each curve.
    colours : dict of str to str, optional

    Attributes
    ----------
    lines_ : dict of str to Line2D
        Coverage against risk.
    points_ : dict of str to Line2D
        At ``referral``.
    referral_line_ : Line2D or None
    ax_, figure_
    """

    def __init__(self, curves: dict[str, RiskCoverage], *, referral: float | None = None, colours=None):
        self.curves = curves
        self.referral = referral
        self.colours = colours

    @classmethod
    def from_scores(
        cls,
        wrong: np.ndarray,
        uncertainties,
        *,
        referral: float | None = None,
        colours=None,
        ax: Axes | None = None,
    ) -> "RiskCoverageDisplay":
        """Draw the curves of several scores on the same images.

        Parameters
        ----------
        wrong : array_like of bool, shape (N,)
        uncertainties : DataFrame or dict of str to ndarray (N,)
            One score a column, larger is less sure; known names get their titles.
        referral, colours, ax
        """
        curves = {
            UNCERTAINTIES.get(name, name): compute_risk_coverage(wrong, np.asarray(uncertainties[name]))
            for name in uncertainties
        }
        return cls(curves, referral=referral, colours=colours).plot(ax=ax)

    @styled
    def plot(self, *, ax: Axes | None = None) -> "RiskCoverageDisplay":
        """Draw on ``ax`` or on a new figure."""
        self.figure_, self.ax_ = new_axes(ax, height=3.4)
        self.lines_, self.points_, self.referral_line_ = {}, {}, None
        colours = assign_colours(self.curves, self.colours)
        for i, (name, curve) in enumerate(self.curves.items()):
            (self.lines_[name],) = self.ax_.plot(
                curve.coverage, curve.risk, color=colours[name], linestyle=DASHES[i % len(DASHES)],
                label=f"{name}: area {curve.aurc:.3f}",
            )  # fmt: skip
            if self.referral is not None:
                kept = curve.n - int(np.floor(curve.n * self.referral + 1e-9))
                (self.points_[name],) = self.ax_.plot(
                    kept / curve.n,
                    curve.risk[kept - 1],
                    "o",
                    color=colours[name],
                    markersize=7,
                    markeredgecolor="white",
                    zorder=4,
                )
        if self.referral is not None:
            self.referral_line_ = self.ax_.axvline(
                1 - self.referral, color=PALETTE["referred"], linewidth=1.2, zorder=1,
                label=f"{self.referral:.0%} referred",
            )  # fmt: skip
        highest = max((float(curve.risk.max()) for curve in self.curves.values()), default=0.0)
        self.ax_.set(
            xlabel="Share of images kept (the surest first)", ylabel="Error rate among them", xlim=(0, 1.01),
            ylim=(-0.02 * max(highest, 0.05), 1.08 * max(highest, 0.05)),
        )  # fmt: skip
        self.ax_.xaxis.set_major_formatter(PercentFormatter(1))
        self.ax_.yaxis.set_major_formatter(PercentFormatter(1))
        self.figure_.legend(*self.ax_.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return self


class ScoreHistogramDisplay:
    """Confidence of right answers above, of wrong ones below: a good score keeps them apart.

    Parameters
    ----------
    score : array_like of float, shape (N,)
        Larger is surer; the thesis's confidence in percent by default.
    wrong : array_like of bool, shape (N,)
    threshold : float or None
        Below it an image is referred.
    name : str
        Of the score, with its unit.
    bins : int or sequence
        As of ``numpy.histogram``; 20 over the range of the thesis's score, else of the values.

    Attributes
    ----------
    right_bars_, wrong_bars_ : BarContainer
    threshold_lines_ : list of Line2D
    caught_text_ : Text
        How many wrong answers are below the threshold.
    axes_, figure_
    """

    def __init__(
        self, score: np.ndarray, wrong: np.ndarray, *, threshold: float | None = REFERRAL_THRESHOLD,
        name: str = "Confidence score (%)", bins=None,
    ):  # fmt: skip
        self.score, self.wrong = np.asarray(score, dtype=float), np.asarray(wrong, dtype=bool)
        self.threshold = threshold
        self.name = name
        self.bins = bins

    @classmethod
    def from_predictions(
        cls, score: np.ndarray, wrong: np.ndarray, *, threshold: float | None = REFERRAL_THRESHOLD,
        name: str = "Confidence score (%)", bins=None, axes=None,
    ) -> "ScoreHistogramDisplay":  # fmt: skip
        """Draw from scores and errors; parameters as of the class."""
        if np.shape(score) != np.shape(wrong) or np.ndim(score) != 1:
            raise ValueError(
                f"Expected score and wrong of shape (N,). Received {np.shape(score)}, {np.shape(wrong)}."
            )
        return cls(score, wrong, threshold=threshold, name=name, bins=bins).plot(axes=axes)

    @styled
    def plot(self, *, axes=None) -> "ScoreHistogramDisplay":
        """Draw on two axes, one above the other, or on a new figure."""
        self.figure_, grid = new_grid(axes, 2, 1, height=3.2, sharex=True)
        self.axes_, self.threshold_lines_ = grid[:, 0], []
        bins = self.bins
        if bins is None:
            percent = self.score.size and self.score.min() >= 50 and self.score.max() <= 100
            bins = np.linspace(50, 100, 26) if percent else 20
        edges = np.histogram_bin_edges(self.score, bins)
        right, wrong = self.score[~self.wrong], self.score[self.wrong]
        for ax, values, what, colour in zip(
            self.axes_,
            (right, wrong),
            ("right", "wrong"),
            (PALETTE["neutral"], PALETTE["wrong"]),
            strict=True,
        ):
            counts, _ = np.histogram(values, edges)
            bars = ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colour, edgecolor="white")
            setattr(self, f"{what}_bars_", bars)
            ax.set_title(f"{values.size} {what} answers")
            ax.set_ylabel("Images")
            ax.yaxis.get_major_locator().set_params(integer=True)
            if self.threshold is not None:
                self.threshold_lines_.append(
                    ax.axvline(self.threshold, color=PALETTE["referred"], linewidth=1.4)
                )
        self.axes_[1].set_xlabel(self.name)
        caught = int((wrong < self.threshold).sum()) if self.threshold is not None else 0
        sentence = (
            ""
            if self.threshold is None
            else f"{caught} of {wrong.size} below the threshold of {self.threshold:g}"
        )
        self.caught_text_ = self.axes_[1].set_title(sentence, loc="right", fontweight="normal")
        return self


class ReferralDisplay:
    """A share of images is referred: its point on the risk-coverage curve, and the errors it meets.

    Parameters
    ----------
    wrong : array_like of bool, shape (N,)
    uncertainty : array_like of float, shape (N,)
        Larger is less sure; those are referred first.
    errors : sequence of (image, caption)
        Every wrongly read image, uint8 (H, W), in the order of ``np.flatnonzero(wrong)``.
    referral : float
        Share of images referred, from 0 to below 1.
    name : str
        Of the score.
    most : int
        Errors shown: those nearest to the cut, the least sure first.

    Attributes
    ----------
    curve_ : RiskCoverageDisplay
    chances_ : ndarray of float, shape (number of errors,)
        Chance of each error to be referred: 1 or 0, and between them for images tied at the cut.
    gallery_ : ImageGridDisplay or None
        None without errors.
    figure_
    """

    def __init__(self, wrong, uncertainty, errors, referral: float, *, name: str, most: int = 8):
        self.wrong, self.uncertainty = np.asarray(wrong, dtype=bool), np.asarray(uncertainty, dtype=float)
        self.errors, self.referral, self.name, self.most = list(errors), referral, name, most
        if len(self.errors) != self.wrong.sum():
            raise ValueError(
                f"Expected {self.wrong.sum()} errors with a picture. Received {len(self.errors)}."
            )
        if not 0 <= referral < 1:
            raise ValueError(f"Expected a share referred from 0 to below 1. Received {referral!r}.")

    @classmethod
    def from_scores(
        cls, wrong, uncertainty, errors, referral: float, *, name: str, most: int = 8
    ) -> "ReferralDisplay":
        """Draw from errors and one score; parameters as of the class."""
        return cls(wrong, uncertainty, errors, referral, name=name, most=most).plot()

    def _chances(self) -> np.ndarray:
        n, unsure = self.wrong.size, np.sort(self.uncertainty)[::-1]
        referred = int(np.floor(n * self.referral + 1e-9))
        if referred == 0:
            return np.zeros(self.wrong.sum())
        cut = unsure[referred - 1]
        above, tied = np.sum(unsure > cut), np.sum(unsure == cut)
        chances = np.where(self.uncertainty == cut, (referred - above) / tied, self.uncertainty > cut)
        return chances[self.wrong].astype(float)

    @styled
    def plot(self) -> "ReferralDisplay":
        """Draw on a new figure: the curve above, the errors below."""
        self.chances_, self.gallery_ = self._chances(), None
        order = np.argsort(-self.uncertainty[self.wrong], kind="stable")
        first = round(self.chances_.sum()) - self.most // 2
        first = int(np.clip(first, 0, max(order.size - self.most, 0)))
        order = order[first : first + self.most]
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
            axes=lower.subplots(n_rows, n_columns, squeeze=False).ravel(),
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
