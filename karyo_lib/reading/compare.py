"""Homologues against each other and against their class: where does a pair differ more than normal pairs do.

What remains of the band profiles after elastic alignment, the stretching that alignment needed, differences
of length and outline, and a learned distance are weighed by a logistic function that is fitted on normal
pairs and on the same pairs with one homologue cut and joined.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from karyo_lib.iscn.bands import load_bands
from karyo_lib.reading.distance import PairDistance, align_pairs
from karyo_lib.reading.name import Names
from karyo_lib.reading.page_reading import PairEvidence
from karyo_lib.reading.profiles import ClassReference, align, band_profiles
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
    "distance",
)
_WINDOW = 9.0


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
    strips: Strips,
    names: Names,
    pairs: np.ndarray,
    labels: np.ndarray,
    reference: ClassReference,
    distance: PairDistance,
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
    distance : PairDistance

    Returns
    -------
    PairMeasures
        ``odd`` holds the position (0 or 1) of the homologue farther from the reference.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    aligned = align_pairs(strips, pairs, labels, reference)
    pair_shift, pair_residual = aligned.pair
    windows = [_window(r) for r in aligned.scaled]
    energy = np.stack([np.sqrt((r**2).mean(1)) for r in aligned.scaled])
    size = [
        np.abs(strips.sizes[i, :2] - reference.sizes[labels]) / reference.size_spread[labels]
        for i in (first, second)
    ]
    peak = np.stack([w.max(1) for w in windows])
    odd = peak.argmax(0)
    difference = np.abs(strips.sizes[first] - strips.sizes[second])
    outline = np.stack([np.sqrt((width**2).mean(1)) for width in aligned.widths])
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
            np.maximum(*(_warp(shift) for shift, _ in aligned.own)),
            np.abs(energy[0] - energy[1]),
            outline.max(0),
            distance.predict(aligned.maps, labels),
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
    strips: Strips,
    names: Names,
    assigned: np.ndarray,
    reference: ClassReference,
    distance: PairDistance,
    scorer: PairScorer,
) -> Compared:
    """Compare the homologues of a cell, upside-down chromosomes turned.

    Parameters
    ----------
    strips : Strips
    names : Names
    assigned : ndarray of int, shape (n,)
        Class of each chromosome, a position in `CLASSES`; -1 for what is none.
    reference : ClassReference
    distance : PairDistance
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
    measures = measure_pairs(
        upright, names, pairs[["first", "second"]].to_numpy(), labels, reference, distance
    )
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
