"""Attention of the places of a tile to all of it and the rim around it."""

import torch
from torch import Tensor

from visattn.attention.tiles import tiled_attention
from visattn.basics.leaves import leaf_function


@leaf_function
def halo_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    rows: Tensor,
    columns: Tensor,
    side: int,
    scale: float,
    beyond: bool,
) -> Tensor:
    r"""Each place reads from all places of its tile and of the rim around the tile.

    ``sum_j softmax_j(scale (q_i . k_j + q_i . rows[d(y)] + q_i . columns[d(x)])) v_j``, d(y) the
    distance ``y_j - y_i`` counted from the rim's edge.

    Args:
        query: (N, D, H, W), the heads among the images.
        key: (N, D, H, W).
        value: (N, E, H, W).
        rows: (2 w - 1, D) with w the side of a tile with its rim, ``side`` and twice the rim.
        columns: The same for columns.
        side: Of the tiles, which begin at the first row and column.
        scale: Factor on the scores.
        beyond: Read from places beyond the map, too: their keys and values are zeros.

    Returns:
        (N, E, H, W).

    Example:
        >>> x, still = torch.randn(2, 8, 6, 6), torch.zeros(9, 8)  # tiles of 3, rims of 1
        >>> read = halo_attention(
        ...     0 * x, x, x, rows=still, columns=still, side=3, scale=1.0, beyond=False
        ... )
        >>> torch.allclose(read[..., 1, 4], x[..., :4, 2:].mean((2, 3)), atol=1e-6)
        True

    Source: Vaswani et al., arXiv:2103.12731.
    """
    around = (len(rows) + 1) // 2
    places = torch.arange(around, device=query.device)
    index = places - places[:side, None] + around - 1
    return tiled_attention(
        query, key, value, rows=rows[index], columns=columns[index], scale=scale, beyond=beyond
    )


def halo_weights(query: Tensor, key: Tensor, *, side: int, scale: float, beyond: bool) -> Tensor:
    """The weights of `halo_attention` among all places of the map.

    Args:
        query: (..., T, D + 2 (2 w - 1) + 2): queries, their products with the vectors of rows and
            of columns, row and column; see `with_places`.
        key: (..., S, D + 2), all places of the map.
        side: Of the tiles.
        scale: Factor on the scores.
        beyond: Places beyond the map have a share, too, so that a row sums to less than 1.

    Returns:
        (..., T, S).

    Example:
        >>> rows = torch.tensor([[0, x] for x in range(4)])
        >>> key = torch.cat((torch.zeros(4, 2), rows), -1)
        >>> query = torch.cat((torch.zeros(4, 2 + 7 + 7), rows), -1)  # tiles of 2, rims of 1
        >>> halo_weights(query, key, side=2, scale=1.0, beyond=False)
        tensor([[0.3333, 0.3333, 0.3333, 0.0000],
                [0.3333, 0.3333, 0.3333, 0.0000],
                [0.0000, 0.3333, 0.3333, 0.3333],
                [0.0000, 0.3333, 0.3333, 0.3333]])
    """
    width = key.shape[-1] - 2
    table = (query.shape[-1] - width - 2) // 2
    around = (table + 1) // 2
    plain, of_rows, of_columns, places = query.split((width, table, table, 2), -1)
    scores = plain @ key[..., :width].transpose(-2, -1)
    near = torch.ones_like(scores, dtype=torch.bool)
    window, known = [], []
    for axis, terms in ((0, of_rows), (1, of_columns)):
        held = key[..., width + axis].unsqueeze(-2)
        first = (places[..., axis : axis + 1] // side) * side - (around - side) // 2
        near &= (held >= first) & (held < first + around)
        edge = first - places[..., axis : axis + 1] + (around - side) // 2 + around - 1
        index = (held - first + edge).clamp(0, table - 1).long()
        scores = scores + terms.gather(-1, index.expand_as(scores))
        all_of = torch.arange(around, device=key.device)
        window.append(terms.gather(-1, (edge + all_of).long().expand(*terms.shape[:-1], around)))
        known.append((first + all_of >= 0) & (first + all_of <= held.amax(-1, keepdim=True)))
    scores = scores.masked_fill(~near, -torch.inf)
    if beyond:
        zeros = window[0].unsqueeze(-1) + window[1].unsqueeze(-2)
        inside = known[0].unsqueeze(-1) & known[1].unsqueeze(-2)
        scores = torch.cat((zeros.masked_fill(inside, -torch.inf).flatten(-2), scores), -1)
    return (scores * scale).softmax(-1)[..., -key.shape[-2] :]
