"""Which changes of different cells are one change."""

import pandas as pd
import pytest

from karyo_lib.read.case_changes import settle
from karyo_lib.read.pooling import NOT_SEEN, find_breaks, pool_changes, spread_changes


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("del(5)(q22q31)", "del(5)(q21q31.3)", True),
        ("del(5)(q22q31)", "del(5)(q13q31)", False),
        ("del(5)(q22q31)", "dup(5)(q22q31)", False),
        ("del(5)(q31)", "del(5)(q31q35)", True),  # to the end of the arm, one way or the other
        ("t(9;22)(q34;q11.2)", "t(9;22)(q34.1;q12)", True),
        ("t(9;22)(q34;q11.2)", "t(9;22)(p13;q11.2)", False),
        ("t(9;22)(q34;q11.2)", "t(9;21)(q34;q11.2)", False),
        ("der(22)t(9;22)(q34;q11.2)", "t(9;22)(q34;q11.2)", False),
    ],
)
def test_changes_of_one_place_are_one(first, second, same):
    pooled = pool_changes([{first: 3.0}, {second: 4.0}])
    assert len(pooled) == (1 if same else 2)
    if same:
        assert pooled == {second: ({1: 4.0, 0: 3.0}, find_breaks(second)[1])}


def test_a_change_that_was_not_seen_counts_only_where_it_could_have_been():
    seen = [{"del(5)(q22q31)": 3.0}, {}, {}]
    spread = spread_changes(seen, [["5"], ["5", "7"], ["7"]])
    assert spread == [{"del(5)(q22q31)": 3.0}, {"del(5)(q22q31)": NOT_SEEN}, {}]


def test_what_is_no_iscn_stays_by_itself():
    assert find_breaks("?") == ("?", (), ())
    assert len(pool_changes([{"?": 1.0}, {"del(5)(q22q31)": 1.0}])) == 2


def test_a_chromosome_speaks_for_one_change_alone():
    table = pd.DataFrame({"t": [5.0, -1.0], "u": [-1.0, 4.0]}, index=[7, 8])
    parts = {"t(11;14)": table, "der(14)": table[["u"]], "del(14)": pd.DataFrame({"d": [-2.0]}, index=[7])}
    assert settle(parts, ["t(11;14)", "der(14)", "del(14)"]) == {
        "t(11;14)": 9.0,
        "der(14)": NOT_SEEN,
        "del(14)": NOT_SEEN,
    }
    assert settle(parts, ["del(14)", "der(14)"]) == {"del(14)": -2.0, "der(14)": 4.0}
