import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visattn.training.losses.group_losses import group_means, raised_weights
from visattn.training.objectives import CrossEntropy, GroupDRO, LastLayerRefit
from visattn.training.objectives.groups import GroupNumbers
from visattn.training.objectives.last_layer import features_before, last_linear


def batch(*, labels=(0, 0, 1, 1), backgrounds=(0, 1, 1, 1), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(len(labels), 3, 4, 4, generator=generator),
        "label": torch.tensor(labels),
        "background": torch.tensor(backgrounds),
    }


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)
    )


def test_means_of_groups():
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    means, images = group_means(losses, torch.tensor([2, 0, 0, 2]), count=3)
    assert means.tolist() == [3.0, 0.0, 4.5]
    assert images.tolist() == [2, 0, 2]
    means[2].backward()
    assert losses.grad.tolist() == [0.5, 0.0, 0.0, 0.5]


def test_weights_by_hand():
    found = raised_weights(torch.tensor([0.2, 0.8]), torch.tensor([2.0, 1.0]), step=0.5)
    first, second = 0.2 * math.exp(1.0), 0.8 * math.exp(0.5)
    expected = [first / (first + second), second / (first + second)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_group_dro_by_hand():
    """Two steps of a model whose logits do not change: groups (0, 0), (0, 1) and (1, 1)."""
    images, model, objective = batch(), network().eval(), GroupDRO(step=0.5)
    losses = F.cross_entropy(model(images["image"]), images["label"], reduction="none")
    means = torch.stack([losses[0], losses[1], losses[2:].mean()]).detach()
    weights = torch.full((3,), 1 / 3)
    for _ in range(2):
        weights = weights * torch.exp(0.5 * means)
        weights = weights / weights.sum()
        loss, parts = objective(model, images, 0.0)
        torch.testing.assert_close(objective.weights, weights)
        torch.testing.assert_close(loss.detach(), (weights * means).sum())
    assert parts["worst_group"] == means.max()
    loss.backward()
    assert model[0].weight.grad.abs().max() > 0


def test_a_group_that_is_away_keeps_its_weight_but_for_the_sum():
    objective, model = GroupDRO(step=0.5), network().eval()
    objective(model, batch(), 0.0)
    before = objective.weights
    objective(model, batch(labels=(0, 0), backgrounds=(0, 0)), 0.0)
    ratio = objective.weights / before
    assert ratio[1].item() == pytest.approx(ratio[2].item(), rel=1e-5)
    assert ratio[0] > ratio[1]


def test_a_new_group_begins_with_the_mean_weight():
    objective, model = GroupDRO(step=1e-9), network().eval()
    objective(model, batch(), 0.0)
    objective(model, batch(backgrounds=(0, 1, 1, 2)), 0.0)
    torch.testing.assert_close(objective.weights, torch.full((4,), 0.25))


@pytest.mark.parametrize("objective", [GroupDRO(), LastLayerRefit(refit=0.5)], ids=["dro", "dfr"])
def test_backgrounds_must_be_known(objective):
    with pytest.raises(ValueError, match=r"column 'style' of the data's metadata.csv"):
        objective(network(), batch(backgrounds=(-1, -1, -1, -1)), 0.9)


def test_unknown_backgrounds_are_one_more():
    numbers = GroupNumbers()
    found = numbers(torch.tensor([0, 0, 1, 1]), torch.tensor([-1, 3, -1, -1]))
    assert found.tolist() == [0, 1, 2, 2]
    assert numbers(torch.tensor([1, 0]), torch.tensor([-1, 4])).tolist() == [2, 3]
    assert len(numbers) == 4


def test_before_the_refit_it_is_cross_entropy():
    images = batch(backgrounds=(-1, -1, -1, -1))
    loss, _ = LastLayerRefit(refit=0.5)(network(), images, 0.49)
    torch.testing.assert_close(loss, CrossEntropy()(network(), images, 0.49)[0])


def test_the_refit_trains_a_fresh_last_layer_and_nothing_else():
    model, objective = network(), LastLayerRefit(refit=0.5, balanced=32)
    layer, old = model[-1], model[-1].weight.detach().clone()
    statistics = model[1].running_mean.clone()
    loss, parts = objective(model, batch(), 0.5)
    fresh = layer.weight.detach().clone()
    assert not torch.equal(fresh, old)
    loss.backward()
    assert set(parts) == {"refit"}
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {"4.weight", "4.bias"}
    model.train()  # as a trainer does between epochs
    objective(model, batch(seed=1), 0.8)
    assert torch.equal(layer.weight, fresh)  # begun anew only once
    assert torch.equal(model[1].running_mean, statistics)


def test_the_refit_draws_evenly_over_the_groups():
    """One image of class 0 on its rare background weighs as much as thirty on the usual one."""
    model, objective = network(), LastLayerRefit(refit=0.5, balanced=3000)
    labels, backgrounds = (0,) * 31 + (1,) * 30, (0,) * 30 + (1,) * 31
    images = batch(labels=labels, backgrounds=backgrounds)
    objective(model, images, 0.5)
    features, drawn = objective._draw(images["label"])
    rare = features_before(model, model[-1], images["image"])[30]
    share = (features == rare).all(1).float().mean().item()
    assert share == pytest.approx(1 / 3, abs=0.05)
    assert (drawn == 1).float().mean().item() == pytest.approx(1 / 3, abs=0.05)


def test_the_last_linear_layer_is_found():
    model = network()
    assert last_linear(model) is model[-1]
    with pytest.raises(ValueError, match="no linear layer"):
        last_linear(nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupDRO(step=0.0), "step must be above 0"),
        (lambda: LastLayerRefit(refit=1.0), r"refit must be in \(0, 1\)"),
        (lambda: LastLayerRefit(balanced=0), "balanced must be at least 1"),
        (lambda: LastLayerRefit(kept=0), "kept must be at least 1"),
    ],
    ids=["step", "refit", "balanced", "kept"],
)
def test_wrong_options_of_groups(make, message):
    with pytest.raises(ValueError, match=message):
        make()
