"""The learned distance tells changed pairs from normal ones, whichever homologue comes first."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from karyo_lib.read.distance import (
    MAPS,
    DistanceSettings,
    PairDistance,
    align_pairs,
    exchange_homologues,
)
from karyo_lib.read.profiles import ClassReference
from karyo_lib.shape.straighten import STRIP_LENGTH, STRIP_WIDTH
from karyo_lib.shape.strips import Strips

_QUICK = DistanceSettings(channels=(8, 8, 8, 8), epochs=12, batch_size=32)


def _strips(n, rng, changed=()):
    """Chromosomes of one class with three bands; changed ones have theirs upside down."""
    rows = np.arange(STRIP_LENGTH)
    bands = sum(np.exp(-(((rows - at) / 4.0) ** 2)) for at in (20, 40, 90))
    images = np.repeat((0.3 + 0.6 * bands)[None, :, None], STRIP_WIDTH, 2).repeat(n, 0)
    images[list(changed)] = images[list(changed), ::-1]
    images = images + rng.normal(0, 0.03, images.shape)
    return Strips(images.astype(np.float32), np.zeros((n, 4), np.float32), np.full(n, 80.0), (None,) * n)


@pytest.fixture(scope="module")
def pairs():
    """Normal pairs, and pairs of which one is changed."""
    rng = np.random.default_rng(4)
    strips = _strips(160, rng, changed=range(120, 160))
    pairs = np.concatenate(
        [np.arange(80).reshape(40, 2), np.stack([np.arange(80, 120), np.arange(120, 160)], 1)]
    )
    labels, altered = np.zeros(80, int), np.repeat([0, 1], 40)
    reference = ClassReference.fit(strips.take(np.arange(80)), np.zeros(80, int))
    return align_pairs(strips, pairs, labels, reference), labels, altered


@pytest.fixture(scope="module")
def distance(pairs):
    aligned, labels, altered = pairs
    return PairDistance(_QUICK).fit(aligned.maps, labels, altered)


def test_maps_tell_of_both_homologues_and_are_limited(pairs):
    maps = pairs[0].maps
    assert maps.shape == (80, STRIP_LENGTH, len(MAPS))
    assert maps.dtype == np.float32
    assert np.abs(maps).max() <= 8
    np.testing.assert_array_equal(exchange_homologues(exchange_homologues(maps))[..., 1:], maps[..., 1:])
    second = maps[..., MAPS.index("second_residual")]
    np.testing.assert_array_equal(exchange_homologues(maps)[..., MAPS.index("first_residual")], second)


def test_changed_pairs_are_farther_apart(pairs, distance):
    aligned, labels, altered = pairs
    found = distance.predict(aligned.maps, labels)
    assert found.shape == (80,)
    assert roc_auc_score(altered, found) > 0.95
    assert distance.predict(aligned.maps[:0], labels[:0]).shape == (0,)


def test_it_is_kept_in_files_and_refuses_what_does_not_fit(pairs, distance, tmp_path):
    aligned, labels, altered = pairs
    distance.save(tmp_path)
    back = PairDistance.load(tmp_path)
    np.testing.assert_allclose(
        back.predict(aligned.maps, labels), distance.predict(aligned.maps, labels), atol=0.05
    )
    with pytest.raises(ValueError, match="trained PairDistance"):
        PairDistance().predict(aligned.maps, labels)
    with pytest.raises(ValueError, match="trained PairDistance"):
        PairDistance().save(tmp_path)
    with pytest.raises(ValueError, match=r"normal and changed pairs.*\[0\]"):
        PairDistance(_QUICK).fit(aligned.maps[:40], labels[:40], altered[:40])
