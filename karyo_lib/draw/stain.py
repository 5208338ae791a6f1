"""How dark every place of a chromosome stains with Giemsa. Band tables give stain classes; the few numbers
below were tuned so that drawn chromosomes agree with the mean profile of real ones
(`karyo_lib.draw.realism`). The two band tables were measured on different specimens and disagree by some
percent of a chromosome's length about where a band lies; their mean agrees with real chromosomes better than
either, so each drawn chromosome mixes them."""

from functools import lru_cache

import numpy as np

from karyo_lib.iscn.bands import Band, load_bands

_POSITIVE = {25: 0.06, 50: 0.65, 75: 0.87, 100: 1.0}
_NEGATIVE = 0.25
# Centromeres are of medium darkness; some stain more, some less.
_CENTROMERE = {
    "1": 0.3, "2": 0.25, "3": 0.65, "5": 0.6, "6": 0.25, "7": 1.0, "8": 0.4, "9": 1.0, "10": 1.0, "11": 0.95,
    "12": 0.55, "13": 0.9, "14": 0.8, "15": 1.0, "16": 0.5, "17": 0.9, "18": 0.45, "19": 1.0, "20": 1.1,
    "21": 0.65, "22": 1.15, "Y": 0.35,
}  # fmt: skip
_CENTROMERE_ELSEWHERE = 0.7
# Variable heterochromatin: dark on 1, 16, 19 and Y, pale on 9.
_VARIABLE = {"1": 0.9, "3": 0.9, "9": 0.15, "16": 1.2, "19": 1.15, "Y": 0.75}
_SATELLITE = 0.3
# T-bands, the gene-rich light bands that stain palest of all (Dutrillaux 1973; Holmquist 1992).
_PALEST = {
    "1": ("p36.1", "p36.3"), "2": ("q37",), "3": ("p21",), "4": ("p16",), "5": ("q31.3", "q35.3"),
    "6": ("p21",), "7": ("p22", "q22"), "8": ("q24.3",), "9": ("q34",), "10": ("q26.3",),
    "11": ("p15.5", "q13"), "12": ("q24.3",), "14": ("q32",), "16": ("p13.3", "q24"), "17": ("p13", "q25"),
    "19": ("p13", "q13"), "20": ("q13.3",), "21": ("q22.3",), "22": ("q13",), "X": ("q28",),
}  # fmt: skip
_PARTNER = {400: 550, 550: 850, 850: 550}


def darkness_of(band: Band) -> float:
    """Return how dark a band stains, 0 (the palest) to 1 (dark); heterochromatin may pass 1."""
    if band.stain == "gpos":
        return _POSITIVE[band.density]
    if band.stain == "acen":
        return _CENTROMERE.get(band.chromosome, _CENTROMERE_ELSEWHERE)
    if band.stain == "gvar":
        return _VARIABLE.get(band.chromosome, _SATELLITE)
    if band.stain == "stalk":
        return 0.0
    return 0.0 if band.name.startswith(_PALEST.get(band.chromosome, ("?",))) else _NEGATIVE


@lru_cache(maxsize=128)
def stain_profile(chromosome: str, level: int) -> tuple[np.ndarray, np.ndarray]:
    """How dark a normal chromosome stains: edges (n + 1,), ISCN units from pter, and darkness (n, 2) between
    them, by the level's own table and by its neighbour's."""
    tables = [load_bands(level).bands(chromosome), load_bands(_PARTNER[level]).bands(chromosome)]
    edges = np.unique([0.0, *(band.iscn_stop for bands in tables for band in bands)])
    middles = (edges[:-1] + edges[1:]) / 2
    darkness = np.empty((len(middles), len(tables)))
    for column, bands in enumerate(tables):
        stops = np.array([band.iscn_stop for band in bands])
        darkness[:, column] = np.array([darkness_of(band) for band in bands])[np.searchsorted(stops, middles)]
    edges.setflags(write=False)
    darkness.setflags(write=False)
    return edges, darkness
