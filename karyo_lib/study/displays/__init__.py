"""Result objects -> axes, as scikit-learn does: ``XDisplay.from_...(...)``, ``.plot(ax=None)``, artists."""

from karyo_lib.study.displays.classification import (
    CalibrationCurvesDisplay,
    ConfusionMatricesDisplay,
    CountsDisplay,
    OperatingPointDisplay,
    RocDisplay,
    SizeCurvesDisplay,
)
from karyo_lib.study.displays.confidence import ReferralDisplay, RiskCoverageDisplay, ScoreHistogramDisplay
from karyo_lib.study.displays.diagrams import FlowChartDisplay, StructureDisplay
from karyo_lib.study.displays.dots import DotsDisplay, LeakDisplay, MetricsForestDisplay
from karyo_lib.study.displays.pages import ImageGridDisplay
from karyo_lib.study.displays.style import PALETTE, PROTOCOL_TITLES, style
from karyo_lib.study.displays.training import (
    ConvergenceDisplay,
    PartialDependenceDisplay,
    SearchDisplay,
    TrainingCurvesDisplay,
)

__all__ = [
    "PALETTE",
    "PROTOCOL_TITLES",
    "CalibrationCurvesDisplay",
    "ConfusionMatricesDisplay",
    "ConvergenceDisplay",
    "CountsDisplay",
    "DotsDisplay",
    "FlowChartDisplay",
    "ImageGridDisplay",
    "LeakDisplay",
    "MetricsForestDisplay",
    "OperatingPointDisplay",
    "PartialDependenceDisplay",
    "ReferralDisplay",
    "RiskCoverageDisplay",
    "RocDisplay",
    "ScoreHistogramDisplay",
    "SearchDisplay",
    "SizeCurvesDisplay",
    "StructureDisplay",
    "TrainingCurvesDisplay",
    "style",
]
