"""Objects that are no single chromosome are cut, joined or added as makes the page most probable."""

from dataclasses import replace

import numpy as np
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.read.find import find_chromosomes, gather_objects
from karyo_lib.read.name import Names
from karyo_lib.read.regroup import regroup
from karyo_lib.read.train.learn import find_not_single
from karyo_lib.shape.boxes import match_boxes
from karyo_lib.shape.strips import CLASSES, straighten_cell


@pytest.fixture(scope="module")
def page():
    return draw_karyogram("46,XX", style="digital", seed=3, size=None)


@pytest.fixture(scope="module")
def found(page):
    found = find_chromosomes(page.image)
    assert len(found) == 46
    return found


@pytest.fixture(scope="module")
def judge(found):
    """Knows the least and the greatest area of a chromosome, and nothing else."""
    area = straighten_cell(found.cutouts, found.masks).sizes[:, 1]

    def predict(strips):
        single = (strips.sizes[:, 1] > area.min() - 0.1) & (strips.sizes[:, 1] < area.max() + 0.2)
        none = np.where(single, 0.01, 0.99).astype(np.float32)
        proba = np.full((len(none), len(CLASSES)), 1e-6, np.float32)
        proba[:, 0] = 1 - none  # all chromosomes are called 1
        return Names(np.log(proba), np.log(none), np.zeros(len(none), np.float32))

    return predict


def _of(found, page, name):
    """Numbers of a class's objects on the page."""
    match = match_boxes(found.boxes, page.truth).to_numpy()
    return [i + 1 for i, row in enumerate(match) if page.truth["chromosome"].iloc[row] == name]


def _again(found, labels):
    return gather_objects(labels, found.paper, found.width * found.scale, found.scale)


def _complete(names, boxes):
    """A page is the more probable, the nearer it is to 46 chromosomes."""
    return -10.0 * abs(len(boxes) - 46)


def _regroup(found, judge, weigh=_complete):
    strips = straighten_cell(found.cutouts, found.masks)
    return regroup(found, strips, judge(strips), judge, weigh)


def _merged(found, page):
    first, second = _of(found, page, "1")
    labels = found.labels.copy()
    labels[labels == second] = first
    rows, columns = np.nonzero(labels == first)
    bridge = labels[int(rows.mean()) - 3 : int(rows.mean()) + 4, columns.min() : columns.max()]
    bridge[bridge == 0] = first
    return _again(found, labels)


def _broken(found, page):
    number = _of(found, page, "22")[0]
    labels = found.labels.copy()
    rows = np.flatnonzero((labels == number).any(1))
    lower = (labels == number) & (np.arange(len(labels)) > rows.mean())[:, None]
    labels[lower] = labels.max() + 1
    return _again(found, labels)


def test_a_good_page_is_left_alone(found, judge):
    strips = straighten_cell(found.cutouts, found.masks)
    names = judge(strips)
    again = regroup(found, strips, names, judge, _complete)
    assert again[0] is found
    assert again[1] is strips
    assert again[2] is names


def test_two_in_one_are_parted_between_them(found, page, judge):
    merged = _merged(found, page)
    assert len(merged) == 45
    parted, strips, names = _regroup(merged, judge)
    assert len(parted) == len(strips) == len(names.log_none) == 46
    assert (match_boxes(parted.boxes, page.truth, 0.7) >= 0).all()


def test_pieces_are_joined(found, page, judge):
    broken = _broken(found, page)
    assert len(broken) == 47
    joined, strips, _ = _regroup(broken, judge)
    assert len(joined) == len(strips) == 46
    assert (match_boxes(joined.boxes, page.truth, 0.7) >= 0).all()


def test_a_page_of_which_nothing_is_read_stays_as_it_is(found):
    def never(strips):
        none = np.zeros(len(strips), np.float32)
        return Names(np.full((len(strips), len(CLASSES)), -9.0, np.float32), none, none)

    assert _regroup(found, never)[0] is found


def test_training_knows_which_objects_are_not_single(found, page):
    assert not find_not_single(found, page).any()
    merged, broken = _merged(found, page), _broken(found, page)
    assert find_not_single(merged, page).sum() == 1
    assert find_not_single(broken, page).sum() == 2


def test_parts_of_two_classes_stay_one_object(found, page, judge):
    merged = _merged(found, page)
    strips = straighten_cell(merged.cutouts, merged.masks)

    def never_alike(parts):
        names = judge(parts)
        log_proba = names.log_proba.copy()
        log_proba[1::2] = log_proba[1::2, ::-1]
        return Names(log_proba, names.log_none, names.p_upside_down)

    assert regroup(merged, strips, judge(strips), never_alike, _complete)[0] is merged


def test_what_makes_the_page_less_probable_is_not_done(found, page, judge):
    merged, broken = _merged(found, page), _broken(found, page)
    assert _regroup(merged, judge, lambda names, boxes: -10.0 * abs(len(boxes) - 45))[0] is merged
    assert _regroup(broken, judge, lambda names, boxes: -10.0 * abs(len(boxes) - 47))[0] is broken


def _doubting(judge, share):
    """The judge, half sure of every chromosome that is no larger than a median one."""

    def predict(strips):
        names = judge(strips)
        small = strips.sizes[:, 1] < 0
        log_proba = np.where(small[:, None], names.log_proba + np.log(share), names.log_proba)
        return Names(log_proba.astype(np.float32), names.log_none, names.p_upside_down)

    return predict


@pytest.mark.parametrize(("gain", "objects"), [(4.0, 47), (5.0, 46)])
def test_where_the_network_is_not_sure_the_page_must_gain_more(found, page, judge, gain, objects):
    broken = _broken(found, page)
    joined = _regroup(broken, _doubting(judge, 0.7), lambda names, boxes: -gain * abs(len(boxes) - 46))[0]
    assert len(joined) == objects


def _paled(found, page):
    number = _of(found, page, "21")[0]
    faint = (found.labels == number).astype(np.int16)
    labels = np.where(faint > 0, 0, found.labels)
    return replace(_again(found, labels), faint=faint)


def test_a_pale_chromosome_is_added_where_the_page_lacks_it(found, page, judge):
    paled = _paled(found, page)
    assert len(paled) == 45
    whole = _regroup(paled, judge)[0]
    assert len(whole) == 46
    assert not whole.faint.any()
    assert (match_boxes(whole.boxes, page.truth, 0.7) >= 0).all()
    assert _regroup(paled, judge, lambda names, boxes: 0.0)[0] is paled
