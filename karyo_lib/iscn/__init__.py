"""Karyotype formulae: band tables, the chromosomes of a cell as band segments, a catalogue of formulae."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bands": ["AUTOSOMES", "CHROMOSOMES", "LEVELS", "Band", "BandTable", "KaryotypeError", "load_bands"],
        "catalogue": ["load_catalogue", "sample_formulae"],
        "changes": ["GROUPS", "Change", "Size"],
        "karyotype": [
            "NORMAL_FORMULAE", "NORMAL_GROUPS", "Karyotype", "count_formula", "parse_karyotype",
            "write_karyotype",
        ],
        "segments": ["Chromosome", "Segment"],
    },
)  # fmt: skip
