"""karyo reads chromosomes: normal or abnormal, how sure it is, and when a specialist must look.

A research tool, not a medical device. The names below are imported when they are first used:

>>> import karyo_lib as karyo
>>> karyo.parse_karyotype("47,XX,+21").count_formula
'47,XX,+21'
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "iscn.catalogue": ["load_catalogue"],
        "iscn.karyotype": ["Karyotype", "parse_karyotype", "write_karyotype"],
        "draw.compose": ["compose_karyogram"],
        "draw.karyogram": ["draw_karyogram"],
        "draw.metaphase": ["draw_metaphase"],
        "read.case_reading": ["read_case"],
        "read.case_record": ["Case"],
        "read.image": ["read_image"],
        "read.reading": ["Reading"],
        "read.reader": ["Reader"],
        "screening.packing": ["train_package"],
        "screening.screener": ["Screener"],
        "screening.worklist": ["Worklist"],
    },
)
