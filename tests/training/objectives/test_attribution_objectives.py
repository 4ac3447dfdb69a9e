import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visattn.blocks import AttentionBranch, SpatialMask
from visattn.training.losses.attribution_losses import energy_loss, right_reasons_loss
from visattn.training.objectives import (
    BranchCrossEntropy,
    CrossEntropy,
    EnergyInside,
    RightReasons,
)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.classes = nn.Linear(8, 2)

    def forward(self, x):
        return self.classes(F.softplus(self.features(x)).mean((2, 3)))


@pytest.fixture
def batch():
    torch.manual_seed(0)
    masks = torch.full((6, 1, 8, 8), torch.nan)
    masks[:2] = 0
    masks[:2, :, 2:6, 2:6] = 1
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    images = torch.randn(6, 3, 8, 8)
    return {"image": images, "label": labels, "mask": masks, "index": torch.arange(6)}


OBJECTIVES = [RightReasons, EnergyInside]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_without_a_mask_it_is_cross_entropy(objective, batch):
    model = Head()
    batch["mask"][:] = torch.nan
    loss, parts = objective()(model, batch, 0.0)
    torch.testing.assert_close(loss, CrossEntropy()(model, batch, 0.0)[0])
    assert set(parts) == {"cross_entropy"}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_masks_must_come(objective, batch):
    masks, model, trained = batch["mask"].clone(), Head(), objective()
    batch["mask"][:] = torch.nan
    many = {name: value.repeat_interleave(400, 0) for name, value in batch.items()}
    with pytest.raises(ValueError, match="none of the first 2400 training images has a mask"):
        objective()(model, many, 0.0)
    trained(model, {**batch, "mask": masks}, 0.0)
    assert len(trained(model, many, 0.0)[1]) == 2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_cross_entropy_can_be_left_to_others(objective, batch):
    model = Head()
    loss, parts = objective(class_weight=0.0, weight=3.0, labelled=2)(model, batch, 0.0)
    (own,) = parts.keys() - {"cross_entropy"}
    torch.testing.assert_close(loss.detach(), 3 * parts[own])
    batch["mask"][:] = torch.nan
    loss, parts = objective(class_weight=0.0)(model, batch, 0.0)
    loss.backward()
    assert loss == 0
    assert set(parts) == {"cross_entropy"}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labelled": 0}, "labelled must be at least 1, got 0"),
        ({"bank": 0}, "capacity must be at least 1, got 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"class_weight": -1.0}, "class_weight must be at least 0, got -1.0"),
    ],
    ids=["labelled", "bank", "smoothing", "class weight"],
)
def test_wrong_options_of_attributions(objective, options, message):
    with pytest.raises(ValueError, match=message):
        objective(**options)


def test_right_reasons_of_the_images_with_a_mask(batch):
    model = Head()
    loss, parts = RightReasons(weight=0.5, labelled=2)(model, batch, 0.0)
    images = batch["image"][:2].clone().requires_grad_()
    expected = right_reasons_loss(model(images), images, batch["mask"][:2])
    entropy = CrossEntropy()(model, batch, 0.0)[0]
    torch.testing.assert_close(parts["reasons"], expected.detach())
    torch.testing.assert_close(loss, entropy + 0.5 * expected)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_energy_of_the_images_with_a_mask(batch):
    model = Head()
    loss, parts = EnergyInside(weight=2.0, labelled=2)(model, batch, 0.0)
    images = batch["image"][:2].clone().requires_grad_()
    scores = model(images)[torch.arange(2), batch["label"][:2]]
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    attribution = (images * gradient).sum(1, keepdim=True)
    expected = energy_loss(attribution, batch["mask"][:2])
    torch.testing.assert_close(parts["energy"], expected.detach())
    torch.testing.assert_close(loss.detach(), parts["cross_entropy"] + 2 * parts["energy"])
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_energy_of_a_layer(batch):
    model = Head()
    loss, parts = EnergyInside(layer="features", labelled=2)(model, batch, 0.0)
    features = model.features(batch["image"][:2])
    scores = model.classes(F.softplus(features).mean((2, 3)))[torch.arange(2), batch["label"][:2]]
    (gradient,) = torch.autograd.grad(scores.sum(), features)
    attribution = (features * gradient).sum(1, keepdim=True)
    torch.testing.assert_close(parts["energy"], energy_loss(attribution, batch["mask"][:2]))
    assert not model.features._forward_hooks
    loss.backward()
    with pytest.raises(ValueError, match="did you mean features"):
        EnergyInside(layer="feature")(model, batch, 0.0)


@pytest.mark.parametrize(
    ("objective", "weight", "part"),
    [(RightReasons, 1e4, "reasons"), (EnergyInside, 10.0, "energy")],
    ids=["right_reasons", "energy"],
)
def test_training_moves_the_reasons_into_the_mask(objective, weight, part, batch):
    """Noise and its labels are learnt once with the loss and once without."""
    ends = []
    for used in (weight, 0.0):
        torch.manual_seed(1)
        model, trained = Head(), objective(weight=used, labelled=2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(30):
            loss, parts = trained(model, batch, 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(parts[part].item())
    assert ends[0] < 0.8 * ends[1]


def test_each_branch_has_its_cross_entropy(batch):
    model = nn.Sequential(AttentionBranch(3, num_classes=2), Head())
    loss, parts = BranchCrossEntropy(weight=0.5)(model, batch, 0.0)
    block = model[0]
    answer = block.answer(
        block.class_maps(block.bn(block.stage(batch["image"]))).mean((2, 3), True)
    )
    branch = F.cross_entropy(answer.flatten(1), batch["label"])
    torch.testing.assert_close(parts["branch"], branch.detach())
    torch.testing.assert_close(loss.detach(), parts["cross_entropy"] + 0.5 * parts["branch"])
    loss.backward()
    assert block.answer.weight.grad.abs().max() > 0


def test_a_branch_is_needed(batch):
    with pytest.raises(ValueError, match="no attention branch with an answer"):
        BranchCrossEntropy()(nn.Sequential(SpatialMask(3), Head()), batch, 0.0)


@pytest.mark.parametrize("objective", [*OBJECTIVES, BranchCrossEntropy])
def test_weights_are_not_negative(objective):
    with pytest.raises(ValueError, match="weight must be at least 0"):
        objective(weight=-1.0)
