"""Reads a cell's image as a cytogeneticist does: find, see what lies where, decode, count, doubt."""

import json
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from karyo_lib.iscn import NORMAL_FORMULAE, count_formula
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.iscn.bands import load_bands
from karyo_lib.iscn.describe import describe, describe_exchange
from karyo_lib.read.cell import CountPosterior, CountSettings, count_chromosomes, count_spread, log_odds_false
from karyo_lib.read.decode import Decoded, Decoder
from karyo_lib.read.detector import Detector
from karyo_lib.read.find import FoundPage, find_chromosomes, shipped_detector
from karyo_lib.read.layout import WHOLE_INK, Arrangement, arrange, in_print, left_over, misplaced, read_labels
from karyo_lib.read.looks import Looks
from karyo_lib.read.network_files import find_reader, read_record
from karyo_lib.read.reading import STRUCTURE_COLUMNS, Reading, unreadable
from karyo_lib.read.recurrent import find_recurrent, keep_surest
from karyo_lib.shape.scaling import scale_strips

_OF_ONE_CLASS = ("deletion", "duplication", "inversion", "ring/isochromosome/marker", "variant")
#: Logarithm of each class's area, less the cell's (short ones are slender, too), and its standard deviation.
_AREAS = 1.1 * np.log([load_bands(550).length(name) for name in CLASSES])
_AREAS_VARY = 0.12
_MOST_MISPLACED = 4  # chromosomes in another slot: nobody sorts worse, so print or rows were misread


@dataclass(frozen=True)
class ReaderSettings:
    p_structural: float = 0.05  # share of cells with a structural change, before the image is seen
    # Log-odds from which a chromosome is marked as changed, fitted so that 1 in 20 normal pages has one, and
    # by which the share of normal pages with one of so high a score falls to 1/e.
    least_score: float = 8.8
    score_scale: float = 3.0
    # The same for metaphases, whose chromosomes lie bent and across each other; fitted on 68 normal spreads
    # of validation cases. One that is hidden more, or of which the finder is less sure, is not judged there.
    spread_least_score: float = 19.4
    spread_score_scale: float = 6.8
    most_hidden: float = 0.3
    least_certainty: float = 0.5
    # Share of its score that counts of a chromosome that seems to hold material of a class that it is not
    # counted as, or no simple change, where no second derivative answers: most false marks are such.
    unanswered: float = 0.4
    half_seen: float | None = None  # megabases of deletions and duplications of which half are marked
    upside_down: float = (
        0.02  # share of a karyogram's chromosomes on their heads; of a metaphase's it is half
    )
    # With more objects that are none, and chromosomes expected but not found, no karyotype is told.
    most_unexplained: int = 12
    # Of the classes that the detector sees in a metaphase, beside the decoder's: on 60 spreads of validation
    # cases 95.4 % instead of 94.8 % of the chromosomes are found and named right alone.
    detector_weight: float = 0.5
    # An image is referred if its best count formula is less probable, or a smaller share of the chromosomes
    # looks most like what it is counted as; a chromosome is marked whose class is less probable.
    least_certain: float = 0.7
    least_agreeing: float = 0.65
    doubtful: float = 0.8
    # A karyogram is cleared for number if an abnormal one is less probable (None: none is) and nothing speaks
    # for a look; what is promised of that threshold, and on what data.
    clear_below: float | None = None
    promise: str = ""
    # Nor is it cleared where fewer chromosomes look most like what they are counted as (another lab, or a
    # poor image, unlike what the promise was made on), or an object is counted of which the log-odds that it
    # is no chromosome are larger, or whose log-probability of its class, by its looks and its size, is less.
    least_alike: float = 0.8
    most_false: float = -2.2
    least_own: float = -8.0

    def marks(self, laid_out: bool) -> tuple[float, float]:
        """Score from which a change is marked on a karyogram or on a metaphase, and its scale."""
        if laid_out:
            return self.least_score, self.score_scale
        return self.spread_least_score, self.spread_score_scale


class Reader:
    """Finds, decodes and counts the chromosomes of an image.

    Parameters
    ----------
    settings : ReaderSettings, optional
    counting, spread_counting : CountSettings, optional
        For karyograms and for metaphases, where a chromosome is more often missed and the finder knows best
        what is none.

    Attributes
    ----------
    detector : Detector or None
        Karyo's own if None.
    decoder : Decoder

    Examples
    --------
    >>> from karyo_lib.draw import draw_karyogram
    >>> page = draw_karyogram("46,XX", seed=1, size=(900, 700))
    >>> Reader.load().read(page.image).formula
    '46,XX'
    """

    def __init__(
        self,
        settings: ReaderSettings | None = None,
        counting: CountSettings | None = None,
        spread_counting: CountSettings | None = None,
    ):
        self.settings = settings or ReaderSettings()
        self.counting = counting or CountSettings()
        self.spread_counting = spread_counting or self.counting
        self.detector: Detector | None = None
        self.decoder = Decoder()

    def __repr__(self) -> str:
        below, score = self.settings.clear_below, self.settings.least_score
        return f"Reader(clear_below={below}, least_score={score:g})"

    def with_settings(self, **changes: object) -> "Reader":
        """The same reader, its networks and counting shared, with some settings changed."""
        other = copy(self)
        other.settings = replace(self.settings, **changes)
        return other

    def read(self, image: np.ndarray) -> Reading:
        """Read a karyogram or a metaphase, ``image`` (uint8, shape (H, W))."""
        found, labels = self.find(image)
        if found.kind == "unreadable":
            return unreadable(found, found.reason)
        laid_out = found.kind == "karyogram"
        turned = self.settings.upside_down if laid_out else 0.5
        log_p, decoded = self._decode(found, turned)
        if not laid_out and decoded.joint.any():
            found = found.part(decoded.joint)
            log_p, decoded = self._decode(found, turned)
        arrangement = arrange(found.boxes, labels, decoded.log_proba) if laid_out else None
        boxes = found.boxes.assign(rows=found.strips.rows)
        count = self.count(decoded, boxes, arrangement)
        unexplained = int((count.assigned < 0).sum()) + len(count.missed)
        if unexplained > self.settings.most_unexplained:
            reason = f"{len(found)} objects found that no karyotype explains"
            return unreadable(found, f"not a {found.kind} that can be read: {reason}")
        table = self._table(found, decoded, count, arrangement)
        path, judged, s = self.decoder.settings.path, table, self.settings
        if not laid_out:
            plain = (table["hidden"] <= s.most_hidden) & (table["certainty"] >= s.least_certainty)
            judged = table.assign(readable=table["readable"] & plain)
        changes = self.mark_changes(judged, find_recurrent(judged, decoded, log_p, found.strips.rows, path))
        structure = changes[changes["score"] > s.marks(laid_out)[0]]
        p_structural = self._p_structural(changes, laid_out)
        missed = _beside(table, left_over(found, labels)) if laid_out else []
        # where one is lacking, even odds that ink of a whole one's size is that chromosome
        lacking = laid_out and sum(count.karyotype.counts.values()) < 46
        lone = 0.5 if lacking and len(left_over(found, labels, WHOLE_INK)) else 1.0
        doubts = [*missed, *self._doubt(table, count, arrangement, decoded)]
        if laid_out and s.clear_below is not None:
            odds_false = log_odds_false(decoded.log_none, boxes, self.counting)
            odds_false[in_print(boxes, labels) | found.pairs()] = np.inf
            doubts += self._unlike(table, count, decoded, odds_false)
        return Reading(
            kind=found.kind,
            decision=self._decide(found, count, lone, doubts),
            karyotype=count.karyotype,
            chromosomes=table,
            structure=structure,
            arrangement=_laid_out(table, arrangement.source == "names") if laid_out else "",
            formula_probability=lone * count.probability,
            p_abnormal=float(1 - (1 - lone * count.p_abnormal) * (1 - p_structural)),
            p_count=lone * count.p_abnormal,
            p_structural=p_structural,
            candidates=count.candidates,
            refer_reason="; ".join([*doubts, *_marked(count, structure)]),
            found=found,
            half_seen=s.half_seen if laid_out else None,
        )

    def find(self, image: np.ndarray) -> tuple[FoundPage, pd.DataFrame | None]:
        """The chromosomes of an image, looked for on larger scales where ink of one is left over, and the
        printed names of a karyogram."""
        looks: Looks = {}
        found = find_chromosomes(image, self.detector, looks=looks)
        labels = read_labels(found, image) if found.kind == "karyogram" else None
        if labels is not None and len(left_over(found, labels)):
            found = find_chromosomes(image, self.detector, thorough=True, looks=looks)
            labels = read_labels(found, image)
        return found, labels

    def _decode(self, found: FoundPage, turned: float) -> tuple[np.ndarray, Decoded]:
        log_p, paths = self.decoder.follow(found.strips)
        decoded = self.decoder.interpret(log_p, paths, found.strips, turned)
        if found.kind == "metaphase":  # of sorted pages the detector is not taught classes
            both = decoded.log_proba + self.settings.detector_weight * found.log_proba
            decoded = replace(decoded, log_proba=both)
        return log_p, decoded

    def count(
        self, decoded: Decoded, boxes: pd.DataFrame | None = None, arrangement: Arrangement | None = None
    ) -> CountPosterior:
        """Count decoded chromosomes; ``boxes`` and ``arrangement`` are None for a cell that was cut out."""
        looks = decoded.log_proba, decoded.log_none
        if arrangement is None and boxes is not None:
            return count_spread(decoded.segments, *looks, self.spread_counting, boxes)
        prior = None if arrangement is None else arrangement.log_prior
        return count_chromosomes(*looks, self.counting, boxes=boxes, log_prior=prior)

    def decode_cell(self, cutouts: Sequence[np.ndarray]) -> Decoded:
        """Decode the chromosomes of a cell that were cut out, on white, with no page around them."""
        return self.decoder.decode(scale_strips(cutouts), self.settings.upside_down)

    def _table(
        self, found: FoundPage, decoded: Decoded, count: CountPosterior, arrangement: Arrangement | None
    ) -> pd.DataFrame:
        rows, assigned = np.arange(len(found)), count.assigned
        alone = decoded.log_proba - np.logaddexp.reduce(decoded.log_proba, axis=1, keepdims=True)
        probability = np.where(assigned >= 0, count.proba[rows, assigned], np.exp(decoded.log_none))
        turned = decoded.p_upside_down > 0.5
        if found.kind == "metaphase":  # where half of them are, their classes in the cell tell best
            turned = decoded.turned(np.where(assigned >= 0, assigned, alone.argmax(1)))
        return found.boxes.assign(
            chromosome=[CLASSES[k] if k >= 0 else "" for k in assigned],
            probability=probability,
            alone=[CLASSES[k] for k in alone.argmax(1)],
            alone_probability=np.exp(alone.max(1)),
            none_probability=np.exp(decoded.log_none),
            printed=list(arrangement.slots) if arrangement else "",
            upside_down=turned,
            doubtful=(probability < self.settings.doubtful) | (assigned < 0),
            readable=decoded.readable & (assigned >= 0),
            segments=pd.Series(list(decoded.segments), dtype=object),
            certainty=found.boxes["score"],
            score=decoded.score,
            normal=decoded.normal.max((1, 2)),
        )

    def mark_changes(self, table: pd.DataFrame, recurrent: Sequence[tuple] = ()) -> pd.DataFrame:
        """What chromosomes show, the surest first; an exchange is one change, so is a ``recurrent`` one."""
        readable = table[table["readable"]].sort_values("score", ascending=False)
        told = {i: describe(segments) for i, segments in readable["segments"].items()}
        odd = readable.loc[[i for i, what in told.items() if what.text]]
        rows, used = [], set()
        for i, one in odd.iterrows():
            if i in used:
                continue
            what, objects, score = told[i], (i,), one["score"]
            of_its_own = {segment.chromosome for segment in one["segments"]} == {one["chromosome"]}
            if not (what.group in _OF_ONE_CLASS and of_its_own):
                score *= self.settings.unanswered
            for j, other in odd.drop(index=[i, *used]).iterrows():
                exchange = describe_exchange(one["segments"], other["segments"])
                if exchange is not None:
                    what, objects, score = exchange, (i, j), one["score"] + other["score"]
                    break
            used.update(objects)
            rows.append((one["chromosome"], what.text, what.group, score, objects))
        return pd.DataFrame(keep_surest([*recurrent, *rows]), columns=STRUCTURE_COLUMNS)

    def _p_structural(self, changes: pd.DataFrame, laid_out: bool = True) -> float:
        """Probability of a structural change: by how few normal cells the highest score is reached."""
        scores, s = changes.loc[changes["kind"] != "variant", "score"], self.settings
        least, scale = s.marks(laid_out)
        highest = float(scores.max()) if len(scores) else 0.0
        tail = min(1.0, 0.05 * float(np.exp((least - highest) / scale)))
        return s.p_structural / (s.p_structural + (1 - s.p_structural) * tail)

    def _doubt(
        self, table: pd.DataFrame, count: CountPosterior, arrangement: Arrangement | None, decoded: Decoded
    ) -> list[str]:
        """What speaks against the number, whatever its probability."""
        s, doubts = self.settings, []
        unread, missed = int((table["chromosome"] == "").sum()), len(count.missed)
        if missed:
            which = f"chromosome {', '.join(count.missed)}" if missed <= 6 else f"{missed} chromosomes"
            doubts.append(f"{which} expected but not found")
        if unread:
            doubts.append(f"{unread} object{'s' * (unread > 1)} on the page not read as single chromosomes")
        if count.probability < s.least_certain:
            second = count.candidates["formula"].iloc[1]
            doubts.append(f"count uncertain: {count.formula} ({count.probability:.0%}) or {second}")
        alike = _alike(table)
        if alike < s.least_agreeing:
            doubts.append(f"banding unlike: only {alike:.0%} look most like what they are counted as")
        if arrangement and arrangement.source == "names":
            doubts += misplaced(table, decoded.log_proba)
            laid_out = _laid_out(table)
            if laid_out and laid_out != count.formula:
                doubts.append(f"laid out as {laid_out}; looks like {count.formula}")
        return doubts

    def _unlike(
        self, table: pd.DataFrame, count: CountPosterior, decoded: Decoded, odds_false: np.ndarray
    ) -> list[str]:
        """What keeps a page from being cleared: it, or an object, which becomes doubtful in the ``table``, is
        unlike those that clearing rests on."""
        s, doubts, alike = self.settings, [], _alike(table)
        if s.least_agreeing <= alike < s.least_alike:
            doubts.append(f"unlike the pages that clearing rests on: {alike:.0%} look most like their class")
        own = np.flatnonzero(count.assigned >= 0)
        log_p, classes = decoded.log_proba[own], count.assigned[own]
        size = np.log(table["area"].to_numpy()[own]) - _AREAS[classes]
        looks = log_p[np.arange(len(own)), classes] - np.logaddexp.reduce(log_p, axis=1)
        size -= np.median(size)
        same = classes[:, None] == classes  # what is expected: half by the class, half by its homologues here
        size -= (same @ size - size) / np.maximum(same.sum(1) - 1, 1) / 2
        looks -= (size / _AREAS_VARY) ** 2 / 2
        for odd, what in (
            (odds_false[own] > s.most_false, "may be no single chromosome"),
            (looks < s.least_own, "looks like no chromosome of its class"),
        ):
            if odd.any():
                names = ", ".join(dict.fromkeys(table["chromosome"].iloc[own[odd]]))
                doubts.append(f"what is counted as {names} {what}")
                table.iloc[own[odd], table.columns.get_loc("doubtful")] = True
        return doubts

    def _decide(self, found: FoundPage, count: CountPosterior, lone: float, doubts: list[str]) -> str:
        s = self.settings
        if lone * count.p_abnormal > 0.5:
            return "refer" if doubts else "abnormal"
        sure = s.clear_below is not None and count.p_abnormal < s.clear_below
        return "cleared for number" if sure and found.kind == "karyogram" and not doubts else "refer"

    def save(self, folder: Path) -> None:
        """Write the reader into a folder: arrays (``.npz``) and settings (``.json``), no code."""
        folder = Path(folder)
        self.decoder.save(folder)
        (self.detector or shipped_detector()).save(folder)
        names = ("settings", "counting", "spread_counting")
        record = {name: asdict(getattr(self, name)) for name in names}
        (folder / "reader.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str | None = None) -> "Reader":
        """Read what `save` wrote, by default karyo's own reader; ValueError if the folder holds none."""
        folder = find_reader(folder)
        record = read_record(folder, "reader")
        try:
            counting = (CountSettings(**record[name]) for name in ("counting", "spread_counting"))
            reader = cls(ReaderSettings(**record["settings"]), *counting)
        except (KeyError, TypeError) as error:
            raise ValueError(
                "Expected reader.json of this version. Received one of an earlier version: train the reader "
                "again."
            ) from error
        reader.detector, reader.decoder = Detector.load(folder), Decoder.load(folder)
        return reader


def _laid_out(table: pd.DataFrame, printed: bool = True) -> str:
    """Formula by slots; '' where a chromosome is in none, or so many in another's that slots were misread,
    which is likelier where no names are ``printed``."""
    named = table[table["chromosome"] != ""]
    both = (named["printed"] == "XY") & named["chromosome"].isin(["X", "Y"])
    slots = named["printed"].mask(both, named["chromosome"])
    elsewhere = (slots != named["chromosome"]).sum()
    known = len(slots) and set(slots) <= set(CLASSES) and elsewhere <= (_MOST_MISPLACED if printed else 2)
    return count_formula(Counter(slots)) if known else ""


def _beside(table: pd.DataFrame, ink: np.ndarray) -> list[str]:
    """Ink that may be a chromosome, said by the object next to it."""
    middles = (table[["x0", "y0"]].to_numpy() + table[["x1", "y1"]].to_numpy()) / 2
    near = [int(np.hypot(*(middles - box.reshape(2, 2).mean(0)).T).argmin()) for box in ink]
    names = ", ".join(dict.fromkeys(table["chromosome"].iloc[i] or "an object" for i in near))
    return [f"ink beside {names} that may be a chromosome was not taken for one"] if names else []


def _alike(table: pd.DataFrame) -> float:
    """Share of the chromosomes that look most like what they are counted as."""
    named = table[table["chromosome"] != ""]
    return float((named["alone"] == named["chromosome"]).mean())


def _marked(count: CountPosterior, structure: pd.DataFrame) -> list[str]:
    """Structural changes to look at; an abnormal number is reason enough."""
    if count.formula not in NORMAL_FORMULAE:
        return []
    return [
        f"chromosome {row.chromosome}: {row.iscn}{' (normal variant)' * (row.kind == 'variant')}"
        for row in structure.itertuples()
    ]
