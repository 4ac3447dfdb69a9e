"""Multi-head self-attention over the places of a map, in place of a convolution."""

from typing import ClassVar, get_args

from torch import Tensor, nn

from visattn.attention.pairwise import even_attention, scaled_softmax
from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.checks import head_count
from visattn.blocks.self_attention.positions import (
    Position,
    RelativePositions,
    absolute_positions,
    heads_map,
    map_heads,
    mean_of_windows,
)
from visattn.blocks.taps import PairwiseTap


class MultiHeadSelfAttention(nn.Module):
    r"""Multi-head self-attention: places of a map read from all, in place of a convolution.

    ``y_i = sum_j softmax_j((q_i . k_j + q_i . r_ij) / sqrt(D)) v_j`` in each head of D channels,
    heads side by side; q, k and v come from one 1x1 convolution without bias. There is no layer
    after it. The position r_ij:

    - ``"relative"``: ``rh[y_j - y_i] + rw[x_j - x_i]``, two learned tables shared by the heads;
    - ``"learned"``, ``"sine"``: none; a learned vector or sines of each place's row and column are
      added to the map before the 1x1 convolution;
    - ``"none"``: none, so the block doesn't see where anything is.

    With a stride the result is averaged over ``stride x stride`` places, as in BoTNet, and has the
    size that the convolution's would have: a window at an odd edge averages what there is.

    The position term is scaled like the content term. timm's ``BottleneckAttn`` does so with
    ``scale_pos_embed=True`` only; by default it scales the content alone, so its tables have to be
    multiplied by sqrt(D) to move here.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.
        heads: Their number, a divisor of ``channels``; 4 or the next smaller one if None.
        position: One of the four above.
        size: (H, W) of the map that it gives, for images of the size to be trained on; the tables
            of ``"relative"`` and ``"learned"`` are made for ``stride`` times it. On another map
            they are interpolated.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``pairwise``, query and key grid (H, W).

    Raises:
        ValueError: A number is below 1, the heads don't divide the channels, or the position is
            unknown.

    Example:
        >>> import torch
        >>> block = MultiHeadSelfAttention(256, size=(14, 10))
        >>> sum(p.numel() for p in block.parameters())
        199552
        >>> block(torch.randn(1, 256, 7, 9)).shape
        torch.Size([1, 256, 7, 9])

    Source: Srinivas et al., Bottleneck Transformers for Visual Recognition, arXiv:2101.11605.
    """

    stands = "instead"
    default_at = "conv"
    default_stages = (-1,)
    timm_names: ClassVar[dict[str, str]] = {
        "qkv.": "qkv.",
        "pos_embed.height_rel": "relative.height",
        "pos_embed.width_rel": "relative.width",
    }

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        heads: int | None = None,
        position: Position = "relative",
        size: tuple[int, int] = (14, 14),
    ) -> None:
        super().__init__()
        height, width = size
        check_numbers(
            "MultiHeadSelfAttention",
            channels=channels, in_channels=in_channels, stride=stride, height=height, width=width,
        )  # fmt: skip
        taken = in_channels or channels
        check_choice("position", position, get_args(Position))
        self.heads = head_count("MultiHeadSelfAttention", heads, channels=channels)
        self.stride = stride
        head_width = channels // self.heads
        self.scale = head_width**-0.5
        table_size = (height * stride, width * stride)
        relative = position == "relative"
        self.absolute = absolute_positions("none" if relative else position, taken, size=table_size)
        self.qkv = nn.Conv2d(taken, 3 * channels, 1, bias=False)
        nn.init.normal_(self.qkv.weight, std=taken**-0.5)
        self.relative = RelativePositions(head_width, size=table_size) if relative else None
        self.tap = PairwiseTap(scaled_softmax(self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """Let each place of (N, C, H, W) read from all places."""
        size = (x.shape[2], x.shape[3])
        joint = self.qkv(self.absolute(x))
        query, key, value = map_heads(joint, 3 * self.heads).chunk(3, 1)
        if self.relative is not None:
            query, key = self.relative(query, key, size)
        query = self.tap(query, key, size, size)
        y = heads_map(even_attention(query, key, value, scale=self.scale), size)
        return y if self.stride == 1 else mean_of_windows(y, self.stride)

    def extra_repr(self) -> str:
        """The heads and the stride, for printing."""
        return f"heads={self.heads}, stride={self.stride}"
