"""Cells of a simulated case, read with known errors."""

import numpy as np
import pandas as pd

from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.read.cell_evidence import CellErrors, CellEvidence, read_counts

P_ABNORMAL = 0.3


def formula_of(counts):
    return count_formula(dict(zip(CHROMOSOMES, counts, strict=True)))


def misread(counts, errors, rng):
    """Numbers that are read of a cell; None where the reading fails."""
    if rng.random() < errors.failed:
        return None
    counts = list(counts)
    if rng.random() < errors.exchanged:
        counts[rng.choice(np.flatnonzero(counts))] -= 1
        counts[rng.integers(24)] += 1
    while rng.random() < errors.lost:
        counts[rng.choice(np.repeat(np.arange(24), counts))] -= 1
    while rng.random() < errors.gained:
        counts[rng.integers(24)] += 1
    return tuple(counts)


def read_cell(name, formula, rng, errors=None, changes=None):
    """Evidence of a cell of this line; without errors it is read as it is."""
    counts = read_counts(formula)
    read = counts if errors is None else misread(counts, errors, rng)
    if read is None or not read[22]:  # junk: a cell with odd numbers, read with confidence
        read = list(counts)
        for index in rng.choice(22, 4, replace=False):
            read[index] += rng.choice([-1, 1])
        read[22] = max(1, read[22])
    best = 1 - 10 ** rng.uniform(-4, -1)
    formulae = [formula_of(read), *({"46,XX", "46,XY", formula} - {formula_of(read)})]
    probability = [best, *[(1 - best) / (len(formulae) - 1)] * (len(formulae) - 1)]
    candidates = pd.DataFrame({"formula": formulae, "probability": probability})
    return CellEvidence.from_candidates(name, candidates, P_ABNORMAL, changes, analysed=True)


def draw_cells(lines, rng, errors=None):
    """Cells of the lines, (formula, number of cells) each."""
    names = [formula for formula, cells in lines for _ in range(cells)]
    return [read_cell(f"cell {n}", formula, rng, errors) for n, formula in enumerate(names, 1)]


ERRORS = CellErrors(lost=0.03, gained=0.01, exchanged=0.01, failed=0.02, change_missed=0.15)
