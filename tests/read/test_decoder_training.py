"""What a decoder is trained on, and that training and measuring run."""

from dataclasses import replace

import numpy as np
import pytest

from karyo_lib.draw.karyogram import draw_karyogram
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.networks.backend import keras
from karyo_lib.read.decode import Decoder, DecoderSettings
from karyo_lib.read.decoding_network import (
    NetworkSettings,
    build_aligning_model,
    build_decoding_model,
    place_loss,
)
from karyo_lib.read.places import BINS, FIRST, NONE, STOP
from karyo_lib.read.train.fit_decoder import DecoderTraining, align, fit, fit_settings, score_decoder
from karyo_lib.read.train.looks import LookSettings, make_batch, turn_places
from karyo_lib.read.train.rearrange import Rearranger, StripSet, whole_places
from karyo_lib.shape.scaling import COLUMNS, MEDIAN_ROWS, MOST_ROWS, scale_strips

SMALL = NetworkSettings(stem=(4, 4, 4), channels=16, dilations=(1, 2), attention=1, heads=2)


@pytest.fixture(scope="module")
def drawn():
    """Strips of one drawn cell."""
    page = draw_karyogram("46,XY", style="digital", seed=3, annotate=False, size=(416, 416))
    images, masks, names = [], [], []
    for i, row in enumerate(page.truth.itertuples()):
        y, x = slice(int(row.y0), int(row.y1) + 1), slice(int(row.x0), int(row.x1) + 1)
        mask = page.labels[y, x] == i + 1
        images.append(np.where(mask, page.image[y, x], 255).astype(np.uint8))
        masks.append(mask)
        names.append(CLASSES.index(row.chromosome))
    strips, classes = scale_strips(images, masks), np.array(names)
    places = whole_places(classes, strips.rows)
    return StripSet(
        strips.images, strips.rows, classes, np.zeros(len(classes), int), places, np.ones(len(classes))
    )


def test_strips_are_as_long_as_chromosomes_are(drawn):
    mean = [drawn.rows[drawn.classes == c].mean() for c in range(24)]
    assert np.median(drawn.rows) == pytest.approx(MEDIAN_ROWS, abs=1)
    assert 100 < mean[0] < 145  # chromosome 1
    assert 15 < mean[20] < 35  # chromosome 21
    assert len(scale_strips([])) == 0
    inside = np.concatenate([i[:n, 8:16].ravel() for i, n in zip(drawn.images, drawn.rows, strict=True)])
    assert 90 < inside.mean() < 170
    assert not any(i[n:].any() for i, n in zip(drawn.images, drawn.rows, strict=True))


def test_every_row_of_a_rearranged_chromosome_knows_where_it_comes_from(drawn):
    maker = Rearranger(drawn, np.random.default_rng(0))
    one = int(np.flatnonzero(drawn.classes == 0)[0])
    whole = maker.unchanged(one).places
    lost, twice, turned = (make(one, 15.0) for make in (maker.deletion, maker.duplication, maker.inversion))
    assert len(lost.places) < len(whole) < len(twice.places)
    assert len(turned.places) == len(whole)
    assert set(lost.places) < set(whole)
    assert np.allclose(np.sort(turned.places % BINS), np.sort(whole), atol=1e-2)
    assert np.ptp(turned.places[turned.places >= BINS]) == pytest.approx(15, abs=2)
    assert 14 < (lost.seams[0][1] - lost.seams[0][0] if lost.seams else 15) < 18
    same = maker.sham(one)
    assert (np.diff(same.places) > -2).all()
    assert same.kind == "sham"
    for pair in (maker.exchange() for _ in range(20)):
        classes = [{int(np.searchsorted(STOP, p % BINS, side="right")) for p in e.places} for e in pair]
        assert classes[0] == classes[1]
        assert len(classes[0]) == 2


def test_batches_hold_what_they_should(drawn):
    rng = np.random.default_rng(1)
    images, rows, places = make_batch(Rearranger(drawn, rng), 64, rng, LookSettings())
    inside = np.arange(MOST_ROWS)[None] < rows
    assert images.shape == (64, MOST_ROWS, COLUMNS)
    assert images.dtype == np.uint8
    assert not images[~inside].any()
    assert (places[~inside] == -1).all()
    assert ((places[inside] >= 0) & (places[inside] < NONE + 1)).all()
    assert 0.2 < (places[inside] >= BINS).mean() < 0.8
    own = places[0, : int(rows[0, 0])]
    assert np.allclose(turn_places(turn_places(own)), own, atol=1e-2)
    gentle = replace(LookSettings(), none=0, sham=0, unchanged=1, upside_down=0, stretch=0.02)
    _, rows, places = make_batch(Rearranger(drawn, rng), 16, rng, gentle)
    for n, own in zip(rows[:, 0].astype(int), places, strict=True):
        read = own[:n][own[:n] < NONE]
        assert (np.diff(read) > -0.5).all()
        assert np.ptp(np.searchsorted(STOP, read, side="right")) == 0


def test_the_loss_is_least_at_the_true_place():
    places = np.array([[10.5, BINS + 20.5, NONE + 0.5, -1.0]], np.float32)
    logits = np.zeros((1, 4, NONE + 1), np.float32)
    logits[0, [0, 1, 2], [10, BINS + 20, NONE]] = 12
    right = float(np.asarray(place_loss(places, logits))[0])
    wrong = float(np.asarray(place_loss(places, logits[:, ::-1]))[0])
    assert right < 7 < wrong
    edge = np.array([[FIRST[1] + 0.1]], np.float32)  # no share of it is chromosome 1's last bin
    logits = np.zeros((1, 1, NONE + 1), np.float32)
    logits[0, 0, FIRST[1] - 1] = 50
    low = np.asarray(place_loss(edge, logits))[0]
    logits[0, 0, FIRST[1] - 1], logits[0, 0, FIRST[1]] = 0, 50
    assert np.asarray(place_loss(edge, logits))[0] < low - 30


def test_a_small_decoder_is_trained_aligned_and_measured(drawn):
    keras.utils.set_random_seed(1)
    model = build_decoding_model(SMALL)
    aligner = build_aligning_model(model)
    model.compile(keras.optimizers.AdamW(3e-3), place_loss, jit_compile=False)
    settings = DecoderTraining(batch_size=8, steps=12, chunk=4, processes=1, realign=(0.5,))
    before, weights = drawn.places.copy(), model.get_weights()
    fit(model, aligner, drawn, settings)
    assert (drawn.places == before).all()
    assert any((old != new).any() for old, new in zip(weights, model.get_weights(), strict=True))
    arrays = {name: np.array(getattr(drawn, name)) for name in vars(drawn)}
    align(aligner, arrays, 8)
    assert (np.diff(arrays["places"][0][: drawn.rows[0]]) >= 0).all()
    assert ((arrays["places"] >= 0) == (before >= 0)).all()
    decoder = Decoder(DecoderSettings(SMALL))
    decoder.model = model
    few = StripSet(**{name: array[::2] for name, array in vars(drawn).items()})  # one of each class
    changes = score_decoder(fit_settings(decoder, few), few, each=1)
    assert set(changes["kind"]) >= {"deletion", "sham", "reciprocal"}
    assert changes["seen at 1 %"].between(0, 1).all()
