"""Places in the genome: 2-Mb bins of the 24 chromosomes in two directions, and their ISCN units."""

import numpy as np

from karyo_lib.iscn.bands import CHROMOSOMES, load_bands

#: Base pairs of one bin.
BIN = 2_000_000
_BANDS = {c: load_bands(850).bands(c) for c in CHROMOSOMES}
_EDGES = [load_bands(850).edges[c] for c in CHROMOSOMES]
_COUNTS = np.array([-(-bands[-1].bp_stop // BIN) for bands in _BANDS.values()])
#: First bin of each class, and one beyond its last.
FIRST = np.concatenate([[0], np.cumsum(_COUNTS)[:-1]])
STOP = np.cumsum(_COUNTS)
#: Bins of the genome. Place k < BINS is bin k read from pter to qter, BINS + k the same read backwards.
BINS = int(STOP[-1])
#: The place of what is no chromosome or cannot be read.
NONE = 2 * BINS
#: Class of every bin.
CLASS_OF_BIN = np.repeat(np.arange(len(CHROMOSOMES)), _COUNTS)
#: Last position, in bins from a class's first, that lies on the chromosome.
LENGTHS = np.array([bands[-1].bp_stop / BIN for bands in _BANDS.values()])


def place_of(chromosome: int | np.ndarray, units: float | np.ndarray) -> np.ndarray:
    """Position in the genome, in bins (float), of positions in ISCN units of a class, by its index."""
    edges, bp = _EDGES[int(chromosome)]
    return FIRST[chromosome] + np.interp(units, edges, bp) / BIN


def units_of(chromosome: int, place: float | np.ndarray) -> np.ndarray:
    """ISCN units from pter of positions in the genome, in bins, on one class."""
    edges, bp = _EDGES[chromosome]
    return np.interp((np.asarray(place) - FIRST[chromosome]) * BIN, bp, edges)


def centromere_place(chromosome: int) -> float:
    """Position of a class's centromere in the genome, in bins."""
    return float(place_of(chromosome, load_bands(850).centromere(CHROMOSOMES[chromosome])))
