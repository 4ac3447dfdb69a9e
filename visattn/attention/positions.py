"""Position encodings in one and two dimensions, for any length and any number of channels.

Attention doesn't see the order of its sources. Absolute encodings are added to what goes in,
relative ones to the scores.
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers


def sine_positions(length: int, channels: int, *, base: float = 10_000.0) -> Tensor:
    r"""Sines and cosines of wavelengths from 2 pi to ``base`` times that.

    ``e[p, 2 i] = sin(p / base^(2 i / channels))`` and ``e[p, 2 i + 1]`` the cosine. An odd number
    of channels ends in a sine.

    Args:
        length: Number of places.
        channels: Width.
        base: Ratio of the longest to the shortest wavelength.

    Returns:
        (length, channels), in [-1, 1].

    Example:
        >>> sine_positions(2, 3)
        tensor([[0.0000, 1.0000, 0.0000],
                [0.8415, 0.5403, 0.0022]])

    Source: Vaswani et al., arXiv:1706.03762.
    """
    check_numbers(length=length, channels=channels)
    even = torch.arange(0, channels, 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] / base ** (even / channels)
    waves = torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
    return waves[:, :channels].to(torch.get_default_dtype())


def sine_positions_2d(height: int, width: int, channels: int, *, base: float = 10_000.0) -> Tensor:
    """`sine_positions` of the row in the first half of the channels, of the column in the rest.

    Args:
        height: Rows.
        width: Columns.
        channels: Width of the encoding, at least 2; with an odd number the rows have one more.
        base: See `sine_positions`.

    Returns:
        (height, width, channels).

    Example:
        >>> sine_positions_2d(3, 5, 7).shape
        torch.Size([3, 5, 7])

    Source: Parmar et al., Image Transformer, arXiv:1802.05751.
    """
    check_numbers(height=height, width=width)
    check_numbers(least=2, channels=channels)
    for_rows = channels - channels // 2
    rows = sine_positions(height, for_rows, base=base)
    columns = sine_positions(width, channels // 2, base=base)
    return beside(rows, columns)


def beside(rows: Tensor, columns: Tensor) -> Tensor:
    """Vectors of each row (H, D) and of each column (W, E), for every place (H, W, D + E)."""
    height, width = rows.shape[0], columns.shape[0]
    return torch.cat((rows[:, None].expand(-1, width, -1), columns.expand(height, -1, -1)), -1)


@final
class LearnedPositions(nn.Module):
    """A learned vector for each of ``length`` places, added to the input.

    Args:
        channels: Width.
        length: Number of places at most.

    Shapes:
        (..., L, channels) to the same, L at most ``length``.

    Raises:
        ValueError: The input is longer than ``length``.

    Example:
        >>> LearnedPositions(8, length=5)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, channels: int, *, length: int) -> None:
        super().__init__()
        check_numbers(channels=channels, length=length)
        self.table = nn.Parameter(0.02 * torch.randn(length, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add the vector of each place."""
        if x.shape[-2] > len(self.table):
            raise ValueError(
                f"there are vectors for {len(self.table)} places, the input has {x.shape[-2]}."
                " Build LearnedPositions with a greater length."
            )
        return x + self.table[: x.shape[-2]]


@final
class LearnedPositions2d(nn.Module):
    """A learned vector for each place of a grid, resized to grids of other sizes.

    Args:
        channels: Width.
        height: Rows.
        width: Columns.

    Shapes:
        (N, channels, H, W) to the same, for any H and W.

    Example:
        >>> LearnedPositions2d(8, height=4, width=4)(torch.zeros(2, 8, 5, 7)).shape
        torch.Size([2, 8, 5, 7])

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words, arXiv:2010.11929.
    """

    def __init__(self, channels: int, *, height: int, width: int) -> None:
        super().__init__()
        check_numbers(channels=channels, height=height, width=width)
        self.table = nn.Parameter(0.02 * torch.randn(1, channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        """Add the vector of each place."""
        # At the table's own size this is the table itself; a branch would fix the size in exports.
        table = F.interpolate(self.table, x.shape[2:], mode="bilinear", align_corners=False)
        return x + table


@final
class RelativeBias(nn.Module):
    """A learned bias on the scores for each distance of source and target.

    Args:
        heads: Number of heads, a table each.
        reach: Distances beyond it share the bias of the farthest.

    Shapes:
        ``forward(T, S)`` gives (heads, T, S).

    Example:
        >>> RelativeBias(2, reach=4)(3, 5).shape
        torch.Size([2, 3, 5])

    Source: Shaw et al., Self-Attention with Relative Position Representations, arXiv:1803.02155;
    as one number a distance: Raffel et al., arXiv:1910.10683.
    """

    def __init__(self, heads: int, *, reach: int) -> None:
        super().__init__()
        check_numbers(heads=heads, reach=reach)
        self.reach = reach
        self.table = nn.Parameter(0.02 * torch.randn(heads, 2 * reach + 1))

    def forward(self, targets: int, sources: int) -> Tensor:
        """The bias of every pair."""
        return self.table[:, _distances(targets, sources, self.reach, self.table.device)]


@final
class RelativeBias2d(nn.Module):
    """A learned bias for each distance in rows and columns, the sum of one for each axis.

    Args:
        heads: Number of heads.
        reach: Distances beyond it share the bias of the farthest.

    Shapes:
        ``forward(H, W)`` gives (heads, H * W, H * W), places row by row.

    Example:
        >>> RelativeBias2d(2, reach=4)(3, 5).shape
        torch.Size([2, 15, 15])

    Source: the factorised form of Ramachandran et al., arXiv:1906.05909, as a bias.
    """

    def __init__(self, heads: int, *, reach: int) -> None:
        super().__init__()
        self.rows = RelativeBias(heads, reach=reach)
        self.columns = RelativeBias(heads, reach=reach)

    def forward(self, height: int, width: int) -> Tensor:
        """The bias of every pair of places."""
        of_rows = self.rows(height, height)[:, :, None, :, None]
        of_columns = self.columns(width, width)[:, None, :, None, :]
        places = height * width
        return (of_rows + of_columns).reshape(-1, places, places)


def _distances(targets: int, sources: int, reach: int, device: torch.device) -> Tensor:
    """Row of a table of 2 reach + 1 distances for every pair, (T, S)."""
    target = torch.arange(targets, device=device)[:, None]
    return (torch.arange(sources, device=device) - target).clamp(-reach, reach) + reach
