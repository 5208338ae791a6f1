"""The catalogue: complete, understood at every level, its computed columns true, sampled by frequency."""

import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import STYLES, draw_karyogram
from karyo_lib.iscn import (
    GROUPS,
    LEVELS,
    catalogue,
    load_bands,
    load_catalogue,
    parse_karyotype,
    sample_formulae,
)
from karyo_lib.iscn.catalogue import (
    CHROMOSOME_1_PIXELS,
    COMPUTED_COLUMNS,
    GIVEN_COLUMNS,
    describe_change,
    write_catalogue,
)
from karyo_lib.resources import data_file

NUMERICAL = ("trisomy", "monosomy", "sex-chromosome", "polyploidy")
STRUCTURAL = (
    "deletion",
    "duplication",
    "translocation",
    "inversion",
    "insertion",
    "ring/isochromosome/marker",
)


def test_it_is_complete():
    table = load_catalogue()
    assert list(table.columns) == [*GIVEN_COLUMNS, *COMPUTED_COLUMNS]
    assert len(table) >= 80
    assert table["formula"].is_unique
    assert {*NUMERICAL, *STRUCTURAL, "variant"} <= set(table["group"]) <= set(GROUPS) - {"normal"}
    assert set(table["origin"]) == {"constitutional", "acquired"}
    assert set(table["basis"]) == {"published", "derived", "estimate"}
    assert (table["relative_frequency"] > 0).all()
    for column in ("name", "frequency_source"):
        assert table[column].str.strip().ne("").all()


@pytest.mark.parametrize("level", LEVELS)
def test_every_formula_is_an_abnormal_karyotype_or_a_normal_variant(level):
    for formula, group in load_catalogue()[["formula", "group"]].itertuples(index=False):
        karyotype = parse_karyotype(formula, level)
        assert karyotype.label == ("normal" if group == "variant" else "abnormal"), formula
        assert karyotype.size().units > 0, formula


def test_the_computed_columns_are_what_the_formulae_give():
    stored = load_catalogue()
    computed = pd.DataFrame([describe_change(formula) for formula in stored["formula"]])
    pd.testing.assert_frame_equal(stored[list(COMPUTED_COLUMNS)], computed, check_dtype=False)


def test_writing_again_changes_nothing(tmp_path, monkeypatch):
    copy = tmp_path / "catalogue.csv"
    copy.write_bytes(data_file("catalogue.csv").read_bytes())
    monkeypatch.setattr(catalogue, "data_file", lambda *parts: copy)
    write_catalogue()
    monkeypatch.undo()
    assert copy.read_bytes() == data_file("catalogue.csv").read_bytes()


def test_known_sizes():
    table = load_catalogue().set_index("formula")
    assert table.loc["47,XX,+21", ["size_iscn", "size_mb"]].tolist() == [3200, 46.7]
    assert table.loc["47,XX,+21", "pixels_150"] == round(3200 / 15100 * 24.5, 1)
    # a third long arm of 21 is gained, the short arm of one 14 lost; one short arm of 21 is lost and regained
    bands = load_bands(550)
    expected = bands.length("21") - bands.centromere("21") + bands.centromere("14")
    assert table.loc["46,XX,rob(14;21)(q10;q10),+21", "size_iscn"] == expected
    assert np.isnan(table.loc["47,XX,+mar", "size_mb"])


def test_pixels_agree_with_the_drawn_pages():
    lengths = []
    for style in STYLES:
        truth = draw_karyogram("46,XX", style=style, seed=1, size=(416, 416)).truth
        lengths.append(truth.loc[truth["chromosome"] == "1", "length_px"].mean())
    assert np.mean(lengths) == pytest.approx(CHROMOSOME_1_PIXELS["416"], rel=0.12)


def test_sampling_follows_the_frequencies():
    """Shares of groups within five standard errors of their weights."""
    table = load_catalogue()
    table = table[table["visible"] & (table["group"] != "variant")]
    expected = table.groupby("group")["relative_frequency"].sum() / table["relative_frequency"].sum()
    n = 6000
    drawn = sample_formulae(n, np.random.default_rng(7))
    group_of = {formula: parse_karyotype(formula).group for formula in set(drawn)}
    shares = pd.Series([group_of[formula] for formula in drawn]).value_counts(normalize=True)
    for group, share in expected.items():
        assert abs(shares.get(group, 0) - share) < 5 * np.sqrt(share * (1 - share) / n)
    assert drawn.count("47,XX,+21") == pytest.approx(drawn.count("47,XY,+21"), rel=0.4)


def test_sampling_is_seeded_and_gives_single_cells():
    first = sample_formulae(300, np.random.default_rng(3))
    assert first == sample_formulae(300, np.random.default_rng(3))
    assert first != sample_formulae(300, np.random.default_rng(4))
    assert len(first) == 300
    assert not any("/" in formula or "mos" in formula for formula in first)
    assert all(parse_karyotype(formula).label == "abnormal" for formula in set(first))
    assert sample_formulae(0, np.random.default_rng(0)) == []


def test_what_banding_cannot_show_is_drawn_on_request_only():
    hidden = {
        formula.replace(",XX", ",XY", 1) for formula in load_catalogue().query("not visible")["formula"]
    }
    assert not hidden & set(sample_formulae(500, np.random.default_rng(1), ("deletion",)))


@pytest.mark.parametrize("groups", [NUMERICAL, ("sex-chromosome",), ("deletion", "inversion")])
def test_groups(groups):
    drawn = sample_formulae(200, np.random.default_rng(5), groups)
    assert {parse_karyotype(formula).group for formula in drawn} <= set(groups)


@pytest.mark.parametrize("groups", [("trisomies",), ()])
def test_unknown_groups_are_refused(groups):
    with pytest.raises(ValueError, match="Expected groups among trisomy"):
        sample_formulae(1, np.random.default_rng(0), groups)
