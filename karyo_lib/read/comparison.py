"""The homologues of a cell, compared: what is learned for it, and what it says of a cell and of its pairs."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from karyo_lib.read.alter import AlteredCells, alter_cells
from karyo_lib.read.change import Change, explain_pair, resample
from karyo_lib.read.compare import (
    FEATURES,
    PairMeasures,
    PairScorer,
    measure_naming,
    measure_pairs,
)
from karyo_lib.read.distance import PairDistance, align_pairs
from karyo_lib.read.name import Namer, Names, class_indices
from karyo_lib.read.network_files import read_arrays
from karyo_lib.read.perturb import vary_strips
from karyo_lib.read.profiles import ClassReference, align, band_profiles
from karyo_lib.read.reading import PairEvidence
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, LabelledStrips, Strips

#: Cells whose pairs the distance is trained on: more take longer and teach little more.
_DISTANCE_CELLS = 300
#: Share of normal cells of which no pair scores above 0.
_SPECIFICITY = 0.95
#: Scores above it say no more: so far off are chromosomes that were found or named wrongly.
_HIGHEST = 2.0


@dataclass(frozen=True)
class Compared:
    """The homologues of a cell, compared.

    Attributes
    ----------
    pairs : pandas.DataFrame
        ``first, second, chromosome, score, change``, one row a pair; of pairs that score above 0 the
        change in ISCN that would explain best how they differ, '' for the others.
    evidence : PairEvidence or None
        The pair with the highest score, aligned to the reference.
    p_structural : float
        Probability that a pair is changed.
    features : ndarray, shape (p, len(FEATURES))
    labels : ndarray of int, shape (p,)
        Class of each pair.
    """

    pairs: pd.DataFrame
    evidence: PairEvidence | None
    p_structural: float
    features: np.ndarray
    labels: np.ndarray

    def named_otherwise(self, names: Names) -> np.ndarray:
        """The features of the pairs, had the chromosomes been named so."""
        features = self.features.copy()
        columns = [FEATURES.index("naming"), FEATURES.index("none")]
        features[:, columns] = measure_naming(
            names, self.pairs[["first", "second"]].to_numpy(int), self.labels
        )
        return features


@dataclass(frozen=True)
class Comparison:
    """What is known of homologues.

    Attributes
    ----------
    reference : ClassReference
    distance : PairDistance
    scorer : PairScorer
        Of the normal cells that it was calibrated on, 1 in 20 has a pair above 0.
    slope, intercept : float
        Log-odds of a structural change from the highest score of a cell, were changed and normal cells
        equally frequent.
    """

    reference: ClassReference
    distance: PairDistance
    scorer: PairScorer
    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(
        cls, namer: Namer, training: LabelledStrips, validation: LabelledStrips, seed: int = 2020
    ) -> "Comparison":
        """Fit reference and distance to training cells, score and calibration to validation cells."""
        reference = ClassReference.fit(training.strips, class_indices(training.names))
        known = pd.unique(training.cells)
        chosen = np.random.default_rng(seed).permutation(known)[:_DISTANCE_CELLS]
        changed = alter_cells(training.take(np.flatnonzero(np.isin(training.cells, chosen))), seed=seed + 1)
        varied = vary_strips(changed.strips, namer.settings.variety, seed)
        aligned = align_pairs(varied, changed.pairs, changed.labels, reference)
        distance = PairDistance().fit(aligned.maps, changed.labels, changed.altered)
        cells = alter_cells(validation, seed=seed)
        names = namer.predict(cells.strips)
        measures = measure_pairs(cells.strips, names, cells.pairs, cells.labels, reference, distance)
        scorer = PairScorer.fit(measures.features, cells.altered, cells.labels)
        scores = scorer.score(measures.features, cells.labels)
        return cls(reference, distance, scorer)._calibrated_on(cells, scores)

    def calibrated(self, namer: Namer, cells: LabelledStrips, seed: int = 2020) -> "Comparison":
        """The same with zero of the scores and probability set on other cells without structural changes."""
        changed = alter_cells(cells, seed=seed)
        return self._calibrated_on(changed, self.score(changed, namer)[0])

    def _calibrated_on(self, cells: AlteredCells, scores: np.ndarray) -> "Comparison":
        is_normal = cells.altered == 0
        normal = pd.Series(scores[is_normal]).groupby(cells.cells[is_normal]).max()
        zero = float(np.quantile(normal, _SPECIFICITY))
        altered = np.maximum(scores[~is_normal], normal.loc[cells.cells[~is_normal]].to_numpy())
        x = np.minimum(np.concatenate([normal, altered]) - zero, _HIGHEST)[:, None]
        y = np.repeat([0, 1], [len(normal), len(altered)])
        model = LogisticRegression(class_weight="balanced").fit(x, y)
        return replace(
            self,
            scorer=replace(self.scorer, offset=self.scorer.offset + zero),
            slope=float(max(model.coef_[0, 0], 0.0)),
            intercept=float(model.intercept_[0]),
        )

    def score(self, cells: AlteredCells, namer: Namer) -> tuple[np.ndarray, PairMeasures]:
        """Scores (p,) and measures of pairs whose classes are known."""
        measures = measure_pairs(
            cells.strips,
            namer.predict(cells.strips),
            cells.pairs,
            cells.labels,
            self.reference,
            self.distance,
        )
        return self.scorer.score(measures.features, cells.labels), measures

    def compare(self, strips: Strips, names: Names, assigned: np.ndarray, p_structural: float) -> Compared:
        """Compare the homologues of a cell, upside-down chromosomes turned.

        Parameters
        ----------
        strips : Strips
        names : Names
        assigned : ndarray of int, shape (n,)
            Class of each chromosome, a position in `CLASSES`; -1 for what is none.
        p_structural : float
            Share of cells with a structural change, before this one is seen.
        """
        pairs = homologue_pairs(assigned)
        if pairs.empty:
            pairs = pairs.drop(columns="label").assign(chromosome=[], score=[], change=[])
            return Compared(pairs, None, 0.0, np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, int))
        upright = strips.turned(names.p_upside_down > 0.5)
        labels, both = pairs["label"].to_numpy(), pairs[["first", "second"]].to_numpy()
        measures = measure_pairs(upright, names, both, labels, self.reference, self.distance)
        scores = self.scorer.score(measures.features, labels)
        worst = int(scores.argmax())
        changes = {
            i: explain_pair(upright, tuple(both[i]), labels[i], self.reference, int(measures.odd[i]))
            for i in np.flatnonzero(scores > 0).tolist()
        }
        pairs = pairs.drop(columns="label").assign(
            chromosome=[CLASSES[k] for k in labels],
            score=scores,
            change=[changes[i].iscn if i in changes else "" for i in range(len(pairs))],
        )
        evidence = _gather_evidence(upright, both[worst], labels[worst], self.reference, changes.get(worst))
        return Compared(pairs, evidence, self._p_structural(scores, p_structural), measures.features, labels)

    def compare_anew(self, compared: Compared, names: Iterable[Names], p_structural: float) -> np.ndarray:
        """Probabilities of a structural change, had the chromosomes been named otherwise."""
        return np.array(
            [
                self._p_structural(
                    self.scorer.score(compared.named_otherwise(n), compared.labels), p_structural
                )
                for n in names
            ]
        )

    def _p_structural(self, scores: np.ndarray, prior: float) -> float:
        if scores.size == 0:
            return 0.0
        highest = min(float(scores.max()), _HIGHEST)
        return float(expit(self.slope * highest + self.intercept + logit(prior)))

    def save(self, folder: Path) -> None:
        """Write ``comparison.npz`` and the files of the distance."""
        self.distance.save(folder)
        arrays = {
            f"{name}.{f.name}": np.asarray(getattr(part, f.name), np.float32)
            for name, part in (("reference", self.reference), ("scorer", self.scorer))
            for f in fields(part)
        }
        arrays["calibration"] = np.array([self.slope, self.intercept], np.float32)
        np.savez_compressed(folder / "comparison.npz", **arrays)

    @classmethod
    def load(cls, folder: Path) -> "Comparison":
        """Read what `save` wrote; raises `ValueError` where it is damaged or of an earlier version."""
        arrays = read_arrays(folder, "comparison")
        if "calibration" not in arrays:
            raise ValueError(
                "Expected comparison.npz as this version of karyo writes it. Received one of an earlier "
                "version: train the reader again."
            )
        slope, intercept = arrays["calibration"].tolist()
        parts = {
            name: {key.split(".")[1]: array for key, array in arrays.items() if key.startswith(name)}
            for name in ("reference", "scorer")
        }
        return cls(
            ClassReference(**parts["reference"]),
            PairDistance.load(folder),
            PairScorer(**parts["scorer"]),
            slope,
            intercept,
        )


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


def _gather_evidence(
    strips: Strips, pair: np.ndarray, label: int, reference: ClassReference, change: Change | None
) -> PairEvidence:
    """Both homologues along a normal chromosome; what a deletion took is left white."""
    own = list(dict.fromkeys(pair.tolist()))
    usual, profiles = reference.profiles[label], band_profiles(strips.images[own])
    images, along = [], []
    for side, (image, profile) in enumerate(zip(strips.images[own], profiles, strict=True)):
        # of a normal strip, row by row: which rows this one has, and whether it lacks a row
        normal = np.arange(STRIP_LENGTH)
        rows, gone = normal, np.zeros(STRIP_LENGTH, bool)
        if change and change.kind == "deletion" and side == change.odd:
            along_it = normal / (STRIP_LENGTH - 1)
            rows, gone = change.rows(), (along_it >= change.start) & (along_it <= change.stop)
        shift, _ = align(resample(usual, rows)[None], profile[None])
        places = np.interp(normal, rows, np.arange(STRIP_LENGTH) + shift[0]).clip(0, STRIP_LENGTH - 1)
        images.append(np.where(gone[:, None], 0, resample(image, places)))
        along.append(np.where(gone, np.nan, resample(profile, places)))
    return PairEvidence(
        chromosome=CLASSES[label],
        images=tuple(images),
        lengths=tuple(np.exp(strips.sizes[own, 0] - reference.sizes[label, 0]).tolist()),
        profiles=np.array(along),
        reference=usual,
        change=change,
    )
