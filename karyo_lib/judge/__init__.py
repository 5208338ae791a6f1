"""Metrics with intervals, comparisons, calibration, referral and promises, and conclusions in words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "metrics": ["compare_conditions", "compute_metrics", "compute_metrics_by_group", "summarise_runs"],
        "referral": [
            "REFERRAL_RATES", "Promise", "PromiseCheck", "RiskCoverage", "check_promise", "choose_threshold",
            "compute_referral", "compute_risk_coverage", "compute_smallest_n", "judge_scores",
        ],
        "scores": [
            "PREDICTION_COLUMNS", "REFERRAL_THRESHOLD", "UNCERTAINTIES", "CombinedScore",
            "IsotonicCalibrator", "TemperatureCalibrator", "compute_scores", "compute_uncertainties",
        ],
        "words": [
            "compute_split_facts", "describe_best", "describe_differences", "describe_groups",
            "describe_referral", "fill_checklist", "format_interval",
        ],
    },
)  # fmt: skip
