"""How wide a number is: Wilson intervals for proportions, bootstrap by patient, and what cells exclude."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from scipy.special import betaincinv

NO_INTERVAL = "cannot be told from so few"
MOST_CELLS = 1000


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson (1927) score interval of a proportion, (nan, nan) where ``n`` is 0. The limits of
    ``scipy.stats.binomtest(k, n).proportion_ci(method="wilson")``, which takes whole counts only: these may
    be fractional, the effective ones of correlated trials."""
    if n < 0 or not 0 <= successes <= max(n, 0):
        raise ValueError(f"Expected 0 <= successes <= n. Received successes={successes}, n={n}.")
    if n == 0:
        return float("nan"), float("nan")
    z = stats.norm.ppf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def share_row(name: str, flags: Sequence[bool]) -> dict[str, float]:
    """A share of flags and its 95 % limits as columns of a table; NaN where there is nothing to count."""
    share = np.mean(flags) if len(flags) else np.nan
    low, high = (round(limit, 12) for limit in wilson(int(np.sum(flags)), len(flags)))  # no 3e-17
    return {name: share, f"{name}_low": low, f"{name}_high": high}


def compute_effective_n(success: np.ndarray, groups: np.ndarray | None) -> float:
    """Number of independent trials, at most N, that a sample of several images a patient is worth: its size
    divided by the design effect, the ratio of the between-patient variance of the proportion to the binomial
    one (Rao and Scott 1992, Biometrics 48:577; Korn and Graubard 1998, Survey Methodology 24:193). Where all
    trials agree the variance says nothing, so the number of patients is returned, the cautious end."""
    success = np.asarray(success, dtype=float)
    n = success.size
    if groups is None or n == 0:
        return float(n)
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(member)
    patients = sizes.size
    if patients == n:
        return float(n)
    share = success.mean()
    if share in (0.0, 1.0) or patients == 1:
        return float(patients)
    residual = np.bincount(member, weights=success) - share * sizes
    variance = patients / (patients - 1) * np.sum(residual**2) / n**2
    design_effect = variance / (share * (1 - share) / n)
    return float(np.clip(n / design_effect, 1, n)) if design_effect > 0 else float(n)


def draw_bootstrap_weights(
    n: int, n_resamples: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """How often each image occurs in each bootstrap sample of patients, (n_resamples, n); all images of a
    drawn patient come along; without groups every image is its own patient."""
    member = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if member.shape != (n,):
        raise ValueError(f"Expected groups of shape ({n},), one patient an image. Received {member.shape}.")
    patients = int(member.max()) + 1 if n else 0
    if patients == 0:
        return np.zeros((n_resamples, 0))
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(patients, np.full(patients, 1 / patients), size=n_resamples)
    return counts[:, member].astype(float)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], weights: np.ndarray
) -> tuple[float, float]:
    """95 % percentile interval of a statistic that maps weights (B, N) to values (B,), NaN where a sample
    does not define it. NaN where fewer than half of the samples define the statistic, or all of them give one
    value: samples of a perfect order are perfect, however few the images, and say nothing of its uncertainty.
    """
    values = np.asarray(statistic(weights), dtype=float)
    defined = values[np.isfinite(values)]
    if defined.size < max(2, values.size / 2):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    if np.isclose(low, high, rtol=0, atol=1e-12):
        low = high = np.nan
    return float(low), float(high)


def excluded_share(cells: int, seen: int = 0, sensitivity: float = 1.0, confidence: float = 0.95) -> float:
    """Smallest share of cells with a change that is excluded: the exact one-sided upper limit
    (Clopper-Pearson) of the share in which it would be seen, divided by the ``sensitivity`` for it in a cell
    that has it; 1 where nothing is excluded. 14 % by 20 cells, as in Hook (1977), Am. J. Hum. Genet.
    29:94."""
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
