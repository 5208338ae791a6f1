"""Notebooks 04 and 06: what the reader finds in the karyograms of a run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cases": ["cases_coverage", "cases_table", "compose_cases", "describe_cases", "read_patients"],
        "changes": ["changes_display", "describe_changes", "measure_changes"],
        "confidence": ["add_reader", "calibrate_readings", "describe_referrals", "score_readings"],
        "figures": ["group_confusion", "reading_confusion", "reading_page", "reading_pair", "reading_roc"],
        "results": [
            "describe_reading", "formula_table", "reading_against_networks", "reading_by_group",
            "reading_metrics", "real_cells",
        ],
        "spreads": ["describe_spreads", "read_spreads", "spread_errors", "spread_table"],
        "tables": ["load_readings", "read_collection"],
    },
)  # fmt: skip
