"""Notebook 06: how sure the answers are, and who is referred."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "judgement": [
            "calibrate", "calibration_display", "calibration_table", "describe_calibration",
            "describe_confidence", "describe_methods", "method_display", "method_table",
            "referral_by_shift", "risk_coverage", "score_histograms", "score_table", "shift_pages",
            "shift_risk_coverage", "wrong_images",
        ],
        "methods": ["Comparison", "compare_methods"],
        "promise": ["Promises", "describe_promises", "make_promises", "promise_table"],
        "samples": [
            "confidence_headline", "count_wrong", "price_passes", "published_wrong_cases", "sample_all",
            "wrong_cases",
        ],
        "shifts": ["describe_shifts", "measure_shifts", "shift_table"],
    },
)  # fmt: skip
