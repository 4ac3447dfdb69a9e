"""Lambda layer: the whole map, and each place's surroundings, as linear maps of a query."""

import torch
from torch import Tensor, nn

from visattn.attention import product_attention, product_weights
from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.checks import check_odd, head_count
from visattn.blocks.self_attention.positions import heads_map, map_heads, mean_of_windows
from visattn.blocks.taps import PairwiseTap


class LambdaLayer(nn.Module):
    r"""Lambda layer: the whole map and each place's surroundings as linear maps of its query.

    ``y_i = sum_j (q_i . softmax_j(k_j)) v_j + sum_j (q_i . (r[j - i] + b)) v_j`` in each head, the
    second sum over a window around i, zeros beyond the map, the bias b once a place. q and v are
    normalised by BN; k and v are shared by the heads. It is computed as q times
    ``sum_j softmax_j(k_j) v_j^T``, and times a convolution of v: no weights of place by place are
    built.

    It takes the place of a 3x3 convolution. A stride averages, as in timm.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.
        heads: Their number, a divisor of ``channels``; 4 or the next smaller one if None.
        key_width: Channels of queries and keys in a head.
        reach: Side of the window, odd: 9 as in timm; 23 in the paper.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``pairwise``, query and key grid (H, W), of the first sum alone; of any sign.

    Raises:
        ValueError: A number is below 1, the window has an even side, or the heads don't divide the
            channels.

    Example:
        >>> sum(p.numel() for p in LambdaLayer(256).parameters())
        38432

    Source: Bello, LambdaNetworks: Modeling Long-Range Interactions Without Attention,
    arXiv:2102.08602; timm's ``LambdaLayer``.
    """

    stands = "instead"
    default_at = "conv"
    default_stages = (-1,)

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        heads: int | None = None,
        key_width: int = 16,
        reach: int = 9,
    ) -> None:
        super().__init__()
        check_numbers(
            "LambdaLayer",
            channels=channels, in_channels=in_channels, stride=stride, key_width=key_width,
        )  # fmt: skip
        check_odd(reach)
        self.heads = head_count("LambdaLayer", heads, channels=channels)
        self.stride = stride
        taken, width = in_channels or channels, channels // self.heads
        self.widths = (self.heads * key_width, key_width, width)
        self.qkv = nn.Conv2d(taken, sum(self.widths), 1, bias=False)
        nn.init.normal_(self.qkv.weight, std=taken**-0.5)
        self.norm_q = SafeBatchNorm2d(self.widths[0])
        self.norm_v = SafeBatchNorm2d(width)
        self.around = nn.Conv2d(1, key_width, reach, padding=reach // 2)
        nn.init.normal_(self.around.weight, std=0.02)
        self.tap = PairwiseTap(product_weights)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        size = (x.shape[2], x.shape[3])
        query, key, value = self.qkv(x).split(self.widths, 1)
        query, value = self.norm_q(query), self.norm_v(value)
        asked = map_heads(query, self.heads)
        held = map_heads(key, 1).softmax(2).expand(-1, self.heads, -1, -1)
        asked = self.tap(asked, held, size, size)
        whole = heads_map(product_attention(asked, held, map_heads(value, 1)), size)
        near = self.around(value.flatten(0, 1).unsqueeze(1)).unflatten(0, (-1, self.widths[2]))
        query = query.unflatten(1, (self.heads, -1))
        read = torch.einsum("nhkyx,nvkyx->nhvyx", query, near.to(query.dtype)).flatten(1, 2)
        y = whole + read
        return y if self.stride == 1 else mean_of_windows(y, self.stride)

    def extra_repr(self) -> str:
        """The heads and the stride, for printing."""
        return f"heads={self.heads}, stride={self.stride}"
