"""Reads a karyogram as a cytogeneticist does: find, name, count, compare; says how sure, and when to
refer."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from karyo_lib.iscn import count_formula
from karyo_lib.read.cell import CountPosterior, CountSettings, count_chromosomes
from karyo_lib.read.change import CHANGES
from karyo_lib.read.comparison import Comparison
from karyo_lib.read.detector import Detector
from karyo_lib.read.find import FoundPage, find_chromosomes, shipped_detector
from karyo_lib.read.layout import Arrangement, arrange, misplaced, read_labels
from karyo_lib.read.name import Namer, Names, NamingSettings
from karyo_lib.read.network_files import READER_FILES, read_record
from karyo_lib.read.reading import Reading, summary, unreadable
from karyo_lib.resources import data_file
from karyo_lib.shape.strips import CLASSES, NOT_SINGLE, LabelledStrips, Strips, straighten_cell


@dataclass(frozen=True)
class ReaderSettings:
    """What the reader believes and when it refers.

    Attributes
    ----------
    p_structural : float
        Share of pages with a structural change, before the page is seen.
    least_found : int
        Pages with fewer chromosomes are referred.
    least_certain : float
        Pages whose best count formula is less probable are referred.
    least_agreeing : float
        Pages are referred of whose chromosomes a smaller share looks most like what it is counted as.
    doubtful : float
        Chromosomes whose class is less probable are marked.
    certainly_none : float
        Small objects that are more probably no chromosome are left out.
    """

    p_structural: float = 0.05
    least_found: int = 40
    least_certain: float = 0.7
    least_agreeing: float = 0.65
    doubtful: float = 0.8
    certainly_none: float = 0.99


class Reader:
    """Finds, names, counts and compares the chromosomes of a page.

    Parameters
    ----------
    settings : ReaderSettings, optional
    counting : CountSettings, optional

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> reader = karyo.Reader.load()  # the one that comes with karyo
    >>> reader.read(karyo.draw_karyogram("46,XY", style="digital", size=None).image).formula
    '46,XY'
    """

    def __init__(self, settings: ReaderSettings | None = None, counting: CountSettings | None = None):
        self.settings = settings or ReaderSettings()
        self.counting = counting or CountSettings()
        self.detector: Detector | None = None
        self.namer: Namer | None = None
        self.comparison: Comparison | None = None

    def fit(
        self,
        training: LabelledStrips,
        validation: LabelledStrips,
        naming: NamingSettings | None = None,
        *,
        start: "Reader | None" = None,
        on_epoch: Callable[[int, dict], None] | None = None,
        seed: int = 2020,
    ) -> "Reader":
        """Train on normal cells.

        Parameters
        ----------
        training, validation : LabelledStrips
            Chromosomes of different patients; in training also `NOT_SINGLE` objects. Validation chromosomes
            set temperature, pair score and calibration.
        naming : NamingSettings, optional
        start : Reader, optional
            Fine-tune from this reader's network.
        on_epoch : callable, optional
            Called with the epoch's number and its logs.
        seed : int
            For the cut-and-joined chromosomes.

        Returns
        -------
        Reader
            Itself.
        """
        self.namer = Namer(naming).fit(
            training.strips,
            training.names,
            (validation.strips, validation.names),
            start=None if start is None else start.namer,
            on_epoch=on_epoch,
        )
        single = training.take(np.flatnonzero(training.names != NOT_SINGLE))
        return self.fit_comparison(single, validation, seed=seed)

    def fit_comparison(
        self, training: LabelledStrips, validation: LabelledStrips, *, seed: int = 2020
    ) -> "Reader":
        """Fit the comparison of homologues for a network that is already trained."""
        self.comparison = Comparison.fit(self._ready()[0], training, validation, seed)
        return self

    def calibrate_comparison(self, cells: LabelledStrips, *, seed: int = 2020) -> "Reader":
        """Set on cells without structural changes, read from pages at best, how unlike a pair must be."""
        namer, comparison = self._ready()
        self.comparison = comparison.calibrated(namer, cells, seed)
        return self

    def _ready(self) -> tuple[Namer, Comparison]:
        if self.namer is None:
            raise ValueError(
                "Expected a trained Reader. Received one without a network: call fit or Reader.load()."
            )
        return self.namer, self.comparison

    def read(self, image: np.ndarray, passes: int = 0, seed: int = 0) -> Reading:
        """Read a page.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W)
        passes : int, default 0
            Monte Carlo dropout passes through the naming network.
        seed : int
            For these passes.

        Returns
        -------
        Reading
        """
        if passes < 0:
            raise ValueError(f"Expected 0 or more Monte Carlo passes. Received {passes}.")
        namer, comparison = self._ready()
        found = find_chromosomes(image, self.detector)
        if found.kind == "unreadable":
            return unreadable(found, found.reason, passes)
        found, strips, names, arrangement = self.name_page(image, found)
        count = self.count(names, found.boxes, arrangement)
        prior = self.settings.p_structural
        compared = comparison.compare(strips, names, count.assigned, prior)
        pairs, p_structural = compared.pairs, compared.p_structural
        p_abnormal = 1 - (1 - count.p_abnormal) * (1 - p_structural)
        table = self._table(found, names, count, pairs, arrangement)
        sampled = np.zeros(0, np.float32)
        if passes:
            draws = namer.sample(strips, passes, seed)
            each = [
                Names(draws.log_proba[t], draws.log_none[t], draws.p_upside_down[t]) for t in range(passes)
            ]
            as_counted = np.array([self.count(n, found.boxes, arrangement, keep=40).p_abnormal for n in each])
            as_compared = comparison.compare_anew(compared, each, prior)
            sampled = (1 - (1 - as_counted) * (1 - as_compared)).astype(np.float32)
        return Reading(
            kind=found.kind,
            karyotype=count.karyotype,
            chromosomes=table,
            structure=_structure(pairs),
            pairs=pairs,
            arrangement=_laid_out(table),
            formula_probability=count.probability,
            p_abnormal=float(p_abnormal),
            p_count=count.p_abnormal,
            p_structural=p_structural,
            candidates=count.candidates,
            refer_reason=self._refer(table, count, pairs, arrangement),
            evidence=compared.evidence,
            passes=sampled,
            found=found,
        )

    def name_page(self, image: np.ndarray, found: FoundPage) -> tuple[FoundPage, Strips, Names, Arrangement]:
        """Name the chromosomes found on a page, each on its own; and what was laid where."""
        strips = straighten_cell(found.cutouts, found.masks)
        names, labels = self._ready()[0].predict(strips), read_labels(found, image)
        unlike = self._unlike(found, names)
        if unlike.any() and not unlike.all():
            rows = np.flatnonzero(~unlike)
            found, strips, names = found.without(unlike), strips.take(rows), names.take(rows)
        return found, strips, names, arrange(found.boxes, labels, names.log_proba)

    def _unlike(self, found: FoundPage, names: Names) -> np.ndarray:
        """Which objects are print or dirt for sure; large ones may be chromosomes that were not parted."""
        return self._small(found.boxes) & (names.log_none > np.log(self.settings.certainly_none))

    def count(
        self,
        names: Names,
        boxes: pd.DataFrame | None = None,
        arrangement: Arrangement | None = None,
        keep: int = 150,
    ) -> CountPosterior:
        """Count named chromosomes; ``boxes`` (of `FoundPage`) are where they stand, None without a page."""
        unparted = 0 if boxes is None else int(self._unparted(boxes, names).sum())
        place = None if arrangement is None else arrangement.log_prior
        return count_chromosomes(names.log_proba, names.log_none, self.counting, keep, unparted, place)

    def _unparted(self, boxes: pd.DataFrame, names: Names) -> np.ndarray:
        """Which objects may be two chromosomes or more: no single chromosome, and not small."""
        return (names.log_none > np.log(0.5)) & ~self._small(boxes)

    @staticmethod
    def _small(boxes: pd.DataFrame) -> np.ndarray:
        return boxes["area"].to_numpy() < 0.6 * boxes["area"].median()

    def count_cell(self, strips: Strips) -> CountPosterior:
        """Count straightened chromosomes of a cell, with no page around them."""
        return self.count(self._ready()[0].predict(strips))

    def _table(
        self,
        found: FoundPage,
        names: Names,
        count: CountPosterior,
        pairs: pd.DataFrame,
        arrangement: Arrangement,
    ) -> pd.DataFrame:
        rows = np.arange(len(found))
        assigned = count.assigned
        alone = log_softmax(names.log_proba, axis=1)
        probability = np.where(assigned >= 0, count.proba[rows, assigned], np.exp(names.log_none))
        score = np.full(len(found), np.nan)
        for pair in pairs.itertuples():
            for i in (pair.first, pair.second):
                score[i] = np.nanmax([score[i], pair.score]) if np.isfinite(score[i]) else pair.score
        return found.boxes.assign(
            chromosome=[CLASSES[k] if k >= 0 else "" for k in assigned],
            probability=probability,
            alone=[CLASSES[k] for k in alone.argmax(1)],
            alone_probability=np.exp(alone.max(1)),
            none_probability=np.exp(names.log_none),
            upside_down=names.p_upside_down > 0.5,
            doubtful=(probability < self.settings.doubtful) | (assigned < 0),
            printed=list(arrangement.slots),
            readable=assigned >= 0,
            segments=[()] * len(found),
            score=score,
        )

    def _refer(
        self, table: pd.DataFrame, count: CountPosterior, pairs: pd.DataFrame, arrangement: Arrangement
    ) -> str:
        reasons = []
        unread = int((table["chromosome"] == "").sum())
        if len(table) < self.settings.least_found:
            reasons.append(f"only {len(table)} chromosomes found")
        if count.missed and len(count.missed) <= 6:
            reasons.append(f"chromosome {', '.join(count.missed)} expected but not found")
        elif count.missed:
            reasons.append(f"{len(count.missed)} chromosomes expected but not found")
        if unread:
            reasons.append(f"{unread} object{'s' * (unread > 1)} on the page not read as single chromosomes")
        if count.probability < self.settings.least_certain:
            second = count.candidates["formula"].iloc[1]
            reasons.append(f"count uncertain: {count.formula} ({count.probability:.0%}) or {second}")
        if table["alone_probability"].mean() < 0.6:
            reasons.append("banding too poor to name chromosomes")
        named = table[table["chromosome"] != ""]
        agreeing = (named["alone"] == named["chromosome"]).mean()
        if agreeing < self.settings.least_agreeing:
            reasons.append(f"banding unlike: only {agreeing:.0%} look most like what they are counted as")
        reasons += misplaced(table) if arrangement.source == "names" else []
        if count.p_abnormal <= 0.5:  # an abnormal number is reason enough
            unlike = _structure(pairs).itertuples()
            reasons += [f"pair {pair.chromosome} unlike, as if by {pair.iscn}" for pair in unlike]
        return "; ".join(reasons)

    def read_pages(
        self, images: Iterable[np.ndarray], passes: int = 0, seed: int = 0
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Read pages into a table and an array of Monte Carlo passes.

        Returns
        -------
        table : pandas.DataFrame
            ``found, formula, formula_probability, group, p_abnormal, p_count, p_structural, changes,
            refer_reason``.
        passes : ndarray of float32, shape (T, N)
            At least one row: without Monte Carlo passes, ``p_abnormal`` itself.
        """
        rows, sampled = [], []
        for image in images:
            reading = self.read(image, passes, seed)
            rows.append(summary(reading))
            sampled.append(reading.passes if passes else np.array([reading.p_abnormal], np.float32))
        return pd.DataFrame(rows), np.stack(sampled, 1) if sampled else np.zeros(
            (max(passes, 1), 0), np.float32
        )

    def save(self, folder: Path) -> None:
        """Write the reader into a folder: arrays (``.npz``) and settings (``.json``), no code."""
        namer, comparison = self._ready()
        folder = Path(folder)
        namer.save(folder)
        comparison.save(folder)
        (self.detector or shipped_detector()).save(folder)
        record = {
            "settings": asdict(self.settings),
            "counting": asdict(self.counting),
        }
        (folder / "reader.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str | None = None) -> "Reader":
        """Read what `save` wrote; by default the reader that comes with karyo, trained on drawings alone.

        Raises
        ------
        ValueError
            If the folder holds no reader.
        """
        folder = data_file("reader") if folder is None else Path(folder)
        missing = [n for n in READER_FILES if not (folder / n).exists()]
        if missing:
            raise ValueError(
                f"Expected a folder written by Reader.save. Received {folder.name!r} without {missing}. "
                f"`karyo reader train -o DIR` writes one; without a folder, karyo's own is read."
            )
        record = read_record(folder, "reader")
        counting = record["counting"] | {"class_share": tuple(record["counting"]["class_share"])}
        reader = cls(ReaderSettings(**record["settings"]), CountSettings(**counting))
        reader.detector, reader.namer = Detector.load(folder), Namer.load(folder)
        reader.comparison = Comparison.load(folder)
        return reader


def _structure(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are marked unlike, the most unlike first, as rows of `Reading.structure`."""
    unlike = pairs[pairs["score"] > 0].sort_values("score", ascending=False, ignore_index=True)
    kind = unlike["change"].str.split("(").str[0].map({name[:3]: name for name in CHANGES})
    objects = list(zip(unlike["first"], unlike["second"], strict=True))
    return unlike[["chromosome", "score"]].assign(iscn=unlike["change"], kind=kind, objects=objects)


def _laid_out(table: pd.DataFrame) -> str:
    """Formula of the cell by the slots that its chromosomes lie in; '' where one of them lies in none."""
    slots = [
        row.chromosome if row.printed == "XY" and row.chromosome in ("X", "Y") else row.printed
        for row in table[table["chromosome"] != ""].itertuples()
    ]
    return count_formula(Counter(slots)) if slots and set(slots) <= set(CLASSES) else ""
