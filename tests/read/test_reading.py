"""Finding, straightening, naming, counting and comparing chromosomes, on things whose answer is known."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from karyo_lib.iscn import GROUPS, Karyotype, parse_karyotype
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.iscn.catalogue import NUMERICAL, formula_frequencies, load_catalogue
from karyo_lib.read.cell import (
    CountSettings,
    count_chromosomes,
    count_spread,
    find_fusion,
    overlap_with_larger,
    thinness,
)
from karyo_lib.read.complements import candidate_complements
from karyo_lib.read.find import find_chromosomes, infer_slots
from karyo_lib.read.layout import align_slots, order_evidence
from karyo_lib.read.reading import STRUCTURE_COLUMNS, Reading
from karyo_lib.shape.centreline import chromosome_mask
from karyo_lib.shape.scaling import MEDIAN_ROWS, scale_strips, trace


def _bar(length: int = 60, width: int = 14, dark: tuple[int, ...] = (15, 40)) -> np.ndarray:
    """An upright chromosome-like bar on white, dark bands at the given rows."""
    image = np.full((length + 20, width + 20), 255, np.uint8)
    cv2.rectangle(image, (10, 10), (9 + width, 9 + length), 150, -1)
    for row in dark:
        image[10 + row : 14 + row, 10 : 10 + width] = 30
    return image


def _arc(radius: float = 40.0, width: float = 13.0) -> np.ndarray:
    """Half a ring, open to the left, a third of the way down darker."""
    y, x = np.mgrid[:130, :90].astype(float)
    r, angle = np.hypot(y - 65, x - 20), np.arctan2(y - 65, x - 20)
    inside = (np.abs(r - radius) < width / 2) & (np.abs(angle) < np.pi / 2)
    image = np.where(inside, 150, 255)
    image[inside & (np.abs(angle + np.pi / 6) < 0.1)] = 30
    return image.astype(np.uint8)


def _proba(names: list[str], sure: float = 0.97) -> np.ndarray:
    p = np.full((len(names), len(CLASSES)), (1 - sure) / (len(CLASSES) - 1))
    p[np.arange(len(names)), [CLASSES.index(n) for n in names]] = sure
    return np.log(p)


def _cell(sex: str = "XX") -> list[str]:
    return [c for c in CLASSES[:22] for _ in range(2)] + list(sex)


def _profile(image: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Ink along a chromosome beside two bars of 60 rows, which set the scale."""
    strips = scale_strips([image, *[cv2.resize(_bar(), None, fx=scale, fy=scale)] * 2])
    return strips.images[0, : strips.rows[0]].mean(1)


class TestStraighten:
    @pytest.mark.parametrize("scale", [0.35, 1.0, 2.5])
    def test_a_straight_bar_keeps_its_length_and_bands(self, scale):
        image = cv2.resize(_bar(90), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert trace(image, chromosome_mask(image)).length == pytest.approx(90 * scale, rel=0.1)
        profile = _profile(image, scale)
        assert len(profile) == pytest.approx(MEDIAN_ROWS * 90 / 60, rel=0.06)
        darkest = np.argsort(-profile)[:8] / len(profile)
        assert np.abs(darkest - 17 / 90).min() < 0.04
        assert np.abs(darkest - 42 / 90).min() < 0.04

    def test_a_half_ring_is_unrolled(self):
        line = trace(_arc(), chromosome_mask(_arc()))
        assert line.length == pytest.approx(np.pi * 40, rel=0.06)
        assert line.points[0, 0] < line.points[-1, 0]
        profile = _profile(_arc())
        assert np.argmax(profile) / len(profile) == pytest.approx(1 / 3, abs=0.05)

    def test_an_empty_cutout_is_refused(self):
        with pytest.raises(ValueError, match="without ink"):
            chromosome_mask(np.full((20, 20), 255, np.uint8))
        assert len(scale_strips([])) == 0


def _page() -> tuple[np.ndarray, int]:
    """Two rows of pairs with a rule, print and a speck."""
    page = np.full((400, 620), 255, np.uint8)
    n = 0
    for row, length in enumerate((100, 60)):
        for slot in range(5):
            for copy in range(2):
                bar = _bar(length, 14, (length // 4, length // 2))[10:-10, 10:-10]
                y, x = 60 + row * 160 + (100 - length), 50 + slot * 110 + copy * 22
                page[y : y + bar.shape[0], x : x + bar.shape[1]] = bar
                n += 1
            cv2.line(page, (40 + slot * 110, 166 + row * 160), (100 + slot * 110, 166 + row * 160), 0, 2)
            cv2.putText(
                page, str(slot), (62 + slot * 110, 186 + row * 160), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1
            )
    cv2.circle(page, (300, 20), 2, 0, -1)
    return cv2.GaussianBlur(page, (0, 0), 0.7), n


class TestFind:
    def test_pairs_are_found_and_print_is_not(self):
        page, n = _page()
        found = find_chromosomes(page)
        assert len(found) == n
        assert found.boxes.groupby(["row", "slot"]).size().tolist() == [2] * 10
        first = found.boxes.iloc[0]
        assert (first.x0, first.y0) == pytest.approx((50, 60), abs=3)
        assert first.y1 - first.y0 == pytest.approx(100, abs=5)
        assert (found.rejected["kind"] == "print").any()

    def test_a_negative_and_a_smaller_page_give_the_same(self):
        page, n = _page()
        assert len(find_chromosomes(255 - page)) == n
        small = cv2.resize(page, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        assert len(find_chromosomes(small)) == n

    @pytest.mark.parametrize("grey", [0, 255, 128])
    def test_a_blank_page_has_none(self, grey):
        assert len(find_chromosomes(np.full((200, 200), grey, np.uint8))) == 0

    def test_noise_alone_does_not_crash(self):
        noise = np.random.default_rng(0).integers(0, 255, (160, 160)).astype(np.uint8)
        found = find_chromosomes(noise)
        assert len(found.cutouts) == len(found.boxes)

    def test_a_colour_image_is_refused(self):
        with pytest.raises(ValueError, match=r"Expected a grey image.*Received \(5, 5, 3\)"):
            find_chromosomes(np.zeros((5, 5, 3), np.uint8))

    def test_slots_follow_gaps(self):
        x = np.array([0, 20, 90, 110, 180, 200.0])
        boxes = pd.DataFrame({"x0": x, "y0": 0.0, "x1": x + 14, "y1": 60.0})
        assert infer_slots(boxes, 14.0)["slot"].tolist() == [0, 0, 1, 1, 2, 2]


class TestCount:
    @pytest.mark.parametrize(
        ("names", "formula"),
        [
            (_cell("XX"), "46,XX"),
            (_cell("XY"), "46,XY"),
            ([*_cell("XY"), "21"], "47,XY,+21"),
            (_cell("XXY"), "47,XXY"),
            (_cell("X"), "45,X"),
            ([c for c in _cell("XX") if c != "7"] + ["7"], "45,XX,-7"),
            ([c for c in CLASSES[:22] for _ in range(3)] + list("XXY"), "69,XXY"),
        ],
    )
    def test_clear_cells_are_counted(self, names, formula):
        count = count_chromosomes(_proba(names))
        assert count.formula == formula
        assert count.probability > 0.5
        assert 0 <= count.p_abnormal <= 1
        assert (count.p_abnormal > 0.5) == (formula not in ("46,XX", "46,XY"))
        assert [CLASSES[k] for k in count.assigned] == names
        assert count.candidates["probability"].sum() == pytest.approx(1)
        np.testing.assert_allclose(count.proba.sum(1), 1, atol=1e-6)

    def test_a_hyperdiploid_cell_that_no_list_holds_is_counted(self):
        names = [*_cell("XY"), "4", "6", "10", "14", "17", "18", "21"]
        count = count_chromosomes(_proba(names), np.full(len(names), np.log(0.001)))
        assert count.formula == "53,XY,+4,+6,+10,+14,+17,+18,+21"
        assert count.probability > 0.7

    def test_wrong_names_alone_do_not_make_many_changes(self):
        names = _cell("XX")
        for wrong, taken in ((4, "7"), (17, "2"), (30, "12"), (41, "9")):
            names[wrong] = taken
        count = count_chromosomes(_proba(names, 0.8))
        assert count.formula == "46,XX"

    def test_counts_correct_a_wrong_name(self):
        log_p = _proba(_cell("XX"))
        wrong = 2 * CLASSES.index("9")
        log_p[wrong] = np.log(1e-4)
        log_p[wrong, CLASSES.index("11")], log_p[wrong, CLASSES.index("9")] = np.log(0.55), np.log(0.44)
        count = count_chromosomes(log_p)
        assert count.formula == "46,XX"
        assert CLASSES[count.assigned[wrong]] == "9"

    def test_dust_is_left_out_and_a_loss_that_may_be_a_miss_is_said(self):
        names = [*_cell("XX"), "21"]
        none = np.full(47, np.log(0.001))
        none[-1] = np.log(0.999)
        log_p = _proba(names)
        log_p[-1] = np.log(0.001 / 24)
        count = count_chromosomes(log_p, none)
        assert count.formula == "46,XX"
        assert count.assigned[-1] == -1
        sceptical = CountSettings(p_missed=0.05)
        count = count_chromosomes(_proba([c for c in _cell("XX") if c != "4"] + ["4"]), settings=sceptical)
        assert (count.formula, count.missed) == ("46,XX", ("4",))

    def test_a_loss_beside_many_objects_that_are_no_chromosomes_is_weighed(self):
        names = [*_cell("X"), *["2", "5", "9", "21", "Y", "Y", "12"]]
        false = np.arange(len(names)) >= 45
        log_p = np.where(false[:, None], _proba(names, 0.2), _proba(names))
        count = count_chromosomes(log_p, np.where(false, np.log(1 - 1e-5), np.log(1e-5)))
        assert count.candidates.set_index("formula").at["45,X", "probability"] > 0.01

    def test_a_loss_is_believed_and_many_losses_are_not(self):
        for lost in (("22",), ("5", "7")):  # both in the catalogue
            names = _cell("XX")
            for name in lost:
                names.remove(name)
            formula = f"{46 - len(lost)},XX," + ",".join(f"-{name}" for name in lost)
            assert count_chromosomes(_proba(names)).formula == formula
        rest = _cell("XX")[::2] + _cell("XX")[1:31:2]
        poor = count_chromosomes(_proba(rest))
        assert (poor.formula, len(poor.missed)) == ("46,XX", 46 - len(rest))

    @pytest.mark.parametrize(
        ("names", "formula"), [(_cell("XY"), "45,XY,-14"), ([*_cell("XX"), "21"], "46,XX,-14,+21")]
    )
    def test_two_that_are_joined_are_both_there_and_one_less(self, names, formula):
        (joined,) = (
            chromosome.segments
            for chromosome in parse_karyotype("45,XX,rob(13;14)(q10;q10)").chromosomes
            if len(chromosome.segments) == 2
        )
        assert find_fusion(joined) == ("13", "14")
        assert find_fusion(joined[::-1]) is find_fusion(joined[:1]) is None
        names.remove("14")
        names[names.index("13")] = "5"  # what it looks like
        x = 30.0 * np.arange(len(names))
        boxes = pd.DataFrame({"x0": x, "x1": x + 14, "y0": 0.0, "y1": 80.0, "area": 900.0, "score": 0.9})
        none, at = np.full(len(names), np.log(0.001)), names.index("5", 10)
        segments = [joined if i == at else () for i in range(len(names))]
        boxes["rows"] = 64
        alone = count_chromosomes(_proba(names), none, boxes=boxes)
        count = count_spread(segments, _proba(names), none, CountSettings(), boxes)
        assert alone.formula != count.formula == formula
        assert count.p_abnormal > 0.99
        assert len(count.assigned) == len(count.proba) == len(names)
        assert count.missed == ()
        assert CLASSES[count.assigned[at]] == "13"

    def test_pieces_of_one_chromosome_are_not_two(self):
        names = [*_cell("XX"), "5"]
        x = 20.0 * np.arange(47)
        boxes = pd.DataFrame({"x0": x, "x1": x + 14, "y0": 0.0, "y1": 80.0, "area": 900.0, "score": 0.75})
        boxes["rows"] = 64
        none = np.full(47, np.log(0.001))
        whole = count_chromosomes(_proba(names), none, boxes=boxes)
        piece = boxes.copy()
        piece.loc[46] = piece.loc[8] + [4, 4, 5, -5, -450, 0, 0]
        part = count_chromosomes(_proba(names), none, boxes=piece)
        assert part.formula == "46,XX"
        assert part.p_abnormal < 0.1 * whole.p_abnormal
        assert overlap_with_larger(piece)[46] > 0.7 > overlap_with_larger(piece)[8]
        assert thinness(piece).argmax() == 46

    def test_a_rarer_gain_needs_more_evidence(self):
        log_p = _proba([*_cell("XX"), "21"])
        log_p[-1] = np.log(1e-3)
        log_p[-1, CLASSES.index("21")] = log_p[-1, CLASSES.index("20")] = np.log(0.48)
        table = count_chromosomes(log_p).candidates.set_index("formula")["probability"]
        assert table["47,XX,+21"] > 10 * table["47,XX,+20"]

    def test_priors_sum_to_one(self):
        complements = candidate_complements(0.2)
        assert sum(c.prior for c in complements) == pytest.approx(1)
        assert sum(c.prior for c in complements if c.normal) == pytest.approx(0.8)
        priors = {c.formula: c.prior for c in complements}
        assert len(priors) == len(complements)
        assert {formula for formula, _ in formula_frequencies(NUMERICAL)} <= {*priors, "45,X,-Y"}

    def test_every_complement_that_is_weighed_is_a_karyotype(self):
        for complement in candidate_complements(0.3):
            karyotype = parse_karyotype(complement.formula)
            assert tuple(karyotype.counts[name] for name in CLASSES) == complement.counts
            assert karyotype.group in GROUPS
            assert complement.normal == (karyotype.group == "normal")

    @pytest.mark.parametrize("sex", ["XX", "XY"])
    def test_what_was_counted_is_a_karyotype_of_iscn(self, sex):
        hyperdiploid = [c for c in CLASSES[:22] for _ in range(2 + (int(c) in range(1, 9)))] + list(sex)
        for names, group in ((hyperdiploid, "trisomy"), ([*_cell(sex), "8", "21"], "trisomy")):
            count = count_chromosomes(_proba(names, 1 - 1e-9))
            assert (count.formula, count.karyotype.group) == (count.candidates["formula"][0], group)
            assert count.karyotype == parse_karyotype(count.formula)

    def test_a_perfect_count_of_any_numerical_karyotype_has_its_group(self):
        catalogue = load_catalogue()
        numerical = catalogue[catalogue["group"].isin(NUMERICAL)]
        for formula, group in zip(numerical["formula"], numerical["group"], strict=True):
            assert Karyotype.from_counts(parse_karyotype(formula).counts).group == group, formula

    def test_wrong_shapes_are_refused(self):
        with pytest.raises(ValueError, match="shape"):
            count_chromosomes(np.zeros((0, 24)))
        with pytest.raises(ValueError, match="p_abnormal"):
            candidate_complements(0.0)


class TestPosition:
    def test_slots_take_the_order_of_a_karyogram(self):
        likelihood = np.full((23, 23), -5.0)
        likelihood[np.arange(23), np.arange(23)] = -0.1
        likelihood[7] = -1.0  # one slot says nothing
        assert align_slots(likelihood).tolist() == list(range(23))

    def test_the_place_decides_what_looks_cannot(self):
        names = _cell("XX")
        log_p = _proba(names)
        log_p[20] = -np.log(24)
        boxes = pd.DataFrame({"row": 0, "slot": np.arange(46) // 2})
        slots, evidence = order_evidence(boxes, log_p)
        assert slots == (*names[:44], "XY", "XY")
        assert evidence[20].argmax() == CLASSES.index(names[20])
        shuffled = np.random.default_rng(1).permutation(46)
        assert not order_evidence(boxes, log_p[shuffled])[1].any()


def test_a_normal_variant_is_named_as_one():
    rows = [["9", "inv(9)(p12q13)", "variant", 2.0, ()], ["5", "del(5)(q13q33)", "deletion", 1.0, ()]]
    read = SimpleNamespace(structure=pd.DataFrame(rows, columns=STRUCTURE_COLUMNS))
    assert Reading.told_changes.fget(read) == ("inv(9)(p12q13) (normal variant)", "del(5)(q13q33)")
