"""Metrics with intervals, comparisons, calibration, referral and promises, and conclusions in words."""

from karyo_lib.judge.calibrate import CombinedScore, IsotonicCalibrator, TemperatureCalibrator
from karyo_lib.judge.checklist import (
    CHECKLISTS,
    compute_split_facts,
    fill_checklist,
    list_needed_facts,
    load_checklist,
)
from karyo_lib.judge.compare import (
    McNemar,
    compare_conditions,
    compute_mcnemar,
    compute_metrics_by_group,
    compute_sample_size_table,
    summarise_runs,
)
from karyo_lib.judge.metrics import (
    METRIC_COLUMNS,
    PREVALENCES,
    check_predictions,
    compute_metrics,
    compute_ppv_at_prevalence,
)
from karyo_lib.judge.promise import (
    Promise,
    PromiseCheck,
    check_promise,
    choose_threshold,
    compute_smallest_n,
)
from karyo_lib.judge.referral import (
    REFERRAL_RATES,
    RiskCoverage,
    compute_referral,
    compute_risk_coverage,
    judge_scores,
)
from karyo_lib.judge.scores import (
    PREDICTION_COLUMNS,
    REFERRAL_THRESHOLD,
    UNCERTAINTIES,
    build_predictions,
    compute_scores,
    compute_uncertainties,
)
from karyo_lib.judge.words import (
    describe_best,
    describe_differences,
    describe_groups,
    describe_leak,
    describe_referral,
    format_interval,
)

__all__ = [
    "CHECKLISTS",
    "METRIC_COLUMNS",
    "PREDICTION_COLUMNS",
    "PREVALENCES",
    "REFERRAL_RATES",
    "REFERRAL_THRESHOLD",
    "UNCERTAINTIES",
    "CombinedScore",
    "IsotonicCalibrator",
    "McNemar",
    "Promise",
    "PromiseCheck",
    "RiskCoverage",
    "TemperatureCalibrator",
    "build_predictions",
    "check_predictions",
    "check_promise",
    "choose_threshold",
    "compare_conditions",
    "compute_mcnemar",
    "compute_metrics",
    "compute_metrics_by_group",
    "compute_ppv_at_prevalence",
    "compute_referral",
    "compute_risk_coverage",
    "compute_sample_size_table",
    "compute_scores",
    "compute_smallest_n",
    "compute_split_facts",
    "compute_uncertainties",
    "describe_best",
    "describe_differences",
    "describe_groups",
    "describe_leak",
    "describe_referral",
    "fill_checklist",
    "format_interval",
    "judge_scores",
    "list_needed_facts",
    "load_checklist",
    "summarise_runs",
]
