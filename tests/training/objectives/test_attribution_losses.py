import math

import pytest
import torch

from visattn.training.losses.attribution_losses import (
    attribution_of,
    energy_loss,
    right_reasons_loss,
)

NAN = float("nan")


def row(*values):
    return torch.tensor([[[list(values)]]], dtype=torch.float32)


def test_right_reasons_and_its_gradient_by_hand():
    """Two classes with the logits w x1 and 0: the reasons are g = w (1 - 2 sigmoid(w x1)) at x1.

    At w = 1, x1 = log 3: g = -1/2, and g^2 has the derivative 2 g (dg / dw) with
    dg / dw = 1 - 2 s - 2 w x1 s (1 - s), s = 3/4.
    """
    weight = torch.tensor(1.0, requires_grad=True)
    images = row(math.log(3), 5.0).requires_grad_()
    x = images.flatten(1)
    logits = torch.stack([weight * x[:, 0], 0 * x[:, 0]], 1)
    loss = right_reasons_loss(logits, images, row(0.0, 1.0))
    assert loss.item() == pytest.approx(0.25, rel=1e-5)
    loss.backward()
    by_hand = 2 * -0.5 * (-0.5 - 2 * math.log(3) * 0.75 * 0.25)
    assert weight.grad.item() == pytest.approx(by_hand, rel=1e-5)


def test_reasons_inside_and_unknown_pixels_are_free():
    images = torch.cat([row(1.0, 1.0)] * 4).requires_grad_()
    weights = torch.tensor([[1.0, -1.0], [2.0, 0.5]])
    logits = images.flatten(1) @ weights.T
    masks = torch.cat([row(1.0, 1.0), row(NAN, NAN), row(0.0, NAN), row(0.5, 1.0)])
    probabilities = logits.softmax(1)[0].detach()
    gradient = weights.T @ (1 - 2 * probabilities)
    squares = [0.0, gradient[0] ** 2, (gradient[0] / 2) ** 2]  # the second has no mask
    expected = sum(float(each) for each in squares) / 3
    assert right_reasons_loss(logits, images, masks).item() == pytest.approx(expected, rel=1e-5)


def test_right_reasons_needs_a_gradient():
    with pytest.raises(ValueError, match="must require a gradient"):
        right_reasons_loss(torch.zeros(1, 2), row(1.0), row(1.0))


def test_energy_and_its_gradient_by_hand():
    """A = (3, 1, -2): 3 of the 4 positive ones lie inside; d/dw of 1 - 3 w1 / (3 w1 + w2)."""
    weights = torch.ones(3, requires_grad=True)
    images = row(3.0, 1.0, -2.0).requires_grad_()
    attribution = attribution_of((images.flatten() * weights).sum(), images)
    torch.testing.assert_close(attribution.detach(), row(3.0, 1.0, -2.0))
    loss = energy_loss(attribution, row(1.0, 0.0, 0.0))
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    torch.testing.assert_close(weights.grad, torch.tensor([-3 / 16, 3 / 16, 0.0]))


def test_energy_leaves_out_unknown_pixels_and_images_without_attribution():
    attribution = torch.cat([row(3.0, 1.0, 8.0), row(-1.0, -2.0, 0.0), row(1.0, 1.0, 1.0)])
    masks = torch.cat([row(1.0, 0.0, NAN), row(1.0, 0.0, 0.0), row(NAN, NAN, NAN)])
    assert energy_loss(attribution, masks).item() == pytest.approx(0.25)


def test_channels_are_added():
    images = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]], requires_grad=True)
    weights = torch.tensor([[[[1.0, -1.0]], [[0.5, 2.0]]]])
    found = attribution_of((images * weights).sum(), images)
    torch.testing.assert_close(found.detach(), row(1.0 + 1.5, -2.0 + 8.0))


def test_energy_refuses_other_shapes():
    with pytest.raises(ValueError, match="one shape"):
        energy_loss(row(1.0, 2.0), row(1.0))
