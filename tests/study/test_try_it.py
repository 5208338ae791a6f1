"""The controls of the 'try it' cells, moved without a browser: what is drawn follows them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from karyo_lib import study
from karyo_lib.draw import draw_karyogram
from karyo_lib.files.augment import Alteration, alter_image
from karyo_lib.files.images import read_image
from karyo_lib.study.confidence.samples import Passes
from karyo_lib.study.runs import Run

VGG16 = "augmented-vgg16-frozen"
FORMULA = "47,XY,+21"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def run(tmp_path):
    return Run.open("smoke", run_dir=str(tmp_path / "run"))


@pytest.fixture
def copies(tmp_path):
    from PIL import Image

    names = [f"k{i}" for i in range(8)]
    for i, name in enumerate(names):
        page = np.full((120, 120), 200, np.uint8)
        page[20:70, 20 : 60 + i] = 30
        Image.fromarray(page).save(tmp_path / f"{name}.png")
    table = pd.DataFrame({"image_id": names, "path": [f"{name}.png" for name in names], "copy": 0})
    return study.data.collection.Copies(table, tmp_path)


def kept(run):
    return {path.name: path.read_bytes() for path in run.path("figures").iterdir()}


def test_a_formula_gives_its_karyogram_or_a_reason(run):
    tried = study.results.try_it.try_formula(run, FORMULA)
    first = draw_karyogram(FORMULA, style="classic", seed=3, size=None)
    assert np.array_equal(tried.display_.axes_[0].images[0].get_array(), first.image)
    saved = kept(run)
    assert set(saved) == {"try_it_01.png", "try_it_01.svg"}

    tried.controls["formula"].value = "46,XX,+99"
    assert "99" in tried.complaint_
    tried.controls["style"].value = "digital"  # of the same impossible formula
    assert "99" in tried.complaint_
    tried.controls["formula"].value = "45,X"
    assert tried.complaint_ == ""
    other = draw_karyogram("45,X", style="digital", seed=3, size=None)
    assert np.array_equal(tried.display_.axes_[0].images[0].get_array(), other.image)
    assert tried.display_.captions_[0].get_text() == "45,X"
    assert kept(run) == saved, "trying changes nothing of the run"


def test_sliders_alter_one_karyogram(run, copies):
    tried = study.results.try_it.try_augmentation(run, copies)
    tried.controls["which"].value = 3
    tried.controls["brightness"].value = 0.1
    tried.controls["noise_fraction"].value = 0.0
    tried.controls["blur_sigma"].value = 0.0
    before, after = (ax.images[0].get_array() for ax in tried.display_.axes_)
    page = read_image(copies.folder / "k2.png")
    assert np.array_equal(before, page)
    assert np.array_equal(after, alter_image(page, Alteration(0.1), np.random.default_rng(0)))
    assert after.mean() == pytest.approx(1.1 * before.mean(), rel=0.01)


def test_the_threshold_moves_matrix_and_roc_point(run):
    y, p = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.8, 0.3, 0.9])
    rows = pd.DataFrame({"condition": VGG16, "repeat": 0, "part": "test", "y_true": y})
    predictions = pd.concat(
        [rows.assign(protocol="grouped", p=p), rows.assign(protocol="thesis", p=[0.1, 0.2, 0.3, 0.9, 0.9])]
    )
    fits = study.networks.fits.Fits(predictions, pd.DataFrame(), pd.DataFrame({"condition": [VGG16]}))
    tried = study.results.try_it.try_threshold(run, fits, VGG16)

    def drawn():
        texts = next(iter(tried.display_.matrix_.texts_.values()))
        counts = [int(text.get_text().split("\n")[0]) for text in texts.ravel()]
        point = tried.display_.roc_.points_["test"]
        return counts, point.get_xdata()[0], point.get_ydata()[0]

    assert drawn() == ([2, 1, 1, 1], pytest.approx(1 / 3), 1 / 2)
    tried.controls["threshold"].value = 0.2
    assert drawn() == ([1, 2, 0, 2], pytest.approx(2 / 3), 1)
    tried.controls["threshold"].value = 0.85
    assert drawn() == ([3, 0, 1, 1], 0, 1 / 2)
    tried.controls["protocol"].value = "thesis"
    assert drawn() == ([3, 0, 0, 2], 0, 1)


def make_passes():
    """Eight images, four errors; the vote share holds two of them for certain, and ties them."""
    scores = pd.DataFrame(
        {
            "image_id": [f"k{i}" for i in range(8)],
            "y_true": [0, 0, 0, 0, 1, 1, 1, 1],
            "label": [0, 0, 1, 1, 1, 1, 0, 0],
            "confidence": [100, 100, 55, 70, 100, 90, 100, 100],
            "combined": [0.1, 0.2, 0.9, 0.3, 0.1, 0.4, 0.8, 0.7],
            "p_mean": 0.7,
            "p_std": 0.1,
            "entropy": 0.5,
            "expected_entropy": 0.4,
            "mutual_information": 0.1,
        }
    )
    scores = scores.assign(condition=VGG16, protocol="grouped", repeat=0, part="test")
    return Passes(scores, pd.DataFrame(), 100)


def test_the_share_referred_moves_the_point_and_the_gallery(run, copies):
    tried = study.results.try_it.try_referral(run, copies, make_passes(), VGG16)

    def drawn():
        point = next(iter(tried.display_.curve_.points_.values()))
        return point.get_xdata()[0], point.get_ydata()[0]

    def captions():
        return [caption.get_text().split("\n") for caption in tried.display_.gallery_.captions_]

    assert drawn() == (pytest.approx(7 / 8), pytest.approx(3 / 7)), "one image in five of eight"
    assert [words[0] for words in captions()] == ["k2", "k6", "k7", "k3"], "the least sure first"
    assert [words[2] for words in captions()] == ["referred", *["not referred"] * 3]
    assert captions()[0][1] == "abnormal, is normal"
    tried.controls["referred"].value = 0.4
    assert drawn() == (pytest.approx(5 / 8), pytest.approx(1 / 5))
    assert tried.display_.chances_.tolist() == [1, 0, 1, 1]

    tried.controls["score"].value = "vote_share"
    assert tried.display_.chances_.tolist() == [1, 1, 0, 0]
    tried.controls["referred"].value = 0.5  # the fourth is drawn from the five at 100 %
    assert tried.display_.chances_.tolist() == pytest.approx([1, 1, 1 / 5, 1 / 5])
    assert [words[2] for words in captions()][2:] == ["referred: 20% chance"] * 2
    assert drawn()[1] == pytest.approx((4 - 2.4) / 4)
    tried.controls["referred"].value = 0.0
    assert tried.display_.chances_.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("errors", [0, 1, 3])
def test_few_errors_make_a_small_gallery_and_none_makes_none(run, copies, errors):
    passes = make_passes()
    wrong = passes.scores["label"] != passes.scores["y_true"]
    passes.scores.loc[wrong[wrong].index[errors:], "label"] ^= 1
    shown = study.results.try_it.try_referral(run, copies, passes, VGG16).display_.gallery_
    assert len(shown.captions_ if shown else []) == errors


def test_controls_stand_above_the_picture(run, copies):
    tried = study.results.try_it.try_augmentation(run, copies)
    assert "application/vnd.jupyter.widget-view+json" in tried._repr_mimebundle_()
    assert [control.description for control in tried.controls.values()] == [
        "Karyogram", "Brightness change", "Noisy pixels", "Blur, px"
    ]  # fmt: skip
