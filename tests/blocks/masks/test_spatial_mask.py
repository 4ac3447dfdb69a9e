import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visattn.blocks.masks.spatial_mask import SpatialMask
from visattn.testing import check_block, enliven

FORMS = ["product", "residual", "annealed"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def mask_of(block: SpatialMask, x: torch.Tensor) -> torch.Tensor:
    seen = []
    handle = block.spatial.register_forward_hook(lambda *args: seen.append(args[2]))
    block(x)
    handle.remove()
    return seen[0]


def replace(tap: nn.Module, value: torch.Tensor):
    return tap.register_forward_hook(lambda *_: value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{}, {"hard": True, "erode": 1}, {"detach": True}])
def test_identity_returns_the_input_bit_for_bit(form, options, training):
    block = SpatialMask(5, init="identity", form=form, **options).train(training)
    x = torch.randn(2, 5, 9, 13) * 100
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("form", ["product", "residual"])
def test_identity_learns_from_the_output_alone(form):
    block = SpatialMask(3, init="identity", form=form)
    x = torch.randn(4, 3, 16, 16)
    before = copy.deepcopy(block.state_dict())
    for _ in range(2):  # the scalar moves in the first step, the branch from the second on
        block.zero_grad()
        block(x).square().mean().backward()
        with torch.no_grad():
            for parameter in block.parameters():
                parameter -= 0.1 * parameter.grad
    after = block.state_dict()
    assert all(not torch.equal(before[key], after[key]) for key in ("strength", "branch.head.bias"))


def test_paper_adds_no_parameter():
    assert SpatialMask(3).strength is None
    names = set(SpatialMask(3, init="identity").state_dict()) - set(SpatialMask(3).state_dict())
    assert names == {"strength"}


@pytest.mark.parametrize(
    ("form", "expected"),
    [("product", lambda x, m: x * m), ("residual", lambda x, m: x * (1 + m))],
)
def test_forms_as_published(form, expected):
    block, x = SpatialMask(4, form=form), torch.randn(2, 4, 8, 6)
    mask = mask_of(block, x)
    assert mask.shape == (2, 1, 8, 6)
    assert ((mask > 0) & (mask < 1)).all()
    torch.testing.assert_close(mask, torch.sigmoid(block.logits(x)))
    torch.testing.assert_close(block(x), expected(x, mask))


@pytest.mark.parametrize("size", [(16, 24), (13, 9)])
def test_its_network_written_out(size):
    block, x = enliven(SpatialMask(3, width=4, depth=3)), torch.randn(2, 3, *size)
    net = block.branch

    def layers(levels, z):
        for conv, norm in zip(levels[::3], levels[1::3], strict=True):
            stride = 2 if conv is levels[0] and levels in list(net.down) else 1
            z = F.conv2d(z, conv.weight, stride=stride, padding=1)
            groups = z.unflatten(1, (norm.num_groups, -1))
            mean = groups.mean((2, 3, 4), keepdim=True)
            std = (groups.var((2, 3, 4), unbiased=False, keepdim=True) + 1e-5).sqrt()
            z = ((groups - mean) / std).flatten(1, 2)
            z = (z * norm.weight[:, None, None] + norm.bias[:, None, None]).relu()
        return z

    half = layers(net.down[0], x)
    quarter = layers(net.down[1], half)
    eighth = layers(net.down[2], quarter)
    context = F.linear(eighth.mean((2, 3)), net.context.weight, net.context.bias)
    z = eighth + context[:, :, None, None]
    for lateral, up, fine in ((1, 1, quarter), (0, 0, half)):
        z = torch.einsum("oi,nihw->nohw", net.lateral[lateral].weight.flatten(1), z)
        z = z + net.lateral[lateral].bias[:, None, None]
        z = layers(net.up[up], fine + F.interpolate(z, fine.shape[2:], mode="bilinear"))
    four = F.conv2d(z, net.head.weight, net.head.bias, padding=1)
    logits = torch.empty(2, 1, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            part = 2 * (row % 2) + column % 2
            logits[:, 0, row, column] = four[:, part, row // 2, column // 2]
    torch.testing.assert_close(block.logits(x), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(block(x), x / (1 + torch.exp(-logits)), atol=1e-5, rtol=1e-4)


def test_annealed_form_goes_from_identity_to_product():
    block, x = SpatialMask(4, form="annealed"), torch.randn(2, 4, 8, 6)
    assert torch.equal(block(x), x)
    mask = mask_of(block, x)
    block.set_leak(0.25)
    torch.testing.assert_close(block(x), x * (0.25 + 0.75 * mask))
    block.set_leak(0)
    assert torch.equal(block(x), x * mask)


def test_leak_is_saved_and_checked():
    block = SpatialMask(4, form="annealed")
    block.set_leak(0.5)
    other = SpatialMask(4, form="annealed")
    other.load_state_dict(block.state_dict())
    assert other.leak.item() == 0.5
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.5"):
        block.set_leak(1.5)
    with pytest.raises(ValueError, match='only form="annealed"'):
        SpatialMask(4).set_leak(0.5)


def test_hard_mask_is_binary_with_the_gradient_of_the_soft_one():
    x = torch.randn(2, 3, 12, 12)
    soft, hard = SpatialMask(3), SpatialMask(3, hard=True)
    hard.load_state_dict(soft.state_dict())
    mask = mask_of(hard, x)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(mask, (torch.sigmoid(soft.logits(x)) > 0.5).float())
    weight = torch.randn(2, 3, 12, 12)
    (soft(x) * weight).sum().backward()
    (hard(x) * weight).sum().backward()
    # d/dm of sum(w x m) is the same wherever m is, so both branches get the same gradient
    for one, two in zip(soft.parameters(), hard.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    assert soft.branch.head.weight.grad.abs().max() > 0


def test_detached_mask_learns_from_its_logits_only():
    block, x = SpatialMask(3, detach=True), torch.randn(2, 3, 8, 8, requires_grad=True)
    block(x).sum().backward()
    assert all(parameter.grad is None for parameter in block.parameters())
    torch.testing.assert_close(x.grad, mask_of(block, x).expand_as(x))
    block.logits(x).sum().backward()
    assert block.branch.head.weight.grad.abs().max() > 0


def test_erosion_removes_a_rim_but_not_at_the_border():
    block, x = SpatialMask(1, hard=True, erode=1), torch.ones(1, 1, 6, 6)
    logits = torch.full((1, 1, 6, 6), -5.0)
    logits[..., :4, :4] = 5.0
    with replace(block.spatial_logits, logits):
        y = block(x)
    expected = torch.zeros(1, 1, 6, 6)
    expected[..., :3, :3] = 1
    assert torch.equal(y, expected)


def test_taps_steer_the_block():
    block, x = SpatialMask(3, detach=True), torch.randn(2, 3, 7, 10)
    target = (torch.rand(2, 1, 7, 10) > 0.5).float()
    with replace(block.spatial, target):
        assert torch.equal(block(x), x * target)
    with replace(block.spatial_logits, torch.zeros(2, 1, 7, 10)):
        assert torch.equal(block(x), x * 0.5)


@pytest.mark.parametrize("channels", [1, 2, 3, 64])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (7, 7), (33, 48), (14, 20)])
def test_any_size_one_image_in_training(channels, size):
    block = SpatialMask(channels).train()
    x = torch.randn(1, channels, *size)
    y = block(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


@pytest.mark.parametrize("width", [2, 3, 7, 24])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_any_width_and_depth(width, depth):
    x = torch.randn(1, 3, 11, 6)
    assert SpatialMask(3, width=width, depth=depth)(x).shape == x.shape


def test_sees_the_whole_map():
    block, x = SpatialMask(3), torch.randn(1, 3, 128, 96)
    x.requires_grad_()
    block.logits(x)[0, 0, 0, 0].backward()
    assert x.grad[0, :, -16:, -16:].abs().max() > 0


def test_one_image_does_not_depend_on_the_others():
    block, x = SpatialMask(3).train(), torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))


def test_learns_the_place_of_an_object_to_the_pixel():
    """Squares at random places of an odd-sized image: the mask finds them, edges and all."""
    block = SpatialMask(1, width=8, depth=2)
    optimizer = torch.optim.AdamW(block.parameters(), lr=1e-2)

    def scenes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        masks = torch.zeros(count, 1, 15, 21)
        for mask in masks:
            y, x = torch.randint(0, 8, ()).item(), torch.randint(0, 14, ()).item()
            mask[:, y : y + 7, x : x + 7] = 1
        return masks + 0.3 * torch.randn_like(masks), masks

    for _ in range(100):
        images, masks = scenes(8)
        loss = nn.functional.binary_cross_entropy_with_logits(block.logits(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, masks = scenes(32)
    found = block.logits(images) > 0
    iou = (found & (masks > 0)).sum() / (found | (masks > 0)).sum()
    assert iou > 0.9


def test_channels_last_gives_the_same_and_stays():
    block, x = SpatialMask(16), torch.randn(2, 16, 15, 9)
    expected = block(x)
    y = block.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_autocast_runs_and_keeps_the_identity():
    x = torch.randn(2, 8, 12, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(SpatialMask(8, init="identity")(x), x)
        assert SpatialMask(8, hard=True)(x).isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_copies_and_pickles(form):
    block, x = SpatialMask(4, form=form), torch.randn(1, 4, 6, 6)
    assert torch.equal(copy.deepcopy(block)(x), block(x))
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), block(x))


@pytest.mark.parametrize("options", [{"hard": True, "erode": 1}, {"init": "identity"}])
def test_exports_with_dynamic_batch_and_size(options):
    block = SpatialMask(3, **options).eval()
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        block, (torch.randn(2, 3, 40, 56),), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},)
    ).module()
    for shape in [(2, 3, 40, 56), (5, 3, 33, 47), (3, 3, 64, 64)]:
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), block(x))


@pytest.mark.slow
def test_compiles():
    block, x = SpatialMask(3, hard=True, erode=1), torch.randn(2, 3, 17, 24)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), block(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "sum"}, "form must be one of 'product', 'residual', 'annealed'; got 'sum'"),
        ({"init": "zero"}, "init must be one of 'paper', 'identity'; got 'zero'"),
        ({"erode": -1}, "erode must be at least 0, got -1"),
        ({"width": 1}, "width must be at least 2, got 1"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_say_what_is_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpatialMask(3, **arguments)


def test_wrong_input_says_what_is_right():
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\), got \(2, 4, 8, 8\)"):
        SpatialMask(3)(torch.randn(2, 4, 8, 8))


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(SpatialMask(16)) == {
        "spatial_logits": (2, 1, 9, 7),
        "spatial": (2, 1, 9, 7),
    }


@pytest.mark.parametrize(
    "options", [{"form": "residual"}, {"form": "annealed"}, {"hard": True}], ids=str
)
def test_variants_keep_the_contract(options):
    at_once = options.get("form") != "annealed"  # a schedule brings that mask in
    check_block(SpatialMask, learns_at_once=at_once, **options)
