"""Channel gates against timm's modules or their formulas, written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from timm.layers import EcaModule, GatherExcite as TheirGatherExcite

from visattn.blocks import (
    FrequencyChannelAttention,
    GatedChannels,
    GatherExcite,
    GaussianContext,
    LinearContextTransform,
    NormAttention,
    StyleRecalibration,
    block_entry,
)
from visattn.testing import check_block, enliven


def written(conv, x):
    """A 1x1 convolution of (N, C), written out."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


@pytest.mark.parametrize("channels", [64, 256])
def test_ecam_is_timms(channels):
    theirs, ours = EcaModule(channels, use_mlp=True), block_entry("ecam").factory(channels)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, channels, 3, 5)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("extent", [0, 2, 4])
def test_gathering_without_parameters_is_timms(extent):
    theirs = TheirGatherExcite(6, extent=extent, use_mlp=False)
    x = torch.randn(2, 6, 9, 7)
    ours = GatherExcite(6, extent=extent, gather="mean", mlp=False)
    torch.testing.assert_close(ours(x), theirs(x))


def test_gathering_by_convolutions_and_exciting_by_two_layers():
    block, x = enliven(GatherExcite(6, extent=4, reduction=2)).eval(), torch.randn(2, 6, 9, 7)
    seen = x
    for at, last in ((0, False), (3, True)):
        conv, bn = block.gather[at], block.gather[at + 1]
        seen = F.conv2d(seen, conv.weight, stride=2, padding=1, groups=6)
        mean, scale = bn.running_mean, bn.weight / (bn.running_var + bn.eps).sqrt()
        seen = (seen - mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]
        seen = seen if last else seen.relu()
    expected = torch.empty_like(x)
    for i in range(9):
        for j in range(7):  # the nearest of 3 x 2 coarse places
            coarse = seen[:, :, i * 3 // 9, j * 2 // 7]
            logit = written(block.excite[2], written(block.excite[0], coarse).relu())
            expected[:, :, i, j] = x[:, :, i, j] / (1 + torch.exp(-logit))
    torch.testing.assert_close(block(x), expected)


def test_style_of_each_channel():
    block, x = enliven(StyleRecalibration(5)).eval(), torch.randn(3, 5, 4, 6)
    mean, deviation = x.mean((2, 3)), x.flatten(2).var(2, unbiased=False).sqrt()
    z, bn = block.style[0] * mean + block.style[1] * deviation, block.bn
    z = (z - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    torch.testing.assert_close(
        block(x), x * torch.sigmoid(z)[:, :, None, None], atol=1e-4, rtol=1e-4
    )


def test_gated_channels():
    block, x = enliven(GatedChannels(5)), torch.randn(3, 5, 4, 6)
    alpha, gamma, beta = (p.flatten() for p in (block.alpha, block.gamma, block.beta))
    s = alpha * ((x**2).sum((2, 3)) + 1e-5).sqrt()
    share = s / ((s**2).mean(1, keepdim=True) + 1e-5).sqrt()
    gate = 1 + torch.tanh(gamma * share + beta)
    torch.testing.assert_close(block(x), x * gate[:, :, None, None], atol=1e-4, rtol=1e-4)
    dead = torch.zeros(1, 5, 2, 2).half()
    assert block.half()(dead).isfinite().all()


@pytest.mark.parametrize(("size", "grid"), [((7, 7), 7), ((20, 9), 7), ((5, 3), 7), ((16, 14), 14)])
def test_frequencies_of_the_pooled_map(size, grid):
    block = enliven(FrequencyChannelAttention(32, grid=grid)).double()
    x = torch.randn(2, 32, *size, dtype=torch.float64)
    pooled = F.adaptive_avg_pool2d(x, grid)
    # The official code's order of its 16 best, written down again.
    of_rows = [0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2]
    of_columns = [0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2]
    z = torch.zeros(2, 32, dtype=torch.float64)
    for c in range(32):
        u, v = (f[c // 2] * (grid // 7) for f in (of_rows, of_columns))
        for i in range(grid):
            for j in range(grid):
                wave = 1.0
                for f, place in ((u, i), (v, j)):
                    wave *= math.cos(math.pi * f * (place + 0.5) / grid) / math.sqrt(grid)
                    wave *= math.sqrt(2) if f else 1
                z[:, c] += pooled[:, c, i, j] * wave
    gate = written(block.fc2, written(block.fc1, z).relu()).sigmoid()
    torch.testing.assert_close(block(x), x * gate[:, :, None, None], atol=1e-5, rtol=1e-5)


def test_weights_of_a_bn():
    block, x = enliven(NormAttention(5)).eval(), torch.randn(3, 5, 4, 6)
    share = block.bn.weight.abs() / block.bn.weight.abs().sum()
    z = torch.einsum("nchw,c->nchw", block.bn(x), share)
    torch.testing.assert_close(block(x), x * torch.sigmoid(z))


def test_a_mean_among_those_of_its_group():
    block, x = enliven(LinearContextTransform(12, groups=3)), torch.randn(2, 12, 4, 6)
    expected = torch.empty_like(x)
    for c in range(12):
        group = slice(c // 4 * 4, c // 4 * 4 + 4)
        means = x[:, group].mean((2, 3))
        z = (means[:, c % 4] - means.mean(1)) / (means.var(1, unbiased=False) + 1e-5).sqrt()
        logit = block.norm.weight[c] * z + block.norm.bias[c]
        expected[:, c] = x[:, c] * torch.sigmoid(logit)[:, None, None]
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("width", [2.0, 0.5])
def test_a_gaussian_of_the_distance_to_the_mean_of_all(width):
    block, x = GaussianContext(5, width=width), torch.randn(3, 5, 4, 6)
    z = x.mean((2, 3))
    v = (z - z.mean(1, keepdim=True)) / (z.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    gate = torch.exp(-(v**2) / (2 * width**2))
    torch.testing.assert_close(block(x), x * gate[:, :, None, None], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"extent": 0, "gather": "mean"},
        {"extent": 2, "gather": "mean", "mlp": False},
        {"mlp": False},
    ],
    ids=str,
)
def test_variants_keep_the_contract(options):
    check_block(GatherExcite, channels=(1, 16), **options)


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (GatherExcite, {"extent": 3}, "a power of 2 from 2 on"),
        (GatherExcite, {"extent": 0}, "would fix its size"),
        (GatherExcite, {"gather": "max"}, "gather must be"),
        (FrequencyChannelAttention, {"frequencies": 17}, "at most 16"),
        (FrequencyChannelAttention, {"grid": 8}, "a multiple of 7"),
        (GaussianContext, {"width": 0.0}, "width must be above 0"),
        (StyleRecalibration, {"init": "zero"}, "init must be"),
    ],
)
def test_errors(block, options, message):
    with pytest.raises(ValueError, match=message):
        block(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(GatherExcite(16)) == {"gate": (2, 16, 9, 7)}
    kinds = (FrequencyChannelAttention, GatedChannels, GaussianContext, LinearContextTransform)
    for kind in (*kinds, StyleRecalibration):
        assert recorded_shapes(kind(16)) == {"channel": (2, 16, 1, 1)}


@pytest.mark.parametrize(("channels", "units"), [(3, 4), (64, 4), (256, 16)])
def test_frequencies_never_hang_on_a_single_unit(channels, units):
    assert FrequencyChannelAttention(channels).fc1.out_channels == units
