"""Strips cut and joined: deletions, duplications, inversions and exchanges of a chosen size in megabases.

Real chromosomes with known changes, to fit and to measure the comparison of homologues.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karyo_lib.iscn.bands import load_bands
from karyo_lib.read.change import rearranged_rows, resample
from karyo_lib.read.name import class_indices
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, LabelledStrips, Strips

KINDS = ("deletion", "duplication", "inversion", "exchange")


def megabases() -> np.ndarray:
    """Length of each class in megabases, shape (24,)."""
    table = load_bands(550)
    return np.array([max(b.bp_stop for b in table.bands(name)) / 1e6 for name in CLASSES])


def alter_chromosome(
    image: np.ndarray,
    sizes: np.ndarray,
    share: float,
    kind: str,
    rng: np.random.Generator,
    donor: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cut and join one strip.

    Parameters
    ----------
    image : ndarray of float32, shape (STRIP_LENGTH, STRIP_WIDTH)
    sizes : ndarray, shape (4,)
        Logarithms of relative length, area, width, ink.
    share : float
        Size of the change as a share of the chromosome, above 0 and below 0.8.
    kind : {'deletion', 'duplication', 'inversion', 'exchange'}
        An exchange replaces the end of the q arm by an equally long end of ``donor``.
    rng : numpy.random.Generator
    donor : ndarray of float32, shape (STRIP_LENGTH, STRIP_WIDTH), optional
        Strip of another chromosome, scaled to the same rows per megabase.

    Returns
    -------
    image, sizes : ndarray
    start : float
        Where the changed part begins, as a share of the unchanged length; it is ``share`` long.
    """
    if not 0 < share < 0.8:
        raise ValueError(f"Expected a change of 0 to 0.8 of the chromosome. Received {share:.3f}.")
    if kind == "exchange":
        if donor is None:
            raise ValueError("Expected a donor strip for an exchange. Received none.")
        image = image.copy()
        n = max(2, round(share * STRIP_LENGTH))
        image[-n:] = donor[-n:]
        return image, sizes, 1 - share
    start = float(rng.uniform(0, 1 - share))
    length = np.log({"deletion": 1 - share, "duplication": 1 + share, "inversion": 1.0}[kind])
    sizes = sizes + np.array([length, length, 0, 0], sizes.dtype)
    return resample(image, rearranged_rows(kind, start, start + share)).astype(np.float32), sizes, start


@dataclass(frozen=True)
class AlteredCells:
    """Normal pairs of cells, and the same pairs with one homologue cut and joined.

    Attributes
    ----------
    strips : Strips
        All chromosomes, altered ones last.
    pairs : ndarray of int, shape (p, 2)
    labels : ndarray of int, shape (p,)
        Class of each pair.
    altered : ndarray of int, shape (p,)
    megabases, start, stop : ndarray, shape (p,)
        Size of the change (0 where there is none); the changed part, as shares of the unchanged length (NaN).
    kind : ndarray of str, shape (p,)
        One of `KINDS`, or 'normal'.
    cells : ndarray, shape (p,)
    """

    strips: Strips
    pairs: np.ndarray
    labels: np.ndarray
    altered: np.ndarray
    megabases: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    kind: np.ndarray
    cells: np.ndarray


def _end_of(donor: np.ndarray, ratio: float) -> np.ndarray:
    """Strip of the donor's q arm end at the receiver's rows a megabase; ``ratio`` is donor over receiver
    length."""
    last = STRIP_LENGTH - 1
    return resample(donor, np.clip(last - np.arange(STRIP_LENGTH)[::-1] / ratio, 0, last))


def alter_cells(
    data: LabelledStrips,
    seed: int = 0,
    sizes: Sequence[float] = (5, 10, 20, 40),
    kinds: Sequence[str] = KINDS,
) -> AlteredCells:
    """Every normal pair of every cell, and for each size one changed version of it.

    Changes of half a chromosome or more are left out.
    """
    rng = np.random.default_rng(seed)
    labels, length = class_indices(data.names), megabases()
    images, relative = [], []
    rows: list[tuple] = []
    for cell in dict.fromkeys(data.cells.tolist()):
        own = np.flatnonzero(data.cells == cell)
        for k in range(len(CLASSES)):
            members = own[labels[own] == k]
            if len(members) == 0:
                continue
            pair = (members[0], members[-1])
            rows.append((*pair, k, 0, 0.0, np.nan, np.nan, "normal", cell))
            others = own[labels[own] != k]
            for size in sizes:
                if size >= length[k] / 2 or len(others) == 0:
                    continue
                kind, turned = str(rng.choice(kinds)), int(rng.integers(2))
                giver = rng.choice(others)
                donor = _end_of(data.strips.images[giver], length[labels[giver]] / length[k])
                share = size / length[k]
                image, change, start = alter_chromosome(
                    data.strips.images[pair[turned]],
                    data.strips.sizes[pair[turned]],
                    share,
                    kind,
                    rng,
                    donor,
                )
                new = len(data) + len(images)
                images.append(image)
                relative.append(change)
                changed = (
                    (new, new) if pair[0] == pair[1] else (new, pair[1]) if turned == 0 else (pair[0], new)
                )
                rows.append((*changed, k, 1, size, start, start + share, kind, cell))
    first, second, k, altered, size, start, stop, kind, cell = (np.array(c) for c in zip(*rows, strict=True))
    strips = Strips(
        np.concatenate(
            [data.strips.images, np.array(images, np.float32).reshape(-1, *data.strips.images.shape[1:])]
        ),
        np.concatenate(
            [data.strips.sizes, np.array(relative, np.float32).reshape(-1, data.strips.sizes.shape[1])]
        ),
        np.concatenate([data.strips.lengths, np.zeros(len(images), np.float32)]),
        (*data.strips.centrelines, *[np.zeros((0, 2), np.float32)] * len(images)),
    )
    return AlteredCells(strips, np.stack([first, second], 1), k, altered, size, start, stop, kind, cell)
