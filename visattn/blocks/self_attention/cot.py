"""Contextual transformer: a convolution is the static context that weighs a dynamic one."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d, SafeGroupNorm, with_norm
from visattn.blocks.checks import check_odd
from visattn.blocks.scripting import unscriptable
from visattn.blocks.self_attention.positions import mean_of_windows, neighbour
from visattn.blocks.taps import Tap


@unscriptable("a contextual transformer")
class ContextualTransformer(nn.Module):
    r"""Contextual transformer: a convolution is the static context that weighs a dynamic one.

    ``k = relu(BN(conv3x3(x)))`` in 4 groups; ``w = GN(W2 relu(BN(W1 [x, k])))``, 9 weights for each
    place and for each C / 8 channels; with ``v = BN(Wv x)``,
    ``d_i = silu(BN(sum_j w_ij v_j))`` over the 3x3 places around i; and ``y = a d + (1 - a) k``,
    a from a softmax of an MLP of ``mean_hw(d + k)``, for each channel.

    The paper speaks of a softmax of w; its code has the group normalisation instead, which this
    follows. Channels c and c + C / 8 have the same weights there. Most copies average the 9
    weights and take a softmax over the map, which is another block.

    It takes the place of a 3x3 convolution and of the BN after it. A stride averages.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.
        kernel_size: Odd.
        share: How many channels have the same weights; fewer if it doesn't divide C.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``channel`` (N, C), a, in (0, 1).

    Raises:
        ValueError: A number is below 1, or the kernel is even.

    Example:
        >>> sum(p.numel() for p in ContextualTransformer(256).parameters())
        417248

    Source: Li et al., Contextual Transformer Networks for Visual Recognition, arXiv:2107.12292, and
    its official code.
    """

    stands = "instead"
    brings_norm = True
    default_at = "conv"
    default_stages = (-1,)

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        kernel_size: int = 3,
        share: int = 8,
    ) -> None:
        super().__init__()
        check_numbers(
            "ContextualTransformer",
            channels=channels, in_channels=in_channels, stride=stride, share=share,
        )  # fmt: skip
        check_odd(kernel_size)
        taken = in_channels or channels
        self.side, self.stride = kernel_size, stride
        self.share = math.gcd(share, channels)
        groups = channels // self.share
        self.key = with_norm(
            nn.Conv2d(
                taken, channels, kernel_size, padding=kernel_size // 2, bias=False,
                groups=math.gcd(4, taken, channels),
            )
        )  # fmt: skip
        half = max(1, channels // 2)
        weights = groups * kernel_size**2
        self.weigh = nn.Sequential(
            *with_norm(nn.Conv2d(taken + channels, half, 1, bias=False)),
            nn.Conv2d(half, weights, 1),
            SafeGroupNorm(groups, weights),
        )
        self.value = nn.Sequential(
            nn.Conv2d(taken, channels, 1, bias=False), SafeBatchNorm2d(channels)
        )
        self.bn = SafeBatchNorm2d(channels)
        hidden = max(channels // 2, 32)
        self.reduce = with_norm(nn.Conv2d(channels, hidden, 1))
        self.select = nn.Conv2d(hidden, 2 * channels, 1)
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        static = self.key(x)
        weights = self.weigh(torch.cat((x, static), 1)).unflatten(1, (1, -1, self.side**2))
        value = self.value(x).unflatten(1, (self.share, -1))
        read = torch.zeros_like(value)
        for place in range(self.side**2):
            read = read + weights[:, :, :, place] * neighbour(value, place, side=self.side)
        dynamic = F.silu(self.bn(read.flatten(1, 2)))
        pooled = (dynamic + static).mean((2, 3), keepdim=True)
        logits = self.select(self.reduce(pooled)).unflatten(1, (-1, 2))
        of_dynamic, of_static = torch.softmax(logits, 2).unbind(2)
        y = dynamic * self.tap(of_dynamic) + static * of_static
        return y if self.stride == 1 else mean_of_windows(y, self.stride)
