"""Halo attention: the places of a tile read from the tile and a rim, in place of a convolution."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from visattn.attention import halo_attention, halo_weights, with_places
from visattn.basics.checks import check_numbers
from visattn.blocks.checks import head_count
from visattn.blocks.self_attention.positions import mean_of_windows
from visattn.blocks.taps import PairwiseTap


class HaloAttention(nn.Module):
    r"""Halo attention: the places of a tile read from the tile and the rim around it.

    ``y_i = sum_j softmax_j((q_i . k_j + q_i . (ra[y_j - y_i] + rb[x_j - x_i])) / sqrt(D)) v_j`` in
    each head of D channels, j over the tile of i, ``side x side`` places, and the ``halo`` places
    around it; heads side by side; q, k and v from 1x1 convolutions without bias, and a learned
    vector for each distance in rows and in columns. Unlike in `LocalSelfAttention` all places of a
    tile share one window.

    Beyond the map keys and values are zeros that have a share in the softmax, as in timm; with
    ``beyond=False`` they have none. A map whose sides are no multiples of the tile's ends in tiles
    that reach beyond it, where timm refuses it.

    The position term is scaled like the content term, in timm with ``scale_pos_embed=True`` only:
    otherwise its tables have to be multiplied by sqrt(D) to move here. With a stride the result is
    averaged over ``stride x stride`` places, in timm with ``avg_down=True``.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.
        heads: Their number, a divisor of ``channels``; 4 or the next smaller one if None.
        side: Of the tiles.
        halo: Width of the rim.
        beyond: Places beyond the map have a share, too.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``pairwise``, query and key grid (H, W); its rows sum to less than 1 near the edges, by
        what places beyond the map have.

    Raises:
        ValueError: A number is too small, or the heads don't divide the channels.

    Example:
        >>> block = HaloAttention(256)
        >>> sum(p.numel() for p in block.parameters())
        200064
        >>> block(torch.randn(1, 256, 7, 9)).shape
        torch.Size([1, 256, 7, 9])

    Source: Vaswani et al., Scaling Local Self-Attention for Parameter Efficient Visual Backbones,
    arXiv:2103.12731; timm's ``HaloAttn``.
    """

    stands = "instead"
    default_at = "conv"
    default_stages = (-1,)
    timm_names: ClassVar[dict[str, str]] = {
        "q.": "q.",
        "kv.": "kv.",
        "pos_embed.height_rel": "rows",
        "pos_embed.width_rel": "columns",
    }

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        heads: int | None = None,
        side: int = 8,
        halo: int = 3,
        beyond: bool = True,
    ) -> None:
        super().__init__()
        check_numbers(
            "HaloAttention", channels=channels, in_channels=in_channels, stride=stride, side=side
        )
        check_numbers("HaloAttention", least=0, halo=halo)
        self.heads = head_count("HaloAttention", heads, channels=channels)
        self.stride, self.side, self.halo, self.beyond = stride, side, halo, beyond
        width, taken = channels // self.heads, in_channels or channels
        self.scale = width**-0.5
        self.q = nn.Conv2d(taken, channels, 1, bias=False)
        self.kv = nn.Conv2d(taken, 2 * channels, 1, bias=False)
        for layer in (self.q, self.kv):
            nn.init.normal_(layer.weight, std=taken**-0.5)
        distances = 2 * (side + 2 * halo) - 1
        self.rows = nn.Parameter(torch.randn(distances, width) * self.scale)
        self.columns = nn.Parameter(torch.randn(distances, width) * self.scale)
        weights = partial(halo_weights, side=side, scale=self.scale, beyond=beyond)
        self.tap = PairwiseTap(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Let each place of (N, C, H, W) read from its tile and the rim around it."""
        size = (x.shape[2], x.shape[3])
        query = self.q(x).unflatten(1, (self.heads, -1))
        key, value = self.kv(x).unflatten(1, (self.heads, -1)).chunk(2, 2)
        asked, held = (part.flatten(3).transpose(2, 3) for part in (query, key))
        asked = with_places(asked, asked @ self.rows.T, asked @ self.columns.T, size=size)
        self.tap(asked, with_places(held, size=size), size, size)
        read = halo_attention(
            *(part.flatten(0, 1) for part in (query, key, value)),
            rows=self.rows, columns=self.columns,
            side=self.side, scale=self.scale, beyond=self.beyond,
        )  # fmt: skip
        y = read.unflatten(0, (-1, self.heads)).flatten(1, 2)
        return y if self.stride == 1 else mean_of_windows(y, self.stride)

    def extra_repr(self) -> str:
        """The heads, the tiles and the stride, for printing."""
        return f"heads={self.heads}, side={self.side}, halo={self.halo}, stride={self.stride}"
