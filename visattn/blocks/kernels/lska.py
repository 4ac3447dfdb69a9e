"""Large separable kernel attention: a gate for each value from a wide depthwise reach."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init, one_
from visattn.blocks.taps import Tap

REACHES = {
    7: (3, 3, 2),
    11: (3, 5, 2),
    21: (5, 7, 3),
    23: (5, 7, 3),
    35: (5, 11, 3),
    41: (5, 13, 3),
    53: (5, 17, 3),
}
"""For each reach the near kernel, the far one, and its dilation."""


class LargeKernelAttention(nn.Module):
    r"""Large separable kernel attention: a gate for each value from a wide depthwise reach.

    ``y = x * W(far(near(x)))``, depthwise convolutions, the far one dilated, and W 1x1. Separable
    ones are a 1xk and then a kx1 convolution each; the others (LKA, of the Visual Attention
    Network) are kxk. What multiplies x is no sigmoid and may have any sign.

    In both papers it stands between two 1x1 convolutions, with a GELU and a shortcut, which are not
    part of it here.

    Args:
        channels: C of the map.
        reach: 7, 11, 23, 35, 41 or 53 as in the official code; LKA's is called 21, with the
            kernels of 23 (5, and 7 with a dilation of 3).
        separable: As above.
        init: With ``"identity"`` the last convolution starts at zero with a bias of 1.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), of any value.

    Raises:
        ValueError: ``channels`` is below 1, the reach or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in LargeKernelAttention(256).parameters())
        72960

    Source: Lau et al., Large Separable Kernel Attention, arXiv:2309.01439; Guo et al., Visual
    Attention Network, arXiv:2202.09741.
    """

    def __init__(
        self, channels: int, *, reach: int = 23, separable: bool = True, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        if reach not in REACHES:
            raise ValueError(f"reach must be one of {', '.join(map(str, REACHES))}, got {reach}.")
        near, far, dilation = REACHES[reach]
        self.near = _depthwise(channels, near, dilation=1, separable=separable)
        self.far = _depthwise(channels, far, dilation=dilation, separable=separable)
        self.conv = nn.Conv2d(channels, channels, 1)
        self.tap = Tap("gate")
        if init == "identity":
            one_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        return x * self.tap(self.conv(self.far(self.near(x))))


def _depthwise(channels: int, side: int, *, dilation: int, separable: bool) -> nn.Sequential:
    """A depthwise convolution that keeps the size, or a row and a column of it."""
    shapes = ((1, side), (side, 1)) if separable else ((side, side),)
    return nn.Sequential(
        *(
            nn.Conv2d(
                channels, channels, (rows, columns), groups=channels, dilation=dilation,
                padding=(rows // 2 * dilation, columns // 2 * dilation),
            )
            for rows, columns in shapes
        )
    )  # fmt: skip
