import pytest
import torch
from torch import nn

from visattn.blocks import SpatialMask
from visattn.training.objectives import BoxFocus

SIZE = 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def scenes(count):
    """Diamonds of noise on a plain colour: a diamond fills half of its box."""
    images = torch.randn(count, 3, 1, 1).expand(-1, -1, SIZE, SIZE).clone()
    masks = torch.zeros(count, 1, SIZE, SIZE)
    places = torch.arange(SIZE)
    for image, mask in zip(images, masks, strict=True):
        y, x = torch.randint(5, SIZE - 5, (2,)).tolist()
        inside = (places[:, None] - y).abs() + (places - x).abs() <= 4
        mask[0] = inside.float()
        image[:, inside] = 3 * torch.randn(1, int(inside.sum()))
    return images, masks


def boxes_of(masks):
    """0 outside of the box of each mask, NaN inside."""
    rows, columns = masks.amax(3, keepdim=True), masks.amax(2, keepdim=True)
    return torch.where(rows * columns > 0, torch.nan, 0.0)


def batch_of(images, masks):
    count = len(images)
    return {
        "image": images,
        "label": torch.randint(2, (count,)),
        "mask": masks,
        "index": torch.arange(count),
    }


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.classes = nn.Linear(8, 2)

    def forward(self, x):
        return self.classes(torch.relu(self.features(x)).mean((2, 3)))


def network():
    return nn.Sequential(SpatialMask(3, width=8, depth=2, hard=True, detach=True), Head())


def test_the_mask_is_learnt_from_boxes_and_is_no_box():
    images, masks = scenes(48)
    boxes = boxes_of(masks)
    model, objective = network(), BoxFocus(warmup=0.99, inside_weight=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(100):
        rows = torch.randperm(48)[:16]
        batch = batch_of(images[rows], boxes[rows]) | {"index": rows}
        loss, _ = objective(model, batch, step / 120)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh, truth = scenes(48)
    with torch.no_grad():
        found = model[0].logits(fresh) > 0
    truth, box = truth > 0.5, boxes_of(truth.float()).isnan()
    assert (found & truth).sum() / (found | truth).sum() > 0.7
    assert (box & truth).sum() / (box | truth).sum() < 0.6


def test_warmup_trains_the_mask_alone():
    images, masks = scenes(8)
    batch = batch_of(images, boxes_of(masks))
    batch["mask"][4:] = torch.nan
    model, objective = network(), BoxFocus(warmup=0.5)
    loss, parts = objective(model, batch, 0.49)
    loss.backward()
    assert set(parts) == {"box"}
    assert model[1].classes.weight.grad is None
    loss, parts = objective(model, batch, 0.5)
    loss.backward()
    assert set(parts) == {"box", "cross_entropy", "mask"}
    assert model[1].classes.weight.grad.abs().max() > 0
    torch.testing.assert_close(loss.detach(), sum(parts.values()))


def test_weights_of_the_parts():
    images, masks = scenes(4)
    batch = batch_of(images, boxes_of(masks))
    model = network()
    torch.manual_seed(1)
    _, plain = BoxFocus(warmup=0.0)(model, batch, 0.5)
    torch.manual_seed(1)
    loss, parts = BoxFocus(warmup=0.0, box_weight=3.0, mask_weight=0.5)(model, batch, 0.5)
    assert parts == plain
    expected = 3 * parts["box"] + parts["cross_entropy"] + 0.5 * parts["mask"]
    torch.testing.assert_close(loss.detach(), expected)


def test_without_a_box_nothing_is_learned():
    images, masks = scenes(4)
    model = network()
    loss, parts = BoxFocus()(model, batch_of(images, torch.full_like(masks, torch.nan)), 0.5)
    loss.backward()
    assert loss.item() == 0
    assert parts == {}
    assert all(p.grad is None or p.grad.eq(0).all() for p in model.parameters())


def test_boxes_must_come():
    images, masks = scenes(4)
    none = batch_of(images, torch.full_like(masks, torch.nan))
    many = {name: value.repeat_interleave(500, 0) for name, value in none.items()}
    model, objective = network(), BoxFocus()
    objective(model, none, 0.0)
    with pytest.raises(ValueError, match=r"BoxFocus: none of the first 2004 .* has a box"):
        objective(model, many, 0.0)
    late = BoxFocus()
    late(model, batch_of(images, boxes_of(masks)), 0.0)
    assert "box" in late(model, many, 0.0)[1]


def test_a_mask_that_the_class_loss_reaches_is_warned_of_once():
    images, masks = scenes(4)
    batch = batch_of(images, boxes_of(masks))
    model = nn.Sequential(SpatialMask(3, width=8, depth=2), Head())
    objective = BoxFocus()
    with pytest.warns(UserWarning, match="set model.attention.detach: true"):
        objective(model, batch, 0.0)
    objective(model, batch, 0.5)  # warnings are errors here


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"swap": 1.5}, r"swap must be in \[0, 1\], got 1.5"),
        ({"warmup": 1.0}, "warmup must be in"),
        ({"alike_weight": -1.0}, "alike_weight must be at least 0"),
        ({"rim": -1}, "rim must be at least 0, got -1"),
        ({"shift": 1.0}, r"shift must be in \[0, 1\), got 1.0"),
        ({"labelled": 0}, "labelled must be at least 1, got 0"),
        ({"predicted_weight": float("nan")}, "predicted_weight must be at least 0, got nan"),
    ],
    ids=["swap", "warmup", "alike", "rim", "shift", "labelled", "nan"],
)
def test_wrong_options_of_boxes(options, message):
    with pytest.raises(ValueError, match=message):
        BoxFocus(**options)
