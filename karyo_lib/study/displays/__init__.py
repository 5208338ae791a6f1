"""Result objects -> axes, as scikit-learn does: ``XDisplay.from_...(...)``, ``.plot(ax=None)``, artists."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classification": [
            "CalibrationCurvesDisplay", "ConfusionMatricesDisplay", "CountsDisplay", "OperatingPointDisplay",
            "RocDisplay",
        ],
        "confidence": ["ReferralDisplay", "RiskCoverageDisplay", "ScoreHistogramDisplay"],
        "diagrams": ["FlowChartDisplay", "StructureDisplay"],
        "dots": ["DotsDisplay", "LeakDisplay", "MetricsForestDisplay", "SizeCurvesDisplay", "StoryDisplay"],
        "pages": ["ImageGridDisplay"],
        "style": ["PALETTE", "PROTOCOL_TITLES", "style"],
        "training": [
            "ConvergenceDisplay", "PartialDependenceDisplay", "SearchDisplay", "TrainingCurvesDisplay",
        ],
    },
)  # fmt: skip
