import pytest
import torch
import torch.nn.functional as F

from visattn.blocks.masks.residual_attention import ResidualAttention
from visattn.recording import record
from visattn.testing import check_block, enliven


def norm(x, bn):
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)


def unit(block, x):
    """A bottleneck with the normalisation first, written out."""
    first = norm(x, block.bn1).relu()
    y = F.conv2d(first, block.conv1.weight)
    y = F.conv2d(norm(y, block.bn2).relu(), block.conv2.weight, padding=1)
    y = F.conv2d(norm(y, block.bn3).relu(), block.conv3.weight)
    return y + (x if block.around is None else F.conv2d(first, block.around.weight))


def pool(x):
    return F.max_pool2d(x, 3, 2, 1)


def resize(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear")


def mask(block, x, trunk, attention):
    """The mask branch of depth 2, step by step."""
    hourglass, head = block.hourglass, block.head
    fine = unit(hourglass.down[0], pool(x))
    coarse = unit(hourglass.bottom, unit(hourglass.down[1], pool(fine)))
    z = unit(hourglass.up[0], resize(coarse, fine) + unit(hourglass.skip[0], fine))
    z = resize(z, trunk)
    z = F.conv2d(norm(z, head[0]).relu(), head[2].weight)
    z = F.conv2d(norm(z, head[3]).relu(), head[5].weight)
    if attention == "channel":
        return z / z.square().sum(1, keepdim=True).sqrt()
    if attention == "spatial":
        variance, mean = torch.var_mean(z, (2, 3), correction=0, keepdim=True)
        z = (z - mean) / (variance + 1e-5).sqrt()
    return z.sigmoid()


@pytest.mark.parametrize("attention", ["mixed", "channel", "spatial"])
@pytest.mark.parametrize(("size", "trunk_size"), [((9, 13), (9, 13)), ((10, 7), (5, 4))])
def test_is_the_formula(attention, size, trunk_size):
    block = enliven(ResidualAttention(8, in_channels=6, attention=attention)).eval()
    x, trunk = torch.randn(2, 6, *size), torch.randn(2, 8, *trunk_size)
    expected = mask(block, x, trunk, attention)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x, trunk), (1 + expected) * trunk, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    torch.testing.assert_close(site.gate, 1 + expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(site.spatial, expected.mean(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attention", ["mixed", "channel", "spatial"])
def test_starts_as_the_trunk_and_learns_at_once(attention, training):
    block = ResidualAttention(8, in_channels=4, attention=attention, init="identity")
    block.train(training)
    x, trunk = torch.randn(2, 4, 11, 6), torch.randn(2, 8, 6, 3)
    y = block(x, trunk)
    assert torch.equal(y, trunk)
    (y * torch.randn_like(y)).sum().backward()
    last = block.head[5].weight if attention == "mixed" else block.gate.strength
    assert last.grad.any()
    assert last.grad.isfinite().all()


@pytest.mark.parametrize(
    ("size", "depth"),
    [((56, 56), 3), ((28, 28), 2), ((14, 14), 1), ((7, 7), 1), ((28, 60), 2), (None, 2)],
)
def test_the_branch_goes_down_to_about_seven_places(size, depth):
    assert len(ResidualAttention(4, size=size).hourglass.down) == depth


def test_parameter_count():
    """3 units on the way down and at the bottom, 2 on skips, 2 up, and the head."""
    c, hidden = 64, 16
    of_unit = 2 * c + 2 * 2 * hidden + c * hidden + 9 * hidden**2 + hidden * c
    of_head = 2 * (2 * c + c * c)
    block = ResidualAttention(c, depth=3)
    assert sum(p.numel() for p in block.parameters()) == 8 * of_unit + of_head


def test_trains_on_a_single_place():
    assert ResidualAttention(1).train()(torch.randn(1, 1, 1, 1)).shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth must be at least 1"),
        ({"attention": "both"}, "attention must be one of"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ResidualAttention(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(ResidualAttention(16)) == {
        "gate": (2, 16, 9, 7),
        "spatial": (2, 1, 9, 7),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 1},
        {"attention": "channel"},
        {"attention": "spatial"},
        pytest.param({"depth": 3}, marks=pytest.mark.slow),
        pytest.param({"depth": 3, "attention": "channel"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_variants_keep_the_contract(options):
    check_block(ResidualAttention, **options)
