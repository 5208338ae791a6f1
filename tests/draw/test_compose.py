"""Pages composed from real chromosomes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from karyo_lib.draw import STYLES, compose_karyogram, draw_metaphase
from karyo_lib.draw.material import Cut, join_cuts, straighten_ink, trace_chromosome, width_at
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import load_bands, parse_karyotype

CLEAN = replace(
    STYLES["digital"],
    layout=replace(STYLES["digital"].layout, labels="", homologue_gap=(0.6, 0.8)),
    artefacts=replace(STYLES["digital"].artefacts, blur=(0, 0), noise=(0, 0), dust=0, paper=(255, 255)),
)


def ink_of(page, rows) -> float:
    """Ink inside the boxes of the named rows, with a rim."""
    total = 0.0
    for row in page.truth[rows].itertuples():
        box = page.image[int(row.y0) - 3 : int(row.y1) + 4, int(row.x0) - 3 : int(row.x1) + 4]
        total += float((1 - box / 255).sum())
    return total


def test_a_cell_is_laid_out_as_it_is(female):
    page = compose_karyogram(None, female, style="mottled", seed=0, size=(416, 416))
    assert page.formula == "46,XX"
    assert Counter(page.truth["slot"]) == Counter(cutout.chromosome for cutout in female)
    assert (page.truth["source"] == "cell-a").all()
    again = compose_karyogram("46,XX", female, style="mottled", seed=0, size=(416, 416))
    assert np.array_equal(page.image, again.image)


def test_gains_come_from_donors_at_the_cells_size(female, male):
    page = compose_karyogram("47,XX,+13", female, male, style=CLEAN, seed=1, size=(1200, 950), rework=0.0)
    third = page.truth.query("slot == '13'")
    assert sorted(third["source"]) == ["cell-a", "cell-a", "cell-b"]
    # The donor's cell is drawn at three quarters of this one's size.
    own = third.query("source == 'cell-a'")["length_px"].mean()
    assert third.query("source == 'cell-b'")["length_px"].item() == pytest.approx(own, rel=0.2)


def test_losses_leave_one_out(female):
    page = compose_karyogram("45,X", female, style=CLEAN, seed=1, size=(416, 416))
    assert (page.truth["slot"] == "X").sum() == 1
    assert len(page.truth) == 45


def test_missing_material_is_named(female):
    with pytest.raises(ValueError, match="Expected a chromosome 21 that is still free"):
        compose_karyogram("47,XX,+21", female, seed=0, size=(416, 416))
    with pytest.raises(ValueError, match="Expected the cut-outs of a cell"):
        compose_karyogram("46,XX", [], seed=0, size=(416, 416))


@pytest.mark.parametrize("formula", ["46,XX,t(2;5)(p21;q31)", "46,XX,t(1;7)(q32;q22)"])
def test_a_balanced_translocation_keeps_the_ink(female, formula):
    size = (1200, 950)
    before = compose_karyogram("46,XX", female, style=CLEAN, seed=3, size=size, rework=0.0)
    after = compose_karyogram(formula, female, style=CLEAN, seed=3, size=size, rework=0.0)
    changed = after.truth["abnormal"]
    slots = after.truth.loc[changed, "slot"]
    # Homologues differ: what went into the edit is what the page before has more of.
    kept = after.truth["slot"].isin(slots) & ~changed
    all_before = before.truth["slot"].isin(slots)
    expected = ink_of(before, all_before) - ink_of(after, kept)
    assert ink_of(after, changed) == pytest.approx(expected, rel=0.1)


def test_a_deletion_takes_away_its_share(female):
    page = compose_karyogram(
        "46,XX,del(1)(q21q32)", female, style=CLEAN, seed=2, size=(1200, 950), rework=0.0
    )
    lost, kept = (page.truth.query("slot == '1'").query(q).iloc[0] for q in ("abnormal", "not abnormal"))
    chromosome = next(c for c in parse_karyotype("46,XX,del(1)(q21q32)").chromosomes if c.abnormal)
    assert lost["length_px"] / kept["length_px"] == pytest.approx(chromosome.length / 15100, rel=0.12)


@pytest.mark.parametrize(
    "formula",
    ["46,XX,r(4)(p16q35)", "46,X,i(X)(q10)", "45,XX,dic(13;15)(q22;q24)", "47,XX,+mar", "46,XX,add(7)(p22)"],
)
def test_every_kind_of_edit_is_composed(female, formula):
    page = compose_karyogram(formula, female, style="ruled", seed=4, size=(416, 416))
    karyotype = parse_karyotype(formula)
    assert page.truth["name"].tolist() == [chromosome.name for chromosome in karyotype.chromosomes]
    marked = page.truth[page.truth["abnormal"]]
    assert marked["change_x0"].notna().all()
    for number in marked.index:
        assert (page.labels == number + 1).sum() > 5


def test_reworking_changes_the_shape_but_not_the_count(female):
    plain = compose_karyogram("46,XX", female, seed=5, rework=0.0, size=(416, 416))
    reworked = compose_karyogram("46,XX", female, seed=5, rework=1.0, size=(416, 416))
    assert len(plain.truth) == len(reworked.truth)
    assert not np.array_equal(plain.image, reworked.image)
    assert np.allclose(plain.truth["length_px"], reworked.truth["length_px"], rtol=0.05, atol=2)


def test_straightening_keeps_the_ink_and_finds_the_constriction(female):
    cutout = next(c for c in female if c.chromosome == "2")
    real = trace_chromosome(cutout.image, 1.0, 1.0, "2", "cell", load_bands())
    straight = straighten_ink(real.ink, real.axis, 5, 2 * round(real.width * 1.2))
    assert straight.sum() == pytest.approx(real.ink.sum(), rel=0.08)
    assert abs(real.centromere - 0.393) < 0.07


def test_the_seam_is_blended():
    width, across = 16.0, 32
    columns = np.abs(np.arange(across) - 15.5)
    wide = np.where(columns < 9, 0.8, 0.0).astype(np.float32) * np.ones((80, 1), np.float32)
    narrow = np.where(columns < 6, 0.3, 0.0).astype(np.float32) * np.ones((80, 1), np.float32)
    cuts = [Cut(wide, 10, 50, False, False), Cut(narrow, 10, 50, False, False)]
    ink, ends = join_cuts(cuts, width, pad=8)
    assert ends.tolist() == [0, 40, 80]
    seam = 8 + 40
    # Both sides are brought to their mean width, and no row jumps by more than a part of the difference.
    assert width_at(ink, seam, width) == pytest.approx(15, abs=2)
    steps = np.abs(np.diff(ink[seam - 12 : seam + 12, 16]))
    assert steps.max() < 0.3
    assert ink[8 + 15, 16] == pytest.approx(0.8, abs=0.02)
    assert ink[8 + 65, 16] == pytest.approx(0.3, abs=0.02)
    # Healed ends are rounded, outside there is nothing.
    assert (ink[9] > 0.1).sum() < (ink[20] > 0.1).sum()
    assert ink[:7].max() == 0


def test_real_cells_are_composed(bank_dir):
    bank = ChromosomeBank(bank_dir)
    aneuploid = bank.cells.query("label == 'abnormal'").iloc[0]
    page = compose_karyogram(None, bank.cutouts(aneuploid["cell"]), style="digital", seed=1, size=(416, 416))
    assert page.formula == aneuploid["count_formula"]
    normal, other = bank.cells.query("count_formula == '46,XX'")["cell"].iloc[[0, 5]]
    edited = compose_karyogram(
        "47,XX,t(9;22)(q34;q11.2),+21",
        bank.cutouts(normal),
        bank.cutouts(other),
        style="classic",
        seed=1,
        size=(416, 416),
    )
    assert set(edited.truth["source"]) == {normal, other}
    assert edited.truth["abnormal"].sum() == 3


def test_a_spread_is_composed_of_real_chromosomes(bank_dir):
    bank = ChromosomeBank(bank_dir)
    cell = bank.cells.loc[bank.cells["label"] == "normal", "cell"].iloc[0]
    page = draw_metaphase(None, cutouts=bank.cutouts(cell), seed=4, size=(800, 640), crossing=0.3)
    assert len(page.truth) == 46
    assert set(page.truth["source"]) == {cell}
    assert set(page.truth["polarity"]) == {-1, 1}
    # a band's p end lies above its q end where the polarity says so
    ends = page.bands.groupby("row").agg(top=("y_start", "first"), bottom=("y_stop", "last"))
    up = (ends["bottom"] > ends["top"]).to_numpy()
    assert (up == (page.truth["polarity"] > 0).to_numpy()).all()
    with pytest.raises(ValueError, match="Received neither"):
        draw_metaphase(None)
