"""Contradicted images, against cases worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from visattn.training.losses import generalised_cross_entropy
from visattn.training.objectives.contradictions import (
    LocalClassifier,
    contradicted_masks,
    contradictions,
)


def _sure(classes: list[list[int]], *, num_classes: int = 3) -> torch.Tensor:
    """Logits (1, K, h, w) of places that are sure of these classes; -1 is undecided."""
    places = torch.tensor(classes)
    known = F.one_hot(places.clamp_min(0), num_classes) * (places >= 0).unsqueeze(-1)
    return 20.0 * known.permute(2, 0, 1).float().unsqueeze(0)


@pytest.mark.parametrize("power", [0.3, 0.7, 1.0])
def test_generalised_cross_entropy_by_hand(power: float) -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])[..., None, None]
    expected = ((1 - 0.75**power) / power + (1 - 0.5**power) / power) / 2
    found = generalised_cross_entropy(logits, torch.tensor([0, 1]), power=power)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_generalised_cross_entropy_nears_cross_entropy() -> None:
    logits, labels = torch.randn(5, 4, 3, 2), torch.randint(4, (5,))
    expected = F.cross_entropy(logits, labels.view(-1, 1, 1).expand(-1, 3, 2))
    found = generalised_cross_entropy(logits, labels, power=1e-4)
    assert found.item() == pytest.approx(expected.item(), rel=1e-2)


def test_its_gradient_is_weighted_by_the_probability() -> None:
    logits = torch.randn(1, 4, 1, 1, requires_grad=True)
    label = torch.tensor([2])
    (plain,) = torch.autograd.grad(F.cross_entropy(logits.flatten(1), label), logits)
    (found,) = torch.autograd.grad(generalised_cross_entropy(logits, label, power=0.7), logits)
    weight = logits.detach().flatten(1).softmax(1)[0, 2] ** 0.7
    assert torch.allclose(found, weight * plain, atol=1e-6)


@pytest.mark.parametrize(
    ("places", "label", "share", "expected"),
    [
        pytest.param([[1, 1, 1], [0, 1, 1]], 0, 1 / 3, True, id="another class all around"),
        pytest.param([[1, 1, 0], [0, 1, 0]], 0, 1 / 3, False, id="as much for the label"),
        pytest.param([[0, 0, 0], [0, 0, 0]], 0, 1 / 3, False, id="the label alone"),
        pytest.param([[1, -1, -1], [-1, -1, -1]], 0, 1 / 3, False, id="too few places"),
        pytest.param([[1, -1, -1], [-1, -1, -1]], 0, 1 / 6, True, id="enough for a low share"),
        pytest.param([[-1, -1, -1], [-1, -1, -1]], 0, 1 / 3, False, id="undecided"),
        pytest.param([[1, 1, 2], [2, 2, 2]], 0, 1 / 3, True, id="the most frequent other class"),
    ],
)
def test_contradictions(places: list[list[int]], label: int, share: float, expected: bool) -> None:
    against, background = contradictions(_sure(places), torch.tensor([label]), share=share)
    assert against.tolist() == [expected]
    if expected:
        others = [place for row in places for place in row if place not in (label, -1)]
        assert background.item() == max(others, key=others.count)


def test_masks_are_what_does_not_speak_for_the_background() -> None:
    places = [[1, 1, 1, 1], [1, 0, -1, 1], [1, 2, 1, 1], [0, 1, 1, 1]]
    found = contradicted_masks(
        _sure(places), torch.tensor([1]), size=torch.Size((4, 4)), border=0.25
    )
    # undecided is 1/3 for three classes: rounding decides, so this place is left out
    found[0, 0, 1, 2] = 0
    expected = [[0.0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert found[0, 0].tolist() == expected


def test_masks_without_a_border() -> None:
    logits = _sure([[0, 1], [1, 1]])
    found = contradicted_masks(logits, torch.tensor([1]), size=torch.Size((2, 2)), border=0.0)
    assert found[0, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_masks_have_the_size_asked_for() -> None:
    logits = torch.randn(3, 5, 4, 6)
    found = contradicted_masks(logits, torch.tensor([0, 4, 2]), size=torch.Size((17, 23)))
    assert found.shape == (3, 1, 17, 23)
    assert set(found.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(("size", "side"), [(16, 8), (64, 16), (96, 12), (224, 14)])
def test_the_local_classifier_comes_near_the_grid(size: int, side: int) -> None:
    model = LocalClassifier(3, num_classes=5, size=size, width=4)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 5, side, side)


def test_the_local_classifier_sees_its_window_only() -> None:
    model = LocalClassifier(3, num_classes=2, size=64, width=4).eval()
    images = torch.randn(1, 3, 64, 64)
    changed = images.clone()
    changed[:, :, :, 32:] = 5.0
    difference = (model(images) - model(changed)).abs().amax((0, 1, 2))
    window = 64 // 6
    assert difference[: (32 - window) // 4].max() == 0
    assert difference[-4:].min() > 0
