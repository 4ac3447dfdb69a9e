"""Objectives that need labels only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.networks.mask_pass import predict_with_mask
from visattn.training.losses.mask_losses import (
    area_loss,
    border_loss,
    total_variation,
    undecided_loss,
)
from visattn.training.objectives import base
from visattn.training.objectives.area_focus import AreaFocus
from visattn.training.objectives.label_focus import LabelFocus
from visattn.wrapping.insertion import unwrap, wrap

SIZE = 32
COLOURS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).view(3, 3, 1, 1)


def _scenes(count: int, *, rho: float, seed: int = 0) -> dict[str, Tensor]:
    """Grey shapes of three textures before a colour that follows the class in rho of the images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    other = (labels + torch.randint(1, 3, (count,), generator=generator)) % 3
    places = torch.where(torch.rand(count, generator=generator) < rho, labels, other)
    images = COLOURS[places].expand(-1, -1, SIZE, SIZE).clone()
    images += 0.1 * torch.randn(images.shape, generator=generator)
    masks = torch.zeros(count, 1, SIZE, SIZE)
    lines = torch.arange(SIZE) % 2
    textures = torch.stack([lines[:, None].expand(SIZE, SIZE), lines.expand(SIZE, SIZE)])
    textures = torch.cat([textures, torch.full((1, SIZE, SIZE), 0.5)]) * 2 - 1
    for row in range(count):
        top, left = torch.randint(6, SIZE - 18, (2,), generator=generator).tolist()
        box = (slice(top, top + 12), slice(left, left + 12))
        images[(row, slice(None), *box)] = textures[(labels[row], *box)]
        masks[(row, 0, *box)] = 1
    return {"image": images, "label": labels, "truth": masks, "index": torch.arange(count)}


def _batch(scenes: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    missing = torch.full_like(scenes["truth"][rows], torch.nan)
    kept = {name: scenes[name][rows] for name in ("image", "label", "index")}
    return {**kept, "mask": missing}


def _network(*, focused: bool = False) -> nn.Module:
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    model: nn.Module = wrap(
        backbone, "spatial_mask", at="image", init="paper", hard=focused, detach=focused
    )
    return model


def _iou(model: nn.Module, scenes: dict[str, Tensor]) -> float:
    with torch.no_grad():
        _, logits = predict_with_mask(model, scenes["image"])
    found, truth = logits > 0, scenes["truth"] > 0.5
    overlap, union = (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
    return float((overlap / union.clamp_min(1)).mean())


@pytest.mark.slow
def test_label_focus_finds_the_object_without_any_mask() -> None:
    torch.manual_seed(0)
    scenes = _scenes(240, rho=0.9)
    model = _network(focused=True)
    objective = LabelFocus(start=0.5, labelled=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    steps = 80
    for step in range(steps):
        batch = _batch(scenes, torch.randint(240, (24,)))
        loss, _ = objective(model, batch, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert _iou(model, _scenes(30, rho=0.0, seed=1)) > 0.5


def test_only_the_local_classifier_learns_at_the_start() -> None:
    torch.manual_seed(0)
    model, scenes = _network(focused=True), _scenes(24, rho=0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    objective = LabelFocus(start=0.5)
    losses = []
    for step in range(20):
        loss, parts = objective(model, _batch(scenes, torch.arange(24)), step / 40)
        loss.backward()
        losses.append(parts["local"].item())
    assert loss.item() == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert losses[-1] < losses[0] / 2
    assert model.training


def test_without_contradictions_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LONGEST", 48)
    torch.manual_seed(0)
    model, scenes = _network(focused=True), _scenes(48, rho=1.0)
    objective = LabelFocus(start=0.5)
    for step in range(20):
        objective(model, _batch(scenes, torch.randint(48, (16,))), step / 40)
    batch = _batch(scenes, torch.arange(24))
    objective(model, batch, 0.6)
    with pytest.raises(ValueError, match="none of 48 training images contradicts"):
        objective(model, batch, 0.6)


def test_a_model_without_a_mask_is_refused_at_once() -> None:
    batch = _batch(_scenes(8, rho=0.9), torch.arange(8))
    with pytest.raises(ValueError, match="no spatial mask"):
        LabelFocus()(unwrap(_network()), batch, 0.0)


def test_a_mask_that_is_not_detached_is_warned_of_at_the_start() -> None:
    model, batch = _network(), _batch(_scenes(8, rho=0.9), torch.arange(8))
    objective = LabelFocus(start=0.2)
    with pytest.warns(UserWarning, match="class loss reaches the spatial mask at 'image'"):
        objective(model, batch, 0.0)
    objective(model, batch, 0.1)  # once is enough: warnings are errors here
    objective(model, batch, 0.9)


def test_a_resumed_training_starts_again() -> None:
    objective = LabelFocus(start=0.2)
    _, parts = objective(_network(focused=True), _batch(_scenes(8, rho=0.9), torch.arange(8)), 0.7)
    assert set(parts) == {"local"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"start": 0.0}, "start must be", id="no start"),
        pytest.param({"start": 1.0}, "start must be", id="start alone"),
        pytest.param({"share": 0.0}, "share must be", id="share"),
        pytest.param({"border": 0.5}, "border must be", id="border"),
        pytest.param({"power": 0.0}, "power must be", id="power"),
        pytest.param({"learning_rate": 0.0}, "learning_rate must be", id="learning rate"),
        pytest.param({"label_smoothing": 1.0}, "label_smoothing must be", id="smoothing"),
        pytest.param({"labelled": 1}, "labelled must be", id="labelled"),
        pytest.param({"rim": -1}, "rim must be at least 0, got -1", id="rim"),
    ],
)
def test_label_focus_refuses(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelFocus(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("progress", "area", "undecided"),
    [(0.0, 1.0, 0.0), (0.25, 0.7, 0.25), (0.5, 0.4, 0.5), (1.0, 0.4, 0.5)],
)
def test_area_focus_is_the_sum_of_its_parts(progress: float, area: float, undecided: float) -> None:
    torch.manual_seed(0)
    model = _network()
    batch = _batch(_scenes(6, rho=0.5), torch.arange(6))
    objective = AreaFocus(area=0.4, shrink=0.5, area_weight=3.0, smooth_weight=0.2)
    torch.manual_seed(1)
    found, parts = objective(model, batch, progress)
    logits, mask_logits = predict_with_mask(model, batch["image"])
    mask = mask_logits.sigmoid()
    expected = (
        F.cross_entropy(logits, batch["label"], label_smoothing=0.1)
        + 3.0 * area_loss(mask, area)
        + 0.5 * border_loss(mask_logits)
        + 0.2 * total_variation(mask)
        + undecided * undecided_loss(mask_logits)
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    assert parts["area"].item() == pytest.approx(area_loss(mask, area).item(), rel=1e-4)


def test_area_focus_needs_a_mask_that_the_class_loss_reaches() -> None:
    batch = _batch(_scenes(4, rho=0.5), torch.arange(4))
    with pytest.raises(ValueError, match=r"mask is detached.*model.attention.detach: false"):
        AreaFocus()(_network(focused=True), batch, 0.0)


def test_area_focus_shrinks_the_mask() -> None:
    torch.manual_seed(0)
    model, batch = _network(), _batch(_scenes(12, rho=0.5), torch.arange(12))
    objective = AreaFocus(area=0.2, area_weight=100.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss, _ = objective(model, batch, 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, logits = predict_with_mask(model, batch["image"])
    assert logits.sigmoid().mean().item() == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: AreaFocus(area=1.0), "area must be", id="area"),
        pytest.param(lambda: AreaFocus(shrink=0.0), "shrink must be", id="shrink"),
        pytest.param(lambda: AreaFocus(border_weight=-1.0), "weight of border", id="weight"),
    ],
)
def test_area_focus_refuses(make: Callable[[], AreaFocus], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
