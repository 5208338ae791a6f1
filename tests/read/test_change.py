import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karyo_lib.iscn import parse_karyotype
from karyo_lib.iscn.bands import load_bands
from karyo_lib.read.alter import alter_chromosome, megabases
from karyo_lib.read.change import CHANGES, Change, explain_pair, rearranged_rows, resample
from karyo_lib.read.profiles import ClassReference, align, align_cost
from karyo_lib.read.train.training import draw_cells
from karyo_lib.shape.straighten import STRIP_LENGTH
from karyo_lib.shape.strips import CLASSES, Strips


@pytest.fixture(scope="module")
def cells():
    return draw_cells(6, seed=3)


@pytest.fixture(scope="module")
def reference(cells):
    return ClassReference.fit(cells.strips, np.array([CLASSES.index(name) for name in cells.names]))


def changed_pair(cells, chromosome, kind, share, seed):
    """A pair of one cell whose second homologue is changed, and where the change begins."""
    own = np.flatnonzero((cells.cells == cells.cells[0]) & (cells.names == chromosome))
    strips, rng = cells.strips, np.random.default_rng(seed)
    image, sizes, start = alter_chromosome(strips.images[own[1]], strips.sizes[own[1]], share, kind, rng)
    pair = strips.take(own)
    images = np.stack([pair.images[0], image])
    return Strips(images, np.stack([pair.sizes[0], sizes]), pair.lengths, pair.centrelines), start


@pytest.mark.parametrize("kind", CHANGES)
def test_large_changes_of_drawn_chromosomes_are_told(cells, reference, kind):
    near, right = [], []
    for seed, chromosome in enumerate(("1", "2", "3", "4", "5", "6", "7", "8")):
        share = 40 / megabases()[CLASSES.index(chromosome)]
        strips, start = changed_pair(cells, chromosome, kind, share, seed)
        change = explain_pair(strips, (0, 1), CLASSES.index(chromosome), reference, odd=1)
        middle = (change.start + change.stop) / 2
        near.append(start - 0.05 <= middle <= start + share + 0.05)
        right.append(change.kind == kind)
    assert np.mean(near) >= 0.75
    assert np.mean(right) >= 0.75


def test_only_an_inversion_has_an_end_in_either_arm(cells, reference):
    for chromosome in ("4", "13", "X"):
        k = CLASSES.index(chromosome)
        own = np.flatnonzero(cells.names == chromosome)[:2]
        change = explain_pair(cells.strips, tuple(own), k, reference, odd=0)
        assert change.chromosome == chromosome
        if change.kind != "inversion":
            assert ("p" in change.iscn.split("(")[2]) != ("q" in change.iscn.split("(")[2])


def test_a_chromosome_without_homologue_is_compared_with_its_class(cells, reference):
    k = CLASSES.index("X")
    own = int(np.flatnonzero(cells.names == "X")[0])
    assert explain_pair(cells.strips, (own, own), k, reference, odd=0).kind in CHANGES


@pytest.mark.parametrize(
    ("change", "iscn"),
    [
        (Change("5", "deletion", 0.0, 0.1, 0), "del(5)(p15.1)"),
        (Change("5", "deletion", 0.75, 1.0, 0), "del(5)(q31.3)"),
        (Change("5", "deletion", 0.5, 0.75, 0), "del(5)(q15q31.2)"),
        (Change("7", "duplication", 0.05, 0.2, 1), "dup(7)(p15.1p22)"),
        (Change("9", "inversion", 0.25, 0.5, 1), "inv(9)(p13q13)"),
    ],
)
def test_changes_are_written_in_iscn(change, iscn):
    assert change.iscn.split("(")[:2] == iscn.split("(")[:2]
    assert parse_karyotype(f"46,XX,{change.iscn}").group == change.kind


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(CLASSES[:23]), st.sampled_from(CHANGES), st.integers(0, 27), st.integers(1, 14))
def test_every_change_can_be_parsed_again(chromosome, kind, first, size):
    start, stop = first / 28, min(first + size, 28) / 28
    table = load_bands(550)
    centromere = table.centromere(chromosome) / table.length(chromosome)
    assume(kind == "inversion" or stop <= centromere or start >= centromere)  # no other is ever proposed
    change = Change(chromosome, kind, start, stop, 0)
    sex = "X" if chromosome == "X" else "XX"
    assert parse_karyotype(f"46,{sex},{change.iscn}").group == kind


@given(st.sampled_from(CHANGES), st.floats(0, 0.6), st.floats(0.03, 0.4))
def test_rearranged_rows_leave_what_they_should(kind, start, size):
    rows = rearranged_rows(kind, start, start + size)
    assert rows.shape == (STRIP_LENGTH,)
    assert rows.min() >= 0
    assert rows.max() <= STRIP_LENGTH - 1
    inside = (
        (rows > start * (STRIP_LENGTH - 1) + 1) & (rows < (start + size) * (STRIP_LENGTH - 1) - 1)
    ).mean()
    share = {"deletion": 0, "duplication": 2 * size / (1 + size), "inversion": size}[kind]
    assert inside == pytest.approx(share, abs=0.06)


def test_fractional_rows_are_read_between_rows():
    values = np.arange(STRIP_LENGTH, dtype=np.float32)
    np.testing.assert_allclose(
        resample(values, np.array([0.0, 2.5, STRIP_LENGTH - 1])), [0, 2.5, STRIP_LENGTH - 1]
    )
    assert resample(np.zeros((STRIP_LENGTH, 3)), np.zeros((4, 7))).shape == (4, 7, 3)


def test_the_cost_of_an_alignment_is_that_of_its_path():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 40)).cumsum(2) / 3
    cost = align_cost(first, second, reach=10, warp_cost=0.12)
    shift, residual = align(first, second)
    place = np.arange(40) + shift
    outside = (place < 0) | (place >= 40)
    path = np.minimum(residual**2, 4).sum(1) + 4 * outside.sum(1)
    path += 0.12 * (np.abs(np.diff(shift, axis=1)).sum(1) + np.abs(shift[:, 0]))
    np.testing.assert_allclose(cost, path, rtol=1e-6)
    assert (align_cost(first, first, 3) == 0).all()


@pytest.mark.parametrize("wrong", [("exchange", 0.1, 0.2), ("deletion", 0.3, 0.2), ("inversion", 0.9, 1.1)])
def test_changes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"deletion, duplication, inversion.*Received"):
        Change("5", *wrong, odd=0)
