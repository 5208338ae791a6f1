"""The 'try it' cells: controls, and a picture that follows them, still where no kernel runs."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from karyo_lib.draw import STYLES
from karyo_lib.judge import UNCERTAINTIES
from karyo_lib.networks.conditions import get_condition
from karyo_lib.study.confidence.judgement import referral_display
from karyo_lib.study.confidence.samples import Passes
from karyo_lib.study.data.collection import Copies
from karyo_lib.study.data.pictures import augment_one, page_display
from karyo_lib.study.displays.style import PROTOCOL_TITLES
from karyo_lib.study.networks.figures import threshold_display
from karyo_lib.study.networks.fits import PROTOCOLS, Fits
from karyo_lib.study.present import Figure
from karyo_lib.study.runs import Run

_WIDE = {"layout": widgets.Layout(width="32rem"), "style": {"description_width": "9rem"}}


class TryIt:
    """Controls above a figure that ``draw`` (value of each control by name) draws anew when one changes; the
    run keeps the first. ``display_``: drawn last; ``complaint_``: why the last values could not be, or ''."""

    def __init__(
        self, run: Run, name: str, caption: str, draw: Callable[..., Any],
        controls: Mapping[str, widgets.Widget],
    ):  # fmt: skip
        self.controls, self.display_, self.complaint_ = dict(controls), None, ""

        def follow(**values: Any) -> None:
            render = Figure.render if self.display_ else run.figure
            try:
                self.display_ = draw(**values)
                self.complaint_, shown = "", render(self.display_, name, caption)
            except ValueError as error:  # a formula of no karyotype, for example
                self.complaint_ = str(error)
                shown = run.banner(self.complaint_, "error")
            display(shown)

        self._output = widgets.interactive_output(follow, self.controls)

    def _repr_mimebundle_(self, **settings: Any) -> Any:
        return widgets.VBox([*self.controls.values(), self._output])._repr_mimebundle_(**settings)


def _slider(title: str, value: float, low: float, high: float, step: float, form: str) -> widgets.FloatSlider:
    # Drawn when the slider is let go: each picture takes some tenths of a second.
    return widgets.FloatSlider(
        value, min=low, max=high, step=step, description=title, readout_format=form,
        continuous_update=False, **_WIDE,
    )  # fmt: skip


def _choice(title: str, options: Mapping[str, str], value: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=[(words, key) for key, words in options.items()], value=value, description=title, **_WIDE
    )


def try_formula(run: Run, formula: str) -> TryIt:
    """Return a box for an ISCN formula and a choice of lab styles, and the karyogram they give."""
    text = widgets.Text(formula, description="ISCN formula", continuous_update=False, **_WIDE)
    return TryIt(
        run, "try_it_01", "A karyogram of the formula below it; frames mark the changed chromosomes.",
        lambda formula, style: page_display(formula, style, seed=3),
        {"formula": text, "style": _choice("Style of the page", {name: name for name in STYLES}, "classic")},
    )  # fmt: skip


def try_augmentation(run: Run, copies: Copies) -> TryIt:
    """Return sliders for brightness, noise and blur, and one karyogram before and after."""
    n_originals = int((copies.table["copy"] == 0).sum())
    which = widgets.IntSlider(
        1, min=1, max=n_originals, description="Karyogram", continuous_update=False, **_WIDE
    )
    return TryIt(
        run, "try_it_02", "One karyogram, and one altered copy of it.",
        lambda which, **alteration: augment_one(copies, which - 1, **alteration),
        {
            "which": which,
            "brightness": _slider("Brightness change", -0.2, -0.25, 0.25, 0.01, "+.0%"),
            "noise_fraction": _slider("Noisy pixels", 0.05, 0.0, 0.05, 0.001, ".1%"),
            "blur_sigma": _slider("Blur, px", 0.8, 0.0, 0.8, 0.05, ".2f"),
        },
    )  # fmt: skip


def try_threshold(run: Run, fits: Fits, condition: str) -> TryIt:
    """Return a slider for the decision threshold, and the confusion matrix and ROC point that it gives."""
    titles = {key: get_condition(key).title for key in fits.summary["condition"].unique()}
    return TryIt(
        run, "try_it_04", "First test part: confusion matrix at the threshold, and its point on the ROC.",
        lambda threshold, condition, protocol: threshold_display(fits, condition, protocol, threshold),
        {
            "threshold": _slider("Threshold", 0.5, 0.0, 1.0, 0.01, ".2f"),
            "condition": _choice("Condition", titles, condition),
            "protocol": _choice("Split", {key: PROTOCOL_TITLES[key] for key in PROTOCOLS}, "grouped"),
        },
    )  # fmt: skip


def try_referral(run: Run, copies: Copies, passes: Passes, condition: str) -> TryIt:
    """Return a slider for the share referred: its point on the risk-coverage curve, the errors it meets."""
    scores = {key: UNCERTAINTIES[key] for key in ("vote_share", "probability", "combined")}
    return TryIt(
        run, "try_it_06",
        "First test part: error rate among the images that are kept, and the errors, amber where referred.",
        lambda referred, score: referral_display(copies, passes, condition, "grouped", referred, score),
        {
            "referred": _slider("Share referred", 0.2, 0.0, 0.95, 0.01, ".0%"),
            "score": _choice("Score", scores, "combined"),
        },
    )  # fmt: skip
