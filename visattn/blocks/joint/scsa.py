"""SCSA: gates for rows and columns at several scales, then channels that read each other."""

import math

import torch
from torch import Tensor, nn

from visattn.attention.pairwise import even_attention
from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeGroupNorm
from visattn.blocks.gates import Gate, Init, zero_
from visattn.blocks.scripting import unscriptable
from visattn.blocks.self_attention.positions import mean_of_windows

KERNELS = (3, 5, 7, 9)


@unscriptable("spatial and channel synergistic attention")
class SynergisticAttention(nn.Module):
    r"""Spatial and channel synergistic attention: gates for rows and columns, then channels.

    - ``u = x * sigmoid(GN(f(mean_w(x)))) * sigmoid(GN(f(mean_h(x))))``: f is the same for both, a
      depthwise convolution of 3, 5, 7 and 9 for a quarter of the channels each; 4 groups.
    - p is u averaged over 7 x 7 places and normalised in one group, q, k and v a factor of it for
      each channel. Within a head, channels read channels:
      ``y = u * sigmoid(mean_hw(softmax(q k^T / sqrt(C / heads)) v))``.

    The official code drops the rows and columns that 7 doesn't divide, and fails on maps below 7;
    here the last windows are smaller. Where 4 doesn't divide C there are fewer parts.

    Args:
        channels: C of the map.
        heads: 8 as in the official code; fewer if they don't divide C.
        window: Side of the windows.
        init: With ``"identity"`` the normalisations of the first part and v start at zero; see
            `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), and as ``gate`` ``rows``
        (N, C, H, 1) and ``columns`` (N, C, 1, W), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in SynergisticAttention(256).parameters())
        4096

    Source: Si et al., SCSA: Exploring the Synergistic Effects Between Spatial and Channel
    Attention, arXiv:2407.05128, and its official code.
    """

    def __init__(
        self, channels: int, *, heads: int = 8, window: int = 7, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_numbers(channels=channels, heads=heads, window=window)
        parts = math.gcd(4, channels)
        width = channels // parts
        self.heads, self.window = math.gcd(heads, channels), window
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, k, padding=k // 2, groups=width) for k in KERNELS[:parts]
        )
        self.norm_rows = SafeGroupNorm(parts, channels)
        self.norm_columns = SafeGroupNorm(parts, channels)
        self.rows = Gate("gate", init=init)
        self.columns = Gate("gate", init=init)
        self.norm = SafeGroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, groups=channels, bias=False)
        self.channel = Gate("channel", init=init)
        if init == "identity":
            zero_(self.norm_rows, self.norm_columns)
            nn.init.zeros_(self.qkv.weight[2::3])

    def forward(self, x: Tensor) -> Tensor:
        """Gate rows, columns and channels of (N, C, H, W)."""
        rows = self.rows(self.norm_rows(self._scales(x.mean(3))).unsqueeze(3))
        columns = self.columns(self.norm_columns(self._scales(x.mean(2))).unsqueeze(2))
        x = x * rows * columns
        joint = self.qkv(self.norm(mean_of_windows(x, self.window))).flatten(2)
        query, key, value = joint.unflatten(1, (self.heads, -1, 3)).unbind(3)
        scale = (x.shape[1] // self.heads) ** -0.5
        read = even_attention(query, key, value.mean(3, keepdim=True), scale=scale)
        return x * self.channel(read.flatten(1, 2).unsqueeze(3))

    def _scales(self, line: Tensor) -> Tensor:
        """(N, C, L) to the same, each part of the channels by its convolution."""
        parts = line.chunk(len(self.convs), 1)
        return torch.cat([conv(parts[i]) for i, conv in enumerate(self.convs)], 1)

    def extra_repr(self) -> str:
        """Heads and window, for printing."""
        return f"heads={self.heads}, window={self.window}"
