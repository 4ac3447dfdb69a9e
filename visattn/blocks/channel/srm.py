"""Style-based recalibration: a gate for each channel from its mean and standard deviation."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Gate, Init, check_init, zero_


class StyleRecalibration(nn.Module):
    r"""Style-based recalibration: a gate for each channel from its mean and standard deviation.

    ``y = x * sigmoid(BN(a mean_hw(x) + b std_hw(x)))``, with a and b for each channel. No channel
    sees another.

    The standard deviation is the paper's, divided by HW; the official code divides by HW - 1, and
    has no value for a single place. 1e-5 stands under the root.

    Args:
        channels: C of the map.
        init: ``"paper"`` starts a and b at zero, too, so that the gate is sigmoid(BN bias). With
            ``"identity"`` BN's weight is zero and they aren't; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: ``channels`` is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in StyleRecalibration(256).parameters())
        1024

    Source: Lee et al., SRM: A Style-based Recalibration Module, arXiv:1903.10829, and its official
    code.
    """

    def __init__(self, channels: int, *, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        self.style = nn.Parameter(torch.zeros(2, channels))
        self.bn = SafeBatchNorm2d(channels)
        self.gate = Gate("channel", init=init)
        if init == "identity":
            nn.init.normal_(self.style)
            zero_(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        deviation = ((x - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        of_mean, of_deviation = self.style.to(x.dtype).unsqueeze(2).unsqueeze(3).unbind()
        return x * self.gate(self.bn(mean * of_mean + deviation * of_deviation))
