import math

import pytest
import torch

from visattn.training.losses.box_losses import alike_loss, inside_loss, projection_loss


def logit(share):
    return math.log(share / (1 - share))


def plane(*rows):
    return torch.tensor([[rows]], dtype=torch.float32)


def test_projection_by_hand():
    # One row m = .8, .3, the box on its first pixel: columns .8, .3 against 1, 0; row .8 against 1.
    logits, box = plane([logit(0.8), logit(0.3)]), plane([1.0, 0.0])
    columns = 1 - 2 * 0.8 / (0.64 + 0.09 + 1)
    rows = 1 - 2 * 0.8 / (0.64 + 1)
    assert projection_loss(logits, box).item() == pytest.approx(columns + rows, rel=1e-5)


def test_projection_counts_images_with_a_box_only():
    logits = torch.cat([plane([logit(0.8), logit(0.3)]), plane([3.0, 3.0])])
    box = torch.cat([plane([1.0, 0.0]), plane([0.0, 0.0])])
    assert projection_loss(logits, box).item() == pytest.approx(
        projection_loss(logits[:1], box[:1]).item()
    )
    nothing = projection_loss(logits.requires_grad_(), torch.zeros_like(box))
    assert nothing.item() == 0
    nothing.backward()


def test_projection_wants_every_side_reached_and_nothing_beyond():
    box = torch.zeros(1, 1, 5, 6)
    box[..., 1:4, 2:5] = 1
    cross = torch.full_like(box, -20.0)
    cross[..., 2, 2:5] = cross[..., 1:4, 3] = 20.0
    assert projection_loss(cross, box).item() == pytest.approx(0, abs=1e-5)
    narrow = torch.full_like(box, -20.0)
    narrow[..., 1:4, 3] = 20.0
    wide = torch.full_like(box, 20.0)
    assert projection_loss(narrow, box) > 0.3
    assert projection_loss(wide, box) > 0.3


def test_inside_by_hand():
    logits, box = plane([logit(0.8), logit(0.3), logit(0.5)]), plane([1.0, 1.0, 0.0])
    expected = (-math.log(0.8) - math.log(0.3)) / 2
    assert inside_loss(logits, box).item() == pytest.approx(expected, rel=1e-5)
    assert inside_loss(logits, torch.zeros_like(box)).item() == 0


def test_alike_by_hand():
    # The first two pixels are of one colour, the third is not: -log(.8 x .3 + .2 x .7) alone.
    logits = plane([logit(0.8), logit(0.3), logit(0.9)])
    images = torch.tensor([[[[0.0, 0.05, 3.0]]]]).expand(1, 3, 1, 3)
    found = alike_loss(logits, images, torch.ones_like(logits), step=1)
    assert found.item() == pytest.approx(-math.log(0.8 * 0.3 + 0.2 * 0.7), rel=1e-5)


@pytest.mark.parametrize(("y", "x"), [(0, 2), (2, 0), (2, 2), (2, -2)])
def test_alike_looks_in_every_direction(y, x):
    logits, images = torch.full((1, 1, 7, 7), 30.0), torch.zeros(1, 1, 7, 7)
    images += torch.arange(49.0).view(7, 7)  # all colours differ but these two
    images[..., 3 + y, 3 + x] = images[..., 3, 3]
    logits[..., 3, 3] = 0.0
    found = alike_loss(logits, images, torch.ones_like(logits))
    assert found.item() == pytest.approx(math.log(2), rel=1e-4)


def test_alike_outside_of_the_box_does_not_count():
    logits = plane([logit(0.8), logit(0.3)]).requires_grad_()
    found = alike_loss(logits, torch.zeros(1, 3, 1, 2), torch.zeros(1, 1, 1, 2), step=1)
    assert found.item() == 0
    found.backward()
    assert logits.grad.eq(0).all()


def test_wrong_shapes_and_options():
    with pytest.raises(ValueError, match="one shape"):
        projection_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3))
    with pytest.raises(ValueError, match="one shape"):
        inside_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3))
    with pytest.raises(ValueError, match="one size"):
        alike_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        alike_loss(*[torch.zeros(1, 1, 2, 2)] * 3, tolerance=0.0)
