"""Notebooks 03 to 05: search, trained conditions, luck, leak and source, shortcuts, what helps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "figures": [
            "confusion_matrices", "model_summary", "parameter_counts", "roc_curves", "roc_overlay",
            "structure_display", "training_curves",
        ],
        "fits": [
            "FINETUNED", "Fits", "TRANSFER", "compare_with_frozen", "fit_conditions", "fit_heading",
            "fits_headline", "load_fits", "metrics_table", "weights_warning",
        ],
        "helps": [
            "change_examples", "describe_what_helps", "helps_display", "helps_table", "measure_what_helps",
        ],
        "luck": [
            "compare_on_splits", "describe_luck", "describe_story", "luck_display", "luck_table",
            "measure_luck", "show_worth", "story_display", "story_table",
        ],
        "search": [
            "chosen_hyperparameters", "convergence_display", "describe_search", "partial_dependence_display",
            "search_display", "search_headline", "search_hyperparameters",
        ],
        "shortcut": [
            "annotation_display", "annotation_table", "count_shortcuts", "describe_annotations",
            "describe_shortcuts", "measure_annotations", "measure_shortcuts", "prepare_shortcuts",
            "shortcut_display", "shortcut_examples", "shortcut_table",
        ],
    },
)  # fmt: skip
