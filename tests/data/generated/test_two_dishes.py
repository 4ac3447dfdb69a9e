"""Scenes of two dishes."""

import numpy as np
import pytest

from visattn.data.generated.sushi.two_dishes import RELATIONS, render_two_dishes


@pytest.fixture(scope="module")
def scenes():
    return render_two_dishes(60, size=48, seed=1, pieces=2, backgrounds=4)


def test_the_first_dish_stands_left_of_or_above_the_second(scenes):
    for masks, relation in zip(scenes.mattes > 127, scenes.relations, strict=True):
        centres = [np.argwhere(mask).mean(0) for mask in masks]
        step = centres[1] - centres[0]
        along, aside = (0, 1) if RELATIONS[relation] == "above" else (1, 0)
        assert step[along] > 8
        assert abs(step[aside]) < step[along]


def test_dishes_differ_and_do_not_overlap(scenes):
    assert (scenes.kinds[:, 0] != scenes.kinds[:, 1]).all()
    assert set(scenes.kinds.ravel()) == set(range(8))
    assert set(scenes.relations) == {0, 1}
    masks = scenes.mattes > 127
    assert not (masks[:, 0] & masks[:, 1]).any()
    assert (masks.mean((2, 3)) > 0.02).all()


def test_scenes_follow_the_seed():
    small = {"size": 32, "pieces": 1, "backgrounds": 2}
    first, again = (render_two_dishes(3, seed=4, **small) for _ in range(2))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, render_two_dishes(3, seed=5, **small).images)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="pieces must be at least 1, got 0"):
        render_two_dishes(1, pieces=0)
    with pytest.raises(ValueError, match="at least 32"):
        render_two_dishes(1, size=16)
