"""Self-attention over the places of a map: positions, heads, and windows."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention import LearnedPositions2d, sine_positions_2d
from visattn.attention.positions import beside
from visattn.basics.checks import check_choice
from visattn.basics.leaves import leaf_module

Position = Literal["none", "sine", "learned", "relative"]
ABSOLUTE = ("none", "sine", "learned")
Size = tuple[int, int]


@leaf_module
class RelativePositions(nn.Module):
    r"""Learned vectors for distances in rows and in columns, as a part of queries and keys.

    A query i at row y_i and column x_i meets a key j with

    ``q_i . k_j + q_i . rh[y_j - y_i] + q_i . rw[x_j - x_i]``

    With ``u_i[y] = q_i . rh[y - y_i]`` and ``v_i[x] = q_i . rw[x - x_i]`` behind each query, and a
    1 at the key's row and at its column behind each key, this is the plain dot product of the two
    longer vectors: any attention can use it, any scale is one of all three terms, and nothing of
    the size of all pairs is built. There are H + W more channels for a map of H x W.

    The tables have ``2 H - 1`` and ``2 W - 1`` rows and are shared by the heads. On a map of
    another size the distances are stretched or shrunk to those of the tables, with linear
    interpolation between rows, so that the far corner stays the far corner.

    Args:
        width: Channels of a head.
        size: (H, W) of the map that the tables are made for.

    Shapes:
        Queries (N, heads, H * W, width) and keys of the same shape, to both with
        (N, heads, H * W, width + H + W), for any H and W.

    Example:
        >>> positions = RelativePositions(8, size=(14, 10))
        >>> query, key = torch.randn(2, 1, 4, 3 * 5, 8)
        >>> longer_query, longer_key = positions(query, key, (3, 5))
        >>> longer_query.shape
        torch.Size([1, 4, 15, 16])

    Source: Shaw et al., arXiv:1803.02155, split in rows and columns by Bello et al., Attention
    Augmented Convolutional Networks, arXiv:1904.09925.
    """

    def __init__(self, width: int, *, size: Size) -> None:
        super().__init__()
        height, columns = size
        self.height = nn.Parameter(torch.randn(2 * height - 1, width) / math.sqrt(width))
        self.width = nn.Parameter(torch.randn(2 * columns - 1, width) / math.sqrt(width))

    def forward(self, query: Tensor, key: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """The longer queries and keys of a map of ``size``."""
        height, width = size
        grid = query.unflatten(2, size)
        of_rows = grid @ _between(self.height, height)
        of_columns = (grid.transpose(2, 3) @ _between(self.width, width)).transpose(2, 3)
        rows, columns = (torch.arange(length, device=key.device) for length in size)
        places = beside(rows[:, None] == rows, columns[:, None] == columns).to(key.dtype)
        places = places.flatten(0, 1).expand(*key.shape[:2], -1, -1)
        longer = torch.cat((grid, of_rows.to(grid.dtype), of_columns.to(grid.dtype)), -1)
        return longer.flatten(2, 3), torch.cat((key, places), -1)

    def extra_repr(self) -> str:
        """The map that the tables are made for, for printing."""
        return f"size=({(len(self.height) + 1) // 2}, {(len(self.width) + 1) // 2})"


def _between(table: Tensor, length: int) -> Tensor:
    """(length, C, length): for each pair of places in a row, the table's vector of their distance.

    Linear interpolation is a matrix product with tent functions around the table's rows: for a
    table of the same length it picks rows.
    """
    reach = (len(table) - 1) // 2
    places = torch.arange(length, device=table.device, dtype=torch.float32)
    distances = places - places[:, None]
    farthest = places.amax(0).clamp(min=1)
    rows = torch.arange(-reach, reach + 1, device=table.device, dtype=torch.float32)
    wanted = (distances * reach / farthest).unsqueeze(1)
    weights = (1 - (wanted - rows[:, None]).abs()).clamp(min=0)
    return torch.bmm(table.T.expand(length, -1, -1), weights.to(table.dtype))


@leaf_module
class SinePositions(nn.Module):
    """Sines of each place's row and column, added to a map.

    Shapes:
        (N, C, H, W) to the same, for any H, W and C.

    Example:
        >>> SinePositions()(torch.zeros(2, 8, 3, 5)).shape
        torch.Size([2, 8, 3, 5])

    Source: Vaswani et al., arXiv:1706.03762; in two dimensions Parmar et al., arXiv:1802.05751.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Add them."""
        channels, height, width = x.shape[1:]
        waves = sine_positions_2d(height, width, max(channels, 2))[..., :channels]
        return x + waves.permute(2, 0, 1).to(x)


def absolute_positions(position: Position, channels: int, *, size: Size) -> nn.Module:
    """What adds absolute positions to a map: sines, learned vectors, or nothing."""
    check_choice("position", position, ABSOLUTE)
    if position == "sine":
        return SinePositions()
    if position == "learned":
        return LearnedPositions2d(channels, height=size[0], width=size[1])
    return nn.Identity()


def map_heads(x: Tensor, heads: int) -> Tensor:
    """(N, heads * D, H, W) to (N, heads, H * W, D)."""
    return x.unflatten(1, (heads, -1)).flatten(3).transpose(2, 3)


def heads_map(x: Tensor, size: Size) -> Tensor:
    """(N, heads, H * W, D) to (N, heads * D, H, W), the inverse of `map_heads`."""
    return x.transpose(2, 3).flatten(1, 2).unflatten(2, size)


def mean_of_windows(x: Tensor, stride: int) -> Tensor:
    """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)): means of ``stride x stride``.

    A window at an edge is the mean of what there is: ``avg_pool2d`` with ``ceil_mode``, in a form
    that exports with sizes left open.
    """
    more = (0, stride - 1, 0, stride - 1)
    share = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), more), stride)
    return F.avg_pool2d(F.pad(x, more), stride) / share


def neighbour(x: Tensor, place: int, *, side: int) -> Tensor:
    """For each place of (..., H, W), one of the ``side * side`` around it; 0 beyond the map.

    Example:
        >>> neighbour(torch.tensor([[1, 2], [3, 4]]), 1, side=3)  # the one above
        tensor([[0, 0],
                [1, 2]])
    """
    reach = side // 2
    row, column = place // side, place % side
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded[..., row : row + x.shape[-2], column : column + x.shape[-1]]
