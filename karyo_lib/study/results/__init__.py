"""Notebook 07: what the run found beside what the thesis printed; the try-it cells."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tables": [
            "answer_checklist", "collect_results", "compare_networks", "compare_with_printed",
            "describe_finetuning", "describe_networks", "describe_printed", "describe_run", "describe_study",
            "metrics_by_group", "metrics_by_source", "report_headline", "table_5_1", "thesis_map",
        ],
        "try_it": ["try_augmentation", "try_formula", "try_referral", "try_threshold"],
    },
)  # fmt: skip
