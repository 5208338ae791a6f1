"""From the cells of a patient to one formula."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from case_simulation import ERRORS, P_ABNORMAL, draw_cells, read_cell
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from karyo_lib.iscn.clones import read_clones, same_line
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_record import CaseSettings
from karyo_lib.read.cell_evidence import (
    CellErrors,
    CellEvidence,
    Line,
    complement_log_prior,
    log_misread,
    read_counts,
)
from karyo_lib.read.lines import excluded_shares

PH = "t(9;22)(q34;q11.2)"
SETTINGS = CaseSettings(errors=ERRORS)


def _case(lines, practice="constitutional", errors=None, seed=0):
    cells = draw_cells(lines, np.random.default_rng(seed), errors)
    return compose_case(cells, CaseSettings(practice, errors=ERRORS))


@pytest.mark.parametrize(
    ("lines", "practice", "formula"),
    [
        ([("46,XX", 20)], "constitutional", "46,XX"),
        ([("46,XX", 20)], "acquired", "46,XX[20]"),
        ([("47,XY,+21", 5)], "constitutional", "47,XY,+21"),
        ([("47,XY,+21", 12), ("46,XY", 8)], "constitutional", "mos 47,XY,+21[12]/46,XY[8]"),
        ([("45,X", 6), ("47,XXX", 4), ("46,XX", 10)], "constitutional", "mos 45,X[6]/47,XXX[4]/46,XX[10]"),
        ([("45,X,-Y", 6), ("46,XY", 14)], "acquired", "45,X,-Y[6]/46,XY[14]"),
        (
            [("47,XX,+8", 10), ("48,XX,+8,+21", 6), ("46,XX", 4)],
            "acquired",
            "47,XX,+8[10]/48,idem,+21[6]/46,XX[4]",
        ),
        ([("69,XXY", 5)], "constitutional", "69,XXY"),
        ([("46,XX", 10), ("46,XY", 10)], "constitutional", "chi 46,XX[10]/46,XY[10]"),
        ([("46,XY", 2), ("47,XXY", 3)], "constitutional", "mos 47,XXY[3]/46,XY[2]"),
        ([("46,XX", 2), ("45,X", 3)], "constitutional", "mos 45,X[3]/46,XX[2]"),
    ],
)
def test_cells_read_without_errors_give_the_formula(lines, practice, formula):
    case = _case(lines, practice)
    assert case.formula == formula
    assert case.probability > 0.9
    assert case.counted == sum(n for _, n in lines)


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ([("47,XX,+8", 1), ("46,XX", 19)], ("+8",)),  # a gain takes two cells
        ([("45,XX,-7", 2), ("46,XX", 18)], ("-7",)),  # a loss takes three
        ([("45,X", 2), ("46,XX", 18)], ("-X",)),
    ],
)
def test_what_is_not_clonal_stands_beside_the_formula(lines, finding):
    case = _case(lines)
    assert case.formula == "46,XX"
    assert [found for _, found in case.single_findings] == [finding] * lines[0][1]
    assert case.p_abnormal < 0.05


def test_a_single_normal_cell_may_be_a_line_or_a_loss():
    for lines in ([("46,XY", 1), ("47,XXY", 3)], [("46,XX", 1), ("45,X", 3)]):
        case = _case(lines)
        told = case.alternatives.set_index("formula")["probability"]
        assert told[lines[1][0]] > 0.3
        assert told[f"mos {lines[1][0]}/{lines[0][0]}"] > 0.3


def test_a_loss_leaves_a_cell_in_its_line_and_a_gain_does_not():
    assert _case([("45,XX,-7", 1), ("46,XX", 19)], "acquired").formula == "46,XX[20]"
    assert _case([("47,XX,+8", 1), ("46,XX", 19)], "acquired").formula == "46,XX[19]"


def test_two_cells_that_may_have_been_misread_are_less_than_four():
    two, four = (_case([("47,XX,+8", n), ("46,XX", 20 - n)]) for n in (2, 4))
    assert 0.1 < two.p_abnormal < 0.6 < 0.9 < four.p_abnormal
    # with a reader that seldom finds one too many, two are enough
    cells = draw_cells([("47,XX,+8", 2), ("46,XX", 18)], np.random.default_rng(0))
    sure = compose_case(cells, CaseSettings(errors=CellErrors(gained=1e-4, exchanged=1e-4, failed=1e-3)))
    assert sure.formula == "mos 47,XX,+8[2]/46,XX[18]"


@pytest.mark.parametrize("formula", ["46,XX", "46,XY", "47,XY,+21", "47,XX,+18", "45,X", "47,XXY"])
def test_errors_of_the_reader_do_not_reach_the_formula(formula):
    for seed in range(10):
        assert _case([(formula, 20)], errors=ERRORS, seed=seed).formula == formula


def _cell_with(name, y):
    """A cell in which ``y`` (log-ratio) speaks for a Y beside one X, as its reader says it."""
    formulae = ["45,X", "46,XY", "46,XX", "47,XXY"]
    support = np.array([4.2, 4.2 + y, 0.0, min(y, 0.0)])
    support += [complement_log_prior(read_counts(formula), P_ABNORMAL) for formula in formulae]
    probability = np.exp(support) / np.exp(support).sum()
    candidates = pd.DataFrame({"formula": formulae, "probability": probability})
    return CellEvidence.from_candidates(str(name), candidates, P_ABNORMAL, analysed=True)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 6), st.integers(0, 999))
def test_a_piece_taken_for_a_y_in_single_cells_is_no_line(pieces, seed):
    # as on validation spreads from which an X was taken: in 6 of 28 a piece is rather a Y
    rng = np.random.default_rng(seed)
    support = rng.permutation([*rng.uniform(1.0, 2.6, pieces), *[-4.9] * (20 - pieces)])
    case = compose_case([_cell_with(name, y) for name, y in enumerate(support)])
    assert case.formula == "45,X"
    assert sum(cell.read == "46,XY" for cell in case.cells) <= pieces


@settings(max_examples=15, deadline=None)
@given(st.integers(7, 12), st.integers(0, 999))
def test_a_line_with_a_y_beside_45_x_is_found(male, seed):
    # a Y that is there speaks for itself by 2.4 to 9.6 there, in the middle by 5.3
    rng = np.random.default_rng(seed)
    support = rng.permutation([*rng.triangular(2.4, 5.3, 9.6, male), *[-4.9] * (20 - male)])
    found = compose_case([_cell_with(name, y) for name, y in enumerate(support)])
    assert {line.formula for line in found.lines} == {"45,X", "46,XY"}
    (line,) = (line for line in found.lines if line.formula == "46,XY")
    assert line.low < male / 20 < line.high


def test_few_cells_say_so():
    case = _case([("45,X", 2)])
    assert case.formula == "45,X"
    assert "ISCN asks for" in case.notes[0]
    assert _case([("47,XX,+21", 1)]).probability < 0.99


def test_cells_that_differ_make_a_composite_karyotype():
    lines = [
        "47,XY,+8", "48,XY,+8,+9", "49,XY,+8,+9,+21", "48,XY,+8,+21", "48,XXY,+8", "46,XY", "46,XY", "46,XY",
    ]  # fmt: skip
    case = _case([(formula, 1) for formula in lines], "acquired")
    assert case.formula == "47~49,XY,+8[5],+9[2],+21[2][cp5]/46,XY[3]"
    assert np.isnan(case.probability)
    assert read_clones(case.formula)[0].composite


def test_a_structural_change_adds_up_over_cells():
    rng = np.random.default_rng(1)

    def cells(seen, unseen, unread, score):
        changes = [{PH: score}] * seen + [{PH: -3.0}] * unseen + [{}] * unread
        return [read_cell(str(i), "46,XX", rng, changes=one) for i, one in enumerate(changes)]

    acquired = CaseSettings("acquired", errors=ERRORS)
    assert compose_case(cells(10, 0, 0, 6.0), acquired).formula == f"46,XX,{PH}[10]"
    assert compose_case(cells(8, 12, 0, 6.0), acquired).formula == f"46,XX,{PH}[8]/46,XX[12]"
    # a cell whose chromosome could not be judged goes with the others
    assert compose_case(cells(6, 0, 4, 6.0), acquired).formula == f"46,XX,{PH}[10]"
    # however sure one cell is, it is one cell
    one = compose_case(cells(1, 9, 0, 50.0), acquired)
    assert one.formula == "46,XX[10]"
    assert one.single_findings == (("0", (PH,)),)
    # what the catalogue knows takes fewer cells than what nobody has seen before
    odd = "t(3;13)(p21;q22)"
    rare = [replace(cell, changes={odd: cell.changes[PH]}) for cell in cells(3, 9, 0, 6.0)]
    assert compose_case(rare, acquired).p_abnormal < compose_case(cells(3, 9, 0, 6.0), acquired).p_abnormal


def test_a_robertsonian_translocation_is_no_loss():
    rng, rob = np.random.default_rng(1), "rob(14;21)(q10;q10)"
    cells = [read_cell(str(i), "45,XX,-21", rng, changes={rob: 4.0}) for i in range(4)]
    case = compose_case(cells, SETTINGS)
    assert case.formula == f"45,XX,{rob}"
    # where each cell alone is as well one of 46 with a chromosome missed, the change says which
    either = [
        replace(
            cell,
            complements=np.array([read_counts("46,XX"), read_counts("45,XX,-21")]),
            log_likelihood=np.array([3.5, 3.0]),
        )
        for cell in cells
    ]
    assert compose_case(either, SETTINGS).formula == f"45,XX,{rob}"
    assert compose_case([replace(cell, changes={}) for cell in either], SETTINGS).formula == "46,XX"


def test_what_no_cell_shows_by_itself_all_show_together():
    rng = np.random.default_rng(1)
    cells = [
        replace(
            read_cell(str(i), "46,XX", rng),
            complements=np.array([read_counts(f) for f in ("46,XX", "45,X", "45,XX,-22")]),
            log_likelihood=np.array([0.5, 3.0, 2.0]),
        )
        for i in range(8)
    ]
    assert compose_case(cells[:1], SETTINGS).formula == "46,XX"
    assert compose_case(cells, SETTINGS).formula == "45,X"


def test_an_abnormal_chromosome_that_is_named_as_another_class_is_no_gain_and_loss():
    rng, swap = np.random.default_rng(1), "46,XX,+12,-19"
    change = {"t(7;19)(q21.3;p13.3)": 8.0}
    cells = [read_cell(str(i), swap if i < 6 else "46,XX", rng, changes=change) for i in range(8)]
    assert compose_case(cells, SETTINGS).formula == f"46,XX,{next(iter(change))}"
    plain = compose_case([replace(cell, changes={}) for cell in cells], SETTINGS)
    assert plain.formula == "mos 46,XX,+12,-19[6]/46,XX[2]"


def test_cells_that_could_not_be_read_are_told():
    cells = draw_cells([("46,XX", 10)], np.random.default_rng(0))
    empty = pd.DataFrame({"formula": [], "probability": []})
    unread = [
        CellEvidence.from_candidates("bad", empty, P_ABNORMAL),
        replace(cells[0], name="dim", excluded="too pale"),
    ]
    case = compose_case([unread[0], *cells, unread[1]])
    assert [cell.excluded for cell in case.cells if cell.excluded] == ["no chromosomes were read", "too pale"]
    assert case.cells[0].name == "bad"
    assert case.exclusion.cells == 10
    nothing = compose_case(unread)
    assert nothing.formula == ""
    assert np.isnan(nothing.probability)
    assert nothing.exclusion.share == 1


def test_the_reader_s_errors_widen_what_is_excluded():
    case = _case([("46,XX", 20)])
    assert round(100 * case.exclusion.perfect) == 14
    assert case.exclusion.share > case.exclusion.perfect
    assert case.exclusion.more >= 9  # 29 cells exclude 10 % for a reader without errors
    assert case.exclusion.gains_found < case.exclusion.losses_found
    one = _case([("47,XX,+8", 1), ("46,XX", 19)])
    assert one.exclusion.share_of("+8") > one.exclusion.share_of("+9") == case.exclusion.share


@pytest.mark.parametrize(("support", "low", "high"), [(-40.0, 0.139, 0.143), (-4.0, 0.14, 0.2), (0.0, 1, 1)])
def test_a_share_is_excluded_as_far_as_the_cells_speak_against_it(support, low, high):
    # against it beyond doubt: Hook's table, 14 % of 20 cells; neither for nor against it: nothing
    counts = np.array([read_counts("46,XX"), read_counts("45,X")])
    cells = [CellEvidence(str(i), counts, np.array([0.0, support])) for i in range(20)]
    errors = CellErrors(lost=1e-9, gained=1e-9, exchanged=1e-9, failed=1e-9)
    shares = excluded_shares(cells, [Line(read_counts("46,XX"))] * 20, errors, 0.95)
    assert list(shares) == ["-X"]
    assert low <= shares["-X"] <= high


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([0.2, 0.3, 0.4]), st.floats(2.0, 5.0), st.integers(0, 999))
def test_what_is_stated_of_a_mosaic_that_cells_hardly_show_holds(share, strength, seed):
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(5):
        own = rng.random(20) < share
        cells = [_cell_with(i, y) for i, y in enumerate(np.where(own, -strength, strength))]
        case = compose_case(cells)
        if not any(line.formula == "45,X" for line in case.lines):
            wrong += case.exclusion.share_of("-Y") <= share
    assert wrong <= 1


@pytest.fixture(scope="module")
def read_cells():
    """Four hundred cells of each line, read with errors; drawing is cheaper than reading."""
    rng, lines = np.random.default_rng(24), ("47,XX,+8", "45,X", "46,XX")
    cells = draw_cells([(line, 400) for line in lines], rng, ERRORS)
    return {line: cells[400 * i : 400 * (i + 1)] for i, line in enumerate(lines)}


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_stated_exclusion_holds(share, read_cells):
    draws, wrong, found = 1000 // 3 + 1, 0, 0
    rng = np.random.default_rng(int(100 * share))
    for _ in range(draws):
        abnormal = ("47,XX,+8", "+8") if rng.random() < 0.5 else ("45,X", "-X")
        n = rng.binomial(20, share)
        chosen = [(abnormal[0], n), ("46,XX", 20 - n)]
        cells = [read_cells[line][i] for line, k in chosen for i in rng.choice(400, k, replace=False)]
        case = compose_case(cells, SETTINGS)
        if abnormal[0] in case.formula:
            found += 1
        else:
            wrong += case.exclusion.share_of(abnormal[1]) <= share
    assert wrong <= binom.ppf(0.999, draws, 0.05)
    assert share < 0.5 or found > 0.9 * draws


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["46,XX", "45,X", "47,XXX", "47,XX,+8", "48,XX,+8,+21", "45,XX,-7"]),
                  st.integers(1, 8)),
        min_size=1, max_size=4,
    ),
    st.sampled_from(["constitutional", "acquired"]), st.integers(0, 99),
)  # fmt: skip
def test_whatever_the_cells_the_formula_is_read_back(lines, practice, seed):
    case = _case(lines, practice, ERRORS, seed)
    read = read_clones(case.formula)
    assert len(read) == len(case.lines)
    for line in case.lines:
        (clone,) = [c for c in read if same_line(c.formula, line.formula)]
        assert clone.cells in (0, len(line.cells))
    assert 0 <= case.p_abnormal <= 1 + 1e-9
    assert case.alternatives["probability"].is_monotonic_decreasing
    assert len(case.cells) == sum(n for _, n in lines)


def test_probabilities_of_what_is_read_add_up():
    counts = (*[2] * 22, 2, 0)
    others = [counts]
    for index in range(24):
        for step in (-1, 1):
            if counts[index] + step >= 0:
                others.append(tuple(n + step * (i == index) for i, n in enumerate(counts)))
    total = np.exp(log_misread(np.array(others), counts, ERRORS)).sum()
    assert 0.97 < total <= 1  # two errors at once are the rest


def test_errors_are_measured_on_known_cells():
    rng, true = np.random.default_rng(3), CellErrors(lost=0.2, gained=0.02, exchanged=0.01, failed=0.05)
    cells = draw_cells([("46,XX", 150)], rng, true)
    errors = CellErrors.fit(cells, ["46,XX"] * 150, change_missed=0.3)
    assert 0.1 < errors.lost < 0.3
    assert errors.gained < 0.08
    assert errors.exchanged < 0.06
    assert errors.change_missed == 0.3
    assert errors.cells == 150
    with pytest.raises(ValueError, match="between 0 and 1"):
        CellErrors(lost=0.0)


@pytest.mark.parametrize("wrong", [{"practice": "prenatal"}, {"confidence": 1.0}, {"p_abnormal": 0.0}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(ValueError, match="Expected"):
        CaseSettings(**wrong)
