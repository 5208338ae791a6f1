"""Evidence of cells -> the cell lines of a case: one posterior over all cells, shares integrated out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from karyo_lib.iscn import CHROMOSOMES
from karyo_lib.read.cell_evidence import (
    CellErrors,
    CellEvidence,
    Counts,
    Line,
    change_log_ratio,
    complement_log_prior,
    weigh_cells,
)
from karyo_lib.read.clone_rules import NORMAL
from karyo_lib.read.recurrent import read_text

_Y = CHROMOSOMES.index("Y")
_MOST_CANDIDATES, _MOST_HINTED = 12, 3
_AT_ONCE = 100  # sets of lines
#: Probability that a line has one given gain or loss more than the line that it came from.
_NEW_CHANGE = 1 / 500
#: Log-probability that a second line did not come from the first: a chimera, or two independent clones.
_UNRELATED = float(np.log(1e-2))


@dataclass(frozen=True, eq=False)
class LineSets:
    lines: tuple[Line, ...]  # the candidates
    sets: tuple[tuple[int, ...], ...]  # positions in `lines`; the most probable first
    probability: np.ndarray  # shape (s,); of each set
    shares: tuple[np.ndarray, ...]  # (g, k): grid of shares of each number of lines, ``shares[k - 1]``
    log_cells: np.ndarray  # shape (n, c); log-likelihood of each cell that takes part, given each candidate

    def share_posterior(self, chosen: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Shares on the grid, shape (g, k), and the probability of each, given that these are the lines."""
        grid = self.shares[len(chosen) - 1]
        fit = _fit_shares(self.log_cells[:, list(chosen)], grid)
        return grid, np.exp(fit - np.logaddexp.reduce(fit))

    def assign(self, chosen: tuple[int, ...]) -> np.ndarray:
        """Position in `chosen` of the line that each cell belongs to, shape (n,)."""
        grid, weights = self.share_posterior(chosen)
        return (self.log_cells[:, list(chosen)] + np.log(weights @ grid)).argmax(1)


def weigh_lines(
    cells: Iterable[CellEvidence],
    errors: CellErrors,
    p_abnormal: float,
    p_lines: tuple[float, ...],
    change_log_prior: Mapping[str, float],
) -> LineSets:
    """Posterior over the sets of cell lines that a case may have, from CellEvidence of at least one cell.
    ``p_abnormal``, ``change_log_prior``: of an abnormal number and of each structural change before any cell
    is seen; ``p_lines``: of one line, two, ..., to the longest set that is weighed."""
    cells = list(cells)
    lines = _candidates(cells, errors, p_abnormal, change_log_prior)
    log_cells, _ = weigh_cells(cells, lines, errors)
    prior = np.array([_line_log_prior(line, p_abnormal, change_log_prior) for line in lines])
    keep = _most_useful(log_cells, prior)
    lines, log_cells, prior = [lines[i] for i in keep], log_cells[:, keep], prior[keep]
    step = np.array([[_log_step(a, b, change_log_prior) for b in lines] for a in lines])
    shares = tuple(_simplex(k) for k in range(1, len(p_lines) + 1))
    sets, scores = [], []
    for k, p in enumerate(p_lines, 1):
        chosen = list(combinations(range(len(lines)), k))
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            fit = _fit_shares(log_cells[:, np.array(part)].swapaxes(0, 1), shares[k - 1])
            scores += (np.log(p) + np.logaddexp.reduce(fit, axis=1) - np.log(len(shares[k - 1]))).tolist()
        sets += chosen
    scores = np.array(scores) + [_log_prior_of_set(chosen, prior, step) for chosen in sets]
    probability = np.exp(scores - np.logaddexp.reduce(scores))
    order = np.argsort(-probability, kind="stable")
    return LineSets(tuple(lines), tuple(sets[i] for i in order), probability[order], shares, log_cells)


def excluded_shares(
    cells: list[CellEvidence], lines: list[Line], errors: CellErrors, confidence: float
) -> dict[str, float]:
    """From which share on each gain or loss ('+8', '-X') that some cell may have beside its line, one of
    ``lines`` a cell, is excluded: where the likelihood of the share is less than ``1 - confidence`` of the
    greatest (of what no cell shows, to a reader without errors, Hook's)."""
    steps: set[tuple[int, int]] = set()
    for cell, line in zip(cells, lines, strict=True):
        off = cell.complements - np.array(line.counts)
        single = off[np.abs(off).sum(1) == 1]
        steps |= set(zip(np.abs(single).argmax(1).tolist(), single.sum(1).tolist(), strict=True))
    own = list(dict.fromkeys(lines))
    row, column = np.arange(len(lines)), np.array([own.index(line) for line in lines], int)
    shares, found = np.linspace(0.0, 1.0, 401), {}
    plain = weigh_cells(cells, own, errors)[0][row, column] if cells else None
    for at, sign in sorted(steps):
        counts = (sign * np.eye(len(CHROMOSOMES), dtype=int)[at] + line.counts for line in own)
        other = [
            Line(tuple(np.maximum(c, 0).tolist()), line.changes) for c, line in zip(counts, own, strict=True)
        ]
        ratio = np.exp(np.clip(weigh_cells(cells, other, errors)[0][row, column] - plain, -50, 50))
        fit = np.log1p(shares[:-1, None] * (ratio - 1)).sum(1)
        last = int(np.flatnonzero(fit > fit.max() + np.log1p(-confidence))[-1])
        found[f"{'+' if sign > 0 else '-'}{CHROMOSOMES[at]}"] = float(shares[last + 1])
    return found


def _candidates(
    cells: list[CellEvidence], errors: CellErrors, p_abnormal: float, change_log_prior: Mapping[str, float]
) -> list[Line]:
    """Lines that some cell shows or all hint at, what two of them have in common, and the normal ones."""
    seen = {
        change: sum(max(0.0, change_log_ratio(c.changes.get(change, 0.0), errors)) for c in cells)
        for change in change_log_prior
    }
    # numbers may speak for a change as well
    credible = [
        change for change, prior in change_log_prior.items()
        if prior + seen[change] > -3 or (seen[change] > 0 and any(_numbers_made(frozenset({change}))))
    ]  # fmt: skip
    shown = [
        Line(
            cell.best,
            frozenset(c for c in credible if change_log_ratio(cell.changes.get(c, 0.0), errors) > 0),
        )
        for cell in cells
    ]
    # what every cell hints at may be none's best
    hints: Counter[Counts] = Counter()
    for cell in cells:
        for numbers, value in zip(cell.complements.tolist(), cell.log_likelihood.tolist(), strict=True):
            hints[tuple(numbers)] += max(0.0, value)
    hinted = sorted(hints, key=lambda own: -hints[own] - complement_log_prior(own, p_abnormal))
    counts = {line.counts for line in shown} | set(hinted[:_MOST_HINTED])
    cores = {_common(a, b) for a, b in combinations(sorted(counts), 2)}
    changes = {line.changes for line in shown} | {frozenset()}
    if credible:
        changes |= {a & b for a in changes for b in changes} | {frozenset(credible)}
    found = dict.fromkeys(shown)
    found |= dict.fromkeys(Line(c, change) for c in (*NORMAL.values(), *sorted(counts)) for change in changes)
    found |= dict.fromkeys(Line(core) for core in sorted(cores))
    found |= dict.fromkeys(
        Line(_add(c, _numbers_made(change), 1), change) for c in NORMAL.values() for change in changes
    )
    return list(found)


@cache
def _numbers_made(changes: frozenset[str]) -> Counts:
    """What changes do to the numbers: a Robertsonian translocation leaves one chromosome less."""
    made: Counter[str] = Counter()
    for change in filter(None, map(read_text, changes)):
        made.update(chromosome.slot for chromosome in change.produced)
        made.subtract(change.consumed)
    return tuple(made[name] for name in CHROMOSOMES)


def _add(counts: Counts, more: Counts, sign: int) -> Counts:
    return tuple(max(0, n + sign * m) for n, m in zip(counts, more, strict=True))


def _common(first: Counts, second: Counts) -> Counts:
    """The gains and losses that two complements share."""
    base = NORMAL["XY" if first[_Y] and second[_Y] else "XX"]
    off = [(a - n, b - n, n) for a, b, n in zip(first, second, base, strict=True)]
    return tuple(n + (0 if a * b <= 0 else min(a, b, key=abs)) for a, b, n in off)


def _most_useful(log_cells: np.ndarray, prior: np.ndarray) -> list[int]:
    """The candidates that matter, by how much of the cells each explains better than the others."""
    chosen: list[int] = []
    fit = np.full(len(log_cells), -np.inf)
    while len(chosen) < min(_MOST_CANDIDATES, log_cells.shape[1]):
        gain = np.maximum(log_cells, fit[:, None]).sum(0) + np.maximum(prior, -60)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        fit = np.maximum(fit, log_cells[:, chosen[-1]])
    return sorted(chosen)


def _line_log_prior(line: Line, p_abnormal: float, change_log_prior: Mapping[str, float]) -> float:
    prior = complement_log_prior(_add(line.counts, _numbers_made(line.changes), -1), p_abnormal)
    return prior + sum(change_log_prior[change] for change in line.changes)


def _log_step(first: Line, second: Line, change_log_prior: Mapping[str, float]) -> float:
    """Log-probability that a line arises from another one of the same person."""
    numbers = [_add(line.counts, _numbers_made(line.changes), -1) for line in (first, second)]
    off = sum(abs(a - b) for a, b in zip(*numbers, strict=True))
    sexes = [NORMAL["XX"][22:] == line.counts[22:] for line in (first, second)]
    male = [line.counts[_Y] > 0 for line in (first, second)]
    if (sexes[0] and male[1]) or (sexes[1] and male[0]):
        return -np.inf  # not one person's: a chimera, or foreign cells
    arises = off * np.log(_NEW_CHANGE)
    for one, other in (numbers, numbers[::-1]):
        if one in NORMAL.values() and off:  # beside a normal line: as frequent as among abnormal cells
            arises = max(arises, complement_log_prior(other, 0.5) - np.log(0.5))
    return arises + sum(change_log_prior[change] for change in first.changes ^ second.changes)


def _log_prior_of_set(chosen: tuple[int, ...], prior: np.ndarray, step: np.ndarray) -> float:
    """Each line arises on its own, or from another one of the set, whichever is more probable."""
    left = list(chosen)
    known = [max(left, key=lambda i: prior[i])]
    left.remove(known[0])
    total = float(prior[known[0]])
    while left:
        reached = [max(float(prior[j]) + _UNRELATED, *(float(step[i, j]) for i in known)) for j in left]
        best = int(np.argmax(reached))
        total += reached[best]
        known.append(left.pop(best))
    return total


@cache
def _simplex(k: int) -> np.ndarray:
    """An even grid over the shares of k lines, none of them 0; shape (g, k)."""
    if k == 1:
        return np.ones((1, 1))
    steps = {2: 100, 3: 24, 4: 14}[k]
    bars = np.array(list(combinations(range(steps + k - 1), k - 1)), int).reshape(-1, k - 1)
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + k - 1)])
    return (np.diff(edges, axis=1) - 1 + 1 / k) / (steps + 1)


def _fit_shares(log_cells: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Log-likelihood of all cells, shape (..., n, k), at each point of a grid of shares; shape (..., g)."""
    top = log_cells.max(-1, keepdims=True)
    mixed = np.einsum("...nk,gk->...ng", np.exp(log_cells - top), shares)  # too small for BLAS's threads
    return np.log(mixed).sum(-2) + top.sum((-2, -1))[..., None]
