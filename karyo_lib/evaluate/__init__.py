"""Predictions -> metrics with intervals, comparisons, checklists, and conclusions in words."""

from karyo_lib.evaluate.compare import (
    McNemar,
    compare_conditions,
    compute_mcnemar,
    compute_metrics_by_group,
    compute_sample_size_table,
    summarise_runs,
)
from karyo_lib.evaluate.metrics import (
    METRIC_COLUMNS,
    PREVALENCES,
    check_predictions,
    compute_metrics,
    compute_ppv_at_prevalence,
)

__all__ = [
    "METRIC_COLUMNS",
    "PREVALENCES",
    "McNemar",
    "check_predictions",
    "compare_conditions",
    "compute_mcnemar",
    "compute_metrics",
    "compute_metrics_by_group",
    "compute_ppv_at_prevalence",
    "compute_sample_size_table",
    "summarise_runs",
]
