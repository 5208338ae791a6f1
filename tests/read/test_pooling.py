"""Which changes of different cells are one change."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.iscn import load_bands
from karyo_lib.iscn.segments import Segment, turn
from karyo_lib.read.case_changes import find_suspects, look_for, read_together, settle
from karyo_lib.read.decode import Decoder, chain_of
from karyo_lib.read.places import NONE
from karyo_lib.read.pooling import NOT_SEEN, find_breaks, pool_changes, spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.shape.scaling import COLUMNS, MOST_ROWS, ScaledStrips


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


def _cells(segments, number, rng, share):
    """Readings of cells with two chromosomes 5 of these segments, one upside down; and a reader, to whose
    network a share of the rows shows places at random."""
    places = []

    class Strips(Decoder):
        def log_places(self, strips):
            own = [places[int.from_bytes(image[0, :4].tobytes())] for image in strips.images]
            out = np.full((len(own), max(map(len, own)), NONE + 1), np.log(0.1 / NONE), np.float32)
            for log_p, chain in zip(out, own, strict=True):
                log_p[np.arange(len(chain)), chain] = np.log(0.9)
            return out

    readings = []
    for _ in range(number):
        chains = [chain_of(one)[0] for one in segments]
        chains = [np.where(rng.random(len(c)) < share, rng.integers(0, NONE, len(c)), c) for c in chains]
        images = np.zeros((len(chains), MOST_ROWS, COLUMNS), np.uint8)
        images[:, 0, :4] = [list((len(places) + i).to_bytes(4)) for i in range(len(chains))]
        places += chains
        strips = ScaledStrips(images, np.array([len(chain) for chain in chains]))
        table = pd.DataFrame({"chromosome": "5", "readable": True, "score": 2.0, "normal": 0.0}, range(2))
        table["score"], table["upside_down"] = [1.5, 3.0], [False, True]
        table["segments"] = pd.Series(segments, dtype=object)
        readings.append(SimpleNamespace(chromosomes=table, found=SimpleNamespace(strips=strips)))
    reader = Reader()
    reader.decoder = Strips()
    return readings, reader


def test_what_single_cells_hide_they_show_together():
    table = load_bands(850)
    start, stop = table.find("5", "q14")[0], table.find("5", "q22")[1]
    whole = (Segment("5", 0.0, table.length("5")),)
    short = (Segment("5", 0.0, start), Segment("5", stop, table.length("5")))
    readings, reader = _cells([whole, turn(short)], 5, np.random.default_rng(0), 0.4)
    together = find_suspects(read_together(readings, reader), reader, 2.0)
    (change,) = together
    assert pool_changes([together, {"del(5)(q14q22)": 99.0}]).keys() == {"del(5)(q14q22)"}
    alone = [find_suspects(read_together([one], reader), reader) for one in readings]
    assert alone == [{}] * 5  # what one cell shows is its own reading's
    fits = look_for([change], readings, reader)
    assert all(list(one[change].index) == [0, 1] for one in fits)
    plain, reader = _cells([whole, turn(whole)], 5, np.random.default_rng(0), 0.4)
    assert find_suspects(read_together(plain, reader), reader, 2.0) == {}


def test_two_chromosomes_in_one_are_a_robertsonian_translocation():
    table = load_bands(850)
    long_arms = [Segment(name, table.centromere(name), table.length(name)) for name in ("14", "21")]
    fused = (turn((long_arms[0],))[0], long_arms[1])
    readings, reader = _cells([fused, (long_arms[0],)], 2, np.random.default_rng(0), 0.0)
    for reading in readings:
        reading.chromosomes = reading.chromosomes.assign(chromosome="14", readable=False)
    change = "rob(14;21)(q10;q10)"
    assert list(find_suspects(readings[0].chromosomes, reader)) == [change]
    # also of one that cannot be read band by band
    assert [settle(one, [change]) for one in look_for([change], readings, reader)] == [{change: 10.0}] * 2
