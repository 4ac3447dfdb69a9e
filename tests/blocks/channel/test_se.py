import pytest
import torch
from timm.layers import SEModule
from torchvision.ops import SqueezeExcitation

from visattn.blocks import SE
from visattn.testing import check_block


@pytest.mark.parametrize("channels", [64, 192, 256])
def test_parity_with_timm(channels):
    theirs = SEModule(channels)
    ours = SE(channels, rd_divisor=8)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, channels, 7, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_parity_with_torchvision():
    theirs = SqueezeExcitation(256, 16)
    ours = SE(256)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 256, 4, 9)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("options", "parameters"), [({}, 8464), ({"bias": False}, 8192), ({"reduction": 4}, 33088)]
)
def test_parameter_counts(options, parameters):
    assert sum(p.numel() for p in SE(256, **options).parameters()) == parameters


@pytest.mark.parametrize(("channels", "hidden"), [(64, 8), (192, 16), (8, 8), (256, 16)])
def test_timms_rounding(channels, hidden):
    assert SE(channels, rd_divisor=8).fc1.out_channels == hidden


def test_fewer_channels_than_the_reduction():
    assert SE(3).fc1.out_channels == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"init": "zero"}, "init must be 'identity' or 'paper', got 'zero'"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SE(16, **options)


def test_the_identity_gate_reaches_two():
    block = SE(4, init="identity")
    torch.nn.init.constant_(block.fc2.bias, 50.0)
    x = torch.randn(1, 4, 2, 2)
    torch.testing.assert_close(block(x), 2 * x)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(SE(16)) == {"channel": (2, 16, 1, 1)}


@pytest.mark.parametrize("options", [{"bias": False}, {"rd_divisor": 8}], ids=str)
def test_variants_keep_the_contract(options):
    check_block(SE, **options)
