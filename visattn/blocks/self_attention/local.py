"""Stand-alone local self-attention: each place reads from a window, in place of a convolution."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention import neighbourhood_attention, neighbourhood_weights, with_places
from visattn.basics.checks import check_numbers
from visattn.blocks.checks import check_odd, head_count
from visattn.blocks.self_attention.positions import mean_of_windows
from visattn.blocks.taps import PairwiseTap


class LocalSelfAttention(nn.Module):
    r"""Stand-alone local self-attention: each place reads from a window, in place of a convolution.

    ``y_i = sum_j softmax_j((q_i . k_j + q_i . [ra[y_j - y_i], rb[x_j - x_i]]) / sqrt(D)) v_j`` in
    each head of D channels, j over the ``kernel_size x kernel_size`` places around i that lie on
    the map, heads side by side; q, k and v come from one 1x1 convolution without bias. The first
    half of the position's channels is learned for each distance in rows, the second for each in
    columns. Like a convolution it works on maps of any size; unlike one it has no more parameters
    for a larger window, but for the positions.

    The paper doesn't scale the scores; here they are divided by sqrt(D), so that half precision
    holds them. With a stride the result is averaged over ``stride x stride`` places, as there.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.
        heads: Their number, a divisor of ``channels``; 4 or the next smaller one if None.
        kernel_size: Side of the window, odd.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``pairwise``, query and key grid (H, W), 0 outside of the window.

    Raises:
        ValueError: A number is below 1, the window has an even side, or the heads don't divide the
            channels.

    Example:
        >>> block = LocalSelfAttention(256)
        >>> sum(p.numel() for p in block.parameters())
        197056
        >>> block(torch.randn(1, 256, 7, 9)).shape
        torch.Size([1, 256, 7, 9])

    Source: Ramachandran et al., Stand-Alone Self-Attention in Vision Models, arXiv:1906.05909.
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
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        check_numbers(
            "LocalSelfAttention", channels=channels, in_channels=in_channels, stride=stride
        )
        check_odd(kernel_size)
        self.heads = head_count("LocalSelfAttention", heads, channels=channels)
        self.stride = stride
        width = channels // self.heads
        self.scale = width**-0.5
        taken = in_channels or channels
        self.qkv = nn.Conv2d(taken, 3 * channels, 1, bias=False)
        nn.init.normal_(self.qkv.weight, std=taken**-0.5)
        half = (width + 1) // 2
        self.rows = nn.Parameter(torch.randn(kernel_size, half))
        self.columns = nn.Parameter(torch.randn(kernel_size, width - half))
        self.tap = PairwiseTap(partial(neighbourhood_weights, side=kernel_size, scale=self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """Let each place of (N, C, H, W) read from the places around it."""
        size = (x.shape[2], x.shape[3])
        query, key, value = self.qkv(x).unflatten(1, (3 * self.heads, -1)).chunk(3, 1)
        half = self.rows.shape[1]
        rows = F.pad(self.rows, (0, self.columns.shape[1]))
        columns = F.pad(self.columns, (half, 0))
        asked, held = (part.flatten(3).transpose(2, 3) for part in (query, key))
        asked = with_places(asked, asked @ rows.T, asked @ columns.T, size=size)
        self.tap(asked, with_places(held, size=size), size, size)
        images = [part.flatten(0, 1) for part in (query, key, value)]
        read = neighbourhood_attention(*images, rows=rows, columns=columns, scale=self.scale)
        y = read.unflatten(0, (-1, self.heads)).flatten(1, 2)
        return y if self.stride == 1 else mean_of_windows(y, self.stride)

    def extra_repr(self) -> str:
        """The heads, the window and the stride, for printing."""
        return f"heads={self.heads}, kernel_size={len(self.rows)}, stride={self.stride}"
