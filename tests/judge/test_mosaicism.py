"""What counted cells exclude."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.judge.intervals import cells_needed, excluded_share, share_found

# Hook 1977: percentage of mosaicism excluded at 90, 95 and 99 % by so many cells, all of them alike
HOOK = {5: (37, 46, 61), 10: (21, 26, 37), 15: (15, 19, 27), 20: (11, 14, 21), 30: (8, 10, 15), 50: (5, 6, 9)}


@pytest.mark.parametrize(("cells", "row"), HOOK.items())
def test_a_reader_without_errors_has_the_figures_of_hook(cells, row):
    shares = [excluded_share(cells, confidence=c) for c in (0.90, 0.95, 0.99)]
    assert tuple(math.ceil(100 * share) for share in shares) == row


def test_twenty_cells_exclude_fourteen_percent():
    assert math.ceil(100 * excluded_share(20)) == 14
    assert [cells_needed(share) for share in (0.20, 0.10, 0.05, 0.01)] == [14, 29, 59, 299]


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 5), st.floats(0.3, 1.0))
def test_laws_of_exclusion(cells, seen, sensitivity):
    seen = min(seen, cells)
    share = excluded_share(cells, seen, sensitivity)
    assert 0 < share <= 1
    assert excluded_share(cells + 1, seen, sensitivity) <= share + 1e-12
    assert seen == cells or excluded_share(cells, seen + 1, sensitivity) >= share
    assert excluded_share(cells, seen) <= share
    if share < 1:
        assert cells_needed(share + 1e-9, seen, sensitivity) <= cells


@settings(deadline=None)
@given(st.integers(3, 100), st.sampled_from([2, 3]), st.floats(0.5, 1.0))
def test_the_rule_finds_a_share_with_its_probability(cells, needed, sensitivity):
    share = share_found(cells, needed, sensitivity)
    if share < 1:
        missed = sum(
            math.comb(cells, k) * (share * sensitivity) ** k * (1 - share * sensitivity) ** (cells - k)
            for k in range(needed)
        )
        assert missed == pytest.approx(0.05, abs=1e-6)
    assert share >= excluded_share(cells, 0, sensitivity) - 1e-9


def test_the_limit_fails_as_seldom_as_it_says():
    rng = np.random.default_rng(7)
    for share, sensitivity in ((0.1, 1.0), (0.2, 0.8), (0.5, 0.9)):
        seen = rng.binomial(20, share * sensitivity, 4000)
        limits = np.array([excluded_share(20, k, sensitivity) for k in range(21)])
        assert (limits[seen] <= share).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 6), "0 to 5 cells"), ((5, 0, 0.0), "sensitivity"), ((5, 0, 1.0, 1.0), "confidence")],
)
def test_impossible_values_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        excluded_share(*arguments)
    with pytest.raises(ValueError, match="between 0 and 1"):
        cells_needed(0.0)
