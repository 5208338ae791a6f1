"""Strips read as paths through the genome."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.iscn.bands import CHROMOSOMES, KaryotypeError, load_bands
from karyo_lib.iscn.catalogue import load_catalogue
from karyo_lib.iscn.describe import describe, describe_exchange
from karyo_lib.iscn.karyotype import parse_karyotype
from karyo_lib.iscn.segments import Segment, normal_segments, total_length, turn
from karyo_lib.read.decode import Decoder, DecoderSettings, chain_of, find_joint, path_segments
from karyo_lib.read.decoding_network import NetworkSettings, build_decoding_model
from karyo_lib.read.path import PathSettings, chain_scores, find_paths
from karyo_lib.read.places import BINS, CLASS_OF_BIN, FIRST, NONE, STOP, place_of, units_of
from karyo_lib.read.reader import Reader
from karyo_lib.read.recurrent import find_recurrent, recurrent_derivatives
from karyo_lib.shape.scaling import COLUMNS, MOST_ROWS, ROW_UNITS, ScaledStrips

TABLE = load_bands(850)
SMALL = NetworkSettings(stem=(4, 4, 4), channels=16, dilations=(1, 2), attention=1, heads=2)


def posterior(segments, noise=0.4, seed=0):
    """Log-probabilities (1, T, NONE + 1) of a network that sees segments, not quite sharply."""
    rng = np.random.default_rng(seed)
    chain, _ = chain_of(segments)
    count = max(4, round(total_length(segments) / ROW_UNITS))
    places = chain[np.clip(((np.arange(count) + 0.5) * len(chain) / count).astype(int), 0, len(chain) - 1)]
    logits = rng.normal(0, noise, (count, NONE + 1)).astype(np.float32)
    for off, strength in ((0, 9.0), (1, 7.5), (-1, 7.5)):
        logits[np.arange(count), np.clip(places + off, 0, NONE - 1)] += strength
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True)))[None]


def read(segments, **options):
    log_p = posterior(segments, **options)
    rows = np.array([log_p.shape[1]])
    paths = find_paths(log_p, rows)
    return paths, path_segments(paths.places[0], paths.jumps[0]), log_p


def normal(name):
    return normal_segments(name, TABLE)


def pieces(*stretches):
    """Segments from (class, start, stop) in shares of the class's length; start beyond stop is reversed."""
    return tuple(
        Segment(n, min(a, b) * TABLE.length(n), max(a, b) * TABLE.length(n), a > b) for n, a, b in stretches
    )


def test_two_whole_chromosomes_end_to_end_are_told_from_one_that_is_changed():
    def joint(segments):
        places = read(segments)[0].places[0]
        return find_joint(places[places >= 0])

    two = joint((*normal("22"), *normal("19")))
    assert two == pytest.approx(TABLE.length("22") / (TABLE.length("22") + TABLE.length("19")), abs=0.06)
    by_short_arms = pieces(("13", 1, 0), ("22", 0, 1))
    assert joint(by_short_arms) > 0.5
    assert joint(normal("1")) == 0
    assert joint(pieces(("9", 0, 0.9), ("22", 0.5, 1))) == 0
    assert joint(pieces(("14", 1, 0.17), ("21", 0.32, 1))) == 0  # der(14;21)(q10;q10)


def assert_alike(read_, true, slack=900):
    assert [(s.chromosome, s.reversed) for s in read_] == [(s.chromosome, s.reversed) for s in true]
    for a, b in zip(read_, true, strict=True):
        assert abs(a.start - b.start) < slack
        assert abs(a.stop - b.stop) < slack


def test_places_and_units_are_each_others_inverse():
    for c, name in enumerate(CHROMOSOMES):
        units = np.linspace(0, TABLE.length(name), 50)
        places = place_of(c, units)
        assert np.allclose(units_of(c, places), units)
        assert FIRST[c] <= places.min()
        assert places.max() <= STOP[c]
    assert len(CLASS_OF_BIN) == BINS == 1558


@pytest.mark.parametrize("name", CHROMOSOMES)
def test_a_normal_chromosome_is_one_whole_segment_either_way_up(name):
    for segments in (normal(name), turn(normal(name))):
        paths, found, _ = read(segments)
        assert found == normal(name)
        assert paths.best[0] == pytest.approx(paths.normal.max(), abs=1e-3)
        assert paths.normal[0].max(1).argmax() == CHROMOSOMES.index(name)
        assert paths.normal[0, :, 1].max() > paths.normal[0, :, 0].max() or segments == normal(name)


CHANGED = {
    "del(5)": pieces(("5", 0, 0.5), ("5", 0.72, 1)),
    "del(1) of an end": pieces(("1", 0, 0.8)),
    "dup(1)": pieces(("1", 0, 0.8), ("1", 0.65, 1)),
    "inv(3)": pieces(("3", 0, 0.6), ("3", 0.9, 0.6), ("3", 0.9, 1)),
    "i(17)(q10)": pieces(("17", 1, 0.32), ("17", 0.32, 1)),
    "der(9)t(9;22)": pieces(("9", 0, 0.85), ("22", 0.45, 1)),
    "der(1)t(1;3), turned end": pieces(("1", 0, 0.7), ("3", 0.3, 0)),
}


@pytest.mark.parametrize("segments", CHANGED.values(), ids=CHANGED)
def test_a_changed_chromosome_is_read_as_its_segments(segments):
    paths, found, _ = read(segments)
    assert_alike(found, segments)
    assert paths.best[0] - paths.normal.max() > 8


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_random_pieces_come_back(data):
    names = data.draw(st.lists(st.sampled_from(CHROMOSOMES[:12]), min_size=2, max_size=3, unique=True))
    stretches = []
    for name in names:
        a = data.draw(st.floats(0, 0.5))
        b = a + data.draw(st.floats(0.3, 0.5))
        stretches.append((name, a, b) if data.draw(st.booleans()) else (name, b, a))
    segments = pieces(*stretches)
    if total_length(segments) / ROW_UNITS > MOST_ROWS:
        return
    _, found, _ = read(segments, seed=data.draw(st.integers(0, 99)))
    assert any(len(found) == len(way) and all(
        abs(a.start - b.start) < 900 and abs(a.stop - b.stop) < 900 and a.chromosome == b.chromosome
        for a, b in zip(found, way, strict=True)
    ) for way in (segments, turn(segments)))  # fmt: skip


def test_strips_are_decoded_alike_alone_and_together():
    many = [posterior(s) for s in (*CHANGED.values(), normal("21"))]
    rows = np.array([p.shape[1] for p in many])
    padded = np.zeros((len(many), rows.max(), NONE + 1), np.float32)
    for i, p in enumerate(many):
        padded[i, : p.shape[1]] = p[0]
    together = find_paths(padded, rows)
    for i, p in enumerate(many):
        alone = find_paths(p, rows[i : i + 1])
        assert together.best[i] == pytest.approx(alone.best[0], abs=1e-3)
        assert (together.places[i, : rows[i]] == alone.places[0]).all()


def test_rows_that_show_nothing_make_no_jump():
    log_p = posterior(normal("4"))
    log_p[:, 30:42] = -20
    log_p[:, 30:42, NONE] = 0
    paths = find_paths(log_p, np.array([log_p.shape[1]]))
    assert not paths.jumps.any()


def test_a_true_hypothesis_beats_a_normal_path_and_a_false_one_does_not():
    true, false = CHANGED["der(9)t(9;22)"], CHANGED["del(5)"]
    log_p = posterior(true)
    rows = np.array([log_p.shape[1]])
    best_normal = find_paths(log_p, rows).normal.max()
    assert chain_scores(log_p, rows, [(0, *chain_of(true))])[0] > best_normal + 8
    assert chain_scores(log_p, rows, [(0, *chain_of(false))])[0] < best_normal


def test_breaks_may_be_off_by_some_bins():
    true = CHANGED["del(5)"]
    off = (replace(true[0], stop=true[0].stop - 500), replace(true[1], start=true[1].start + 500))
    log_p = posterior(true)
    rows = np.array([log_p.shape[1]])
    strict, loose = (chain_scores(log_p, rows, [(0, *chain_of(off, slack))])[0] for slack in (0, 3))
    exact = chain_scores(log_p, rows, [(0, *chain_of(true))])[0]
    assert strict < loose <= exact
    assert chain_of(true, 0)[1] == ()


def rearranged_chromosomes(least=12):
    """Rearranged chromosomes of the catalogue, of known material, from changes of at least so many Mb."""
    table, found = load_bands(550), {}
    for formula in load_catalogue()["formula"]:
        try:
            karyotype = parse_karyotype(formula, 550)
        except KaryotypeError:
            continue
        for change in karyotype.changes:
            for c in change.produced:
                known = not c.ring and all(s.chromosome != "?" for s in c.segments)
                if known and c.rearranged and change.size(table).megabases >= least:
                    found[c.segments] = c
    return list(found.values())


def test_the_catalogues_chromosomes_are_read_from_what_a_network_would_see():
    tried = [c for c in rearranged_chromosomes() if c.length / ROW_UNITS <= MOST_ROWS]
    assert len(tried) > 60
    scores, named = [], []
    for chromosome in tried[::2]:
        paths, found, _ = read(chromosome.segments)
        scores.append(paths.best[0] - paths.normal.max())
        named.append(describe(found).group == describe(chromosome.segments).group)
    assert np.mean(np.array(scores) > 5) >= 0.95
    assert np.mean(named) >= 0.9


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("46,XX,del(5)(q13q31)", "del(5)(q13q31)"),
        ("46,XX,del(5)(p14)", "del(5)(p14)"),
        ("46,XX,dup(1)(q22q25)", "dup(1)(q22q25)"),
        ("46,XX,i(17)(q10)", "i(17)(q10)"),
        ("45,XX,rob(13;14)(q10;q10)", "der(13;14)(q10;q10)"),
    ],
)
def test_segments_of_a_formula_are_called_what_it_says(formula, text):
    changed = next(c for c in parse_karyotype(formula, 550).chromosomes if c.rearranged)
    assert re.sub(r"\.\d+", "", describe(changed.segments).text) == text  # bands of a finer level are in them


def test_both_derivatives_together_are_a_translocation():
    karyotype = parse_karyotype("46,XX,t(9;22)(q34;q11.2)", 550)
    first, second = (c.segments for c in karyotype.chromosomes if c.rearranged)
    assert describe_exchange(first, second).text.startswith("t(9;22)(q34")
    assert describe(first).text.startswith("der(9)t(9;22)(q34")
    assert describe_exchange(first, first) is None
    assert describe(normal("7")).text == ""
    with pytest.raises(ValueError, match="at least one segment"):
        describe(())


def strips_of(lengths):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (len(lengths), MOST_ROWS, COLUMNS)).astype(np.uint8)
    images *= np.arange(MOST_ROWS)[None, :, None] < np.array(lengths)[:, None, None]
    return ScaledStrips(images, np.array(lengths))


def test_a_decoder_is_saved_and_read_and_padding_changes_nothing(tmp_path):
    decoder = Decoder(DecoderSettings(SMALL))
    with pytest.raises(ValueError, match="trained Decoder"):
        decoder.decode(strips_of([20]))
    decoder.model = build_decoding_model(SMALL)
    decoder.save(tmp_path)
    again = Decoder.load(tmp_path)
    strips = strips_of([20, 47, 90, 125])
    read_ = again.decode(strips)
    assert read_.log_proba.shape == (4, 24)
    share = np.exp(read_.log_proba).sum(1) + np.exp(read_.log_none)
    assert np.allclose(share, 1, atol=1e-4)
    alone = again.decode(strips.take([1]))
    assert np.allclose(alone.log_proba[0], read_.log_proba[1], atol=3e-2)
    assert len(again.decode(strips.take([])).segments) == 0
    assert read_.take([2]).segments == read_.segments[2:3]


@pytest.mark.parametrize("name", ["1", "9", "16", "Y", "13", "21"])
def test_variable_regions_are_named_as_variants(name):
    bands = [band for band in TABLE.bands(name) if band.stain in ("gvar", "stalk")]
    start, stop, whole = bands[0].iscn_start, bands[-1].iscn_stop, TABLE.length(name)
    longer = (Segment(name, 0, stop), Segment(name, start + 100, whole))
    shorter = tuple(s for s in (Segment(name, 0, start + 100), Segment(name, stop, whole)) if s.length > 0)
    told = [describe(longer), describe(turn(shorter))]
    assert [d.group for d in told] == ["variant", "variant"]
    assert [d.text[-1] for d in told] == ["+", "-"]
    assert all(
        parse_karyotype(f"46,X{name if name == 'Y' else 'X'},{d.text}").group == "variant" for d in told
    )


def test_only_heterochromatin_makes_a_variant():
    turned = (Segment("9", 0, 2300), Segment("9", 2300, 3300, True), Segment("9", 3300, TABLE.length("9")))
    assert describe(turned).group == "variant"
    assert describe(pieces(("9", 0, 0.1), ("9", 0.7, 0.1), ("9", 0.7, 1))).group != "variant"
    assert describe(pieces(("9", 0, 0.3), ("9", 0.7, 1))).group == "deletion"
    assert describe(pieces(("13", 0, 0.5))).group == "deletion"


def test_a_recurrent_change_is_told_from_the_evidence_of_its_derivatives():
    wanted = recurrent_derivatives()
    assert {"t(9;22)(q34;q11.2)", "t(8;21)(q22;q22)", "t(15;17)(q24;q21)", "inv(16)(p13.1q22)"} <= set(wanted)
    assert {"inv(3)(q21q26.2)", "del(5)(q13q33)", "i(17)(q10)", "rob(13;14)(q10;q10)"} <= set(wanted)
    made = [*wanted["t(9;22)(q34;q11.2)"], *wanted["del(5)(q13q33)"], normal("9"), normal("22"), normal("5")]
    parts = [posterior(one)[0] for one in made]
    rows = np.array([len(part) for part in parts])
    log_p = np.zeros((len(parts), rows.max(), NONE + 1), np.float32)
    for i, part in enumerate(parts):
        log_p[i, : len(part)] = part
    strips = ScaledStrips(np.zeros((len(rows), MOST_ROWS, COLUMNS), np.uint8), rows)
    decoder = Decoder()
    decoded = decoder.interpret(log_p, find_paths(log_p, rows), strips, 0.02)
    names = ["9", "22", "5", "9", "22", "5"]
    table = pd.DataFrame({"chromosome": names, "readable": decoded.readable})
    found = {row[1]: row for row in find_recurrent(table, decoded, log_p, rows, PathSettings())}
    assert found.keys() >= {"t(9;22)(q34;q11.2)", "del(5)(q13q33)"}
    best = sorted(found.values(), key=lambda row: -row[3])[:2]
    assert {row[4] for row in best} == {(0, 1), (2,)}
    assert find_recurrent(table.assign(chromosome="7"), decoded, log_p, rows, PathSettings()) == []
    unchanged = table.assign(readable=[False] * 3 + [True] * 3)
    assert find_recurrent(unchanged, decoded, log_p, rows, PathSettings()) == []
    reader = Reader()
    shown = table.assign(score=decoded.score, segments=pd.Series(list(decoded.segments), dtype=object))
    changes = reader.mark_changes(shown, list(found.values()))
    assert changes["iscn"].tolist() == [row[1] for row in best]


def test_a_strange_tip_is_not_told():
    c = CHROMOSOMES.index
    own = np.arange(FIRST[c("5")] + 30, STOP[c("5")])
    tip = np.arange(FIRST[c("13")], FIRST[c("13")] + 2)
    places = np.r_[tip, own]
    jumps = np.arange(len(places)) == len(tip)
    (segment,) = path_segments(places, jumps)
    assert segment.chromosome == "5"
    assert segment.start > 0
    longer = np.r_[np.arange(FIRST[c("13")], FIRST[c("13")] + 9), own]
    assert len(path_segments(longer, np.arange(len(longer)) == 9)) == 2
