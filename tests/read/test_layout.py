"""What was laid where: print that is read, slots that it names, and print that is no name."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.find import find_chromosomes
from karyo_lib.read.layout import (
    WHOLE_INK,
    _rising,
    arrange,
    assign_slots,
    in_print,
    left_over,
    misplaced,
    read_labels,
)
from karyo_lib.read.printed import WORDS, find_words, read_words


def _say(*said: str, sure: float = 0.95) -> np.ndarray:
    p = np.full((len(said), len(WORDS)), (1 - sure) / (len(WORDS) - 1))
    p[np.arange(len(said)), [WORDS.index(word) for word in said]] = sure
    return np.log(p)


def _row(n: int, y: float = 100.0, step: float = 60.0) -> pd.DataFrame:
    x = step * np.arange(1, n + 1)
    return pd.DataFrame({"x0": x - 4, "y0": y, "x1": x + 4, "y1": y + 10})


@pytest.fixture(scope="module", params=["digital", "photocopy", "reverse"])
def page(request):
    return draw_karyogram("47,XY,+21", style=request.param, seed=4, size=(416, 416))


def test_names_under_slots_say_what_was_laid_there(page):
    found = find_chromosomes(page.image)
    labels = read_labels(found, page.image)
    assert len(labels) >= 20
    boxes = page.truth.assign(width=found.width)
    slots, _ = assign_slots(boxes, labels)
    right = [name in (truth, "XY") for name, truth in zip(slots, page.truth["chromosome"], strict=True)]
    assert all(right)


def test_a_title_is_never_a_name():
    pages = [
        draw_karyogram("47,XX,+21", style="digital", seed=4, annotate=annotate, size=(416, 416))
        for annotate in ([], ["title"])
    ]
    bare, titled = (read_labels(find_chromosomes(p.image), p.image)["name"].tolist() for p in pages)
    assert bare == titled


def test_names_rise_and_what_does_not_is_other_print():
    said = ["1", "2", "13", "3", "4", "6", "X", "X", "Y"]
    labels = _rising(_row(9), _say(*said), (*CLASSES, "XY"), np.full(9, 1.2))
    assert labels["name"].tolist() == ["1", "2", "3", "4", "6", "X", "X", "Y"]
    assert len(_rising(_row(3).iloc[:0], _say()[:0], CLASSES, np.zeros(0))) == 0


def test_a_name_that_was_not_read_has_its_place():
    labels = _row(8).assign(row=0, name=["1", "2", "3", "4", "6", "7", "8", "9"], probability=1.0)
    labels.loc[4:, ["x0", "x1"]] += 60  # 5 is lacking
    x = np.repeat(60.0 * np.arange(1, 10), 2) + np.tile([-8, 8], 9)
    boxes = pd.DataFrame({"x0": x - 5, "x1": x + 5, "y0": 50.0, "y1": 95.0, "width": 10.0})
    slots, between = assign_slots(boxes, labels)
    assert slots == tuple(np.repeat([str(k) for k in range(1, 10)], 2))
    assert not between.any()
    three = pd.concat([boxes, boxes.iloc[[9]].assign(x0=boxes["x1"][9] + 2, x1=boxes["x1"][9] + 12)])
    assert assign_slots(three, labels)[0][-1] == "5"
    above = boxes.assign(y0=115.0, y1=160.0)
    assert assign_slots(above, labels)[0] == slots


def test_the_place_says_more_than_doubtful_looks():
    labels = _row(12).assign(row=0, name=list(CLASSES[:12]), probability=1.0)
    x = 60.0 * np.arange(1, 13)
    boxes = pd.DataFrame({"x0": x - 5, "x1": x + 5, "y0": 50.0, "y1": 95.0, "width": 10.0, "row": 0})
    boxes["slot"] = np.arange(12)
    arrangement = arrange(boxes, labels, np.zeros((12, len(CLASSES))))
    assert arrangement.source == "names"
    assert (arrangement.log_prior.argmax(1) == np.arange(12)).all()
    p = np.exp(arrangement.log_prior) / len(CLASSES)
    assert p.sum(1) == pytest.approx(1)
    letters = labels.iloc[:7].assign(name=list("ABCDEFG"))
    grouped = arrange(boxes, letters, np.zeros((12, len(CLASSES))))
    assert grouped.source == "letters"
    assert np.exp(grouped.log_prior[2, [5, 22]]) / len(CLASSES) == pytest.approx([0.994 / 8] * 2)


def test_a_chromosome_in_another_ones_slot_is_named():
    slots, looks = ["4", "4", "5", "5"], ["4", "5", "5", "4"]
    table = pd.DataFrame({"chromosome": looks, "printed": slots, "x0": [1.0, 9.0, 21.0, 29.0]})
    log_proba = np.log(np.where(np.array(CLASSES) == np.array(looks)[:, None], 0.999, 1e-5))
    exchanged = ["the second of slot 4 looks like a 5", "the second of slot 5 looks like a 4"]
    assert misplaced(table, log_proba) == exchanged
    assert misplaced(table, 0.2 * log_proba) == []
    log_proba[1] = log_proba[0]
    assert misplaced(table, log_proba) == [], "one odd chromosome in a slot of two is no exchange"
    extra = pd.concat([table, table.iloc[[2]].assign(x0=37.0)], ignore_index=True)
    assert misplaced(extra, np.vstack([log_proba, log_proba[2:3]])) == exchanged[1:]


def test_ink_of_a_chromosomes_size_is_pointed_at():
    labels = _row(2).assign(row=0, name=["X", "Y"], probability=1.0)
    boxes = pd.DataFrame({"x0": [50.0], "x1": [70.0], "y0": [40.0], "y1": [95.0], "width": [10.0]})
    ink = pd.DataFrame([("print", 114.0, 70.0, 126.0, 95.0)], columns=["kind", "x0", "y0", "x1", "y1"])

    def told(rejected: pd.DataFrame, *least: tuple[float, float]) -> list[list[float]]:
        page = SimpleNamespace(rejected=rejected, width=10.0, boxes=boxes)
        return left_over(page, labels, *least).tolist()

    assert told(ink) == [[114, 70, 126, 95]]
    assert told(ink.assign(kind="dust")) == []
    assert told(ink.assign(y0=82.0, x1=122.0)) == [[114, 82, 122, 95]], "a small Y"
    assert told(ink.assign(y0=82.0), WHOLE_INK) == [], "part of one"
    assert told(ink, WHOLE_INK) == [[114, 70, 126, 95]]
    assert told(ink.assign(y0=90.0)) == [], "small print"
    assert told(ink.assign(y0=76.0, y1=108.0)) == [], "a name is print"
    assert told(ink.assign(y0=5.0, y1=30.0)) == [], "a title above the rows"
    assert told(ink.iloc[:0]) == []


def test_small_print_is_read():
    page = draw_karyogram("46,XX", style="textbook", seed=4, size=(300, 300))
    words = find_words(page.image, find_chromosomes(page.image).width)
    said = [WORDS[k] for k in read_words(words).argmax(1)]
    assert len({*said} & {*CLASSES}) > 12


def test_what_stands_on_the_line_of_the_names_may_be_print():
    labels = _row(4).assign(row=0)
    boxes = pd.DataFrame(
        {"x0": 0.0, "x1": 9.0, "y0": [75.0, 20.0, 75.0, 95.0], "y1": [110.0, 110.0, 98.0, 112.0]}
    )
    assert in_print(boxes, labels).tolist() == [True, False, False, True]
    assert not in_print(boxes, labels[:2]).any()  # too few make no line
    assert not in_print(boxes, labels[:0]).any()
