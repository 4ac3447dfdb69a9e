import pytest
import torch

from visattn.blocks import SCSE
from visattn.recording import record
from visattn.testing import check_block


def gates(block, x):
    """Channel gate (N, C) and spatial gate (N, H, W)."""
    hidden = torch.einsum("oc,nchw->no", block.fc1.weight[:, :, 0, 0], x) / x[0, 0].numel()
    hidden = (hidden + block.fc1.bias).clamp(min=0)
    channel = hidden @ block.fc2.weight[:, :, 0, 0].T + block.fc2.bias
    spatial = torch.einsum("c,nchw->nhw", block.conv.weight.flatten(), x) + block.conv.bias
    return 1 / (1 + torch.exp(-channel)), 1 / (1 + torch.exp(-spatial))


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_the_formula_and_what_is_recorded(combine):
    block, x = SCSE(32, combine=combine), torch.randn(2, 32, 5, 8)
    channel, spatial = gates(block, x)
    both = x * channel[:, :, None, None], x * spatial[:, None]
    expected = both[0] + both[1] if combine == "sum" else torch.where(both[0] > both[1], *both)
    with record(block) as maps:
        torch.testing.assert_close(block(x), expected)
    (site,) = maps.values()
    torch.testing.assert_close(site.channel, channel)
    torch.testing.assert_close(site.spatial, spatial)


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_identity_of_the_smallest_numbers_too(combine):
    x = torch.randn(1, 16, 3, 4)
    x[0, 0, 0, 0] = torch.finfo(x.dtype).smallest_normal
    assert torch.equal(SCSE(16, combine=combine, init="identity")(x), x)


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_both_gates_learn_from_the_identity(combine):
    block, x = SCSE(32, combine=combine, init="identity"), torch.randn(4, 32, 6, 6)
    (block(x) * torch.randn_like(x)).sum().backward()
    assert block.fc2.weight.grad.any()
    assert block.conv.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "parameters"), [({}, 8721), ({"combine": "max"}, 8721), ({"reduction": 2}, 66_177)]
)
def test_parameter_counts(options, parameters):
    assert sum(p.numel() for p in SCSE(256, **options).parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "mean"}, "combine must be 'sum' or 'max', got 'mean'"),
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SCSE(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(SCSE(16)) == {"channel": (2, 16, 1, 1), "spatial": (2, 1, 9, 7)}


def test_a_variant_keeps_the_contract():
    check_block(SCSE, combine="max")
