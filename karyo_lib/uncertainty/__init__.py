"""Stochastic passes -> scores, calibrated and combined, judged by referral; thresholds with a promise."""

from karyo_lib.uncertainty.calibrate import CombinedScore, IsotonicCalibrator, TemperatureCalibrator
from karyo_lib.uncertainty.promise import (
    Promise,
    PromiseCheck,
    check_promise,
    choose_threshold,
    compute_smallest_n,
)
from karyo_lib.uncertainty.referral import (
    REFERRAL_RATES,
    RiskCoverage,
    compute_referral,
    compute_risk_coverage,
    judge_scores,
)
from karyo_lib.uncertainty.scores import (
    PREDICTION_COLUMNS,
    REFERRAL_THRESHOLD,
    UNCERTAINTIES,
    build_predictions,
    compute_scores,
    compute_uncertainties,
)

__all__ = [
    "PREDICTION_COLUMNS",
    "REFERRAL_RATES",
    "REFERRAL_THRESHOLD",
    "UNCERTAINTIES",
    "CombinedScore",
    "IsotonicCalibrator",
    "Promise",
    "PromiseCheck",
    "RiskCoverage",
    "TemperatureCalibrator",
    "build_predictions",
    "check_promise",
    "choose_threshold",
    "compute_referral",
    "compute_risk_coverage",
    "compute_scores",
    "compute_smallest_n",
    "compute_uncertainties",
    "judge_scores",
]
