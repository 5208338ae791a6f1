"""Drawn pages and their truth tables."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karyo_lib.draw import STYLES, LabStyle, draw_chromosome, draw_karyogram, draw_metaphase
from karyo_lib.iscn import KaryotypeError, parse_karyotype

FORMULA_OF_GROUP = {
    "normal": "46,XY",
    "trisomy": "47,XX,+21",
    "monosomy": "45,XX,-21",
    "sex-chromosome": "47,XXY",
    "polyploidy": "69,XXY",
    "deletion": "46,XX,del(5)(p15.1)",
    "duplication": "46,XY,dup(1)(q21q32)",
    "translocation": "46,XX,t(9;22)(q34;q11.2)",
    "inversion": "46,XY,inv(16)(p13q22)",
    "insertion": "46,XY,ins(2;5)(p13;q31q13)",
    "ring/isochromosome/marker": "47,XX,r(4)(p16q35),+mar",
    "complex": "48,XXY,+21,t(2;5)(p21;q31)",
}


def assert_truth_fits(page, formula):
    truth, labels = page.truth, page.labels
    height, width = page.image.shape
    karyotype = parse_karyotype(formula)
    assert Counter(truth["slot"]) == Counter({k: n for k, n in karyotype.counts.items() if n})
    assert truth["name"].tolist() == [chromosome.name for chromosome in karyotype.chromosomes]
    assert truth["abnormal"].tolist() == [chromosome.abnormal for chromosome in karyotype.chromosomes]
    assert labels.shape == page.image.shape
    assert labels.dtype == np.int16
    assert labels.max() <= len(truth)
    assert (truth[["x0", "y0"]] >= 0).all().all()
    assert (truth["x1"] <= width).all()
    assert (truth["y1"] <= height).all()
    for number, row in enumerate(truth.itertuples()):
        y, x = np.nonzero(labels == number + 1)
        assert len(y) > 3, row.name
        # Boxes hold the mask; a neighbour may cover a part of it, never add to it.
        assert row.x0 - 0.5 <= x.min()
        assert x.max() + 1 <= row.x1 + 0.5
        assert row.y0 - 0.5 <= y.min()
        assert y.max() + 1 <= row.y1 + 0.5
    marked = truth["change_x0"].notna()
    assert marked.tolist() == truth["abnormal"].tolist()


@pytest.mark.parametrize(("number", "style"), [*enumerate(STYLES)])
def test_every_style_draws_and_tells_the_truth(number, style):
    for seed, formula in enumerate([*FORMULA_OF_GROUP.values()][number % 3 :: 3]):
        page = draw_karyogram(formula, style=style, seed=seed, size=(360, 300))
        assert page.image.shape == (300, 360)
        assert page.image.dtype == np.uint8
        assert_truth_fits(page, formula)
        inside = page.image[page.labels > 0].astype(float).mean()
        outside = np.median(page.image[page.labels == 0])
        bright_on_dark = STYLES[style].artefacts.negative
        assert (inside > outside + 40) if bright_on_dark else (inside < outside - 40)


def test_there_are_at_least_eight_styles_and_no_two_pages_of_them_are_alike():
    assert len(STYLES) >= 8
    pages = [
        draw_karyogram("46,XX", style=name, seed=0, annotate=False, size=(416, 416)).image for name in STYLES
    ]
    for i, page in enumerate(pages):
        assert all(np.abs(page.astype(int) - other).mean() > 1 for other in pages[:i])


@pytest.mark.parametrize("style", ["classic", "textbook", "internet"])
def test_the_same_call_gives_the_same_page(style):
    first, second = (draw_karyogram("47,XX,+mar", style=style, seed=5) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert first.truth.equals(second.truth)
    assert first.bands.equals(second.bands)
    assert not np.array_equal(first.image, draw_karyogram("47,XX,+mar", style=style, seed=6).image)


def test_text_and_karyotype_are_the_same():
    formula = "46,XX,t(9;22)(q34;q11.2)"
    text = draw_karyogram(formula, seed=1, level=400)
    parsed = draw_karyogram(parse_karyotype(formula, level=400), seed=1)
    assert np.array_equal(text.image, parsed.image)
    assert text.formula == formula


def test_annotations_change_nothing_but_themselves():
    style = replace(STYLES["digital"], artefacts=replace(STYLES["digital"].artefacts, sharpen=(0, 0)))
    bare = draw_karyogram("47,XX,+13", style=style, seed=3, annotate=False)
    full = draw_karyogram("47,XX,+13", style=style, seed=3, annotate=True)
    assert not {"arrow", "box", "title"} & set(bare.annotations["kind"])
    assert {"arrow", "box", "title"} <= set(full.annotations["kind"])
    assert bare.truth.equals(full.truth)
    changed = np.argwhere(bare.image != full.image)
    boxes = full.annotations.query("kind in ('arrow', 'box', 'title')")
    for y, x in changed:
        near = (
            (boxes["x0"] - 4 <= x) & (x <= boxes["x1"] + 4) & (boxes["y0"] - 4 <= y) & (y <= boxes["y1"] + 4)
        )
        assert near.any()
    only = draw_karyogram("47,XX,+13", style=style, seed=3, annotate={"arrow"})
    assert "arrow" in set(only.annotations["kind"])
    assert "title" not in set(only.annotations["kind"])


def test_the_arrow_points_at_the_extra_chromosome():
    page = draw_karyogram("47,XX,+13", style="digital", seed=3, size=(832, 832), annotate="arrow")
    arrow = page.annotations.query("kind == 'arrow'").iloc[0]
    extra = page.truth[page.truth["abnormal"]].iloc[0]
    dx = max(extra["x0"] - arrow["x1"], arrow["x0"] - extra["x1"], 0)
    dy = max(extra["y0"] - arrow["y1"], arrow["y0"] - extra["y1"], 0)
    assert np.hypot(dx, dy) < 30


def test_rows_and_slots_stand_in_order():
    truth = draw_karyogram("46,XY", style="ruled", seed=2).truth
    middle = truth.assign(x=(truth["x0"] + truth["x1"]) / 2).groupby("slot")[["x", "y1"]].mean()
    rows = [["1", "2", "3", "4", "5"], [str(n) for n in range(6, 13)], [str(n) for n in range(13, 19)]]
    rows.append(["19", "20", "21", "22", "X", "Y"])
    for row in rows:
        assert middle.loc[row, "x"].is_monotonic_increasing
    bottoms = [middle.loc[row, "y1"] for row in rows]
    assert all(above.max() < below.min() for above, below in pairwise(bottoms))


def test_lengths_follow_the_band_table():
    units = parse_karyotype("46,XX").chromosomes
    lengths = np.mean(
        [draw_karyogram("46,XX", style="digital", seed=s).truth["length_px"] for s in range(4)], axis=0
    )
    assert np.corrcoef(lengths, [chromosome.length for chromosome in units])[0, 1] > 0.98
    homologues = lengths.reshape(-1, 2)
    assert (homologues[:, 0] != homologues[:, 1]).any()


def test_centromere_lies_where_the_arms_meet():
    page = draw_karyogram("46,XY", style="prometaphase", seed=4, size=(1300, 1080))
    for number, row in enumerate(page.truth.itertuples()):
        bands = page.bands[page.bands["row"] == number]
        first_q = bands[bands["band"].str.startswith("q")].iloc[0]
        assert row.centromere_x == pytest.approx(first_q["x_start"], abs=0.6)
        assert row.centromere_y == pytest.approx(first_q["y_start"], abs=0.6)
    ends = page.bands[["x_stop", "y_stop"]].to_numpy()[:-1]
    starts = page.bands[["x_start", "y_start"]].to_numpy()[1:]
    same = (page.bands["row"].to_numpy()[1:] == page.bands["row"].to_numpy()[:-1])[:, None]
    assert np.allclose(np.where(same, ends - starts, 0), 0, atol=1e-3)


def test_upside_down_chromosomes_say_so():
    style = replace(STYLES["digital"], layout=replace(STYLES["digital"].layout, upside_down=1.0))
    truth = draw_karyogram("46,XY", style=style, seed=1).truth
    upright = draw_karyogram("46,XY", style="digital", seed=1).truth
    assert (truth["polarity"] == -1).all()
    assert (upright["polarity"] == 1).all()
    for table, sign in ((truth, 1), (upright, -1)):
        acrocentric = table[table["slot"].isin(["13", "14", "15"])]
        below = acrocentric["centromere_y"] - (acrocentric["y0"] + acrocentric["y1"]) / 2
        assert (sign * below > 0).all()


def test_the_extra_chromosome_leaves_its_homologues_as_they_are():
    normal = draw_karyogram("46,XX", style="prometaphase", seed=9, size=None)
    trisomy = draw_karyogram("47,XX,+21", style="prometaphase", seed=9, size=None)
    common = trisomy.truth.query("not abnormal").reset_index(drop=True)
    assert (common["length_px"] == normal.truth["length_px"]).all()


def test_native_size_comes_from_the_style():
    assert draw_karyogram("46,XX", style="classic", size=None).image.shape == (966, 1232)


@pytest.mark.parametrize("size", [(100, 100), (700, 150), (150, 700)])
def test_odd_sizes_still_hold_all_chromosomes(size):
    page = draw_karyogram("46,XY", style="ruled", seed=0, size=size)
    assert page.image.shape == size[::-1]
    assert (page.truth["x1"] <= size[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "nobody's"}, "Expected a style"),
        ({"size": (20, 20)}, "Expected a page size"),
        ({"annotate": ["halo"]}, "Expected annotations"),
        ({"seed": -1}, "Expected a seed"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_karyogram("46,XX", **arguments)


def test_impossible_formula_raises():
    with pytest.raises(KaryotypeError):
        draw_karyogram("46,XX,del(5)(p99)")


def test_single_chromosomes_are_cut_out_on_white():
    long, short = (draw_chromosome(name, seed=1) for name in ("1", "21"))
    assert long.shape[0] > 2.5 * short.shape[0]
    for picture in (long, short):
        assert picture.dtype == np.uint8
        rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert rim.min() > 200
        assert picture.min() < 120


def test_metaphase_holds_the_same_chromosomes_scattered():
    page = draw_metaphase("47,XY,+21", seed=3, size=(900, 700))
    assert_truth_fits(page, "47,XY,+21")
    assert page.truth["angle"].std() > 30
    assert page.truth.groupby("slot")["x0"].agg(np.ptp).mean() > 100


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    st.sampled_from(sorted(STYLES)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["46,XY", "92,XXYY", "45,X", "49,XXXXY"]),
)
def test_any_style_and_seed_hold_the_contract(style, seed, formula):
    assert_truth_fits(draw_karyogram(formula, style=style, seed=seed, size=(300, 300)), formula)


def test_a_style_of_ones_own_is_drawn():
    mine = LabStyle("mine", "plain")
    assert draw_karyogram("46,XX", style=mine).style == "mine"
