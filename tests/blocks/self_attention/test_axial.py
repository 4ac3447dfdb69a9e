"""Axial and criss-cross attention against their formulas, place by place."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from visattn.attention import sine_positions_2d
from visattn.blocks import Axial, CrissCross
from visattn.recording import record
from visattn.testing import check_block, enliven

H, W = 4, 3


def conv(layer, x):
    """A 1x1 convolution, written out."""
    y = torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], x)
    return y if layer.bias is None else y + layer.bias[:, None, None]


def axial_written_out(block, x):
    if not isinstance(block.absolute, torch.nn.Identity):
        source = x + sine_positions_2d(*x.shape[2:], x.shape[1]).permute(2, 0, 1)
    else:
        source = x
    n, (height, width) = len(x), x.shape[2:]
    q, k, v = conv(block.columns, source).unflatten(1, (3, block.heads, -1)).unbind(1)
    down = torch.zeros(n, block.heads, height, width, height)
    read = torch.zeros_like(v)
    for c in range(width):
        for r in range(height):
            scores = torch.einsum("nhd,nhds->nhs", q[..., r, c], k[..., :, c])
            down[:, :, r, c] = (scores / q.shape[2] ** 0.5).softmax(-1)
            read[..., r, c] = torch.einsum("nhs,nhds->nhd", down[:, :, r, c], v[..., :, c])
    q, k, v = conv(block.rows, read.flatten(1, 2)).unflatten(1, (3, block.heads, -1)).unbind(1)
    weights = torch.zeros(n, block.heads, height, width, height, width)
    total = torch.zeros_like(v)
    for r in range(height):
        for c in range(width):
            scores = torch.einsum("nhd,nhds->nhs", q[..., r, c], k[..., r, :])
            along = (scores / q.shape[2] ** 0.5).softmax(-1)
            total[..., r, c] = torch.einsum("nhs,nhds->nhd", along, v[..., r, :])
            for other in range(width):
                weights[:, :, r, c, :, other] = along[:, :, other, None] * down[:, :, r, other]
    out = conv(block.readout.out, total.flatten(1, 2))
    bn = block.readout.bn
    return x + (out if bn is None else bn(out)), weights


def criss_cross_written_out(block, x):
    n, (height, width) = len(x), x.shape[2:]
    row = torch.arange(height * width) // width
    column = torch.arange(height * width) % width
    crossing = (row[:, None] == row) | (column[:, None] == column)
    through = torch.eye(height * width)
    for _ in range(block.loops):
        q, k, v = (conv(layer, x).flatten(2) for layer in (block.query, block.key, block.value))
        scores = torch.einsum("ndt,nds->nts", q, k)
        weights = scores.masked_fill(~crossing, float("-inf")).softmax(-1)
        x = x + block.gamma * torch.einsum("nts,nds->ndt", weights, v).unflatten(2, x.shape[2:])
        through = weights @ through
    return x, through.reshape(n, 1, height, width, height, width)


CASES = {
    "axial": (Axial, {}, axial_written_out),
    "axial heads": (Axial, {"heads": 2, "norm": False}, axial_written_out),
    "axial sine": (Axial, {"position": "sine", "reduction": 1}, axial_written_out),
    "criss-cross": (CrissCross, {"reduction": 2}, criss_cross_written_out),
    "criss-cross once": (CrissCross, {"loops": 1}, criss_cross_written_out),
    "criss-cross thrice": (CrissCross, {"loops": 3}, criss_cross_written_out),
}


@pytest.mark.parametrize("name", CASES)
def test_the_formula_and_the_recorded_rows(name):
    factory, options, written_out = CASES[name]
    block = enliven(factory(12, **options)).eval()
    x = torch.randn(2, 12, H, W)
    expected, weights = written_out(block, x)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    heads = weights.shape[1]
    assert site.pairwise.heads == heads
    for y in range(H):
        for column in range(W):
            torch.testing.assert_close(
                site.query(y, column), weights[:, :, y, column].mean(1), atol=1e-5, rtol=1e-4
            )
            row = site.query(y, column, head=heads - 1)
            torch.testing.assert_close(row, weights[:, -1, y, column], atol=1e-5, rtol=1e-4)
    received = weights.mean((1, 2, 3))
    torch.testing.assert_close(site.heat, received, atol=1e-5, rtol=1e-4)


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return found


@pytest.mark.parametrize("name", ["axial", "criss-cross"])
def test_no_weights_between_all_places_forward_and_backward(name):
    factory, options, _ = CASES[name]
    block = enliven(factory(8, **options))
    x = torch.randn(1, 8, 40, 40, requires_grad=True)
    with Largest() as largest:
        block(x).square().sum().backward()
    assert largest.numbers <= 1600 * 80


def test_criss_cross_reads_only_its_row_and_column_at_once():
    block = enliven(CrissCross(8, loops=1)).eval()
    x = torch.randn(1, 8, 6, 5, requires_grad=True)
    block(x)[0, :, 2, 3].sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[2] = expected[:, 3] = True
    assert torch.equal(seen, expected)


def test_parameter_counts():
    assert (
        sum(p.numel() for p in Axial(256).parameters())
        == 128 * (3 * 256 + 3 * 128) + 129 * 256 + 512
    )
    assert sum(p.numel() for p in CrissCross(256).parameters()) == 257 * (32 + 32 + 256) + 1


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (Axial, {"position": "relative"}, "position must be one of"),
        (Axial, {"heads": 3}, "4 channels .* heads=3"),
        (Axial, {"reduction": 0}, "reduction must be at least 1"),
        (CrissCross, {"loops": 0}, "loops must be at least 1"),
        (CrissCross, {"init": "zero"}, "init must be"),
    ],
)
def test_errors(factory, options, message):
    with pytest.raises(ValueError, match=message):
        factory(8, **options)


@pytest.mark.parametrize("factory", [Axial, CrissCross])
def test_what_is_recorded(factory, recorded_shapes):
    assert recorded_shapes(factory(16)) == {"pairwise": (1, (9, 7), (9, 7))}


@pytest.mark.parametrize(
    ("factory", "options"),
    [(Axial, {"position": "learned"}), (Axial, {"norm": False}), (CrissCross, {"loops": 1})],
    ids=str,
)
def test_variants_keep_the_contract(factory, options):
    check_block(factory, **options)
