"""How unlike the training images an image is: what no probability of a classifier can tell."""

import numpy as np
from sklearn.neighbors import NearestNeighbors


class Novelty:
    """Distance to the nearest training images in the space of a base network's features; above ``threshold_``
    they are novel. A classifier is forced to answer, and may be sure of its answer to a page that is no
    karyogram at all; the distance knows nothing of classes (Sun, Ming, Zhu and Li 2022, ICML)."""

    NEIGHBOURS = 5  # the distance to so many nearest training images is averaged
    FALSE_ALARMS = 0.05  # share of known images that may be called novel

    @staticmethod
    def _directions(features: np.ndarray) -> np.ndarray:
        """Average over the picture, and keep the direction: its length grows with contrast."""
        features = np.asarray(features, dtype=float)
        pooled = features.mean(axis=tuple(range(1, features.ndim - 1))) if features.ndim > 2 else features
        return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)

    def fit(self, train: np.ndarray, validation: np.ndarray) -> "Novelty":
        """Remember the features (N, ..., C) of the training images and set the threshold on others: their
        conformal quantile, so that of new images of the same kind at most 5 % exceed it on average (Vovk et
        al. 2005); the largest distance where they are too few for that."""
        directions = self._directions(train)
        self.index_ = NearestNeighbors(n_neighbors=min(self.NEIGHBOURS, len(directions))).fit(directions)
        known = np.sort(self.transform(validation))
        rank = int(np.ceil((known.size + 1) * (1 - self.FALSE_ALARMS)))
        self.threshold_ = float(known[min(rank, known.size) - 1])
        return self

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return the mean distance of each image to its nearest training images, shape (N,)."""
        distances, _ = self.index_.kneighbors(self._directions(features))
        return distances.mean(axis=1)

    def is_novel(self, features: np.ndarray) -> np.ndarray:
        """Return which images are unlike the training images, bool, shape (N,)."""
        return self.transform(features) > self.threshold_
