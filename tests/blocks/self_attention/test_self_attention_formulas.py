"""Self-attention and its kin against timm's modules or their formulas, written out."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers.lambda_layer import LambdaLayer as TheirLambdaLayer
from timm.models.volo import OutlookAttention as TheirOutlookAttention

from visattn.blocks import (
    ContextualTransformer,
    DualAttention,
    ExternalAttention,
    LambdaLayer,
    OutlookAttention,
    block_entry,
)
from visattn.recording import record
from visattn.testing import check_block, enliven

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.mark.parametrize("affinity", ["paper", "official"])
def test_places_from_places_and_channels_from_channels(affinity):
    block, x = enliven(DualAttention(8, affinity=affinity)), torch.randn(2, 8, 4, 5) / 2
    q, k, v = (f(x).flatten(2) for f in (block.query, block.key, block.value))
    places = torch.einsum("nij,ncj->nci", torch.einsum("nci,ncj->nij", q, k).softmax(2), v)
    flat = x.flatten(2)
    alike = flat @ flat.transpose(1, 2)
    if affinity == "official":
        alike = alike.max(2, keepdim=True).values - alike
    channels = alike.softmax(2) @ flat
    expected = flat + block.of_places * places + block.of_channels * channels
    torch.testing.assert_close(block(x).flatten(2), expected, **CLOSE)


def test_a_memory_for_all_images():
    block, x = enliven(ExternalAttention(6, memory=4)).eval(), torch.randn(2, 6, 4, 5)
    with record(block) as maps:
        y = block(x)
    logits = torch.einsum("sc,ncp->nsp", block.key.weight.flatten(1), block.query(x).flatten(2))
    shares = logits.softmax(2)
    (site,) = maps.values()
    torch.testing.assert_close(site.spatial.flatten(1), shares.mean(1))
    shares = shares / (1e-9 + shares.sum(1, keepdim=True))
    read = torch.einsum("cs,nsp->ncp", block.value.weight.flatten(1), shares).unflatten(2, (4, 5))
    torch.testing.assert_close(y, x + block.readout(read), **CLOSE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_lambdas_are_timms(stride, training):
    theirs = enliven(TheirLambdaLayer(24, stride=stride)).train(training)
    ours = LambdaLayer(24, stride=stride).train(training)
    state = {k.replace("conv_lambda", "around"): v for k, v in theirs.state_dict().items()}
    state["around.weight"] = state["around.weight"].squeeze(4)
    ours.load_state_dict(state)
    x = torch.randn(2, 24, 8, 6)
    torch.testing.assert_close(ours(x), theirs(x), **CLOSE)


def test_outlooks_are_timms_and_what_is_read_of_each_place():
    theirs = enliven(TheirOutlookAttention(12, num_heads=3)).eval()
    ours = OutlookAttention(12, heads=3, norm=False).eval()
    pairs = ((ours.value, theirs.v), (ours.weigh, theirs.attn), (ours.readout.out, theirs.proj))
    for layer, other in pairs:
        layer.weight.data = other.weight.data[:, :, None, None]
        if layer.bias is not None:
            layer.bias.data = other.bias.data
    x = torch.randn(2, 12, 6, 5)
    with record(ours) as maps:
        y = ours(x)
    torch.testing.assert_close(y, x + theirs(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), **CLOSE)
    weights = (ours.weigh(x).unflatten(1, (3, 9, 9)) / 2).softmax(3).mean(1)
    expected = torch.zeros(2, 6, 5)
    for i in range(6):
        for j in range(5):
            for q in range(9):
                row, column = i + q // 3 - 1, j + q % 3 - 1
                if 0 <= row < 6 and 0 <= column < 5:
                    expected[:, row, column] += weights[:, :, q, i, j].sum(1)
    (site,) = maps.values()
    torch.testing.assert_close(site.spatial, expected, **CLOSE)


def test_a_static_context_that_weighs_a_dynamic_one():
    block, x = enliven(ContextualTransformer(16, share=4)).eval(), torch.randn(2, 16, 5, 6)
    static = block.key(x)
    w = block.weigh(torch.cat((x, static), 1))
    value = F.pad(block.value(x), (1, 1, 1, 1))
    read = torch.zeros(2, 16, 5, 6)
    for c in range(16):  # four channels have the weights of c % 4
        for j in range(9):
            shifted = value[:, c, j // 3 : j // 3 + 5, j % 3 : j % 3 + 6]
            read[:, c] += w[:, (c % 4) * 9 + j] * shifted
    dynamic = F.silu(block.bn(read))
    pooled = (dynamic + static).mean((2, 3), keepdim=True)
    logits = block.select(block.reduce(pooled)).reshape(2, 16, 2).softmax(2)[..., None, None]
    torch.testing.assert_close(
        block(x), dynamic * logits[:, :, 0] + static * logits[:, :, 1], **CLOSE
    )


def test_double_attention_gathers_and_distributes():
    block, x = enliven(block_entry("double").factory(16)).eval(), torch.randn(2, 16, 4, 5)
    given, gather, features = block.qkv(x).flatten(2).split(4, 1)
    gathered = features @ gather.softmax(2).transpose(1, 2)
    read = (gathered @ given.softmax(1)).unflatten(2, (4, 5))
    torch.testing.assert_close(block(x), x + block.readout(read), **CLOSE)


@pytest.mark.parametrize(
    ("block", "options"),
    [
        (ContextualTransformer, {"kernel_size": 5}),
        (DualAttention, {"affinity": "official"}),
        (ExternalAttention, {"norm": False}),
        (OutlookAttention, {"norm": False}),
    ],
    ids=str,
)
def test_variants_keep_the_contract(block, options):
    check_block(block, channels=(1, 16), sizes=((2, 8, 8), (1, 1, 1)), **options)


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (LambdaLayer, {"reach": 4}, "must be odd"),
        (LambdaLayer, {"heads": 3}, "can't be shared out"),
        (DualAttention, {"affinity": "no"}, "affinity must be"),
        (ExternalAttention, {"memory": 0}, "memory must be at least 1"),
    ],
)
def test_errors(block, options, message):
    with pytest.raises(ValueError, match=message):
        block(16, **options)


def test_what_is_recorded(recorded_shapes):
    grid = ((9, 7), (9, 7))
    assert recorded_shapes(DualAttention(16)) == {"pairwise": (1, *grid)}
    assert recorded_shapes(LambdaLayer(16)) == {"pairwise": (4, *grid)}
    assert recorded_shapes(ContextualTransformer(16)) == {"channel": (2, 16, 1, 1)}
    for kind in (ExternalAttention, OutlookAttention):
        assert recorded_shapes(kind(16)) == {"spatial": (2, 1, 9, 7)}
