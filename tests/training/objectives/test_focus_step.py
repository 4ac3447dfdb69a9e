import pytest
import torch
from torch import nn

from visattn.blocks import SpatialMask
from visattn.training.objectives.focus_step import FocusStep, averaged, resized


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(SpatialMask(3, width=8, depth=2), nn.Flatten(), nn.Linear(192, 2))


def test_missing_pixels_are_predicted_sharpened_and_trusted_by_their_confidence(model):
    images, given = torch.randn(2, 3, 8, 8), torch.full((2, 1, 8, 8), torch.nan)
    given[0, :, :4] = 1.0
    step = FocusStep(predicted_weight=0.5)
    masks, trust = step.complete(model, {"image": images, "mask": given})
    logits = model[0].logits(images).detach()
    known = ~given.isnan()
    assert (masks[known] == 1).all()
    assert (trust[known] == 1).all()
    torch.testing.assert_close(masks[~known], torch.sigmoid(4 * logits)[~known])
    confidence = (2 * torch.sigmoid(logits) - 1).abs()
    torch.testing.assert_close(trust[~known], 0.5 * confidence[~known])
    assert not masks.requires_grad
    assert not trust.requires_grad


def test_without_a_swap_it_is_the_loss_of_the_images(model):
    masks = torch.zeros(3, 1, 8, 8)
    masks[:, :, 2:6, 2:6] = 1
    batch = {"image": torch.randn(3, 3, 8, 8), "label": torch.tensor([0, 1, 0])}
    options = {"rim": 0, "shift": 0.0, "label_smoothing": 0.0, "predicted_weight": 0.5}
    trust = torch.ones(3, 1, 8, 8)
    step = FocusStep(swap=0, mask_weight=0.25, **options)
    (entropy, mask), parts = step.classify(model, batch, masks, trust)
    expected = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
    torch.testing.assert_close(entropy, expected)
    torch.testing.assert_close(parts["cross_entropy"], entropy.detach())
    torch.testing.assert_close(0.25 * parts["mask"], mask.detach())
    (swapped, other), _ = FocusStep(swap=1.0, mask_weight=0.25, **options).classify(
        model, batch, masks, trust
    )
    assert swapped != entropy
    assert other != mask


def test_sizes():
    masks = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, torch.nan]]]])
    small = averaged(masks, (1, 2))
    assert small[0, 0, 0, 0] == 0.5
    assert small[0, 0, 0, 1].isnan()
    assert averaged(masks, (2, 4)) is masks
    logits = torch.tensor([[[[3.0, 3.0]]]])
    assert resized(logits, torch.Size([4, 8])).eq(3).all()
    assert resized(logits, torch.Size([1, 2])) is logits
