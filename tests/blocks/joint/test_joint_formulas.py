"""Gates of channels and places against timm's modules or their formulas, written out."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from timm.layers.cbam import LightCbamModule
from timm.layers.coord_attn import EfficientLocalAttn, SimpleCoordAttn, StripAttn
from torch import nn

from visattn.blocks import (
    ChannelPriorAttention,
    ContextAnchorAttention,
    EfficientLocalAttention,
    EfficientMultiScaleAttention,
    GlobalAttention,
    MixedLocalChannelAttention,
    PolarizedAttention,
    ShuffleAttention,
    SpatialGroupEnhance,
    StripAttention,
    SynergisticAttention,
    block_entry,
)
from visattn.testing import check_block, enliven

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def bn_of(bn, x):
    """BN in evaluation, written out."""
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return (x - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]


def normalised(x, dims):
    return (x - x.mean(dims, keepdim=True)) / (
        x.var(dims, unbiased=False, keepdim=True) + 1e-5
    ) ** 0.5


@pytest.mark.parametrize("training", [True, False])
def test_the_light_cbam_is_timms(training):
    theirs = enliven(LightCbamModule(32)).train(training)
    ours = block_entry("lcbam").factory(32).train(training)
    names = ours.timm_names.items()
    ours.load_state_dict(
        {
            next(o + k.removeprefix(t) for t, o in names if k.startswith(t)): v
            for k, v in theirs.state_dict().items()
        }
    )
    x = torch.randn(2, 32, 9, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("channels", [48, 256])
def test_simple_coordinate_attention_is_timms(channels):
    theirs = enliven(SimpleCoordAttn(channels))
    ours = block_entry("scoord").factory(channels)
    names = {"fc1": "conv1", "fc_h": "conv_h", "fc_w": "conv_w"}
    state = {names[k.partition(".")[0]] + "." + k.partition(".")[2]: v
             for k, v in theirs.state_dict().items()}  # fmt: skip
    shapes = {k: v.shape for k, v in ours.state_dict().items()}
    ours.load_state_dict({k: v.reshape(shapes[k]) for k, v in state.items()})
    x = torch.randn(2, channels, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def test_local_attention_is_timms_with_the_papers_layers():
    theirs = EfficientLocalAttn(
        32, act_layer=nn.Identity, norm_layer=lambda c, **_: nn.GroupNorm(16, c)
    )
    ours = enliven(EfficientLocalAttention(32))
    weight = ours.conv.weight.data
    theirs.conv_h.weight.data, theirs.conv_w.weight.data = weight.unsqueeze(3), weight.unsqueeze(2)
    for layer in (theirs.norm_h, theirs.norm_w):
        layer.load_state_dict(ours.norm.state_dict())
    x = torch.randn(2, 32, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))


def test_strips_are_timms():
    theirs = StripAttn(8)
    ours = StripAttention(8)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 8, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))


def test_branches_that_read_each_other():
    block, x = enliven(EfficientMultiScaleAttention(16, groups=4)), torch.randn(2, 16, 5, 7)
    expected = []
    for group in x.split(4, 1):
        rows = block.conv1(group.mean(3, keepdim=True)).sigmoid()
        columns = block.conv1(group.mean(2, keepdim=True)).sigmoid()
        u = normalised(group * rows * columns, (2, 3))
        u = u * block.norm.weight[:, None, None] + block.norm.bias[:, None, None]
        v = block.conv3(group)
        by_u, by_v = (t.mean((2, 3)).softmax(1) for t in (u, v))
        logits = torch.einsum("nc,nchw->nhw", by_u, v) + torch.einsum("nc,nchw->nhw", by_v, u)
        expected.append(group * logits.sigmoid().unsqueeze(1))
    torch.testing.assert_close(block(x), torch.cat(expected, 1), **CLOSE)


def test_half_of_the_channels_whole_half_by_place_then_shuffled():
    block, x = enliven(ShuffleAttention(16, groups=2)), torch.randn(2, 16, 5, 7)
    w, b = block.weight.flatten(), block.bias.flatten()
    expected = torch.empty_like(x)
    for c in range(16):
        at = c % 8
        one = x[:, c : c + 1]
        seen = one.mean((2, 3), keepdim=True) if at < 4 else normalised(one, (2, 3))
        # Channel c of 2 x 8 goes where 8 x 2 has it.
        expected[:, (c % 8) * 2 + c // 8] = (one * torch.sigmoid(w[at] * seen + b[at])).squeeze(1)
    torch.testing.assert_close(block(x), expected, **CLOSE)


@pytest.mark.parametrize("order", ["parallel", "sequential"])
def test_two_sharpened_gates(order):
    block, x = enliven(PolarizedAttention(6, order=order)), torch.randn(2, 6, 5, 7)

    def channel(x):
        shares = block.channel_q(x).flatten(1).softmax(1)
        context = torch.einsum("nci,ni->nc", block.channel_v(x).flatten(2), shares)
        z = block.channel_up(context[:, :, None, None]).flatten(1)
        return (normalised(z, 1) * block.norm.weight + block.norm.bias).sigmoid()[:, :, None, None]

    def spatial(x):
        shares = block.spatial_q(x).mean((2, 3)).softmax(1)
        return torch.einsum("nc,nchw->nhw", shares, block.spatial_v(x)).sigmoid().unsqueeze(1)

    if order == "parallel":
        expected = x * channel(x) + x * spatial(x)
    else:
        expected = x * channel(x)
        expected = expected * spatial(expected)
    torch.testing.assert_close(block(x), expected, **CLOSE)


def test_places_like_their_groups_mean():
    block, x = enliven(SpatialGroupEnhance(12, groups=4)), torch.randn(2, 12, 5, 7)
    expected = []
    for g, group in enumerate(x.split(3, 1)):
        alike = torch.einsum("nchw,nc->nhw", group, group.mean((2, 3))).unsqueeze(1)
        logits = block.weight[g] * normalised(alike, (2, 3)) + block.bias[g]
        expected.append(group * logits.sigmoid())
    torch.testing.assert_close(block(x), torch.cat(expected, 1), **CLOSE)


def test_an_mlp_at_each_place_then_wide_convolutions():
    block, x = enliven(GlobalAttention(8)).eval(), torch.randn(2, 8, 9, 7)
    rows = x.permute(0, 2, 3, 1)
    hidden = F.linear(rows, block.fc1.weight.flatten(1), block.fc1.bias).relu()
    gate = F.linear(hidden, block.fc2.weight.flatten(1), block.fc2.bias).sigmoid()
    y = (rows * gate).permute(0, 3, 1, 2)
    conv, bn = block.reduce[0], block.reduce[1]
    z = bn_of(bn, F.conv2d(y, conv.weight, conv.bias, padding=3)).relu()
    z = bn_of(block.bn, F.conv2d(z, block.conv.weight, block.conv.bias, padding=3))
    torch.testing.assert_close(block(x), y * z.sigmoid(), **CLOSE)


def test_a_long_cross():
    block, x = enliven(ContextAnchorAttention(5)).eval(), torch.randn(2, 5, 13, 8)
    z = F.avg_pool2d(x, 7, stride=1, padding=3)
    z = bn_of(block.bn1, F.conv2d(z, block.conv1.weight))
    z = z / (1 + torch.exp(-z))
    z = F.conv2d(z, block.rows.weight, block.rows.bias, padding=(0, 5), groups=5)
    z = F.conv2d(z, block.columns.weight, block.columns.bias, padding=(5, 0), groups=5)
    z = bn_of(block.bn2, F.conv2d(z, block.conv2.weight))
    z = z / (1 + torch.exp(-z))
    torch.testing.assert_close(block(x), x * z.sigmoid(), **CLOSE)


@pytest.mark.parametrize("size", [(5, 5), (9, 12), (3, 4)])
def test_gates_of_parts_and_of_the_map(size):
    block, x = enliven(MixedLocalChannelAttention(7, local=0.3)), torch.randn(2, 7, *size)
    parts = F.adaptive_avg_pool2d(x, 5)
    line = torch.stack([parts[:, c, i, j] for i in range(5) for j in range(5) for c in range(7)], 1)
    local = F.conv1d(line.unsqueeze(1), block.local.weight, padding=1).squeeze(1).sigmoid()
    local = local.reshape(2, 5, 5, 7).permute(0, 3, 1, 2)
    mean = parts.mean((2, 3)).unsqueeze(1)
    whole = F.conv1d(mean, block.whole.weight, padding=1).sigmoid().reshape(2, 7, 1, 1)
    gate = F.adaptive_avg_pool2d(0.3 * local + 0.7 * whole, size)
    torch.testing.assert_close(block(x), x * gate, **CLOSE)


def test_a_channel_prior_and_strips():
    block, x = enliven(ChannelPriorAttention(8)), torch.randn(2, 8, 12, 9)
    mlp = block.channel
    logits = [mlp.fc2(mlp.fc1(p).relu()) for p in (x.mean((2, 3), True), x.amax((2, 3), True))]
    u = x * (logits[0] + logits[1]).sigmoid()
    v = F.conv2d(u, block.near.weight, block.near.bias, padding=2, groups=8)
    total = v
    for (first, second), k in zip(block.strips, (7, 11, 21), strict=True):
        z = F.conv2d(v, first.weight, first.bias, padding=(0, k // 2), groups=8)
        total = total + F.conv2d(z, second.weight, second.bias, padding=(k // 2, 0), groups=8)
    torch.testing.assert_close(block(x), u * block.mix(total), **CLOSE)


def test_scales_of_rows_and_columns_then_channels_that_read_channels():
    block, x = enliven(SynergisticAttention(16, heads=4)), torch.randn(2, 16, 14, 21)

    def gate(line, norm):
        parts = [
            F.conv1d(part, conv.weight, conv.bias, padding=k // 2, groups=4)
            for part, conv, k in zip(line.split(4, 1), block.convs, (3, 5, 7, 9), strict=True)
        ]
        z = torch.cat([normalised(part, (1, 2)) for part in parts], 1)
        return (z * norm.weight[:, None] + norm.bias[:, None]).sigmoid()

    rows, columns = gate(x.mean(3), block.norm_rows), gate(x.mean(2), block.norm_columns)
    u = torch.einsum("nchw,nch,ncw->nchw", x, rows, columns)
    p = normalised(F.avg_pool2d(u, 7), (1, 2, 3))
    p = (p * block.norm.weight[:, None, None] + block.norm.bias[:, None, None]).flatten(2)
    q, k, v = (p * block.qkv.weight.flatten()[i::3][:, None] for i in range(3))
    logits = []
    for head in range(4):
        of_head = slice(4 * head, 4 * head + 4)
        weights = (q[:, of_head] @ k[:, of_head].transpose(1, 2) / 2).softmax(-1)
        logits.append((weights @ v[:, of_head]).mean(2))
    expected = u * torch.cat(logits, 1).sigmoid()[:, :, None, None]
    torch.testing.assert_close(block(x), expected, **CLOSE)


@pytest.mark.parametrize(
    "factory",
    [
        partial(PolarizedAttention, order="sequential"),
        partial(MixedLocalChannelAttention, local=0.3),
    ],
)
def test_variants_keep_the_contract(factory):
    check_block(factory, channels=(1, 16))


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (EfficientLocalAttention, {"kernel_size": 4}, "kernel_size must be odd"),
        (PolarizedAttention, {"order": "both"}, "order must be"),
        (MixedLocalChannelAttention, {"local": 2.0}, r"local in \[0, 1\]"),
        (EfficientMultiScaleAttention, {"groups": 0}, "groups must be at least 1"),
    ],
)
def test_errors(block, options, message):
    with pytest.raises(ValueError, match=message):
        block(16, **options)


@pytest.mark.parametrize(
    "kind",
    [
        ContextAnchorAttention,
        EfficientMultiScaleAttention,
        MixedLocalChannelAttention,
        ShuffleAttention,
        SpatialGroupEnhance,
        StripAttention,
    ],
)
def test_one_gate_for_each_value_is_recorded(kind, recorded_shapes):
    assert recorded_shapes(kind(16)) == {"gate": (2, 16, 9, 7)}


def test_what_the_others_record(recorded_shapes):
    value, channel = (2, 16, 9, 7), (2, 16, 1, 1)
    lines = {"gate rows": (2, 16, 9, 1), "gate columns": (2, 16, 1, 7)}
    assert recorded_shapes(EfficientLocalAttention(16)) == lines
    assert recorded_shapes(SynergisticAttention(16)) == {**lines, "channel": channel}
    assert recorded_shapes(ChannelPriorAttention(16)) == {"channel": channel, "gate": value}
    assert recorded_shapes(GlobalAttention(16)) == {"gate channel": value, "gate spatial": value}
    both = {"channel": channel, "spatial": (2, 1, 9, 7)}
    assert recorded_shapes(PolarizedAttention(16)) == both
