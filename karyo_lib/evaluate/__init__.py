"""Predictions -> metrics with intervals, comparisons, checklists, and conclusions in words."""

from karyo_lib.evaluate.checklist import (
    CHECKLISTS,
    compute_split_facts,
    fill_checklist,
    list_needed_facts,
    load_checklist,
)
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
from karyo_lib.evaluate.words import (
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
    "PREVALENCES",
    "McNemar",
    "check_predictions",
    "compare_conditions",
    "compute_mcnemar",
    "compute_metrics",
    "compute_metrics_by_group",
    "compute_ppv_at_prevalence",
    "compute_sample_size_table",
    "compute_split_facts",
    "describe_best",
    "describe_differences",
    "describe_groups",
    "describe_leak",
    "describe_referral",
    "fill_checklist",
    "format_interval",
    "list_needed_facts",
    "load_checklist",
    "summarise_runs",
]
