"""Attention along the rows and columns of a map, and which places it reads in effect.

A map of H x W is (..., H, W, D). The two functions that compute weights take what a recording
keeps, queries (..., T, _) and keys (..., H * W, _), with each place's row and column in the last
two channels, see `with_places`.
"""

import math

import torch
from torch import Tensor

from visattn.attention.pairwise import fused_attention
from visattn.attention.positions import beside
from visattn.basics.leaves import leaf_function


@leaf_function
def with_places(*parts: Tensor, size: tuple[int, int]) -> Tensor:
    """Parts (..., H * W, D) side by side, and behind them each place's row and column.

    Example:
        >>> with_places(torch.zeros(4, 1), size=(2, 2))
        tensor([[0., 0., 0.],
                [0., 0., 1.],
                [0., 1., 0.],
                [0., 1., 1.]])
    """
    first = parts[0]
    # Half precision can't count beyond 256 or 2048.
    wide = torch.promote_types(first.dtype, torch.float32)
    row, column = (torch.arange(n, device=first.device, dtype=wide)[:, None] for n in size)
    places = beside(row, column).flatten(0, 1)
    return torch.cat((*(p.to(wide) for p in parts), places.expand(*first.shape[:-1], 2)), -1)


def column_attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Each place reads from the places of its own column.

    Args:
        query: (..., H, W, D).
        key: (..., H, W, D).
        value: (..., H, W, D); of the same width, as the fused kernel wants it.
        scale: Factor on the scores.

    Returns:
        (..., H, W, D).

    Example:
        >>> x = torch.randn(1, 4, 6, 8)
        >>> column_attention(x, x, x, scale=8**-0.5).shape
        torch.Size([1, 4, 6, 8])
    """
    columns = (t.transpose(-3, -2).contiguous() for t in (query, key, value))
    return row_attention(*columns, scale=scale).transpose(-3, -2)


@leaf_function
def row_attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Each place reads from the places of its own row; see `column_attention`.

    Example:
        >>> x = torch.randn(1, 2, 3, 4)
        >>> torch.allclose(row_attention(x, 0 * x, x, scale=1.0), x.mean(-2, keepdim=True))
        True
    """
    *leading, height, width, channels = query.shape
    lines = (t.reshape(-1, 1, width, channels) for t in (query, key, value))
    read = fused_attention(*lines, scale=scale)
    return read.reshape(*leading, height, width, channels)


def axial_weights(query: Tensor, key: Tensor, *, width: int, scale: float) -> Tensor:
    """What a place reads along its row, of what was read along the columns before.

    Place (y, x) reads from (y, x'), which has read from (y', x'): the weight of (y', x') is the
    product of the two, and rows sum to 1.

    Args:
        query: (..., T, width + 2), of the rows.
        key: (..., H * W, 3 width + 2): keys of the rows, then queries and keys of the columns.
        width: Channels of each.
        scale: Factor on the scores.

    Returns:
        (..., T, H * W).

    Example:
        >>> rows = torch.tensor([[y, x] for y in range(2) for x in range(3)])
        >>> query = torch.cat((torch.zeros(6, 4), rows), -1)  # nothing is preferred
        >>> key = torch.cat((torch.zeros(6, 12), rows), -1)
        >>> axial_weights(query, key, width=4, scale=0.5)[0]
        tensor([0.1667, 0.1667, 0.1667, 0.1667, 0.1667, 0.1667])
    """
    query, at = query[..., :width], _rows(query)
    size = _size(key)
    grid = key.unflatten(-2, size)
    row_key, column_query, column_key = grid[..., : 3 * width].split(width, -1)
    along = torch.einsum("...td,...twd->...tw", query, row_key[..., at, :, :]) * scale
    down = torch.einsum("...twd,...hwd->...thw", column_query[..., at, :, :], column_key) * scale
    return (along.softmax(-1).unsqueeze(-2) * down.softmax(-2)).flatten(-2)


@leaf_function
def criss_cross_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Each place reads from the places of its row and its column, itself counted once.

    Args:
        query: (..., H, W, D).
        key: (..., H, W, D).
        value: (..., H, W, E).

    Returns:
        (..., H, W, E). The weights, H + W for each place, are built.

    Example:
        >>> x = torch.randn(1, 4, 6, 8)
        >>> criss_cross_attention(x, x, torch.ones(1, 4, 6, 2)).unique().allclose(torch.ones(()))
        True

    Source: Huang et al., CCNet, arXiv:1811.11721.
    """
    down, along = criss_cross_parts(query, key)
    columns = down @ value.transpose(-3, -2)
    return columns.transpose(-3, -2) + along @ value


def criss_cross_parts(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of `criss_cross_attention`.

    Returns:
        Those of the columns (..., W, H, H), target before source, 0 at the place itself; and of the
        rows (..., H, W, W).
    """
    height = query.shape[-3]
    down = query.transpose(-3, -2) @ key.transpose(-3, -2).transpose(-2, -1)
    along = query @ key.transpose(-2, -1)
    places = torch.arange(height, device=query.device)
    itself = places[:, None] == places
    down = down.masked_fill(itself, -math.inf).transpose(-3, -2)  # (..., H, W, H)
    weights = torch.cat((down, along), -1).softmax(-1)
    down, along = weights.split((height, query.shape[-2]), -1)
    return down.transpose(-3, -2), along


def criss_cross_weights(query: Tensor, key: Tensor, *, width: int) -> Tensor:
    """What a place reads by criss-cross attention, through all of its loops.

    With one loop these are the places of its row and column; with two, all places, each through
    the two where their rows and columns cross. The shares that stay where they are by the
    shortcut are left out.

    Args:
        query: (..., T, width + 2), of the last loop.
        key: (..., H * W, ... + 2): keys of the last loop, then queries and keys of the one before,
            and so on.
        width: Channels of each.

    Returns:
        (..., T, H * W), rows sum to 1.

    Example:
        >>> rows = torch.tensor([[y, x] for y in range(2) for x in range(3)])
        >>> places = torch.cat((torch.zeros(6, 4), rows), -1)  # nothing is preferred
        >>> criss_cross_weights(places, places, width=4)[0].view(2, 3)  # of the first place
        tensor([[0.2500, 0.2500, 0.2500],
                [0.2500, 0.0000, 0.0000]])
    """
    size = _size(key)
    row, column = key[..., -2], key[..., -1]
    own_row, own_column = query[..., -2:-1], query[..., -1:]
    crossing = (own_row == row.unsqueeze(-2)) | (own_column == column.unsqueeze(-2))
    last, *earlier = key[..., :-2].split(width, -1)
    scores = query[..., :width] @ last.transpose(-2, -1)
    weights = scores.masked_fill(~crossing, -math.inf).softmax(-1).unflatten(-1, size)
    for place in range(0, len(earlier), 2):
        grids = (part.unflatten(-2, size) for part in earlier[place : place + 2])
        down, along = criss_cross_parts(*grids)
        weights = torch.einsum("...thw,...whg->...tgw", weights, down) + torch.einsum(
            "...thw,...hwv->...thv", weights, along
        )
    return weights.flatten(-2)


def _rows(packed: Tensor) -> Tensor:
    """The row of each place, (T,); it is the same for all images and heads."""
    return packed.reshape(-1, *packed.shape[-2:])[0, :, -2].long()


def _size(packed: Tensor) -> tuple[int, int]:
    """Height and width of the map, from its last place."""
    row, column = packed.reshape(-1, *packed.shape[-2:])[0, -1, -2:].long().tolist()
    return row + 1, column + 1
