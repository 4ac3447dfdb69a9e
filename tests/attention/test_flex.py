"""PyTorch's FlexAttention beside the tiles of `neighbourhood_attention`: a judge, and counted."""

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from visattn.attention import neighbourhood_attention, neighbourhood_mask
from visattn.attention.neighbourhood import TILE

BLOCKS = 64
"""The smallest side of FlexAttention's blocks that its kernels are made for."""


@pytest.mark.filterwarnings("ignore::UserWarning")  # that it runs uncompiled
@pytest.mark.parametrize(("height", "width", "side"), [(9, 13, 3), (5, 17, 7), (8, 8, 5)])
def test_both_give_the_same(height, width, side):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 16, height, width)
    rows, columns = torch.randn(2, side, 16)
    ours = neighbourhood_attention(query, key, value, rows=rows, columns=columns, scale=0.3)
    asked, held, told = (t.flatten(2).transpose(1, 2)[:, None] for t in (query, key, value))
    of_rows, of_columns = asked @ rows.T, asked @ columns.T
    near, reach = neighbourhood_mask(height, width, side // 2), side // 2

    def places(score, b, h, q, kv):
        down = (kv // width - q // width).clamp(-reach, reach) + reach
        right = (kv % width - q % width).clamp(-reach, reach) + reach
        return score + 0.3 * (of_rows[b, h, q, down] + of_columns[b, h, q, right])

    count = height * width
    blocks = create_block_mask(
        lambda b, h, q, kv: near[q, kv], None, None, count, count, device="cpu"
    )
    theirs = flex_attention(asked, held, told, places, blocks, scale=0.3)
    theirs = theirs[:, 0].transpose(1, 2).unflatten(2, (height, width))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [28, 56])
@pytest.mark.parametrize("side", [3, 7])
def test_tiles_multiply_less_than_its_blocks(size, side):
    """Why it isn't taken: in no order of the places are its blocks that full."""
    ours = (TILE + side - 1) ** 2 * (-(-size // TILE) * TILE) ** 2 / size**2
    for tile in (size, TILE, TILE // 2):
        assert ours < 0.85 * keys_of_blocks(size, side, tile)


def keys_of_blocks(size, side, tile):
    """Keys that a query is multiplied with, places ordered by tiles."""
    near = neighbourhood_mask(size, size, side // 2)
    place = torch.arange(size)
    rows, columns = place[:, None], place[None]
    across = -(-size // tile)
    order = ((rows // tile * across + columns // tile) * tile + rows % tile) * tile + columns % tile
    count = (across * tile) ** 2
    where = torch.full((count,), -1)
    where[order.flatten()] = torch.arange(size**2)

    def mask(b, h, q, kv):
        return (where[q] >= 0) & (where[kv] >= 0) & near[where[q], where[kv]]

    blocks = create_block_mask(mask, None, None, count, count, device="cpu", BLOCK_SIZE=BLOCKS)
    taken = blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum()
    return int(taken) * BLOCKS**2 / size**2
