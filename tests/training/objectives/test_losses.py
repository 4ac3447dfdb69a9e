import math

import pytest
import torch

from visattn.training.losses import (
    area_loss,
    border_loss,
    consistency_loss,
    labelled_images,
    mask_loss,
    total_variation,
    undecided_loss,
)

NAN = float("nan")


def planes(*rows):
    """One image of one row for each argument: (N, 1, 1, W)."""
    return torch.tensor(rows).view(len(rows), 1, 1, -1)


def logit(share):
    return math.log(share / (1 - share))


def test_mask_loss_by_hand():
    # m = .8, .3 against t = 1, 0: cross-entropy (-log .8 - log .7) / 2; Dice 1 - (2 .8 + 1) / 3.1
    expected = (-math.log(0.8) - math.log(0.7)) / 2 + 1 - 2.6 / 3.1
    loss = mask_loss(planes([logit(0.8), logit(0.3)]), planes([1.0, 0.0]))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_mask_loss_takes_a_soft_target():
    expected = -(0.25 * math.log(0.5) + 0.75 * math.log(0.5)) + 1 - (2 * 0.125 + 1) / 1.75
    assert mask_loss(planes([0.0]), planes([0.25])).item() == pytest.approx(expected, rel=1e-5)


def test_unlabelled_images_and_pixels_do_not_count():
    logits, target = planes([logit(0.8), logit(0.3), 5.0]), planes([1.0, 0.0, NAN])
    alone = mask_loss(logits[..., :2], target[..., :2])
    torch.testing.assert_close(mask_loss(logits, target), alone)
    beside = torch.cat([logits, torch.randn(3, 1, 1, 3)])
    unlabelled = torch.cat([target, torch.full((3, 1, 1, 3), NAN)])
    torch.testing.assert_close(mask_loss(beside, unlabelled), alone)


def test_unlabelled_pixels_get_no_gradient():
    logits = torch.randn(2, 1, 2, 2, requires_grad=True)
    target = torch.tensor([[[[1.0, NAN], [0.0, 1.0]]], [[[NAN, NAN], [NAN, NAN]]]])
    mask_loss(logits, target).backward()
    assert logits.grad.isfinite().all()
    assert torch.equal(logits.grad == 0, target.isnan())


def test_nothing_labelled_is_zero_with_a_graph():
    logits = torch.randn(2, 1, 3, 3, requires_grad=True)
    loss = mask_loss(logits, torch.full((2, 1, 3, 3), NAN))
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_weight_of_zero_is_as_unlabelled_and_weights_are_relative_for_the_cross_entropy():
    logits, target = planes([0.3, -1.0, 2.0]), planes([1.0, 0.0, 0.0])
    ignored = mask_loss(logits, target, weight=planes([1.0, 1.0, 0.0]))
    torch.testing.assert_close(ignored, mask_loss(logits, planes([1.0, 0.0, NAN])))
    # one image of weight 0 leaves the others as they are
    both = (logits.repeat(2, 1, 1, 1), target.repeat(2, 1, 1, 1))
    pair = mask_loss(*both, weight=torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    torch.testing.assert_close(pair, mask_loss(logits, target))


def test_a_perfect_mask_costs_nothing():
    target = (torch.rand(2, 1, 5, 7) > 0.5).float()
    assert mask_loss((2 * target - 1) * 40, target).item() < 1e-4


def test_an_empty_target_is_learned_too():
    target = torch.zeros(1, 1, 4, 4)
    far, near = (mask_loss(torch.full((1, 1, 4, 4), z), target).item() for z in (4.0, -4.0))
    assert near < 0.3 < far


def test_half_precision_logits_are_summed_in_single():
    logits, target = torch.randn(1, 1, 300, 300), torch.ones(1, 1, 300, 300)
    exact = mask_loss(logits, target).item()
    assert mask_loss(logits.half(), target).item() == pytest.approx(exact, rel=1e-2)


def test_mask_loss_wants_one_shape():
    with pytest.raises(ValueError, match=r"one shape, got \(1, 1, 2, 2\) and \(1, 1, 4, 4\)"):
        mask_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 4, 4))


def test_labelled_images():
    target = torch.tensor([[NAN, NAN], [NAN, 0.0], [1.0, 0.0]]).view(3, 1, 1, 2)
    assert labelled_images(target).tolist() == [False, True, True]


def test_area_is_of_each_image():
    masks = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    # together they have the right area, alone neither has
    assert area_loss(masks, 0.5).item() == pytest.approx(0.25)


def test_total_variation_by_hand():
    mask = torch.tensor([[[[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]]])
    down, right = (1 + 0 + 1 + 1) / 4, (1 + 0 + 0) / 3
    assert total_variation(mask).item() == pytest.approx(down + right)
    assert total_variation(torch.ones(2, 1, 1, 1)).item() == 0


def test_undecided_by_hand():
    expected = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert undecided_loss(planes([logit(0.8)])).item() == pytest.approx(expected, rel=1e-5)


def test_undecided_pixels_are_pushed_apart():
    logits = planes([0.5, -0.5]).requires_grad_()
    undecided_loss(logits).backward()
    assert logits.grad[..., 0].item() < 0 < logits.grad[..., 1].item()


def test_border_sees_the_border_only():
    logits = torch.zeros(2, 1, 5, 4)
    logits[:, :, 1:-1, 1:-1] = 100
    assert border_loss(logits).item() == pytest.approx(math.log(2))
    assert border_loss(torch.zeros(1, 1, 1, 1)).item() == pytest.approx(math.log(2))
    assert border_loss(logits, width=2).item() > 10
    with pytest.raises(ValueError, match="at least 1, got 0"):
        border_loss(logits, width=0)


def test_consistency_by_hand():
    p, q = torch.tensor([[0.8, 0.2]]), torch.tensor([[0.5, 0.5]])
    expected = ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2
    loss = consistency_loss(p.log() + 3, q.log())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(consistency_loss(q.log(), p.log()), expected)
