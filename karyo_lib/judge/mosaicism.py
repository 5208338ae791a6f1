"""What share of other cells a number of counted cells excludes; without errors, Hook's table (Hook 1977, Am.
J. Hum. Genet. 29:94-97)."""

from scipy.special import betaincinv

MOST_CELLS = 1000


def excluded_share(cells: int, seen: int = 0, sensitivity: float = 1.0, confidence: float = 0.95) -> float:
    """Smallest share of cells with a change that is excluded: the exact one-sided upper limit
    (Clopper-Pearson) of the share in which it would be seen, divided by the ``sensitivity`` for it in a cell
    that has it; 1 where nothing is excluded. Hook: 14 % by 20 cells."""
    _check(sensitivity, confidence)
    if not 0 <= seen <= cells:
        raise ValueError(f"Expected 0 to {cells} cells in which it was seen. Received {seen}.")
    if seen == cells:
        return 1.0
    return min(1.0, float(betaincinv(seen + 1, cells - seen, confidence)) / sensitivity)


def cells_needed(
    share: float, seen: int = 0, sensitivity: float = 1.0, confidence: float = 0.95
) -> int | None:
    """Fewest cells that exclude a share, no further one showing it (Hook: 29 for 10 %); or None."""
    _check(sensitivity, confidence)
    if not 0 < share < 1:
        raise ValueError(f"Expected a share between 0 and 1. Received {share}.")
    for cells in range(max(1, seen), MOST_CELLS + 1):
        if excluded_share(cells, seen, sensitivity, confidence) <= share:
            return cells
    return None


def share_found(cells: int, needed: int, sensitivity: float = 1.0, confidence: float = 0.95) -> float:
    """Smallest share of cells with a change of which ``needed`` (2 for a gain or a structural change, 3 for a
    loss) are seen: what ISCN's rule finds; 1 where the cells are too few."""
    _check(sensitivity, confidence)
    if cells < needed:
        return 1.0
    # the probability of `needed` or more is the incomplete beta function of the share
    return min(1.0, float(betaincinv(needed, cells - needed + 1, confidence)) / sensitivity)


def _check(sensitivity: float, confidence: float) -> None:
    for name, value in (("sensitivity", sensitivity), ("confidence", confidence)):
        if not 0 < value <= 1 or (name == "confidence" and value == 1):
            raise ValueError(f"Expected a {name} above 0 and up to 1. Received {value}.")
