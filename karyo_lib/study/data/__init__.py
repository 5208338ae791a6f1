"""Notebooks 01 and 02: the karyograms of a run, their copies and splits, and pictures of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "collection": [
            "collection_headline", "count_collection", "describe_collection", "first_abnormal",
            "prepare_collection", "show_index",
        ],
        "copies": [
            "Copies", "augmentation_headline", "count_copies", "count_siblings", "count_splits",
            "describe_leak", "leak_headline", "load_copies", "prepare_copies", "prepare_splits",
        ],
        "pictures": [
            "augmentation_ranges", "before_after", "change_size_display", "change_sizes", "example_pages",
            "group_gallery", "male_karyogram", "measure_realism",
            "normal_and_abnormal_male", "sibling_example", "sorted_metaphase",
        ],
    },
)  # fmt: skip
