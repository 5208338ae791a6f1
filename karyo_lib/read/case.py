"""From the cells of a patient to the case: one formula, its probability, and what is excluded."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pandas as pd

from karyo_lib.iscn import CHROMOSOMES
from karyo_lib.iscn.clones import CELLS_FOR_GAIN, CELLS_FOR_LOSS, Clone, order_clones, write_clones
from karyo_lib.judge.intervals import cells_needed, excluded_share, share_found
from karyo_lib.read.case_record import Case, CaseCell, CaseLine, CaseSettings, Exclusion, count_cells
from karyo_lib.read.cell_evidence import CellEvidence, Line, log_artefact, weigh_cells
from karyo_lib.read.clone_rules import (
    composite_clone,
    describe_difference,
    keep_clonal,
    line_text,
    person_sex,
    read_as,
)
from karyo_lib.read.lines import LineSets, excluded_shares, weigh_lines
from karyo_lib.read.pooling import known_share

#: Probability of one cell line, two, ... before any cell is seen.
P_LINES = {"constitutional": (0.965, 0.03, 0.005), "acquired": (0.55, 0.33, 0.09, 0.03)}
_CUMULATIVE = 0.9999  # sets of lines beyond are not looked at
_SINGLE_CHANGES = 2 * len(CHROMOSOMES)  # a gain or a loss of each
_NAN = float("nan")


def compose_case(cells: Iterable[CellEvidence], settings: CaseSettings | None = None) -> Case:
    """Weigh the evidence of all cells of a patient together.

    ``cells``: iterable of CellEvidence. Returns without a cell that could be read, its formula is '' and its
    probability NaN.

    Examples
    --------
    >>> candidates = pd.DataFrame({"formula": ["47,XY,+21", "46,XY"], "probability": [0.98, 0.02]})
    >>> cells = [CellEvidence.from_candidates(str(i), candidates, 0.3) for i in range(3)]
    >>> compose_case(cells).formula
    '47,XY,+21'
    """
    cells, settings = list(cells), settings or CaseSettings()
    used = [cell for cell in cells if not cell.excluded]
    if not used:
        nothing = pd.DataFrame(columns=["formula", "probability"])
        exclusion, notes = _exclude([], [], [], 1, settings), ("No cell could be read.",)
        return Case("", _NAN, _NAN, (), tuple(_in_order(cells, [])), nothing, exclusion, notes, settings)
    known = {change: known_share(change, settings.practice) for cell in used for change in cell.changes}
    prior = {c: float(np.log(settings.p_change + settings.p_abnormal * p)) for c, p in known.items()}
    for change, value in prior.items():
        shown = [cell.changes.get(change, 0.0) for cell in used]
        prior[change] = value - log_artefact(shown, settings.errors, value, 1 - P_LINES[settings.practice][0])
    posterior = weigh_lines(used, settings.errors, settings.p_abnormal, P_LINES[settings.practice], prior)
    outcomes, weights = _outcomes(posterior, settings.practice)
    totals: Counter[frozenset[str]] = Counter()
    for outcome, weight in zip(outcomes, weights, strict=True):
        totals[outcome.formulae] += weight
    best_key, best_weight = totals.most_common(1)[0]
    number = next(i for i, outcome in enumerate(outcomes) if outcome.formulae == best_key)
    chosen = outcomes[number]
    judged = _judge_cells(used, chosen, settings)
    p_abnormal = sum(w for key, w in totals.items() if not all(Clone(f).normal for f in key)) / sum(weights)
    probability = best_weight / sum(weights)
    composite = _composite(used, judged, chosen.sex, settings) if settings.practice == "acquired" else None
    if composite:
        clone, members = composite
        normal = [c for c in judged if c.name not in members and c.counted and Clone(c.line).normal]
        judged = [
            replace(c, line=clone.formula, finding=(), counted=True) if c.name in members else c
            for c in judged
        ]
        clones = [clone, *[Clone(c.line, len(normal)) for c in normal[:1]]]
        lines = [
            CaseLine(one.formula, names, *_share(len(names), len(used)))
            for one, names in zip(clones, (members, tuple(c.name for c in normal)), strict=False)
        ]
        probability = _NAN
    else:
        lines, clones = _lines(posterior, posterior.sets[number], chosen, judged, settings.practice)
    return Case(
        formula=write_clones(clones, settings.practice),
        probability=float(probability),
        p_abnormal=float(p_abnormal),
        lines=tuple(lines),
        cells=tuple(_in_order(cells, judged)),
        alternatives=_alternatives(totals, settings.practice),
        exclusion=_exclude(used, chosen.kept, judged, len(cells), settings),
        notes=_notes(used, judged, lines),
        settings=settings,
    )


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What a set of lines comes to under ISCN's rules."""

    sex: str
    kept: list[Line]  # of each cell that takes part
    formulae: frozenset[str]


def _outcomes(posterior: LineSets, practice: str) -> tuple[list[_Outcome], list[float]]:
    """What each probable set of lines comes to, and its probability."""
    outcomes, weights, total = [], [], 0.0
    for chosen, probability in zip(posterior.sets, posterior.probability, strict=True):
        lines = [posterior.lines[i] for i in chosen]
        members = posterior.assign(chosen).tolist()
        sex = person_sex(lines[i] for i in members)
        kept = keep_clonal(lines, members, sex)
        outcomes.append(_Outcome(sex, kept, frozenset(line_text(line, practice, sex) for line in set(kept))))
        weights.append(float(probability))
        total += probability
        if total > _CUMULATIVE:
            break
    return outcomes, weights


def _judge_cells(used: list[CellEvidence], chosen: _Outcome, settings: CaseSettings) -> list[CaseCell]:
    """Compare what every cell most probably shows, being of its line, with that line."""
    distinct = list(dict.fromkeys(chosen.kept))
    readable = weigh_cells(used, distinct, settings.errors)[1]
    judged = []
    for cell, line, read in zip(used, chosen.kept, readable, strict=True):
        text = line_text(line, settings.practice, chosen.sex)
        more, less = describe_difference(cell.read_in(line.counts, settings.errors), line)
        structural = tuple(sorted(cell.shown(settings.errors) - line.changes))
        fits = read[distinct.index(line)]
        # a random loss leaves a cell in its line; so does a change of structure, in a single cell more often
        # false than true; a gain makes it no normal cell
        counted = fits and not (Clone(text).normal and more)
        finding, line_of = (*more, *less, *structural), text if fits else ""
        judged.append(
            CaseCell(
                cell.name, read_as(cell.best), line_of, finding, bool(counted), cell.analysed, "", cell.doubts
            )
        )
    return judged


def _lines(
    posterior: LineSets, chosen_set: tuple[int, ...], chosen: _Outcome, judged: list[CaseCell], practice: str
) -> tuple[list[CaseLine], list[Clone]]:
    """The lines in the order of the formula, with shares from the posterior, and as clones."""
    grid, weights = posterior.share_posterior(chosen_set)
    members = posterior.assign(chosen_set)
    text_of = {
        int(i): line_text(line, practice, chosen.sex) for i, line in zip(members, chosen.kept, strict=True)
    }
    found = []
    for formula in sorted(chosen.formulae):
        cells = tuple(cell.name for cell in judged if cell.line == formula and cell.counted)
        columns = [i for i, text in text_of.items() if text == formula]
        shares = grid[:, columns].sum(1)
        order = np.argsort(shares)
        low, high = np.interp((0.025, 0.975), np.cumsum(weights[order]), shares[order])
        if len(chosen.formulae) == 1:
            share, low, high = _share(len(cells), len(judged))
        else:
            share = weights @ shares
        found.append(CaseLine(formula, cells, float(share), float(low), float(high)))
    shown = [line for line in found if line.cells] or found
    clones = [Clone(line.formula, len(line.cells)) for line in shown]
    order = {clone.formula: n for n, clone in enumerate(order_clones(clones, practice))}
    shown.sort(key=lambda line: order[line.formula])
    return shown, clones


def _share(cells: int, total: int) -> tuple[float, float, float]:
    """Share of cells and its exact 95 % interval."""
    low = 1 - excluded_share(total, total - cells, confidence=0.975)
    return cells / total, low, excluded_share(total, cells, confidence=0.975)


def _composite(
    used: list[CellEvidence], judged: list[CaseCell], sex: str, settings: CaseSettings
) -> tuple[Clone, tuple[str, ...]] | None:
    """A composite line and its cells, where the abnormal cells differ too much for lines."""
    abnormal = [
        (cell, judgement) for cell, judgement in zip(used, judged, strict=True)
        if not (judgement.line and Clone(judgement.line).normal and judgement.counted)
    ]  # fmt: skip
    shown = [Line(cell.best, cell.shown(settings.errors)) for cell, _ in abnormal]
    found = composite_clone(shown, sex)
    return (found[0], tuple(abnormal[i][0].name for i in found[1])) if found else None


def _in_order(cells: list[CellEvidence], judged: list[CaseCell]) -> list[CaseCell]:
    """Those judged and those excluded, as the cells were given."""
    left = iter(judged)
    return [
        CaseCell(cell.name, "", "", (), False, False, cell.excluded) if cell.excluded else next(left)
        for cell in cells
    ]


def _alternatives(totals: Counter, practice: str) -> pd.DataFrame:
    """What else the cells may come to, lines without cell numbers."""
    whole = sum(totals.values())
    rows = [
        (write_clones([Clone(formula) for formula in key], practice), weight / whole)
        for key, weight in totals.most_common(5)
    ]
    return pd.DataFrame(rows, columns=["formula", "probability"])


def _exclude(
    used: list[CellEvidence], kept: list[Line], judged: list[CaseCell], total: int, settings: CaseSettings
) -> Exclusion:
    errors, confidence, n = settings.errors, settings.confidence, len(used)
    seen = Counter(text for cell in judged for text in set(cell.finding))
    least, perfect = (excluded_share(n, 0, s, confidence) for s in (errors.sensitivity, 1.0))
    shares = excluded_shares(used, kept, errors, confidence)
    rows = [(text, seen[text], max(least, share)) for text, share in shares.items()]
    rows.sort(key=lambda row: (-row[2], row[0]))
    highest = [share for _, _, share in rows] + [least] * (_SINGLE_CHANGES - len(rows))
    # a reader that would have to see so much of a change to exclude no more of it
    needed = cells_needed(settings.aim, 0, perfect / max(highest), confidence)
    more = None if needed is None else ceil(max(0, needed - n) * total / max(n, 1))
    return Exclusion(
        cells=n,
        confidence=confidence,
        share=max(highest),
        usual=float(np.median(highest)),
        perfect=perfect,
        analysed=sum(cell.analysed for cell in judged),
        changes=tuple(row for row in rows if row[2] > least),
        least=least,
        gains_found=share_found(n, CELLS_FOR_GAIN, errors.sensitivity, confidence),
        losses_found=share_found(n, CELLS_FOR_LOSS, errors.sensitivity, confidence),
        aim=settings.aim,
        more=more,
    )


def _notes(used: list[CellEvidence], judged: list[CaseCell], lines: list[CaseLine]) -> tuple[str, ...]:
    notes = []
    changed = [line for line in lines if not Clone(line.formula).normal]
    if changed and len(used) < CELLS_FOR_LOSS:
        notes.append(
            f"{count_cells(len(used))} read: ISCN asks for {CELLS_FOR_GAIN} with a gain or a structural "
            f"change, and for {CELLS_FOR_LOSS} with a loss, before it counts as clonal."
        )
    for line in changed:
        number = line.formula.split(",")[0]
        own = [cell for cell in judged if cell.name in line.cells]
        if own and all(cell.read.split(",")[0] != number for cell in own):
            notes.append(
                f"None of the {count_cells(len(own))} of {line.formula} was read with {number} chromosomes "
                "by itself: the formula rests on what they show together."
            )
    unread = sum(not cell.line for cell in judged)
    if unread:
        notes.append(f"{count_cells(unread)} with too many differences from any line: in no bracket.")
    sexes = {line.formula.split(",")[1] for line in lines if "," in line.formula}
    if len(lines) > 1 and {"XX", "XY"} <= sexes:
        notes.append("XX and XY cells: a chimera, or cells of someone else (maternal cells).")
    if len(lines) > 1 and "X" in sexes and len(sexes) > 1:
        notes.append("Cells that lack an X or a Y also come with age.")
    lost = sum(any(text[0] == "-" for text in cell.finding) for cell in judged if cell.counted)
    if lost:
        notes.append(f"{count_cells(lost)} without a chromosome of the line: taken for random loss.")
    return tuple(notes)
