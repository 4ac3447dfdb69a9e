"""Attention in a window around each place of a map, with vectors for the distances."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.attention.pairwise import even_attention
from visattn.attention.positions import beside
from visattn.basics.leaves import leaf_function

TILE = 8
"""Side of the tiles of queries."""


@leaf_function
def neighbourhood_attention(
    query: Tensor, key: Tensor, value: Tensor, *, rows: Tensor, columns: Tensor, scale: float
) -> Tensor:
    r"""Each place reads from the k x k places around it.

    ``sum_j softmax_j(scale (q_i . k_j + q_i . rows[y_j - y_i] + q_i . columns[x_j - x_i])) v_j``,
    j over the places of the window that lie on the map.

    The map is cut into tiles of 8 x 8 queries, which share the keys and values of the tile and its
    rim: for k = 7 three times the map is copied, where windows of keys and values would be 98
    times. The rows and columns of keys are channels of theirs, so that the fused kernel sees
    nothing but a product, and no weights are kept.

    Args:
        query: (N, D, H, W), the heads among the images.
        key: (N, D, H, W).
        value: (N, E, H, W).
        rows: (k, D), k odd, a vector for each distance in rows, from -(k // 2) to k // 2.
        columns: (k, D), the same in columns.
        scale: Factor on the scores.

    Returns:
        (N, E, H, W).

    Example:
        >>> x, still = torch.randn(2, 8, 5, 7), torch.zeros(3, 8)
        >>> read = neighbourhood_attention(0 * x, x, x, rows=still, columns=still, scale=1.0)
        >>> torch.allclose(read[..., 2, 3], x[..., 1:4, 2:5].mean((2, 3)), atol=1e-6)
        True

    Source: Ramachandran et al., Stand-Alone Self-Attention in Vision Models, arXiv:1906.05909;
    tiles with rims: Vaswani et al., arXiv:2103.12731.
    """
    height, width = query.shape[-2:]
    side = len(rows)
    around = TILE + side - 1
    device = query.device
    distance = torch.arange(around, device=device) - torch.arange(TILE, device=device)[:, None]
    near = (distance >= 0) & (distance < side)  # (TILE, around), for each axis alike
    index = distance.clamp(0, side - 1)
    asked = _tiles(query, 0).unflatten(2, (TILE, TILE))
    of_rows = torch.einsum("ntyxd,yad->ntyxa", asked, rows[index].to(asked.dtype))
    of_columns = torch.einsum("ntyxd,xad->ntyxa", asked, columns[index].to(asked.dtype))
    asked = torch.cat((asked, of_rows, of_columns), -1).flatten(2, 3)
    held, told = _tiles(key, side // 2), _tiles(value, side // 2)
    one = torch.eye(around, device=key.device, dtype=held.dtype)
    places = beside(one, one).flatten(0, 1)
    held = torch.cat((held, places.expand(*held.shape[:2], -1, -1)), -1)
    on_the_map = _in_both(*(_on_the_map(n, side // 2, device) for n in (height, width)))
    mask = _in_both(near, near) & on_the_map.unsqueeze(1)
    read = even_attention(asked, held, told, scale=scale, mask=mask)
    grid = ((height + TILE - 1) // TILE, (width + TILE - 1) // TILE)
    read = read.unflatten(2, (TILE, TILE)).unflatten(1, grid).permute(0, 5, 1, 3, 2, 4)
    return read.flatten(4, 5).flatten(2, 3)[..., :height, :width]


def neighbourhood_weights(query: Tensor, key: Tensor, *, side: int, scale: float) -> Tensor:
    """The weights of `neighbourhood_attention` among all places, 0 outside of the windows.

    Args:
        query: (..., T, D + 2 side + 2): queries, their products with the vectors of rows and of
            columns, row and column; see `with_places`.
        key: (..., S, D + 2).
        side: k.
        scale: Factor on the scores.

    Returns:
        (..., T, S).

    Example:
        >>> rows = torch.tensor([[0, x] for x in range(4)])
        >>> key = torch.cat((torch.zeros(4, 2), rows), -1)
        >>> query = torch.cat((torch.zeros(4, 2 + 3 + 3), rows), -1)  # nothing is preferred
        >>> neighbourhood_weights(query, key, side=3, scale=1.0)
        tensor([[0.5000, 0.5000, 0.0000, 0.0000],
                [0.3333, 0.3333, 0.3333, 0.0000],
                [0.0000, 0.3333, 0.3333, 0.3333],
                [0.0000, 0.0000, 0.5000, 0.5000]])
    """
    width, reach = key.shape[-1] - 2, side // 2
    plain, of_rows, of_columns, places = query.split((width, side, side, 2), -1)
    scores = plain @ key[..., :width].transpose(-2, -1)
    near = torch.ones_like(scores, dtype=torch.bool)
    for axis, terms in ((0, of_rows), (1, of_columns)):
        distance = key[..., width + axis].unsqueeze(-2) - places[..., axis : axis + 1]
        near &= distance.abs() <= reach
        index = (distance.clamp(-reach, reach) + reach).long()
        scores = scores + terms.gather(-1, index.expand_as(scores))
    return (scores * scale).masked_fill(~near, -math.inf).softmax(-1)


def _tiles(x: Tensor, rim: int) -> Tensor:
    """(N, C, H, W) to (N, tiles, places of a tile with its rim, C); 0 beyond the map."""
    around = TILE + 2 * rim
    padded = F.pad(x, (rim, rim + TILE - 1, rim, rim + TILE - 1))
    for axis in (2, 3):
        padded = padded.index_select(axis, _starts(x.shape[axis], around, x.device).flatten())
    tiles = padded.unflatten(3, (-1, around)).unflatten(2, (-1, around))
    return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)


def _on_the_map(length: int, rim: int, device: torch.device) -> Tensor:
    """(tiles, places of a tile with its rim) along an axis: which of them are."""
    places = _starts(length, TILE + 2 * rim, device) - rim
    return (places >= 0) & (places < length)


def _in_both(rows: Tensor, columns: Tensor) -> Tensor:
    """Two masks of the axes, (A, S) and (B, T), as one of the places, (A * B, S * T)."""
    return (rows[:, None, :, None] & columns[:, None]).flatten(2).flatten(0, 1)


def _starts(length: int, around: int, device: torch.device) -> Tensor:
    """(tiles, around): the places of each tile along an axis, counted from its rim's edge."""
    first = torch.arange(0, length, TILE, device=device)
    return first.unsqueeze(1) + torch.arange(around, device=device)
