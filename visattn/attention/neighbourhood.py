"""Attention in a window around each place of a map, with vectors for the distances."""

import math

import torch
from torch import Tensor

from visattn.attention.tiles import tiled_attention
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
    nothing but a product, and no weights are kept. PyTorch's FlexAttention isn't taken, on a GPU
    either: its blocks of 64 multiply a query of a 56 x 56 map with 411 keys at best where k = 7,
    tiles with 196, and it sums the gradients for learned distances in an order that varies.

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
    side = len(rows)
    around = torch.arange(TILE + side - 1, device=query.device)
    distance = around - torch.arange(TILE, device=query.device)[:, None]
    near = (distance >= 0) & (distance < side)
    index = distance.clamp(0, side - 1)
    return tiled_attention(
        query, key, value, rows=rows[index], columns=columns[index], scale=scale, near=near
    )


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
