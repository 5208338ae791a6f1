"""Band tables: they tile the chromosomes, agree between levels, and resolve names as documented."""

from itertools import pairwise

import pytest

from karyo_lib.iscn import CHROMOSOMES, LEVELS, KaryotypeError, load_bands

every_level = pytest.mark.parametrize("level", LEVELS)


@every_level
def test_bands_tile_every_chromosome(level):
    table = load_bands(level)
    for chromosome in CHROMOSOMES:
        bands = table.bands(chromosome)
        assert bands[0].iscn_start == 0
        assert bands[0].bp_start == 1
        assert all(band.length > 0 for band in bands)
        assert all(left.iscn_stop == right.iscn_start for left, right in pairwise(bands))
        assert all(left.bp_stop + 1 == right.bp_start for left, right in pairwise(bands))
        assert bands[-1].iscn_stop == table.length(chromosome)
        assert [band.arm for band in bands] == sorted(band.arm for band in bands)
        assert all(band.name.startswith(band.arm) for band in bands)


@every_level
def test_the_centromere_parts_the_two_acen_bands(level):
    table = load_bands(level)
    for chromosome in CHROMOSOMES:
        acen = [band for band in table.bands(chromosome) if band.stain == "acen"]
        assert [band.arm for band in acen] == ["p", "q"]
        assert acen[0].iscn_stop == acen[1].iscn_start == table.centromere(chromosome)


def test_numbers_of_bands_and_lengths():
    assert [sum(len(load_bands(level).bands(c)) for c in CHROMOSOMES) for level in LEVELS] == [393, 553, 862]
    for level in LEVELS:
        table = load_bands(level)
        assert table.length("1") == 15100
        assert table.length("21") == 3200
        assert table.length("X") == 8610


def test_sub_bands_fill_the_band_that_they_divide():
    """The source leaves gaps at 550 bands: 18p11.3 ends at 623, its sub-bands at 208."""
    table = load_bands(550)
    first, second = table.bands("18")[:2]
    assert (first.name, second.name) == ("p11.32", "p11.31")
    assert second.iscn_stop == 623
    assert first.iscn_stop == round(623 * 77 / 208)
    assert table.find("X", "p11.2") == load_bands(400).find("X", "p11.2")


@pytest.mark.parametrize(
    ("level", "chromosome", "name", "expected"),
    [
        (400, "9", "q34", (6958, 7950)),  # a band of this level
        (550, "9", "q34", (6958, 7950)),  # divided at this level: the union of q34.1 to q34.3
        (850, "9", "q34", (6949, 7950)),
        (850, "9", "q34.1", (6949, 7443)),  # divided twice
        (550, "22", "q11.21", (1371, 1887)),  # only finer levels show it: the band that holds it
        (400, "X", "q11.2", (3241, 3341)),
        (550, "1", "p10", (7394, 7394)),
        (550, "1", "q10", (7394, 7394)),
        (550, "1", "cen", (7394, 7394)),
        (550, "1", "pter", (0, 0)),
        (550, "1", "qter", (15100, 15100)),
    ],
)
def test_find(level, chromosome, name, expected):
    assert load_bands(level).find(chromosome, name) == expected


@every_level
def test_every_band_of_every_level_is_found_at_every_other(level):
    table = load_bands(level)
    for other in LEVELS:
        for chromosome in CHROMOSOMES:
            for band in load_bands(other).bands(chromosome):
                start, stop = table.find(chromosome, band.name)
                assert 0 <= start < stop <= table.length(chromosome)


@every_level
@pytest.mark.parametrize("name", ["q44", "q34.9", "q3", "q", "34", "", "p34", "q34.", "r11", "q34.1.1"])
def test_a_band_that_no_level_has_is_an_error(level, name):
    with pytest.raises(KaryotypeError, match=f"Chromosome 9 has no band {name}"):
        load_bands(level).find("9", name)


def test_positions_in_base_pairs_and_bands():
    table = load_bands(550)
    assert table.bp("9", 0) == 0
    assert table.bp("9", table.length("9")) == 138394717
    assert table.bp("9", 355) == 9000000
    assert table.bp("9", 355 / 2) == pytest.approx(4500000)
    assert table.band_at("9", 354.9).name == "p24"
    assert table.band_at("9", 355).name == "p23"
    assert table.band_at("9", 7950).name == "q34.3"
    with pytest.raises(KaryotypeError, match="from 0 to 7950"):
        table.band_at("9", 7951)


def test_unknown_level_and_chromosome():
    with pytest.raises(ValueError, match="400, 550 or 850"):
        load_bands(500)
    with pytest.raises(KaryotypeError, match="'23'"):
        load_bands(550).bands("23")
