"""What is learned from real spreads: strips of lone chromosomes, scenes for the detector."""

import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.iscn.bands import CHROMOSOMES
from karyo_lib.read.decode import DecoderSettings
from karyo_lib.read.decoding_network import NetworkSettings
from karyo_lib.read.detector import CELL, REACH, DetectorSettings
from karyo_lib.read.reader import Reader
from karyo_lib.read.train import learn
from karyo_lib.read.train.detection import detector_losses
from karyo_lib.read.train.pieces import MOST, SIZE, orient, read_spreads, spread_part
from karyo_lib.read.train.scenes import SceneMaker, make_batch
from karyo_lib.shape.scaling import scale_strips


def drawn_strips(seed):
    page = draw_karyogram("46,XY", style="classic", seed=seed, size=(900, 700), annotate=False)
    truth, images, masks = page.truth, [], []
    for number, row in enumerate(truth.itertuples(), start=1):
        where = slice(int(row.y0), int(row.y1) + 1), slice(int(row.x0), int(row.x1) + 1)
        masks.append(page.labels[where] == number)
        images.append(np.where(masks[-1], page.image[where], 255).astype(np.uint8))
    classes = truth["chromosome"].map(CHROMOSOMES.index).to_numpy()
    return page, scale_strips(images, masks), classes


def test_each_strip_is_turned_as_upright_ones_of_its_class_stand():
    _, upright, of_class = drawn_strips(1)
    _, strips, classes = drawn_strips(2)
    back = np.arange(len(strips)) % 2 == 0
    turned = orient(strips.turned(back), classes, upright, of_class)
    same = [(turned.images[i] == strips.images[i]).all() for i in range(len(strips))]
    assert np.mean(same) > 0.85


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("spreads")
    page, _, _ = drawn_strips(3)
    boxes = page.truth.rename(columns={"chromosome": "class"})[["class", "x0", "y0", "x1", "y1"]]
    boxes = boxes.assign(x0=boxes.x0 - 4, y0=boxes.y0 - 4, x1=boxes.x1 + 4, y1=boxes.y1 + 4)
    cases = [f"{i}" for i in range(40)]
    kinds = ["structural" if case == "3" else "normal" for case in cases]
    pd.DataFrame({"cell": [f"{c}1" for c in cases], "case": cases, "kind": kinds}).to_csv(
        tmp_path / "cells.csv", index=False
    )
    chosen = [next(c for c in cases if spread_part(c) == part) for part in ("training", "validation")]
    pd.concat([boxes.assign(cell=f"{c}1") for c in chosen]).to_csv(tmp_path / "boxes.csv.gz", index=False)
    data = cv2.imencode(".webp", page.image, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for case in chosen:
            archive.writestr(f"{case}1.webp", data)
    return tmp_path


def test_lone_chromosomes_of_a_part_are_cut_out_with_their_classes(folder):
    ((strips, names),) = read_spreads(folder, "validation")
    assert len(strips) == len(names) >= 30
    assert set(names) <= set(CHROMOSOMES)
    assert strips.rows[names.index("1")] > 2 * strips.rows[names.index("21")]


def test_a_decoder_is_trained_on_spreads_and_drawings(folder, tmp_path, monkeypatch):
    small, seen = NetworkSettings((4, 4, 4), 16, (1, 2), 1, 2), []
    monkeypatch.setattr(learn, "fit", lambda model, aligner, strips, s, align_first: seen.append(strips))
    reader = learn.train_anew(folder, 0.02, drawn=2, network=small, tell=str)
    assert learn.train_anew(None, 0.02, drawn=1, network=small, tell=str).settings.clear_below is None
    strips, drawings = seen
    assert len(np.unique(drawings.cells)) == 1
    assert 40 <= len(drawings) <= 46
    of_spreads = strips.cells == 0
    assert 30 <= of_spreads.sum() <= 46
    assert strips.weights[of_spreads].sum() / strips.weights.sum() == pytest.approx(0.7)
    assert len(np.unique(strips.cells)) == 3
    reader.save(tmp_path / "reader")
    loaded = Reader.load(tmp_path / "reader")
    assert loaded.decoder.settings == reader.decoder.settings
    assert loaded.decoder.settings.network == small
    assert loaded.decoder.settings.temperature != DecoderSettings().temperature


def test_patients_with_an_abnormal_cell_are_kept_for_the_test():
    parts = [spread_part(str(case)) for case in range(1000)]
    assert 0.75 < parts.count("training") / 1000 < 0.85
    assert spread_part("10306", abnormal=True) == "test"


@pytest.fixture(scope="module")
def maker(folder):
    return SceneMaker(folder, [1], spreads=1, pages=1)


@pytest.mark.parametrize("kind", ["_spread", "_composed", "_page", "_drawn_page", "_nothing"])
def test_the_truth_of_a_scene_is_where_its_ink_is(maker, kind):
    canvas = getattr(maker, kind)()
    assert canvas.light.shape == (SIZE, SIZE)
    assert bool(canvas.boxes) == (kind != "_nothing")
    assert len(canvas.boxes) == len(canvas.labels) == len(canvas.exact) <= MOST
    for number, (box, exact) in enumerate(zip(canvas.boxes, canvas.exact, strict=True), start=1):
        assert (box[:2] >= -1).all()
        assert (box[2:] <= SIZE + 1).all()
        rows, columns = np.nonzero((canvas.layers == number).any(0))
        if exact and len(rows) > 50:  # mostly hidden otherwise
            own = 2 * np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (own[:2] >= box[:2] - 4).all()
            assert (own[2:] <= box[2:] + 4).all()


def _say(y: dict) -> dict:
    """What a network would say that sees centres, boxes and classes, and no mask."""
    settings, n = DetectorSettings(), SIZE // CELL
    out = {
        "centre": np.full((len(y["layers"]), n, n, 1), -9, np.float32),
        "classes": np.zeros((len(y["layers"]), n, n, 24), np.float32),
        "box": np.zeros((len(y["layers"]), n, n, 4), np.float32),
        "control": np.zeros((len(y["layers"]), n, n, settings.controls), np.float32),
        "mask": np.zeros((len(y["layers"]), 2 * n, 2 * n, settings.mask_channels), np.float32),
    }
    for b, centres in enumerate(y["centres"].astype(int)):
        out["centre"][b, *centres[centres[:, 0] >= 0].T] = 9
    for b, objects in enumerate(y["chosen"]):
        for row, column, _, label, _, *box, valid in objects:
            where, middle = (b, int(row), int(column)), (np.array([column, row]) + 0.5) * CELL
            if valid:
                far = np.r_[middle - box[:2], box[2:] - middle]
                out["box"][where] = np.log(np.maximum(far, 0.5) / REACH)
                out["classes"][where][int(label)] = 6 * (label >= 0)
    return out


def test_who_sees_all_loses_little(maker):
    images, y = make_batch(maker, 3, np.random.default_rng(0))
    assert images.shape == (3, SIZE, SIZE)
    seen = _say(y)
    lost = {name: float(value) for name, value in detector_losses(y, seen).items()}
    blind = {name: np.zeros_like(value) for name, value in seen.items()}
    more = {name: float(value) for name, value in detector_losses(y, blind).items()}
    assert lost["centre"] < 0.01 < more["centre"]
    assert lost["box"] < 0.15 < more["box"]
    assert lost["class"] < 0.5 < more["class"]
    assert lost["mask"] == pytest.approx(more["mask"])
