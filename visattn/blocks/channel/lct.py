"""Linear context transform: a gate for each channel from its mean among those of its group."""

import math

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeGroupNorm
from visattn.blocks.gates import Gate, Init, check_init, zero_


class LinearContextTransform(nn.Module):
    r"""Linear context transform: a gate for each channel from its mean among those of its group.

    ``y = x * sigmoid(w_c (z_c - mean_g(z)) / std_g(z) + b_c)``, z the means over the places, the
    mean and the standard deviation over the channels of c's group. No channel's weight sees
    another channel.

    Args:
        channels: C of the map.
        groups: Fewer if they don't divide C. A group of one channel has no deviation, and its gate
            is sigmoid(b).
        init: w starts at zero either way, and b at 1 with ``"paper"``, at 0 with ``"identity"``;
            see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in LinearContextTransform(256).parameters())
        512

    Source: Ruan et al., Linear Context Transform Block, arXiv:1909.03834.
    """

    def __init__(self, channels: int, *, groups: int = 16, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels, groups=groups)
        self.norm = SafeGroupNorm(math.gcd(groups, channels), channels)
        self.gate = Gate("channel", init=init)
        zero_(self.norm)
        if init == "paper":
            nn.init.ones_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        return x * self.gate(self.norm(x.mean((2, 3), keepdim=True)))
