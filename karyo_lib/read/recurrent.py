"""Recurrent changes of the catalogue, looked for in one cell: where breaks are known, little is enough."""

from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from karyo_lib.iscn import LEVELS, NORMAL_GROUPS, KaryotypeError, load_bands
from karyo_lib.iscn.changes import Change, make_change
from karyo_lib.iscn.operations import read_change
from karyo_lib.iscn.segments import UNKNOWN, Segments
from karyo_lib.read.decode import Decoded, fit_segments
from karyo_lib.read.path import PathSettings
from karyo_lib.read.pooling import catalogued_changes, find_breaks

#: Share among abnormal karyotypes from which on a change is looked for in every cell; below, single families.
_SHARE = {"acquired": 0.0025, "constitutional": 0.005}
#: Log-odds of the best path against a normal one from which on a chromosome is asked.
_ODD = 2.0
#: No chromosome speaks more against a change: it may be misread.
_MOST_AGAINST = -15.0


@cache
def read_text(text: str) -> Change | None:
    """What a change in ISCN makes of which chromosomes; None where that is not told."""
    try:
        return make_change(read_change(text, ())[0], load_bands(max(LEVELS)))
    except KaryotypeError:
        return None


def derivatives(text: str) -> list[Segments] | None:
    """The abnormal chromosomes a change makes; none if of unknown material; None for a normal variant."""
    change = read_text(text)
    if change is None or change.group in NORMAL_GROUPS:
        return [] if change is None else None
    made = [chromosome.segments for chromosome in change.produced if chromosome.rearranged]
    unknown = any(segment.chromosome == UNKNOWN for segments in made for segment in segments)
    return [] if unknown else made


@cache
def recurrent_derivatives(practice: str | None = None) -> dict[str, list[Segments]]:
    """Recurrent changes (of both practices by default), in ISCN, to the abnormal chromosomes that they make;
    no marker and no extra one."""
    shares: Counter[str] = Counter()
    for one in [practice] if practice else _SHARE:
        for text, share in catalogued_changes(one):
            shares[text] += share / _SHARE[one]
    texts = [text for text, share in shares.items() if share >= 1 and not text.startswith("+")]
    return {text: made for text in texts if (made := derivatives(text))}


def find_recurrent(
    table: pd.DataFrame, decoded: Decoded, log_p: np.ndarray, rows: np.ndarray, settings: PathSettings
) -> list[tuple]:
    """Recurrent changes that more speaks for than against, as rows of ``Reading.structure``, of chromosomes
    (``table``) of ``rows`` (int (n,)) rows, which show places as ``log_p`` says (`Decoder.log_places`)."""
    changes, names = recurrent_derivatives(), table["chromosome"]
    readable = table["readable"].to_numpy(bool)
    concerned = {text: readable & names.isin(find_breaks(text)[1]).to_numpy() for text in changes}
    wanted = np.stack([concerned[text] for text, made in changes.items() for _ in made], axis=1)
    wanted &= (decoded.odds > _ODD)[:, None]
    hypotheses = [segments for made in changes.values() for segments in made]
    fits = fit_segments(log_p, rows, hypotheses, settings, wanted)
    evidence = np.maximum(fits - decoded.normal.max((1, 2))[:, None], _MOST_AGAINST)
    found, first = [], 0
    for text, made in changes.items():
        own, columns = np.flatnonzero(concerned[text]), slice(first, first := first + len(made))
        if len(own) < len(made):
            continue
        part = evidence[own, columns]
        at = linear_sum_assignment(part, maximize=True)
        if (score := float(part[at].sum())) > 0:
            objects = tuple(own[at[0]][part[at] > _MOST_AGAINST].tolist())
            found.append((names.iloc[objects[0]], text, read_text(text).group, score, objects))
    return found


def keep_surest(rows: list[tuple]) -> list[tuple]:
    """Rows of ``Reading.structure`` by falling score; each chromosome speaks for one of them."""
    kept: list[tuple] = []
    for row in sorted(rows, key=lambda row: -row[3]):
        if not {i for other in kept for i in other[4]} & set(row[4]):
            kept.append(row)
    return kept
