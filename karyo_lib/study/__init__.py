"""What the notebooks do, step by step: each function takes a run or a result and does one step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "confidence.figures": [
            "calibration_display", "method_display", "referral_by_shift", "risk_coverage", "score_histograms",
            "shift_pages", "shift_risk_coverage", "wrong_images",
        ],
        "confidence.judgement": [
            "calibrate", "calibration_table", "describe_calibration", "describe_confidence",
            "describe_methods", "method_table", "score_table",
        ],
        "confidence.methods": ["Comparison", "compare_methods"],
        "confidence.promise": ["Promises", "describe_promises", "make_promises", "promise_table"],
        "confidence.samples": [
            "Passes", "confidence_headline", "price_passes", "published_wrong_cases", "sample_all",
            "wrong_cases",
        ],
        "confidence.shifts": ["Shifts", "describe_shifts", "measure_shifts", "shift_table"],
        "data.collection": [
            "Collection", "collection_headline", "count_collection", "describe_collection", "load_collection",
            "load_images", "prepare_collection", "show_index",
        ],
        "data.copies": [
            "Copies", "augmentation_headline", "count_copies", "count_siblings", "count_splits",
            "describe_leak", "leak_headline", "load_copies", "load_splits", "prepare_copies",
            "prepare_splits",
        ],
        "data.helps": [
            "change_examples", "describe_what_helps", "helps_display", "helps_table", "measure_what_helps",
        ],
        "data.luck": ["compare_on_splits", "describe_luck", "luck_display", "luck_table", "measure_luck"],
        "data.pictures": [
            "augmentation_ranges", "before_after", "change_size_display", "change_sizes", "example_pages",
            "group_gallery", "male_karyogram", "metaphase_spread", "normal_and_abnormal_male",
            "sibling_example",
        ],
        "data.realism": ["measure_realism"],
        "data.shortcut": [
            "count_shortcuts", "describe_shortcuts", "load_shortcuts", "measure_shortcuts",
            "prepare_shortcuts", "shortcut_display", "shortcut_examples", "shortcut_table",
        ],
        "networks.figures": [
            "confusion_matrices", "leak_display", "model_summary", "parameter_counts", "roc_curves",
            "roc_overlay", "structure_display", "training_curves",
        ],
        "networks.fits": [
            "FINETUNED", "TRANSFER", "Fits", "compare_with_frozen", "fit_conditions", "fit_controls",
            "fits_headline", "load_fits", "metrics_table", "weights_warning",
        ],
        "networks.search": [
            "chosen_hyperparameters", "convergence_display", "describe_search", "partial_dependence_display",
            "search_display", "search_headline", "search_hyperparameters",
        ],
        "reading.changes": ["changes_display", "describe_changes", "measure_changes"],
        "reading.confidence": ["add_reader", "calibrate_readings", "describe_referrals", "score_readings"],
        "reading.figures": [
            "group_confusion", "reading_confusion", "reading_page", "reading_pair", "reading_roc",
        ],
        "reading.results": [
            "describe_reading", "formula_table", "reading_against_networks", "reading_by_group",
            "reading_metrics", "real_cells",
        ],
        "reading.tables": ["Readings", "load_readings", "read_collection"],
        "results.paired": ["compare_networks", "describe_networks", "describe_sources", "metrics_by_source"],
        "results.tables": [
            "Results", "collect_results", "compute_sample_size_table", "describe_finetuning",
            "describe_protocols", "describe_study", "leakage_checklist", "metrics_by_group",
            "report_headline", "reporting_checklist", "table_5_1", "thesis_map",
        ],
        "results.try_it": ["TryIt", "try_augmentation", "try_formula", "try_referral", "try_threshold"],
        "thesis": ["find_inconsistencies"],
    },
)  # fmt: skip
