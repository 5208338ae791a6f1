"""The result of reading a page."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from karyo_lib.read.change import Change
from karyo_lib.read.find import FoundPage


@dataclass(frozen=True)
class PairEvidence:
    """The pair that differs most, ready to draw.

    Attributes
    ----------
    chromosome : str
    images : tuple of ndarray
        Both strips, aligned to the reference; once where there is one copy.
    lengths : tuple of float
        Of each copy, relative to what is usual for its class in this cell.
    profiles : ndarray, shape (1 or 2, STRIP_LENGTH)
        Band profiles, p end first, each aligned to the reference; NaN where a deletion took a part.
    reference : ndarray, shape (STRIP_LENGTH,)
        The class's usual profile.
    change : Change or None
        What would explain best how they differ; None for a pair that is no more unlike than usual.
    """

    chromosome: str
    images: tuple[np.ndarray, ...]
    lengths: tuple[float, ...]
    profiles: np.ndarray
    reference: np.ndarray
    change: Change | None


@dataclass(frozen=True)
class Reading:
    """What was read from a page.

    Attributes
    ----------
    chromosomes : pandas.DataFrame
        One row an object: box ``x0, y0, x1, y1`` (pixels), ``row``, ``slot``, ``chromosome`` (class; ''
        where it is no
        chromosome), ``probability`` of that class given the counts, ``alone`` and ``alone_probability``
        (best class
        from its looks alone), ``none_probability``, ``upside_down`` and ``doubtful`` (bool), ``pair_score``.
    pairs : pandas.DataFrame
        ``chromosome, first, second, score, change``; 1 in 20 normal pages has a pair that scores above 0. The
        change in ISCN that would explain best how such a pair differs; '' for the others.
    formula, group : str
        Count formula and its group ('normal', 'trisomy', 'monosomy', 'sex-chromosome', 'polyploidy',
        'multiple'; where counts are normal and a pair scores above 0, the kind of its change: 'deletion',
        'duplication' or 'inversion').
    formula_probability, p_abnormal, p_count, p_structural : float
        Probability of the formula; of any abnormality; of an abnormal count; of a structural change.
    candidates : pandas.DataFrame
        ``formula, probability, n``.
    refer_reason : str
        Why a specialist must look; '' where nothing speaks for it.
    evidence : PairEvidence or None
    passes : ndarray of float32, shape (T,)
        ``p_abnormal`` under Monte Carlo dropout; empty where none was asked for.
    found : FoundPage
    """

    chromosomes: pd.DataFrame
    pairs: pd.DataFrame
    formula: str
    group: str
    formula_probability: float
    p_abnormal: float
    p_count: float
    p_structural: float
    candidates: pd.DataFrame
    refer_reason: str
    evidence: PairEvidence | None
    passes: np.ndarray
    found: FoundPage

    @property
    def changes(self) -> tuple[str, ...]:
        """In ISCN, the change that would explain each pair marked unlike; the most unlike pair first."""
        return tuple(unlike_pairs(self.pairs)["change"])


def unlike_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of the pairs of a reading that are marked unlike, the most unlike first."""
    return pairs[pairs["score"] > 0].sort_values("score", ascending=False)


def summary(reading: Reading) -> dict:
    """One row of a worklist."""
    return {
        "found": len(reading.found),
        "formula": reading.formula,
        "formula_probability": reading.formula_probability,
        "group": reading.group,
        "p_abnormal": reading.p_abnormal,
        "p_count": reading.p_count,
        "p_structural": reading.p_structural,
        "changes": "; ".join(reading.changes),
        "refer_reason": reading.refer_reason,
    }


def nothing_read(found: FoundPage, passes: int) -> Reading:
    """The reading of a page on which no chromosome was found."""
    table = found.boxes.assign(
        **{c: pd.Series(dtype=object) for c in ("chromosome", "alone")},
        **{
            c: pd.Series(dtype=float)
            for c in ("probability", "alone_probability", "none_probability", "pair_score")
        },
        **{c: pd.Series(dtype=bool) for c in ("upside_down", "doubtful")},
    )
    pairs = pd.DataFrame(columns=["first", "second", "chromosome", "score", "change"])
    candidates = pd.DataFrame({"formula": [], "probability": [], "n": []})
    unknown = np.full(passes, 0.5, np.float32)
    return Reading(
        table,
        pairs,
        "?",
        "unreadable",
        0.0,
        0.5,
        0.5,
        0.0,
        candidates,
        "no chromosomes found",
        None,
        unknown,
        found,
    )
