"""Karyogram pages with their truth: drawn from band tables, or composed from real chromosomes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compose": ["compose_karyogram"],
        "karyogram": ["draw_chromosome", "draw_karyogram"],
        "metaphase": ["draw_metaphase"],
        "page": ["Page"],
        "styles": ["STYLES", "LabStyle"],
    },
)  # fmt: skip
