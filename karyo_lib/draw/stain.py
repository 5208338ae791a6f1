"""How dark every place of a chromosome stains with Giemsa.

Band tables give stain classes, not darkness. The few numbers below were tuned so that drawn chromosomes agree with the
mean profile of real ones (:mod:`karyo_lib.draw.realism` measures it). The two band tables were measured on
different specimens and disagree by up to some percent of a chromosome's length about where a band lies; the mean of the
level's own table and of its neighbour agrees with real chromosomes better than either, so both are kept and each drawn
chromosome mixes them.
"""

from functools import lru_cache

import numpy as np

from karyo_lib.iscn.bands import Band, load_bands

_POSITIVE = {25: 0.05, 50: 0.6, 75: 0.92, 100: 1.0}
_NEGATIVE = 0.2
# Centromeres: mostly pale, but 9, 19, 20 and the acrocentric ones stain.
_CENTROMERE = {
    "1": 0.05, "16": 0.05, "9": 0.8, "19": 0.7, "20": 1.05, "22": 1.15, "13": 0.65, "14": 0.65, "15": 0.65, "21": 0.65,
}
_CENTROMERE_ELSEWHERE = 0.12
# Variable heterochromatin: dark on 1, 16, 19 and Y, pale on 9.
_VARIABLE = {"1": 0.75, "3": 0.8, "9": 0.05, "16": 1.2, "19": 1.15, "Y": 0.9}
_SATELLITE = 0.1
# T-bands, the gene-rich light bands that stain palest of all (Dutrillaux 1973; Holmquist 1992).
_PALEST = {
    "1": ("p36.1", "p36.3"), "2": ("q37",), "3": ("p21",), "4": ("p16",), "5": ("q31.3", "q35.3"), "6": ("p21",),
    "7": ("p22", "q11.2", "q22"), "8": ("q24.3",), "9": ("q34",), "10": ("q26.3",), "11": ("p15.5", "q13"), "12": ("q24.3",),
    "14": ("q32",), "16": ("p13.3", "q24"), "17": ("p13", "q25"), "19": ("p13", "q13"), "20": ("q13.3",), "21": ("q22.3",),
    "22": ("q13",), "X": ("q28",),
}
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
    """Return how dark a normal chromosome stains along its length.

    Parameters
    ----------
    chromosome : str
        '1' to '22', 'X', 'Y'.
    level : {400, 550, 850}

    Returns
    -------
    edges : ndarray of float64, shape (n + 1,)
        ISCN units from pter.
    darkness : ndarray of float64, shape (n, 2)
        Constant between edges; by the level's own table, and by its neighbour's.
    """
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
