"""Karyotype formulae: band tables, the chromosomes of a cell as band segments, a catalogue of formulae."""

import lazy_loader

_KARYOTYPE = "NORMAL_FORMULAE NORMAL_GROUPS Karyotype count_formula parse_karyotype write_karyotype"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bands": ["AUTOSOMES", "CHROMOSOMES", "LEVELS", "Band", "BandTable", "KaryotypeError", "load_bands"],
        "catalogue": ["load_catalogue", "sample_formulae"],
        "changes": ["GROUPS", "Change", "Size"],
        "karyotype": _KARYOTYPE.split(),
        "segments": ["Chromosome", "Segment"],
    },
)
