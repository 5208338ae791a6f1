"""Rearranged chromosomes: their bands, their shape, and the region that is marked as changed."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karyo_lib.draw import draw_karyogram
from karyo_lib.draw.chromosome import paint_straight, plan_bands, stain_profile
from karyo_lib.draw.layout import settle
from karyo_lib.draw.piece import changed_spans
from karyo_lib.draw.styles import Look
from karyo_lib.iscn import CHROMOSOMES, Segment, load_bands, parse_karyotype
from karyo_lib.iscn.segments import Chromosome
from karyo_lib.shape.bend import Axis, bend_axis, bend_image, ring_axis, turn_axis

TABLE = load_bands(550)


def abnormal(formula):
    return next(c for c in parse_karyotype(formula).chromosomes if c.abnormal or c.rearranged)


def plain_look(**changes) -> SimpleNamespace:
    """A look without chance: what is measured is the chromosome."""
    look = settle(Look(), np.random.default_rng(0))
    look.__dict__.update(mottle=0.0, condensation=0.0, **changes)
    return look


def test_plan_covers_the_chromosome_without_gaps():
    for name in CHROMOSOMES:
        normal = Chromosome(name, name, (Segment(name, 0.0, TABLE.length(name)),))
        plan = plan_bands(normal, 550)
        assert plan.length == TABLE.length(name)
        assert plan.band == tuple(band.name for band in TABLE.bands(name))
        assert plan.tone_edges[-1] == pytest.approx(plan.length)
        assert (np.diff(plan.edges) > 0).all()


def test_reversed_segments_turn_their_bands():
    plan = plan_bands(abnormal("46,XY,inv(9)(p12q13)"), 550)
    assert plan.band.index("q12") < plan.band.index("q11") < plan.band.index("p11")
    edges, darkness = stain_profile("9", 550)
    mean = (np.diff(edges)[:, None] * darkness).sum(0)
    assert (np.diff(plan.tone_edges)[:, None] * plan.tone).sum(0) == pytest.approx(mean)


def test_isochromosome_has_mirrored_bands():
    plan = plan_bands(abnormal("46,X,i(X)(q10)"), 550)
    assert plan.band == plan.band[::-1]
    assert np.allclose(plan.tone, plan.tone[::-1])
    assert np.allclose(plan.edges + plan.edges[::-1], plan.length)


def test_unknown_material_gets_a_pattern_of_its_own():
    chromosome = abnormal("46,XX,add(7)(p22)")
    one, same, other = (plan_bands(chromosome, 550, seed) for seed in (1, 1, 2))
    assert "?" in one.source
    assert np.array_equal(one.tone, same.tone)
    assert not (one.tone.shape == other.tone.shape and np.array_equal(one.tone, other.tone))


@pytest.mark.parametrize(
    ("formula", "spans"),
    [
        ("46,XX,del(5)(p15.1)", "start"),
        ("46,XX,del(5)(q31)", "end"),
        ("47,XX,+21", "whole"),
        ("46,X,i(X)(q10)", "upper half"),
    ],
)
def test_changed_spans_of_known_cases(formula, spans):
    chromosome = abnormal(formula)
    ((start, stop),) = changed_spans(chromosome, TABLE)
    length = chromosome.length
    if spans == "start":
        assert start == 0
        assert stop < 400
    elif spans == "end":
        assert stop == length
        assert start > length - 400
    elif spans == "whole":
        assert (start, stop) == (0, length)
    else:
        assert (start, stop) == (0, pytest.approx(length / 2))


def test_changed_spans_of_an_interstitial_deletion_a_duplication_and_a_translocation():
    lost = abnormal("46,XX,del(1)(q21q32)")
    ((start, stop),) = changed_spans(lost, TABLE)
    assert start < lost.segments[0].length < stop
    doubled = abnormal("46,XY,dup(1)(q21q32)")
    ((start, stop),) = changed_spans(doubled, TABLE)
    assert stop - start == pytest.approx(doubled.length - TABLE.length("1"))
    swapped = abnormal("46,XX,t(9;22)(q34;q11.2)")
    ((start, stop),) = changed_spans(swapped, TABLE)
    assert start == pytest.approx(swapped.segments[0].length)
    assert stop == pytest.approx(swapped.length)


def test_dicentric_has_two_constrictions():
    chromosome = abnormal("45,XX,dic(13;15)(q22;q24)")
    assert len(chromosome.centromeres) == 2
    plan = plan_bands(chromosome, 550)
    look = plain_look(constriction=0.5, split=0.2, cleft=0.0)
    straight = paint_straight(plan, look, 0.03, 22.0, np.random.default_rng(1))
    inked = (straight.ink > 0.1).sum(1)
    places = (straight.row_of(np.array(plan.centromeres)) + straight.pad).astype(int)
    for place in places:
        assert inked[place - 2 : place + 3].min() < 0.8 * np.median(inked)


def test_a_ring_encloses_blank_paper():
    page = draw_karyogram("46,XX,r(4)(p16q35)", style="prometaphase", seed=0, size=(1300, 1080))
    row = page.truth[page.truth["name"].str.startswith("r(")].iloc[0]
    width, height = row["x1"] - row["x0"], row["y1"] - row["y0"]
    assert 0.6 < width / height < 1.6
    hole = page.image[round((row["y0"] + row["y1"]) / 2), round((row["x0"] + row["x1"]) / 2)]
    assert hole > 240
    partner = page.truth.query("slot == '4' and not abnormal").iloc[0]
    assert height < 0.6 * partner["length_px"]


def test_change_boxes_lie_at_the_change():
    page = draw_karyogram("46,XX,del(5)(p15.1)", style="prometaphase", seed=1, size=(1300, 1080))
    row = page.truth[page.truth["abnormal"]].iloc[0]
    assert row["change_y0"] < row["y0"] + 20
    assert row["change_y1"] < (row["y0"] + row["y1"]) / 2
    partner = page.truth.query("slot == '5' and not abnormal").iloc[0]
    assert row["length_px"] < partner["length_px"] * 1.05


def test_straight_axis_leaves_the_ink_where_it_is():
    ink = np.zeros((60, 20), np.float32)
    ink[10:50, 5:15] = np.linspace(0.2, 0.9, 40)[:, None]
    steps = np.arange(41, dtype=np.float32)
    axis = Axis(np.zeros(41, np.float32), steps, np.zeros(41, np.float32))
    patch, (x, y) = bend_image(ink, axis, pad=10)
    assert patch.sum() == pytest.approx(ink.sum(), rel=0.01)
    middle = round(x)
    assert patch[round(y) + 20, middle] == pytest.approx(ink[30, 10], abs=0.03)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(20, 160), st.floats(5, 22), st.floats(0, 40))
def test_bending_keeps_length_and_ink(seed, length, width, bend):
    rng = np.random.default_rng(seed)
    axis = bend_axis(length, width, bend, np.array([length / 3]), rng)
    steps = np.hypot(np.diff(axis.x), np.diff(axis.y))
    assert steps == pytest.approx(np.ones(length), abs=0.02)
    pad, across = int(width), 2 * int(width)
    straight = np.zeros((length + 2 * pad, across), np.float32)
    half = max(1, int(width / 2))
    straight[pad : pad + length, across // 2 - half : across // 2 + half] = 0.6
    patch, _ = bend_image(straight, axis, pad)
    # Outer sides of bends are stretched, inner ones squeezed; the sum changes little.
    assert patch.sum() == pytest.approx(straight.sum(), rel=0.2)
    assert patch.max() <= 0.6 + 1e-5


def test_turning_and_closing_axes():
    rng = np.random.default_rng(0)
    axis = bend_axis(80, 10, 20, np.array([]), rng)
    turned = turn_axis(turn_axis(axis, np.pi), np.pi)
    assert np.allclose(turned.x, axis.x, atol=1e-3)
    assert np.allclose(turn_axis(axis, np.pi).y, -axis.y, atol=1e-3)
    ring = ring_axis(100, rng)
    assert np.hypot(ring.x[-1] - ring.x[0], ring.y[-1] - ring.y[0]) < 2
    assert ring.closed
