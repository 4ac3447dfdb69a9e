"""Large selective kernel: two reaches of one depthwise stack, and a choice at each place."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init, one_
from visattn.blocks.taps import Tap


class LargeSelectiveKernel(nn.Module):
    r"""Large selective kernel: two reaches of one depthwise stack, and a choice at each place.

    ``u = dw5x5(x)`` and ``v = dw7x7(u)`` with a dilation of 3, a reach of 23; ``u'`` and ``v'`` by
    1x1 to C / 2 channels. ``[s, t] = sigmoid(conv7x7([mean_c, max_c]))`` of both side by side, and
    ``y = x * W(s u' + t v')``, W 1x1. What multiplies x is no sigmoid and may have any sign.

    In LSKNet it stands between two 1x1 convolutions, with a GELU and a shortcut, which are not part
    of it here.

    Args:
        channels: C of the map.
        init: With ``"identity"`` the last convolution starts at zero with a bias of 1.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W), t, in (0, 1): where the wide
        reach is chosen; and ``gate`` (N, C, H, W), of any value.

    Raises:
        ValueError: ``channels`` is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in LargeSelectiveKernel(256).parameters())
        118470

    Source: Li et al., Large Selective Kernel Network for Remote Sensing Object Detection,
    arXiv:2303.09030, and its official code.
    """

    def __init__(self, channels: int, *, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        half = max(1, channels // 2)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, half, 1)
        self.conv2 = nn.Conv2d(channels, half, 1)
        self.choose = nn.Conv2d(2, 2, 7, padding=3)
        self.chosen = Tap("spatial")
        self.conv = nn.Conv2d(half, channels, 1)
        self.tap = Tap("gate")
        if init == "identity":
            one_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        near = self.near(x)
        far = self.conv2(self.far(near))
        near = self.conv1(near)
        both = torch.cat((near, far), 1)
        planes = torch.cat((both.mean(1, keepdim=True), both.amax(1, keepdim=True)), 1)
        of_near, of_far = self.choose(planes).sigmoid().split(1, 1)
        return x * self.tap(self.conv(near * of_near + far * self.chosen(of_far)))
