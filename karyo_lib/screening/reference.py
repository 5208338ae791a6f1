"""What the training karyograms look like, to tell when a page is unlike all of them.

By plain measures of the page, whose limits a user can read, and by the distance to the nearest among the
network's features (Sun et al. 2022, ICML, "Out-of-distribution detection with deep nearest neighbors").
"""

from dataclasses import dataclass

import cv2
import numpy as np

PAGE_MEASURES = {
    "background": "background grey",
    "contrast": "contrast of ink and background",
    "ink": "share of the page that is ink",
    "objects": "dark objects of a chromosome's size",
    "object_ink": "share of the ink in objects of a chromosome's size",
    "texture": "roughness of the background",
}
_MOST = (255, 255, 1, np.inf, 1, np.inf)  # that a measure can be
# No measure is so constant that a smaller difference would mean anything.
_LEAST_SPREAD = np.array([8.0, 10.0, 0.01, 5.0, 0.05, 0.5])
_MARGIN = 0.5  # of the range seen in training, on either side
_DISTANCE_MARGIN = 1.15
_OBJECT_AREA = (1e-4, 0.03)  # of the page


def measure_page(page: np.ndarray) -> np.ndarray:
    """`PAGE_MEASURES`, float64 (6,), of a page, uint8 (H, W): grey levels 0..255, shares 0..1, a count."""
    background = float(np.median(np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])))
    cut, mask = cv2.threshold(page, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = mask if background <= cut else cv2.bitwise_not(mask)
    few = page.size < 4 * 65_000  # no more objects than 16 bits can number, which takes half the time
    labels = cv2.CV_16U if few else cv2.CV_32S
    n, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=labels)
    areas = stats[1:n, cv2.CC_STAT_AREA] / page.size
    fits = (areas >= _OBJECT_AREA[0]) & (areas <= _OBJECT_AREA[1])
    inked = cv2.countNonZero(ink)
    contrast = background - _median(page, ink) if inked else 0.0
    paper = cv2.bitwise_not(ink)
    rough = cv2.norm(cv2.Laplacian(page, cv2.CV_16S), cv2.NORM_L1, paper) / max(page.size - inked, 1)
    return np.array([
        background,
        contrast,
        inked / page.size,
        float(fits.sum()),
        float(areas[fits].sum() / max(areas.sum(), 1e-9)),
        float(np.log1p(rough)),
    ])  # fmt: skip


def _median(page: np.ndarray, mask: np.ndarray) -> float:
    """Lower median of the grey levels under a mask, from their histogram."""
    seen = np.cumsum(cv2.calcHist([page], [0], mask, [256], [0, 256]).ravel())
    return float(np.searchsorted(seen, seen[-1] / 2))


@dataclass(frozen=True, eq=False)
class Reference:
    """Limits of what the training karyograms are like."""

    # Limits of each measure of ``PAGE_MEASURES``: the range seen, half as wide again on either side.
    low: tuple[float, ...]
    high: tuple[float, ...]
    embeddings: np.ndarray  # float32 (n, d): pooled features of training, of length 1; (0, 0) without network
    neighbours: int  # neighbours whose mean distance counts
    limit: float  # largest distance of a karyogram that is like the training ones
    n: int  # karyograms it rests on

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", tuple(map(float, self.low)))
        object.__setattr__(self, "high", tuple(map(float, self.high)))
        if not len(self.low) == len(self.high) == len(PAGE_MEASURES) or self.neighbours < 1:
            raise ValueError("Expected limits for each measure of a page. Received others.")
        if not np.isfinite([*self.low, *self.high, self.limit]).all():
            raise ValueError("Expected finite limits. Received others.")

    @classmethod
    def fit(
        cls, measures: np.ndarray, embeddings: np.ndarray | None, held_out: np.ndarray | None, *, neighbours=3
    ) -> "Reference":
        """Take the limits: the range of `measures` (N, 6); the largest distance of `held_out` (m, d) to
        `embeddings` (n, d) of training, and 15 % more."""
        low, high = measures.min(axis=0), measures.max(axis=0)
        margin = np.maximum(_MARGIN * (high - low), _LEAST_SPREAD)
        if embeddings is None:
            return cls(low - margin, high + margin, np.zeros((0, 0), np.float32), 1, 0.0, len(measures))
        kept = _to_length_one(embeddings)
        neighbours = min(neighbours, len(kept))
        distances = [_distance(kept, e, neighbours) for e in _to_length_one(held_out)]
        limit = _DISTANCE_MARGIN * max(distances)
        return cls(low - margin, high + margin, kept, neighbours, float(limit), len(measures))

    def compare(self, measures: np.ndarray, embedding: np.ndarray | None) -> tuple[str, ...]:
        """Say in what a page is unlike the training karyograms; nothing where it is like them."""
        found = []
        limits = zip(measures, self.low, self.high, _MOST, PAGE_MEASURES.values(), strict=True)
        for value, low, high, most, title in limits:
            if not low <= value <= high:
                found.append(f"{title} {value:.3g}, expected {max(low, 0):.3g} to {min(high, most):.3g}")
        if embedding is not None and len(self.embeddings):
            distance = _distance(self.embeddings, _to_length_one(embedding[None])[0], self.neighbours)
            if not distance <= self.limit:
                found.append(
                    f"features {distance:.2f} from those of training, expected up to {self.limit:.2f}"
                )
        return (f"unlike the training karyograms: {'; '.join(found)}",) if found else ()

    def describe(self) -> dict:
        """Return all but the embeddings, as plain numbers."""
        limits = {name: [round(v, 6) for v in getattr(self, name)] for name in ("low", "high")}
        return limits | {"neighbours": self.neighbours, "limit": self.limit, "n": self.n}


def _to_length_one(embeddings: np.ndarray) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float32)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)


def _distance(kept: np.ndarray, embedding: np.ndarray, neighbours: int) -> float:
    distances = np.linalg.norm(kept - embedding, axis=1)
    return float(np.partition(distances, neighbours - 1)[:neighbours].mean())
