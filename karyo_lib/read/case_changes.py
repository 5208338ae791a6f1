"""Which structural changes a case's cells show: what one shows, or recurs, is looked for in all."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, product
from math import ceil

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from karyo_lib.iscn import load_bands
from karyo_lib.iscn.operations import rank_chromosome
from karyo_lib.read.cell import find_fusion
from karyo_lib.read.decode import fit_segments, path_segments
from karyo_lib.read.path import find_paths
from karyo_lib.read.places import BINS, NONE
from karyo_lib.read.pooling import NOT_SEEN, find_breaks, pool_changes, spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.read.recurrent import derivatives, recurrent_derivatives
from karyo_lib.shape.scaling import ScaledStrips

#: Score of a chromosome from which on it is asked what it may be made of.
SUSPECT = 3.5
#: Score from which on a chromosome is laid upon those of other cells; and of what they show together.
_HINT, _SHARED = 1.0, 4.0
#: Score of what they show together from which on classes are tried as partners of an exchange.
_EXCHANGED = 15.0
_MOST_STRANGE = 2
_SURER = 1e6  # than what a single cell shows
_BANDS = load_bands(400)
_LEAST_LOG = -8.0  # no cell counts for more against a place
#: Log-ratio of what is counted as two chromosomes: no object of 94 normal spreads is.
_FUSED = 10.0
# Of cut-out chromosomes of 40 cells of another lab, changed by 10 to 40 Mb or not: where the decoder's
# evidence for a change is above -8, it is there more often than not, by a factor e for every 10.
_EVEN, _PER_SCORE, _NO_EVIDENCE = -8.0, 0.1, -5.0
_EXCHANGE = re.compile(r"der\(\w+\)(t\(\w+;\w+\)\([^)]+\))")


def show_changes(
    readings: Sequence[Reading | None], reader: Reader, practice: str | None = None
) -> list[dict[str, float]]:
    """Log-ratio, by cell, of every change in ISCN that can be judged there; ``practice``: whose recurrent
    changes are looked for ('constitutional', 'acquired'; of both by default)."""
    read = [one for one in readings if one is not None and one.karyotype]
    suspected = [find_suspects(one.chromosomes, reader) for one in read]
    together = read_together(read, reader)
    shared = find_suspects(together, reader, _SHARED) | find_exchanges(together, read, reader)
    # the catalogue's breaks stand for those near to them, those of many cells for those of one
    surer = {text: _SURER + score for text, score in shared.items()}
    texts = pool_changes([dict.fromkeys(recurrent_derivatives(practice), np.inf), surer, *suspected])
    # several cells add up what each hardly shows
    least = SUSPECT if len(read) == 1 else -np.inf
    parts = look_for(texts, read, reader, least)
    strength = add_up(parts)
    order = sorted(texts, key=lambda text: -strength.get(text, 0.0))
    # what no segments can be made of is only what each cell plainly shows of itself
    sure = reader.settings.least_score
    vague = [
        {t: s * _PER_SCORE for t, s in one.items() if s > sure and derivatives(t) == []} for one in suspected
    ]
    judged = iter(spread_changes(vague, [find_readable(one) for one in read]))
    shown = iter(settle(part, order) for part in parts)
    return [next(judged) | next(shown) if one is not None and one.karyotype else {} for one in readings]


def find_suspects(chromosomes: pd.DataFrame, reader: Reader, least: float = SUSPECT) -> dict[str, float]:
    """Changes that single chromosomes of a table may have, with their scores."""
    marked = reader.mark_changes(chromosomes)
    marked = marked[(marked["score"] > least) & (marked["kind"] != "variant")]
    fusions = find_fusions(chromosomes)
    fused = set(chain.from_iterable(fusions.values()))
    marked = marked[marked["objects"].map(fused.isdisjoint).astype(bool)]
    suspects = dict(zip(marked["iscn"], marked["score"].astype(float), strict=True))
    suspects |= dict.fromkeys(fusions, _SURER)
    # one derivative that is seen is half of an exchange as well
    return suspects | {m[1]: suspects[text] for text in list(suspects) if (m := _EXCHANGE.fullmatch(text))}


def find_fusions(chromosomes: pd.DataFrame) -> dict[str, list[int]]:
    """Robertsonian translocations that single objects are, as `count_spread` counts them; with their rows."""
    found: dict[str, list[int]] = {}
    for row, pair in chromosomes["segments"].map(find_fusion).dropna().items():
        found.setdefault("rob({};{})(q10;q10)".format(*pair), []).append(row)
    return found


def read_together(readings: Sequence[Reading], reader: Reader) -> pd.DataFrame:
    """What the strangest chromosomes of a class show together, cell laid upon cell: of all cells, a half and
    a quarter, as two homologues, and cells without the change, would hide it in an average of all. Returns
    ``chromosome, readable, segments, score``."""
    strange = []
    for cell, reading in enumerate(readings):
        table = reading.chromosomes
        table = table[table["readable"].astype(bool) & (table["score"] > _HINT)].sort_values("score")
        best = table.drop_duplicates("chromosome", keep="last")
        strange += [(row.chromosome, row.score, cell, i) for i, row in best.iterrows()]
    chosen = pd.DataFrame(strange, columns=["chromosome", "score", "cell", "row"])
    groups = []
    for _, own in chosen.sort_values("score", ascending=False).groupby("chromosome"):
        sizes = {min(len(own), ceil(len(readings) * share)) for share in (0.25, 0.5, 1.0)}
        groups += [own.head(size) for size in sorted(sizes) if size > 1]
    settings, rows = reader.decoder.settings.path, []
    if groups:
        log_p, lengths = _lay_upon([own[["cell", "row"]].to_numpy() for own in groups], readings, reader)
        paths = find_paths(log_p, lengths, settings)
        scores = paths.best - paths.normal.max((1, 2))
        names = [own["chromosome"].iloc[0] for own in groups]
        rows = [
            (name, True, path_segments(places, jumps, settings.tip), float(score))
            for name, places, jumps, score in zip(names, paths.places, paths.jumps, scores, strict=True)
        ]
    return pd.DataFrame(rows, columns=["chromosome", "readable", "segments", "score"]).astype(
        {"readable": bool, "score": float}
    )


def _lay_upon(
    groups: Sequence[np.ndarray], readings: Sequence[Reading], reader: Reader
) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-probability of each place, a row, of groups of chromosomes (cell, row), and their rows."""
    places: dict[tuple[int, int], np.ndarray] = {}
    asked = np.unique(np.concatenate(groups), axis=0)
    for cell in np.unique(asked[:, 0]):
        rows, table = asked[asked[:, 0] == cell, 1], readings[cell].chromosomes
        strips = readings[cell].found.strips.take(rows)
        for row, log_p, n in zip(rows, reader.decoder.log_places(strips), strips.rows, strict=True):
            log_p = np.maximum(log_p[:n], _LEAST_LOG)
            places[cell, row] = _upright(log_p) if table.at[row, "upside_down"] else log_p
    lengths = np.array([int(np.median([len(places[cell, row]) for cell, row in own])) for own in groups])
    means = np.full((len(groups), lengths.max(), NONE + 1), _LEAST_LOG, np.float32)
    for own, n, mean in zip(groups, lengths, means, strict=True):
        at = (np.arange(n) + 0.5) / n
        parts = [places[cell, row] for cell, row in own]
        mean[:n] = np.mean([part[(at * len(part)).astype(int)] for part in parts], axis=0)
    return means, lengths


def _upright(log_p: np.ndarray) -> np.ndarray:
    """Places of a strip that stands on its head, as if it did not."""
    return np.concatenate([log_p[::-1, BINS:NONE], log_p[::-1, :BINS], log_p[::-1, NONE:]], axis=1)


def find_exchanges(together: pd.DataFrame, readings: Sequence[Reading], reader: Reader) -> dict[str, float]:
    """Exchanges between two classes that are strange together: of one a break is seen, of the other all are
    tried, as the decoder often takes what comes from elsewhere for something else."""
    strange = together[together["score"] > _EXCHANGED].sort_values("score")
    strange = strange.drop_duplicates("chromosome", keep="last").tail(_MOST_STRANGE)
    breaks: dict[str, set[str]] = {}
    for segment in chain.from_iterable(strange["segments"]):
        name = segment.chromosome
        edges = {edge for edge in (segment.start, segment.stop) if 0 < edge < _BANDS.length(name)}
        breaks[name] = breaks.get(name, set()) | {_BANDS.band_at(name, edge).name for edge in edges}
    tried = []
    for (name, seen), other in product(breaks.items(), breaks):
        for band in sorted(seen) if other != name else ():
            ends = [
                sorted(((name, band), (other, one.name)), key=lambda end: rank_chromosome(end[0]))
                for one in _BANDS.bands(other)
            ]
            tried.append([f"t({a};{b})({at_a};{at_b})" for (a, at_a), (b, at_b) in ends])
    strength = add_up(look_for(dict.fromkeys(chain.from_iterable(tried)), readings, reader))
    best = (max(texts, key=lambda text: strength.get(text, 0.0)) for texts in tried)
    return {text: strength[text] for text in best if strength.get(text, 0.0) > 0}


def add_up(parts: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, float]:
    """What speaks for each change, were it the only one, summed over cells."""
    total: Counter[str] = Counter()
    for part in parts:
        for text in part:
            total[text] += max(0.0, settle(part, [text])[text])
    return dict(total)


def look_for(
    texts: Iterable[str], readings: Sequence[Reading], reader: Reader, least: float = -np.inf
) -> list[dict[str, pd.DataFrame]]:
    """By cell the changes (ISCN) that can be judged there, with their log-ratios: a row a chromosome of its
    classes, a column an abnormal chromosome that the change makes. Chromosomes of a score below ``least`` do
    not show it; those not readable say nothing, 0."""
    makes = {text: made for text in texts if (made := derivatives(text))}
    tables = [one.chromosomes for one in readings]
    rows: list[dict[str, dict]] = [{text: {} for text in makes} for _ in readings]
    settings = reader.decoder.settings.path
    for name in dict.fromkeys(name for text in makes for name in find_breaks(text)[1]):
        concerned = [text for text in makes if name in find_breaks(text)[1]]
        own = [table[table["chromosome"] == name] for table in tables]
        for cell, table in enumerate(own):
            for text in concerned:
                for i, readable in table["readable"].items():
                    rows[cell][text][i] = [_NO_EVIDENCE if readable else 0.0] * len(makes[text])
        looked = [t[t["readable"].astype(bool) & (t["score"] > least)] for t in own]
        places = [(cell, i, normal) for cell, t in enumerate(looked) for i, normal in t["normal"].items()]
        if not places:
            continue
        parts = [one.found.strips.take(t.index) for one, t in zip(readings, looked, strict=True)]
        strips, normal = ScaledStrips.join(parts), np.array([place[2] for place in places])
        log_p = reader.decoder.log_places(strips)
        asked = [(text, column) for text in concerned for column in range(len(makes[text]))]
        hypotheses = [makes[text][column] for text, column in asked]
        fits = fit_segments(log_p, strips.rows, hypotheses, settings)
        values = np.maximum((fits - normal[:, None] - _EVEN) * _PER_SCORE, _NO_EVIDENCE)
        for (cell, i, _), shown in zip(places, values.tolist(), strict=True):
            for (text, column), value in zip(asked, shown, strict=True):
                rows[cell][text][i][column] = value
    for own, table in zip(rows, tables, strict=True):
        for text, fused in find_fusions(table).items():
            if text in own:
                own[text] |= {i: [max(_FUSED, *own[text].get(i, ()))] for i in fused}
    return [
        {
            text: pd.DataFrame.from_dict(own, orient="index")
            for text, own in cell.items()
            if len(own) >= len(makes[text])
        }
        for cell in rows
    ]


def settle(parts: Mapping[str, pd.DataFrame], order: Iterable[str]) -> dict[str, float]:
    """Log-ratio of each change of `look_for` in a cell, over its abnormal chromosomes, each where it fits
    best; in ``order``, as a chromosome speaks for one change only."""
    taken: set[int] = set()
    found = {}
    for text in order:
        if text in parts:
            part = parts[text].drop(index=taken, errors="ignore")
            if len(part) < part.shape[1]:
                found[text] = NOT_SEEN
                continue
            rows, columns = linear_sum_assignment(part, maximize=True)
            values = part.to_numpy()
            # what both homologues show is how a laboratory's chromosomes look
            alike = np.maximum(np.delete(values, rows, axis=0), 0.0).max(0, initial=0.0)
            found[text] = float((values[rows, columns] - alike[columns]).sum())
            taken |= set(part.index[rows]) if found[text] > 0 else set()
    return found


def find_readable(reading: Reading) -> list[str]:
    """Classes of which every chromosome can be read band by band."""
    named = reading.chromosomes[reading.chromosomes["chromosome"] != ""]
    return [name for name, rows in named.groupby("chromosome") if rows["readable"].all()]
