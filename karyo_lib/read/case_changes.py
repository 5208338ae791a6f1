"""Which structural changes the cells of a case show.

What one cell shows, and what recurs in such cases, is looked for in the chromosomes of every cell.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from karyo_lib.iscn import LEVELS, NORMAL_GROUPS, KaryotypeError, load_bands
from karyo_lib.iscn.changes import make_change
from karyo_lib.iscn.clones import PRACTICES
from karyo_lib.iscn.operations import read_change
from karyo_lib.iscn.segments import UNKNOWN, Segments
from karyo_lib.read.pooling import NOT_SEEN, find_breaks, pool_changes, recurrent_changes, spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.shape.scaling import scale_strips

#: Score of a chromosome from which on it is asked what it may be made of.
SUSPECT = 3.5
#: Bins that the breaks of a change may be off where it is looked for.
_SLACK = 1
# Of cut-out chromosomes of 40 cells of another lab, changed by 10 to 40 Mb or not: where the decoder's
# evidence for a change is above -8, it is there more often than not, by a factor e for every 10.
_EVEN, _PER_SCORE, _NO_EVIDENCE = -8.0, 0.1, -5.0
_EXCHANGE = re.compile(r"der\(\w+\)(t\(\w+;\w+\)\([^)]+\))")


def show_changes(
    readings: Sequence[Reading | None], reader: Reader, practice: str | None = None
) -> list[dict[str, float]]:
    """Log-ratio of every change in every cell.

    ``readings``: sequence of Reading or None; ``reader``: what read them; ``practice`` ({'constitutional',
    'acquired'}): whose recurrent changes are looked for; of both by default. Returns of each cell the
    changes, in ISCN, that can be judged there.
    """
    read = [one for one in readings if one is not None and one.karyotype]
    suspected = [find_suspects(one, reader) for one in read]
    recurrent = chain.from_iterable(recurrent_changes(one) for one in ([practice] if practice else PRACTICES))
    # the catalogue's breaks stand for those near to them
    texts = pool_changes([dict.fromkeys(recurrent, np.inf), *suspected])
    # several cells add up what each hardly shows
    least = SUSPECT if len(read) == 1 else 0.0
    parts = [look_for(texts, one, reader, least) for one in read]
    alone = [{text: settle(part, [text])[text] for text in part} for part in parts]
    strength = {text: sum(max(0.0, one.get(text, 0.0)) for one in alone) for text in texts}
    order = sorted(texts, key=lambda text: -strength[text])
    # what no segments can be made of is only what each cell plainly shows of itself
    sure = reader.settings.least_score
    vague = [
        {t: s * _PER_SCORE for t, s in one.items() if s > sure and _derivatives(t) == []} for one in suspected
    ]
    judged = iter(spread_changes(vague, [find_readable(one) for one in read]))
    shown = iter(settle(part, order) for part in parts)
    return [next(judged) | next(shown) if one is not None and one.karyotype else {} for one in readings]


def find_suspects(reading: Reading, reader: Reader) -> dict[str, float]:
    """Changes that single chromosomes of a cell may have, with their scores."""
    marked = reader.mark_changes(reading.chromosomes)
    marked = marked[(marked["score"] > SUSPECT) & (marked["kind"] != "variant")]
    suspects = dict(zip(marked["iscn"], marked["score"].astype(float), strict=True))
    # one derivative that is seen is half of an exchange as well
    return suspects | {m[1]: suspects[text] for text in list(suspects) if (m := _EXCHANGE.fullmatch(text))}


def look_for(
    texts: Iterable[str], reading: Reading, reader: Reader, least: float = 0.0
) -> dict[str, pd.DataFrame]:
    """How well the abnormal chromosomes of given changes fit the chromosomes of a cell.

    ``texts`` (iterable of str): changes in ISCN; ``least``: score of the chromosomes that are looked at; in
    others it is not seen. Returns dict of str to pandas.DataFrame; of each change that can be judged the
    log-ratios: a row a readable chromosome of its classes, a column an abnormal chromosome that the change
    makes.
    """
    table = reading.chromosomes[reading.chromosomes["readable"].astype(bool)]
    makes = {text: made for text in texts if (made := _derivatives(text))}
    classes = {name for text in makes for name in find_breaks(text)[1]}
    rows = table.index[table["chromosome"].isin(classes) & (table["score"] > least)]
    scores = pd.DataFrame(_NO_EVIDENCE, table.index, range(sum(map(len, makes.values()))))
    if len(rows):
        # sizes are relative to the cell: all of its chromosomes are scaled, those concerned looked at
        strips = scale_strips(reading.found.cutouts, reading.found.masks).take(rows)
        found = reader.decoder.evidence(strips, list(chain.from_iterable(makes.values())), _SLACK)
        scores.loc[rows] = np.maximum((found - _EVEN) * _PER_SCORE, _NO_EVIDENCE)
    parts, first = {}, 0
    for text, derivatives in makes.items():
        own = table["chromosome"].isin(find_breaks(text)[1]).to_numpy()
        if own.sum() >= len(derivatives):
            parts[text] = scores.iloc[own, first : first + len(derivatives)]
        first += len(derivatives)
    return parts


def settle(parts: Mapping[str, pd.DataFrame], order: Iterable[str]) -> dict[str, float]:
    """Log-ratio of each change in a cell, summed over its abnormal chromosomes, each where it fits best.

    ``parts``: from `look_for`; ``order``: a chromosome that speaks for a change is not there for later ones.
    """
    taken: set[int] = set()
    found = {}
    for text in order:
        if text in parts:
            part = parts[text].drop(index=taken, errors="ignore")
            if len(part) < part.shape[1]:
                found[text] = NOT_SEEN
                continue
            rows, columns = linear_sum_assignment(part, maximize=True)
            found[text] = float(part.to_numpy()[rows, columns].sum())
            taken |= set(part.index[rows]) if found[text] > 0 else set()
    return found


def find_readable(reading: Reading) -> list[str]:
    """Classes of which every chromosome can be read band by band."""
    named = reading.chromosomes[reading.chromosomes["chromosome"] != ""]
    return [name for name, rows in named.groupby("chromosome") if rows["readable"].all()]


@cache
def _derivatives(text: str) -> list[Segments] | None:
    """The abnormal chromosomes that a change makes, at the finest level: none where they hold material of
    unknown origin; None for a normal variant."""
    try:
        change = make_change(read_change(text, ())[0], load_bands(max(LEVELS)))
    except KaryotypeError:
        return []
    made = [chromosome.segments for chromosome in change.produced if chromosome.rearranged]
    if change.group in NORMAL_GROUPS:
        return None
    unknown = any(segment.chromosome == UNKNOWN for segments in made for segment in segments)
    return [] if unknown else made
