"""Halo attention against timm's module, against the formula, and what is recorded of it."""

import pytest
import torch
from timm.layers.halo_attn import HaloAttn

from visattn.blocks import HaloAttention
from visattn.recording import record
from visattn.testing import check_block, enliven


def written_out(block, x):
    """Output and weights, (N, heads, H, W, H, W), of every place of every window."""
    n, _, height, width = x.shape
    q = block.q(x).unflatten(1, (block.heads, -1))
    k, v = block.kv(x).unflatten(1, (block.heads, -1)).chunk(2, 2)
    weights = torch.zeros(n, block.heads, height, width, height, width)
    middle = len(block.rows) // 2
    for y in range(height):
        for c in range(width):
            windows = [
                range(p // block.side * block.side - block.halo,
                      p // block.side * block.side + block.side + block.halo)
                for p in (y, c)
            ]  # fmt: skip
            scores = {}
            for yy in windows[0]:
                for cc in windows[1]:
                    on_the_map = 0 <= yy < height and 0 <= cc < width
                    if on_the_map or block.beyond:
                        far = block.rows[yy - y + block.halo + middle]
                        far = far + block.columns[cc - c + block.halo + middle]
                        key = (k[..., yy, cc] if on_the_map else 0) + far
                        scores[yy, cc] = (q[..., y, c] * key).sum(-1)
            shares = (torch.stack(list(scores.values()), -1) * block.scale).softmax(-1)
            for share, (yy, cc) in zip(shares.unbind(-1), scores, strict=True):
                if 0 <= yy < height and 0 <= cc < width:
                    weights[:, :, y, c, yy, cc] = share
    return torch.einsum("nhyxst,nhdst->nhdyx", weights, v).flatten(1, 2), weights


def theirs_and_ours(**options):
    """timm's module and ours with its weights."""
    theirs = enliven(HaloAttn(16, num_heads=2, block_size=4, halo_size=2, **options))
    ours = HaloAttention(16, heads=2, side=4, halo=2, stride=options.get("stride", 1))
    state = {}
    for name, value in theirs.state_dict().items():
        start = next(start for start in ours.timm_names if name.startswith(start))
        factor = 1 if options.get("scale_pos_embed") or "pos" not in name else 8**0.5
        state[ours.timm_names[start] + name.removeprefix(start)] = factor * value
    ours.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize(
    "options", [{}, {"scale_pos_embed": True}, {"stride": 2, "avg_down": True}], ids=str
)
def test_timm(options):
    theirs, ours = theirs_and_ours(**options)
    found = []
    for block in (theirs, ours):
        x = torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(0))
        y = block(x.requires_grad_())
        y.square().sum().backward()
        found.append((y, x.grad))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beyond", [True, False])
@pytest.mark.parametrize(
    ("size", "side", "halo"), [((6, 5), 3, 1), ((1, 1), 4, 2), ((7, 2), 2, 3), ((3, 4), 8, 0)]
)
def test_the_formula_and_the_recorded_rows(size, side, halo, beyond):
    block = enliven(HaloAttention(6, heads=2, side=side, halo=halo, beyond=beyond)).eval()
    x = torch.randn(2, 6, *size)
    with torch.no_grad(), record(block) as maps:
        y = block(x)
    expected, weights = written_out(block, x)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    for row, column in [(0, 0), (size[0] - 1, size[1] - 1)]:
        torch.testing.assert_close(
            site.query(row, column, head=1), weights[:, 1, row, column], atol=1e-5, rtol=1e-4
        )


def test_weights_of_timm_move_over_in_half_precision_too():
    _, ours = theirs_and_ours()
    x = torch.randn(1, 16, 9, 7)
    y = ours(x)
    torch.testing.assert_close(ours.bfloat16()(x.bfloat16()).float(), y, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 0}, "side must be at least 1"),
        ({"halo": -1}, "halo must be at least 0"),
        ({"heads": 3}, "can't be shared out"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        HaloAttention(8, **options)


def test_a_variant_keeps_the_contract():
    check_block(HaloAttention, side=4, halo=1, beyond=False)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(HaloAttention(16)) == {"pairwise": (4, (9, 7), (9, 7))}
