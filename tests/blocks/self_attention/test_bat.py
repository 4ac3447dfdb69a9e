"""The bilinear transform against timm's module, against the formula, and what is recorded."""

import pytest
import torch
from timm.layers.non_local_attn import BatNonLocalAttn

from visattn.blocks import BilinearTransform
from visattn.recording import record
from visattn.testing import check_block, enliven


def timms_and_ours(**options):
    """timm's module and ours with its weights."""
    theirs = enliven(BatNonLocalAttn(32, block_size=3, drop_rate=0.0, **options))
    ours = BilinearTransform(32, parts=3, rd_divisor=8, **options)
    state = {}
    for name, value in theirs.state_dict().items():
        start = next(start for start in ours.timm_names if name.startswith(start))
        state[ours.timm_names[start] + name.removeprefix(start)] = value
    ours.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"groups": 4}], ids=str)
def test_timm(options, training):
    theirs, ours = timms_and_ours(**options)
    found = []
    for block in (theirs.train(training), ours.train(training)):
        x = torch.randn(2, 32, 6, 12, generator=torch.Generator().manual_seed(0))
        y = block(x.requires_grad_())
        y.square().sum().backward()
        found.append((y, x.grad))
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("size", [(6, 9), (7, 5), (2, 1), (1, 1), (4, 11)])
def test_bands_that_are_thinner_and_the_recorded_rows(size):
    block = enliven(BilinearTransform(16, parts=3)).eval()
    x = torch.randn(2, 16, *size)
    with torch.no_grad(), record(block) as maps:
        y = block(x)
    held = block.down(x)
    look = block.look(held)
    lines = []
    for layer, pooled in (
        (block.rows, torch.nn.functional.adaptive_max_pool2d(look, (3, 1))),
        (block.columns, torch.nn.functional.adaptive_max_pool2d(look, (1, 3))),
    ):
        lines.append(layer(pooled).reshape(2, 2, 3, 3).sigmoid())
    lines[1] = lines[1].mT
    weights = []
    for gate, length in zip(lines, size, strict=True):
        thick = -(-length // 3)
        found = torch.zeros(2, 2, length, length)
        for i in range(length):
            for j in range(i % thick, length, thick):
                found[:, :, i, j] = gate[:, :, i // thick, j // thick]
        weights.append(found / found.sum(3, keepdim=True))
    both = torch.einsum("ngij,ngkl->ngikjl", *weights)
    read = torch.einsum("ngikjl,ngcjl->ngcik", both, held.unflatten(1, (2, -1))).flatten(1, 2)
    torch.testing.assert_close(y, x + block.up(block.mix(read)), atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    for row, column in [(0, 0), (size[0] - 1, size[1] - 1)]:
        seen = site.query(row, column, head=1)
        torch.testing.assert_close(seen, both[:, 1, row, column], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(seen.sum((1, 2)), torch.ones(2))


def test_a_share_of_what_is_added_is_dropped_in_training_alone():
    block = enliven(BilinearTransform(64, drop=0.5))
    x = torch.randn(2, 64, 7, 7)
    added = block.train()(x) - x
    assert 0.2 < (added == 0).all((2, 3)).float().mean() < 0.8
    block.eval()
    assert torch.equal(block(x), block(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 0}, "parts must be at least 1"),
        ({"drop": 1.0}, "drop must be"),
        ({"groups": 3, "rd_divisor": 8}, "groups=3 must divide"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        BilinearTransform(32, **options)


def test_a_variant_keeps_the_contract():
    check_block(BilinearTransform, channels=(3, 16), parts=2, groups=1)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(BilinearTransform(16)) == {"pairwise": (2, (9, 7), (9, 7))}
