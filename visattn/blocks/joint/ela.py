"""Efficient local attention: gates for rows and columns, with no channel reduced."""

import math

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeGroupNorm
from visattn.blocks.checks import check_odd
from visattn.blocks.gates import Gate, Init, zero_


class EfficientLocalAttention(nn.Module):
    r"""Efficient local attention: gates for rows and columns, with no channel reduced.

    ``y = x * g(mean_w(x)) * g(mean_h(x))``, ``g = sigmoid(GN(conv1d(.)))``: the same convolution
    along the height of the means over the columns, and along the width of those over the rows.

    The paper's four sizes are kernels of 5 or 7 with ``groups`` of C or C / 8, and group
    normalisation in 16 groups. timm's ``ela`` has two convolutions, one group and, other than the
    paper, SiLU before the sigmoid.

    Args:
        channels: C of the map.
        kernel_size: Odd.
        groups: Of the convolution; C, each channel for itself, if None.
        norm_groups: Of the normalisation; fewer if they don't divide C.
        init: With ``"identity"`` the normalisation's weight starts at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded as ``gate``: ``rows`` (N, C, H, 1) and ``columns``
        (N, C, 1, W), each in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, the kernel is even, the groups don't divide C, or ``init``
            is unknown.

    Example:
        >>> sum(p.numel() for p in EfficientLocalAttention(256).parameters())
        2304

    Source: Xu and Wan, ELA: Efficient Local Attention for Deep Convolutional Neural Networks,
    arXiv:2403.01123.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        groups: int | None = None,
        norm_groups: int = 16,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_numbers(channels=channels, groups=groups, norm_groups=norm_groups)
        check_odd(kernel_size)
        self.conv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=groups or channels,
            bias=False,
        )  # fmt: skip
        self.norm = SafeGroupNorm(math.gcd(norm_groups, channels), channels)
        self.rows = Gate("gate", init=init)
        self.columns = Gate("gate", init=init)
        if init == "identity":
            zero_(self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Gate rows and columns of each channel of (N, C, H, W)."""
        rows = self.rows(self.norm(self.conv(x.mean(3))).unsqueeze(3))
        columns = self.columns(self.norm(self.conv(x.mean(2))).unsqueeze(2))
        return x * rows * columns
