"""Distance to the training images: what is unlike them is found, what is like them rarely is."""

import numpy as np
import pytest

from karyo_lib.judge.scores import Novelty


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def draw(rng, n, centre):
    return np.abs(centre + 0.1 * rng.normal(size=(n, 2, 2, centre.size)))


def test_false_alarms_stay_near_the_level_and_strangers_are_found(rng):
    centre, other = rng.uniform(0, 1, 30), rng.uniform(0, 1, 30)
    novelty = Novelty().fit(draw(rng, 200, centre), draw(rng, 300, centre))
    alarms = novelty.is_novel(draw(rng, 1000, centre)).mean()
    assert 0.02 < alarms < 0.1
    assert novelty.is_novel(draw(rng, 20, other)).all()


def test_distance_by_hand():
    train = np.array([[1.0, 0.0], [0.0, 1.0]])  # fewer than the neighbours that are averaged
    novelty = Novelty().fit(train, train)
    # the direction (1, 0), whatever its length: 0 from the first and sqrt(2) from the second
    np.testing.assert_allclose(novelty.transform(np.array([[5.0, 0.0]])), np.sqrt(2) / 2)


def test_few_validation_images_give_their_largest_distance(rng):
    centre = rng.uniform(0, 1, 5)
    validation = draw(rng, 4, centre)
    novelty = Novelty().fit(draw(rng, 20, centre), validation)
    assert novelty.threshold_ == novelty.transform(validation).max()
