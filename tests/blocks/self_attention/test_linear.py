"""Linear attention and latents against their formulas with all weights built."""

import pytest
import torch
from torch import nn

from visattn.blocks import Latents, LinearAttention
from visattn.recording import record
from visattn.testing import check_block, enliven


def conv(layer, x):
    return torch.einsum("oi,nis->nos", layer.weight[:, :, 0, 0], x) + layer.bias[:, None]


def back(block, read, x):
    out = conv(block.readout.out, read.flatten(1, 2)).unflatten(2, x.shape[2:])
    return x + (out if block.readout.bn is None else block.readout.bn(out))


def linear_written_out(block, x):
    q, k, v = conv(block.qkv, x.flatten(2)).unflatten(1, (3, block.heads, -1)).unbind(1)
    if block.features == "softmax":
        q, k = q.exp() / q.exp().sum(2, keepdim=True), k.exp() / k.exp().sum(3, keepdim=True)
        weights = torch.einsum("nhdt,nhds->nhts", q, k)
    else:
        q, k = (torch.where(t > 0, t + 1, t.exp()) for t in (q, k))
        weights = torch.einsum("nhdt,nhds->nhts", q, k)
        weights = weights / weights.sum(-1, keepdim=True)
    return back(block, torch.einsum("nhts,nhds->nhdt", weights, v), x), weights


def latents_written_out(block, x):
    heads = block.heads
    k, v, q = conv(block.of_places, x.flatten(2)).unflatten(1, (3, heads, -1)).unbind(1)
    asking = block.ask(block.latents).unflatten(1, (heads, -1))
    seen = (torch.einsum("lhd,nhds->nhls", asking, k) / k.shape[2] ** 0.5).softmax(-1)
    taken = torch.einsum("nhls,nhds->nlhd", seen, v).flatten(2)
    z = block.latents + block.taken(taken)
    for layer in block.layers:
        inner = layer.norm(z)
        ours = layer.attention
        reference = nn.MultiheadAttention(z.shape[-1], heads, batch_first=True)
        parts = (ours.query, ours.key, ours.value)
        reference.in_proj_weight = nn.Parameter(torch.cat([p.weight for p in parts]))
        reference.in_proj_bias = nn.Parameter(torch.cat([p.bias for p in parts]))
        reference.out_proj = ours.out
        z = z + reference(inner, inner, inner)[0]
        z = z + layer.mlp(z)
    kz, vz = block.offer(block.norm(z)).unflatten(2, (2, heads, -1)).unbind(2)
    read = (torch.einsum("nhdt,nlhd->nhtl", q, kz) / q.shape[2] ** 0.5).softmax(-1)
    y = back(block, torch.einsum("nhtl,nlhd->nhdt", read, vz), x)
    return y, read @ seen


CASES = {
    "efficient": (LinearAttention, {}, linear_written_out),
    "kernel": (LinearAttention, {"features": "elu", "norm": False}, linear_written_out),
    "kernel heads": (LinearAttention, {"features": "elu", "heads": 2}, linear_written_out),
    "latents": (Latents, {"latents": 5}, latents_written_out),
    "latents, no thought": (Latents, {"depth": 0, "norm": False}, latents_written_out),
    "latents, heads": (Latents, {"depth": 2, "heads": 3}, latents_written_out),
}


@pytest.mark.parametrize("name", CASES)
def test_the_formula_and_the_recorded_rows(name):
    factory, options, written_out = CASES[name]
    block = enliven(factory(12, **options)).eval()
    x = torch.randn(2, 12, 4, 5)
    expected, weights = written_out(block, x)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    for y, column in [(0, 0), (3, 4), (2, 1)]:
        row = weights[:, :, y * 5 + column].unflatten(2, (4, 5))
        torch.testing.assert_close(site.query(y, column), row.mean(1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(row.sum((2, 3)), torch.ones(2, block.heads))


@pytest.mark.parametrize("name", ["efficient", "kernel", "latents, no thought"])
def test_gradients_are_those_of_the_formula(name):
    factory, options, written_out = CASES[name]
    block = enliven(factory(12, **options)).eval()
    x = torch.randn(2, 12, 3, 4, requires_grad=True)
    ours = torch.autograd.grad(block(x).pow(3).sum(), [x, *block.parameters()])
    formula = torch.autograd.grad(written_out(block, x)[0].pow(3).sum(), [x, *block.parameters()])
    for a, b in zip(ours, formula, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_parameter_counts():
    assert sum(p.numel() for p in LinearAttention(256).parameters()) == 132_224
    width, mlp = 8, 8 * 16 + 16 + 16 * 8 + 8
    layer = 4 * width + 4 * (width * width + width) + mlp
    ends = 17 * 3 * width + 2 * width + 4 * (width * width + width) + width * 16 + 16 + 32
    assert sum(p.numel() for p in Latents(16, latents=4).parameters()) == 4 * width + layer + ends


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (LinearAttention, {"features": "relu"}, "features must be one of"),
        (LinearAttention, {"heads": 3}, "heads=3"),
        (Latents, {"latents": 0}, "latents must be at least 1"),
        (Latents, {"depth": -1}, "depth must be at least 0"),
        (Latents, {"position": "relative"}, "position must be one of"),
    ],
)
def test_errors(factory, options, message):
    with pytest.raises(ValueError, match=message):
        factory(8, **options)


@pytest.mark.parametrize("factory", [Latents, LinearAttention])
def test_what_is_recorded(factory, recorded_shapes):
    assert recorded_shapes(factory(16)) == {"pairwise": (1, (9, 7), (9, 7))}


@pytest.mark.parametrize(
    ("factory", "options"),
    [(Latents, {"depth": 0, "position": "sine"}), (LinearAttention, {"features": "elu"})],
    ids=str,
)
def test_variants_keep_the_contract(factory, options):
    check_block(factory, **options)
