"""Homologues against each other and against their class: where does a pair differ more than normal pairs do.

What remains of the band profiles after elastic alignment, the stretching that alignment needed, differences
of length and outline, and a learned distance are weighed by a logistic function that is fitted on normal
pairs and on the same pairs with one homologue cut and joined.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from karyo_lib.read.distance import PairDistance, align_pairs
from karyo_lib.read.name import Names
from karyo_lib.read.profiles import ClassReference
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, Strips

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
#: Standard deviations at which each measure stops counting more: without it, one that is far off because a
#: chromosome was found badly outweighs all others (chosen on pages of validation patients).
_LIMIT = 2.0


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
    """Measured pairs: ``features`` (p, len(FEATURES)), and which homologue (0 or 1) is ``odd``: farther from
    its class."""

    features: np.ndarray
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
    return PairMeasures(features.astype(np.float32), odd)


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
        expanded = cls._expand(features)
        mean, scale = expanded.mean(0), expanded.std(0) + 1e-6
        x = _standardise(expanded, mean, scale)
        model = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced").fit(x, altered)
        raw = x @ model.coef_[0]
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
        x = _standardise(self._expand(features), self.mean, self.scale)
        return x @ self.weights - self.offset[labels]


def _standardise(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((values - mean) / scale, -_LIMIT, _LIMIT)
