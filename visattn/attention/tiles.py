"""A map cut into tiles, whose queries share the keys and values of the tile and its rim."""

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.attention.pairwise import even_attention
from visattn.attention.positions import beside


def tiled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    rows: Tensor,
    columns: Tensor,
    scale: float,
    near: Tensor | None = None,
    beyond: bool = False,
) -> Tensor:
    r"""Each place reads from the places of its tile and of the rim around the tile.

    ``sum_j softmax_j(scale (q_i . k_j + q_i . rows[y_i, y_j] + q_i . columns[x_i, x_j])) v_j``,
    rows and columns counted within the tile and within the tile with its rim. The terms of rows
    and columns are channels of the keys, so that the fused kernel sees nothing but a product.

    Args:
        query: (N, D, H, W), the heads among the images.
        key: (N, D, H, W).
        value: (N, E, H, W).
        rows: (side, side + 2 rim, D), which say how large the tiles and rims are.
        columns: The same for columns.
        scale: Factor on the scores.
        near: (side, side + 2 rim), which rows (and which columns) a query reads from; None is all.
        beyond: Read from places beyond the map, too: their keys and values are zeros.

    Returns:
        (N, E, H, W).
    """
    side, around = rows.shape[:2]
    rim, device = (around - side) // 2, query.device
    height, width = query.shape[-2:]
    asked = _tiles(query, side, 0).unflatten(2, (side, side))
    of_rows = torch.einsum("ntyxd,yad->ntyxa", asked, rows.to(asked.dtype))
    of_columns = torch.einsum("ntyxd,xad->ntyxa", asked, columns.to(asked.dtype))
    asked = torch.cat((asked, of_rows, of_columns), -1).flatten(2, 3)
    held, told = _tiles(key, side, rim), _tiles(value, side, rim)
    one = torch.eye(around, device=device, dtype=held.dtype)
    places = beside(one, one).flatten(0, 1)
    held = torch.cat((held, places.expand(*held.shape[:2], -1, -1)), -1)
    mask = None if near is None else _in_both(near, near)
    if not beyond:
        known = (_on_the_map(length, side, rim, device) for length in (height, width))
        on_the_map = _in_both(*known).unsqueeze(1)
        mask = on_the_map if mask is None else mask & on_the_map
    read = even_attention(asked, held, told, scale=scale, mask=mask)
    grid = ((height + side - 1) // side, (width + side - 1) // side)
    read = read.unflatten(2, (side, side)).unflatten(1, grid).permute(0, 5, 1, 3, 2, 4)
    return read.flatten(4, 5).flatten(2, 3)[..., :height, :width]


def _tiles(x: Tensor, side: int, rim: int) -> Tensor:
    """(N, C, H, W) to (N, tiles, places of a tile with its rim, C); 0 beyond the map."""
    around = side + 2 * rim
    padded = F.pad(x, (rim, rim + side - 1, rim, rim + side - 1))
    for axis in (2, 3):
        padded = padded.index_select(axis, _starts(x.shape[axis], side, rim, x.device).flatten())
    tiles = padded.unflatten(3, (-1, around)).unflatten(2, (-1, around))
    return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)


def _on_the_map(length: int, side: int, rim: int, device: torch.device) -> Tensor:
    """(tiles, places of a tile with its rim) along an axis: which of them are."""
    places = _starts(length, side, rim, device) - rim
    return (places >= 0) & (places < length)


def _in_both(rows: Tensor, columns: Tensor) -> Tensor:
    """Two masks of the axes, (A, S) and (B, T), as one of the places, (A * B, S * T)."""
    return (rows[:, None, :, None] & columns[:, None]).flatten(2).flatten(0, 1)


def _starts(length: int, side: int, rim: int, device: torch.device) -> Tensor:
    """(tiles, around): the places of each tile along an axis, counted from its rim's edge."""
    first = torch.arange(0, length, side, device=device)
    return first.unsqueeze(1) + torch.arange(side + 2 * rim, device=device)
