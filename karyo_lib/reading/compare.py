"""Homologues against each other and against their class: where does a pair differ more than normal pairs do.

Band profiles are aligned elastically (condensation differs along a chromosome); what remains after
alignment, the
stretching that alignment needed, and differences of length and outline are weighed by a logistic function
that is
fitted on normal pairs and on the same pairs with one homologue cut and joined.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from karyo_lib.iscn.bands import load_bands
from karyo_lib.reading.name import Names
from karyo_lib.reading.page_reading import PairEvidence
from karyo_lib.reading.straighten import STRIP_LENGTH
from karyo_lib.reading.strips import CLASSES, Strips

FEATURES = (
    "length_difference",
    "area_difference",
    "worst_length",
    "worst_area",
    "naming",
    "none",
    "pair_residual",
    "pair_window",
    "pair_warp",
    "worst_residual",
    "worst_window",
    "worst_warp",
    "residual_difference",
    "width_residual",
)
_REACH = 10  # rows that a position may be shifted by alignment
_WARP_COST = 0.12
_WINDOW = 9.0


def band_profiles(images: np.ndarray) -> np.ndarray:
    """Mean ink across each strip, standardised along it; shape (n, STRIP_LENGTH)."""
    images = np.asarray(images, np.float32)
    inked = images > 0.03
    profile = (images * inked).sum(2) / np.maximum(inked.sum(2), 1)
    profile = ndimage.gaussian_filter1d(profile, 1.2, axis=1)
    inner = profile[:, 4:-4]
    return (profile - inner.mean(1, keepdims=True)) / (inner.std(1, keepdims=True) + 0.02)


def width_profiles(images: np.ndarray) -> np.ndarray:
    """Inked columns in each row relative to the strip's mean; shape (n, STRIP_LENGTH)."""
    width = (np.asarray(images) > 0.08).sum(2).astype(np.float32)
    return ndimage.gaussian_filter1d(width, 1.5, axis=1) / np.maximum(width.mean(1, keepdims=True), 1)


def align(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elastic alignment of profiles.

    Parameters
    ----------
    first, second : ndarray, shape (n, L)

    Returns
    -------
    shift : ndarray of int, shape (n, L)
        Position i of the first corresponds to i + shift of the second.
    residual : ndarray, shape (n, L)
        First minus aligned second.
    """
    n, length = first.shape
    shifts = np.arange(-_REACH, _REACH + 1)
    index = np.clip(np.arange(length)[:, None] + shifts, 0, length - 1)
    difference = first[:, :, None] - second[:, index]
    cost = np.minimum(difference**2, 4.0)
    # positions beyond the end of the other profile cannot be matched
    cost = cost + 4.0 * (
        (np.arange(length)[:, None] + shifts < 0) | (np.arange(length)[:, None] + shifts >= length)
    )
    total = cost[:, 0] + _WARP_COST * np.abs(shifts)
    back = np.zeros((n, length, len(shifts)), np.int8)
    wall = np.full((n, 1), np.inf)
    for i in range(1, length):
        options = np.stack(
            [
                np.concatenate([wall, total[:, :-1]], 1) + _WARP_COST,
                total,
                np.concatenate([total[:, 1:], wall], 1) + _WARP_COST,
            ]
        )
        choice = options.argmin(0)
        back[:, i] = choice - 1
        total = np.take_along_axis(options, choice[None], 0)[0] + cost[:, i]
    state = np.empty((n, length), int)
    state[:, -1] = total.argmin(1)
    rows = np.arange(n)
    for i in range(length - 1, 0, -1):
        state[:, i - 1] = state[:, i] + back[rows, i, state[:, i]]
    residual = np.take_along_axis(difference, state[:, :, None], 2)[:, :, 0]
    return shifts[state], residual


@dataclass(frozen=True)
class ClassReference:
    """What the chromosomes of each class look like: medians over normal cells.

    Attributes
    ----------
    profiles, widths : ndarray of float32, shape (24, STRIP_LENGTH)
        Band and width profiles.
    spread : ndarray of float32, shape (24, STRIP_LENGTH)
        Root mean square of the band residual after alignment.
    sizes, size_spread : ndarray of float32, shape (24, 2)
        Mean and standard deviation of log length and log area relative to the cell.
    """

    profiles: np.ndarray
    widths: np.ndarray
    spread: np.ndarray
    sizes: np.ndarray
    size_spread: np.ndarray

    @classmethod
    def fit(cls, strips: Strips, labels: np.ndarray, rounds: int = 2) -> "ClassReference":
        """Medians of each class, aligned to themselves ``rounds`` times; labels are positions in
        `CLASSES`."""
        bands, widths = band_profiles(strips.images), width_profiles(strips.images)
        shape = (len(CLASSES), STRIP_LENGTH)
        out = [np.zeros(shape, np.float32), np.ones(shape, np.float32), np.ones(shape, np.float32)]
        sizes = np.zeros((2, len(CLASSES), 2), np.float32)
        for k in range(len(CLASSES)):
            own = np.flatnonzero(labels == k)
            if len(own) == 0:
                sizes[1, k] = 1
                continue
            reference = np.median(bands[own], 0)
            for _ in range(rounds):
                shift, _ = align(np.repeat(reference[None], len(own), 0), bands[own])
                index = np.clip(np.arange(STRIP_LENGTH) + shift, 0, STRIP_LENGTH - 1)
                reference = np.median(np.take_along_axis(bands[own], index, 1), 0)
            _, residual = align(bands[own], np.repeat(reference[None], len(own), 0))
            out[0][k], out[1][k] = reference, np.median(widths[own], 0)
            out[2][k] = np.sqrt((residual**2).mean(0)) + 0.15
            sizes[0, k], sizes[1, k] = strips.sizes[own, :2].mean(0), strips.sizes[own, :2].std(0) + 0.02
        return cls(out[0], out[1], out[2], sizes[0], sizes[1])


def _window(residual: np.ndarray) -> np.ndarray:
    """Residual energy of the neighbourhood of each position."""
    return np.sqrt(ndimage.gaussian_filter1d(residual**2, _WINDOW / 2, axis=1))


def _warp(shift: np.ndarray) -> np.ndarray:
    """Greatest local stretching: rows gained or lost within a tenth of the length, scaled."""
    step = STRIP_LENGTH // 10
    return np.abs(shift[:, step:] - shift[:, :-step]).max(1) / step


def measure_naming(names: Names, pairs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The features ``naming`` and ``none`` of pairs, shape (p, 2): how unlike their class they look."""
    log_p = np.minimum(*(names.log_proba[pairs[:, side], labels] for side in (0, 1)))
    log_none = np.maximum(*(names.log_none[pairs[:, side]] for side in (0, 1)))
    return np.column_stack([-np.maximum(log_p, -12.0), np.exp(log_none)])


@dataclass(frozen=True)
class PairMeasures:
    """Measured pairs: ``features`` (p, len(FEATURES)), and where each differs most, as a fraction of the
    length."""

    features: np.ndarray
    location: np.ndarray
    odd: np.ndarray


def measure_pairs(
    strips: Strips, names: Names, pairs: np.ndarray, labels: np.ndarray, reference: ClassReference
) -> PairMeasures:
    """Measure how homologues differ.

    Parameters
    ----------
    strips : Strips
    names : Names
    pairs : ndarray of int, shape (p, 2)
        Positions of two homologues; the same position twice for a chromosome without one.
    labels : ndarray of int, shape (p,)
        Class of each pair, a position in `CLASSES`.
    reference : ClassReference

    Returns
    -------
    PairMeasures
        ``odd`` holds the position (0 or 1) of the homologue farther from the reference.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    bands, widths = band_profiles(strips.images), width_profiles(strips.images)
    pair_shift, pair_residual = align(bands[first], bands[second])
    own = [align(bands[i], reference.profiles[labels]) for i in (first, second)]
    scaled = [residual / reference.spread[labels] for _, residual in own]
    windows = [_window(r) for r in scaled]
    energy = np.stack([np.sqrt((r**2).mean(1)) for r in scaled])
    size = [
        np.abs(strips.sizes[i, :2] - reference.sizes[labels]) / reference.size_spread[labels]
        for i in (first, second)
    ]
    peak = np.stack([w.max(1) for w in windows])
    odd = peak.argmax(0)
    difference = np.abs(strips.sizes[first] - strips.sizes[second])
    outline = np.stack(
        [np.sqrt(((widths[i] - reference.widths[labels]) ** 2).mean(1)) for i in (first, second)]
    )
    features = np.column_stack(
        [
            difference[:, 0],
            difference[:, 1],
            np.maximum(size[0][:, 0], size[1][:, 0]),
            np.maximum(size[0][:, 1], size[1][:, 1]),
            *measure_naming(names, pairs, labels).T,
            np.sqrt((pair_residual**2).mean(1)),
            _window(pair_residual).max(1),
            _warp(pair_shift),
            energy.max(0),
            peak.max(0),
            np.maximum(*(_warp(shift) for shift, _ in own)),
            np.abs(energy[0] - energy[1]),
            outline.max(0),
        ]
    )
    location = np.where(odd == 0, windows[0].argmax(1), windows[1].argmax(1)) / (STRIP_LENGTH - 1)
    return PairMeasures(features.astype(np.float32), location, odd)


@dataclass(frozen=True)
class PairScorer:
    """Logistic score of a pair's measures: above 0 more like cut and joined pairs than like normal ones.

    Attributes
    ----------
    mean, scale : ndarray, shape (2 * len(FEATURES),)
        Standardisation of the features and their squares.
    weights : ndarray, shape (2 * len(FEATURES),)
    offset : ndarray, shape (24,)
        Per class, so that each has the same share of normal pairs above 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offset: np.ndarray

    @staticmethod
    def _expand(features: np.ndarray) -> np.ndarray:
        return np.column_stack([features, np.minimum(features, 8.0) ** 2])

    @classmethod
    def fit(
        cls, features: np.ndarray, altered: np.ndarray, labels: np.ndarray, specificity: float = 0.995
    ) -> "PairScorer":
        """Fit on normal (``altered`` 0) and cut-and-joined (1) pairs.

        Parameters
        ----------
        features : ndarray, shape (p, len(FEATURES))
        altered : ndarray of int, shape (p,)
        labels : ndarray of int, shape (p,)
            Class of each pair.
        specificity : float
            Share of normal pairs of each class that is to score below 0.
        """
        x = cls._expand(features)
        mean, scale = x.mean(0), x.std(0) + 1e-6
        model = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced").fit(
            (x - mean) / scale, altered
        )
        raw = (x - mean) / scale @ model.coef_[0]
        normal = raw[altered == 0]
        overall = float(np.quantile(normal, specificity))
        offset = np.full(len(CLASSES), overall)
        for k in range(len(CLASSES)):
            own = raw[(altered == 0) & (labels == k)]
            if len(own) >= 50:
                offset[k] = 0.5 * overall + 0.5 * float(np.quantile(own, specificity))
        return cls(mean, scale, model.coef_[0], offset)

    def score(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Scores of pairs, shape (p,)."""
        return (self._expand(features) - self.mean) / self.scale @ self.weights - self.offset[labels]


def homologue_pairs(assigned: np.ndarray) -> pd.DataFrame:
    """Pairs to compare: ``label``, ``first``, ``second``; every further copy meets the first, a single one
    itself."""
    rows = []
    for label in range(len(CLASSES)):
        own = np.flatnonzero(assigned == label)
        if len(own) == 1:
            rows.append((label, own[0], own[0]))
        rows += [(label, own[0], other) for other in own[1:]]
    return pd.DataFrame(rows, columns=["label", "first", "second"])


def name_bands(labels: np.ndarray, location: np.ndarray, level: int = 550) -> list[str]:
    """Band at a place of each pair's chromosome, such as ``'9q34.1'``; places are shares of the length."""
    bands, out = load_bands(level), []
    for label, place in zip(labels, location, strict=True):
        name = CLASSES[label]
        band = bands.band_at(name, float(place) * bands.length(name) * 0.9999)
        out.append(f"{name}{band.arm}{band.name.lstrip('pq')}")
    return out


@dataclass(frozen=True)
class Compared:
    """The homologues of a cell, compared.

    Attributes
    ----------
    pairs : pandas.DataFrame
        ``first, second, chromosome, score, location, band``, one row a pair.
    evidence : PairEvidence or None
        The pair with the highest score, profiles aligned to the reference.
    features : ndarray, shape (p, len(FEATURES))
    labels : ndarray of int, shape (p,)
        Class of each pair.
    """

    pairs: pd.DataFrame
    evidence: PairEvidence | None
    features: np.ndarray
    labels: np.ndarray

    def score_with(self, names: Names, scorer: PairScorer) -> np.ndarray:
        """Scores of the pairs, shape (p,), had the chromosomes been named otherwise."""
        features = self.features.copy()
        columns = [FEATURES.index("naming"), FEATURES.index("none")]
        features[:, columns] = measure_naming(
            names, self.pairs[["first", "second"]].to_numpy(int), self.labels
        )
        return scorer.score(features, self.labels)


def compare_homologues(
    strips: Strips, names: Names, assigned: np.ndarray, reference: ClassReference, scorer: PairScorer
) -> Compared:
    """Compare the homologues of a cell, upside-down chromosomes turned.

    Parameters
    ----------
    strips : Strips
    names : Names
    assigned : ndarray of int, shape (n,)
        Class of each chromosome, a position in `CLASSES`; -1 for what is none.
    reference : ClassReference
    scorer : PairScorer
    """
    pairs = homologue_pairs(assigned)
    if pairs.empty:
        pairs = pairs.drop(columns="label").assign(chromosome=[], score=[], location=[], band=[])
        return Compared(pairs, None, np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, int))
    turned = names.p_upside_down > 0.5
    images = np.where(turned[:, None, None], strips.images[:, ::-1], strips.images)
    upright = Strips(images, strips.sizes, strips.lengths, strips.centrelines)
    labels = pairs["label"].to_numpy()
    measures = measure_pairs(upright, names, pairs[["first", "second"]].to_numpy(), labels, reference)
    pairs = pairs.assign(
        chromosome=[CLASSES[k] for k in labels],
        score=scorer.score(measures.features, labels),
        location=measures.location,
        band=name_bands(labels, measures.location),
    )
    worst = pairs.loc[pairs["score"].idxmax()]
    own = list(dict.fromkeys([int(worst["first"]), int(worst["second"])]))
    label = int(worst["label"])
    usual, profiles = reference.profiles[label], band_profiles(images[own])
    shift, _ = align(np.repeat(usual[None], len(own), 0), profiles)
    places = np.clip(np.arange(STRIP_LENGTH) + shift, 0, STRIP_LENGTH - 1)
    evidence = PairEvidence(
        chromosome=worst["chromosome"],
        images=tuple(image[at] for image, at in zip(images[own], places, strict=True)),
        lengths=tuple(np.exp(strips.sizes[own, 0] - reference.sizes[label, 0]).tolist()),
        profiles=np.take_along_axis(profiles, places, 1),
        reference=usual,
        location=float(worst["location"]),
        band=worst["band"],
    )
    return Compared(pairs.drop(columns="label"), evidence, measures.features, labels)
