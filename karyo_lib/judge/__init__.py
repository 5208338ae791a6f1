"""Metrics with intervals, comparisons, calibration, referral and promises, and conclusions in words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibrate": ["CombinedScore", "IsotonicCalibrator", "TemperatureCalibrator"],
        "checklist": ["compute_split_facts", "fill_checklist"],
        "compare": ["compare_conditions", "compute_metrics_by_group", "summarise_runs"],
        "metrics": ["compute_metrics"],
        "promise": ["Promise", "PromiseCheck", "check_promise", "choose_threshold", "compute_smallest_n"],
        "referral": [
            "REFERRAL_RATES", "RiskCoverage", "compute_referral", "compute_risk_coverage", "judge_scores",
        ],
        "scores": [
            "PREDICTION_COLUMNS", "REFERRAL_THRESHOLD", "UNCERTAINTIES", "compute_scores",
            "compute_uncertainties",
        ],
        "words": [
            "describe_best", "describe_differences", "describe_groups", "describe_referral",
            "format_interval",
        ],
    },
)  # fmt: skip
