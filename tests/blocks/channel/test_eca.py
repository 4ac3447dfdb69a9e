import math

import pytest
import timm
import torch
from timm.layers import CecaModule, EcaModule

import visattn
from visattn.blocks import ECA
from visattn.blocks.channel.eca import eca_kernel_size
from visattn.testing import check_block
from visattn.wrapping.checkpoints import from_published


@pytest.mark.parametrize("channels", [1, 3, 16, 64, 256, 2048])
@pytest.mark.parametrize(("padding", "module"), [("zeros", EcaModule), ("circular", CecaModule)])
def test_parity_with_timm(channels, padding, module):
    theirs, ours = module(channels), ECA(channels, padding=padding)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, channels, 3, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_timms_kernels():
    for channels in range(1, 4097):
        size = int(abs(math.log(channels, 2) + 1) / 2)
        assert eca_kernel_size(channels) == max(size if size % 2 else size + 1, 3)


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_each_channel_sees_its_neighbours(padding):
    block, x = ECA(7, kernel_size=5, padding=padding), torch.randn(2, 7, 4, 3)
    mean, kernel = x.mean((2, 3)), block.conv.weight.flatten()
    expected = torch.empty_like(x)
    for c in range(7):
        logit = torch.zeros(2)
        for offset in range(-2, 3):
            if padding == "circular" or 0 <= c + offset < 7:
                logit = logit + kernel[offset + 2] * mean[:, (c + offset) % 7]
        expected[:, c] = x[:, c] / (1 + torch.exp(-logit))[:, None, None]
    torch.testing.assert_close(block(x), expected)


def test_a_timm_model_moves_over():
    donor = timm.create_model("resnet10t", block_args={"attn_layer": "eca"}, num_classes=5).eval()
    model = visattn.wrap(timm.create_model("resnet10t", num_classes=5), ECA, init="paper").eval()
    model.load_state_dict(from_published(donor.state_dict(), model))
    x = torch.randn(2, 3, 48, 40)
    torch.testing.assert_close(model(x), donor(x))


@pytest.mark.parametrize(
    ("channels", "options", "parameters"),
    [(256, {}, 5), (64, {}, 3), (2048, {}, 7), (64, {"kernel_size": 9}, 9)],
)
def test_parameter_counts(channels, options, parameters):
    assert sum(p.numel() for p in ECA(channels, **options).parameters()) == parameters


def test_the_kernels_of_the_official_resnet18_one_a_stage():
    model = visattn.wrap(timm.create_model("resnet18"), ECA, stages=[1], kernel_size=3)
    visattn.wrap(model, ECA, stages=[2], kernel_size=5)
    visattn.wrap(model, ECA, stages=[3, 4], kernel_size=7)
    assert sum(p.numel() for p in model.parameters()) == 11_689_556


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd and at least 1, got 4"),
        ({"kernel_size": -1}, "kernel_size must be odd and at least 1, got -1"),
        ({"padding": "same"}, "padding must be 'zeros' or 'circular', got 'same'"),
        ({"padding": "circular", "kernel_size": 7}, "at most 5 for 2 channels in a circle, got 7"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ECA(2, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(ECA(16)) == {"channel": (2, 16, 1, 1)}


def test_a_variant_keeps_the_contract():
    check_block(ECA, padding="circular")
