"""Karyotype formulae: band tables, the chromosomes of a cell as band segments, a catalogue of formulae."""

from karyo_lib.iscn.bands import AUTOSOMES, CHROMOSOMES, LEVELS, Band, BandTable, KaryotypeError, load_bands
from karyo_lib.iscn.catalogue import load_catalogue, sample_formulae
from karyo_lib.iscn.changes import GROUPS, Change, Size
from karyo_lib.iscn.karyotype import Karyotype, count_formula, parse_karyotype
from karyo_lib.iscn.segments import Chromosome, Segment

__all__ = [
    "AUTOSOMES",
    "CHROMOSOMES",
    "GROUPS",
    "LEVELS",
    "Band",
    "BandTable",
    "Change",
    "Chromosome",
    "Karyotype",
    "KaryotypeError",
    "Segment",
    "Size",
    "count_formula",
    "load_bands",
    "load_catalogue",
    "parse_karyotype",
    "sample_formulae",
]
