"""Blocks that choose between convolutions against timm's modules or their formulas."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import SplitAttn
from torch import nn

from visattn.blocks import (
    LargeKernelAttention,
    LargeSelectiveKernel,
    ParNetBlock,
    PyramidSqueezeAttention,
    SplitAttention,
)
from visattn.testing import check_block, enliven


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"radix": 1}, {"radix": 3}, {"stride": 2}])
def test_split_attention_is_timms(options, training):
    theirs = enliven(SplitAttn(24, norm_layer=nn.BatchNorm2d, **options)).train(training)
    ours = SplitAttention(24, **options).train(training)
    state = {
        next(o + k.removeprefix(t) for t, o in ours.timm_names.items() if k.startswith(t)): v
        for k, v in theirs.state_dict().items()
    }
    ours.load_state_dict(state)
    x = torch.randn(3, 24, 7, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_two_reaches_and_a_choice():
    block, x = enliven(LargeSelectiveKernel(6)), torch.randn(2, 6, 11, 9)
    u = F.conv2d(x, block.near.weight, block.near.bias, padding=2, groups=6)
    v = F.conv2d(u, block.far.weight, block.far.bias, padding=9, dilation=3, groups=6)
    parts = block.conv1(u), block.conv2(v)
    both = torch.cat(parts, 1)
    choice = block.choose(torch.stack((both.mean(1), both.max(1).values), 1)).sigmoid()
    mixed = parts[0] * choice[:, :1] + parts[1] * choice[:, 1:]
    torch.testing.assert_close(block(x), x * block.conv(mixed))


def test_a_separable_kernel_is_the_product_of_its_rows_and_columns():
    thin = enliven(LargeKernelAttention(4, reach=23))
    full = LargeKernelAttention(4, reach=21, separable=False)
    for ours, theirs in ((thin.near, full.near), (thin.far, full.far)):
        rows, columns = ours[0].weight, ours[1].weight  # (C, 1, 1, k), (C, 1, k, 1)
        theirs[0].weight.data = columns @ rows
        ours[0].bias.data.zero_()
        theirs[0].bias.data = ours[1].bias.data
    full.conv.load_state_dict(thin.conv.state_dict())
    x = torch.randn(2, 4, 15, 12)
    torch.testing.assert_close(thin(x), full(x))
    near = F.conv2d(x, full.near[0].weight, full.near[0].bias, padding=2, groups=4)
    far = full.far[0]
    far = F.conv2d(near, far.weight, far.bias, padding=9, dilation=3, groups=4)
    torch.testing.assert_close(full(x), x * full.conv(far))


@pytest.mark.parametrize(
    ("reach", "span"), [(7, 7), (11, 11), (23, 23), (35, 35), (41, 41), (53, 53), (21, 23)]
)
def test_how_far_a_reach_goes(reach, span):
    block, x = LargeKernelAttention(1, reach=reach), torch.zeros(1, 1, 121, 1)
    x[:, :, 60] = 1
    for layer in (*block.near, *block.far):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    seen = block.far(block.near(x)).flatten().nonzero()
    assert (seen.max() - seen.min() + 1).item() == span


def test_a_pyramid_and_its_shares():
    block, x = enliven(PyramidSqueezeAttention(64, in_channels=32)), torch.randn(2, 32, 9, 8)
    maps, scores = [], []
    for branch, side, groups in zip(block.branches, (3, 5, 7, 9), (1, 4, 8, 16), strict=True):
        maps.append(F.conv2d(x, branch.weight, padding=side // 2, groups=groups))
        mean = maps[-1].mean((2, 3), keepdim=True)
        scores.append(block.fc2(block.fc1(mean).relu()).sigmoid())
    total = sum(torch.exp(score) for score in scores)
    expected = [u * torch.exp(score) / total for u, score in zip(maps, scores, strict=True)]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))


@pytest.mark.parametrize("stride", [1, 2])
def test_two_convolutions_and_a_gated_skip(stride):
    block, x = enliven(ParNetBlock(6, stride=stride)).eval(), torch.randn(2, 6, 8, 10)

    def normalised(z, bn):
        z = (z - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
        return z * bn.weight[:, None, None] + bn.bias[:, None, None]

    u = normalised(x, block.norm)
    logits = F.linear(u.mean((2, 3)), block.fc.weight.flatten(1), block.fc.bias)
    gate = torch.sigmoid(logits)[:, :, None, None]
    near = normalised(F.conv2d(x, block.near.weight, stride=stride, padding=1), block.norm_near)
    pooled = F.avg_pool2d(x, stride)
    place = torch.einsum("oi,nihw->nohw", block.place.weight.flatten(1), pooled)
    z = near + normalised(place, block.norm_place)
    z = z + u * gate if stride == 1 else z * gate
    torch.testing.assert_close(block(x), z / (1 + torch.exp(-z)), atol=1e-4, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="reach must be one of 7, 11, 21"):
        LargeKernelAttention(8, reach=9)
    with pytest.raises(ValueError, match="groups=3 must divide the 16 channels"):
        SplitAttention(16, groups=3)


def test_variants_keep_the_contract():
    check_block(LargeKernelAttention, channels=(1, 16), reach=7)
    check_block(SplitAttention, channels=(1, 16), radix=3)


def test_what_is_recorded(recorded_shapes):
    gate, channel = (2, 16, 9, 7), (2, 16, 1, 1)
    assert recorded_shapes(LargeKernelAttention(16)) == {"gate": gate}
    assert recorded_shapes(LargeSelectiveKernel(16)) == {"spatial": (2, 1, 9, 7), "gate": gate}
    assert recorded_shapes(PyramidSqueezeAttention(16)) == {"channel": channel}
    assert recorded_shapes(ParNetBlock(16)) == {"channel": channel}
    assert recorded_shapes(SplitAttention(16)) == {"channel": channel}
