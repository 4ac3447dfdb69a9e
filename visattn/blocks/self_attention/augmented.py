"""Attention-augmented convolution: a convolution and self-attention side by side."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention.pairwise import even_attention, scaled_softmax
from visattn.basics.checks import check_numbers
from visattn.blocks.checks import check_odd
from visattn.blocks.self_attention.positions import (
    RelativePositions,
    heads_map,
    map_heads,
)
from visattn.blocks.taps import PairwiseTap


class AugmentedConv(nn.Module):
    r"""Attention-augmented convolution: a convolution and self-attention side by side.

    ``y = [conv(x), W_o MHSA(x)]``, channels joined: ``channels - dv`` from the convolution and dv
    from multi-head self-attention over the places, whose q, k and v come from one 1x1 convolution.
    The scores are ``(q_i . k_j + q_i . rh[y_j - y_i] + q_i . rw[x_j - x_i]) / sqrt(D)``, with
    learned tables for the distances, shared by the heads.

    The keys have ``kappa * channels`` channels and the values ``upsilon * channels``, each brought
    to the nearest number that the heads (and, for the rest, the groups) divide; a head's keys have
    ``key_width`` channels at least. With ``upsilon=1`` there is no convolution.

    With a stride, the attention reads the map after a 3x3 average pooling with that stride, with
    which the paper shrinks large maps. No layer has a bias: a normalisation usually follows.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: Of the convolution.
        dilation: Of the convolution.
        groups: Of the convolution.
        kernel_size: Of the convolution, odd.
        heads: Their number; 8, or less for few channels, if None.
        kappa: Share of the keys, above 0.
        upsilon: Share of the values, above 0, at most 1.
        key_width: Least number of channels of a head's keys.
        relative: Whether the scores have the position terms.
        size: (H, W) of the map that it gives, for images of the size to be trained on. On another
            map the tables are interpolated.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``pairwise``, query and key grid of the size of the output.

    Raises:
        ValueError: A number is out of its range, or the heads and groups don't fit the channels.

    Example:
        >>> block = AugmentedConv(128, stride=2)
        >>> block.values, block(torch.randn(1, 128, 9, 6)).shape
        (16, torch.Size([1, 128, 5, 3]))

    Source: Bello et al., Attention Augmented Convolutional Networks, arXiv:1904.09925.
    """

    stands = "instead"
    default_at = "conv"
    default_stages = (-3, -2, -1)

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        kernel_size: int = 3,
        heads: int | None = None,
        kappa: float = 0.2,
        upsilon: float = 0.1,
        key_width: int = 20,
        relative: bool = True,
        size: tuple[int, int] = (14, 14),
    ) -> None:
        super().__init__()
        height, width = size
        check_numbers(
            "AugmentedConv",
            channels=channels, in_channels=in_channels, stride=stride, dilation=dilation,
            groups=groups, key_width=key_width, height=height, width=width, heads=heads,
        )  # fmt: skip
        taken = in_channels or channels
        check_odd(kernel_size)
        if not (kappa > 0 and 0 < upsilon <= 1):
            raise ValueError(
                "AugmentedConv: kappa must be above 0 and upsilon in (0, 1], got"
                f" {kappa} and {upsilon}."
            )
        if heads is None:
            heads = next((n for n in (8, 4, 2) if n <= 2 * upsilon * channels), 1)
            heads = math.gcd(heads, channels) if upsilon == 1 else heads
        self.values = _values(channels, upsilon, heads=heads, groups=groups)
        self.heads = heads
        key_channels = max(key_width, round(kappa * channels / self.heads))
        self.keys = key_channels * self.heads
        self.scale = key_channels**-0.5
        self.stride = stride
        self.conv: nn.Conv2d | None = None
        if channels > self.values:
            self.conv = nn.Conv2d(
                taken, channels - self.values, kernel_size, stride=stride, dilation=dilation,
                padding=kernel_size // 2 * dilation, groups=groups, bias=False,
            )  # fmt: skip
        self.qkv = nn.Conv2d(taken, 2 * self.keys + self.values, 1, bias=False)
        self.relative = RelativePositions(key_channels, size=size) if relative else None
        self.tap = PairwiseTap(scaled_softmax(self.scale))
        self.out = nn.Conv2d(self.values, self.values, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        attended = self.out(self._attend(x))
        return attended if self.conv is None else torch.cat((self.conv(x), attended), 1)

    def _attend(self, x: Tensor) -> Tensor:
        """What the heads read, side by side, (N, dv, H / stride, W / stride)."""
        if self.stride > 1:
            x = F.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False)
        size = (x.shape[2], x.shape[3])
        query, key, value = self.qkv(x).split((self.keys, self.keys, self.values), 1)
        query, key, value = (map_heads(part, self.heads) for part in (query, key, value))
        if self.relative is not None:
            query, key = self.relative(query, key, size)
        query = self.tap(query, key, size, size)
        return heads_map(even_attention(query, key, value, scale=self.scale), size)

    def extra_repr(self) -> str:
        """The heads and the widths of keys and values, for printing."""
        return f"heads={self.heads}, keys={self.keys}, values={self.values}, stride={self.stride}"


def _values(channels: int, upsilon: float, *, heads: int, groups: int) -> int:
    """Channels of the values: near ``upsilon * channels``, and even for heads and groups."""
    wanted = upsilon * channels
    if upsilon == 1:
        fitting = [channels] if channels % heads == 0 else []
    else:
        fitting = [
            n for n in range(1, channels + 1) if not n % heads and not (channels - n) % groups
        ]
    if not fitting:
        raise ValueError(
            f"AugmentedConv: no share of {channels} channels fits heads={heads} and"
            f" groups={groups}. Give fewer heads, or leave them out."
        )
    return min(fitting, key=lambda n: (abs(n - wanted), n))
