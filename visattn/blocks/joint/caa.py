"""Context anchor attention: a gate for each value from a long cross around it."""

import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.checks import check_odd
from visattn.blocks.gates import Gate, Init, zero_


class ContextAnchorAttention(nn.Module):
    r"""Context anchor attention: a gate for each value from a long cross around it.

    ``y = x * sigmoid(f2(dw_kx1(dw_1xk(f1(mean7x7(x))))))``, f1 and f2 a 1x1 convolution, BN and
    SiLU each, between them two depthwise convolutions, along the rows, then along the columns.

    The paper has no activation before the sigmoid in its formula; the official code has the SiLU,
    which this follows, as trained weights come from there. So its gate is above 0.43.

    Args:
        channels: C of the map.
        kernel_size: k, odd; 11 in the official code, which grows it with the depth of the network.
        init: With ``"identity"`` the last BN starts at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), in (0.43, 1) or (0.86, 2).

    Raises:
        ValueError: A number is below 1, the kernel is even, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in ContextAnchorAttention(256).parameters())
        138240

    Source: Cai et al., Poly Kernel Inception Network, arXiv:2403.06258, and its official code.
    """

    def __init__(self, channels: int, *, kernel_size: int = 11, init: Init = "paper") -> None:
        super().__init__()
        check_numbers(channels=channels)
        check_odd(kernel_size)
        reach = kernel_size // 2
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = SafeBatchNorm2d(channels, eps=1e-3, momentum=0.03)
        self.rows = nn.Conv2d(
            channels, channels, (1, kernel_size), padding=(0, reach), groups=channels
        )
        self.columns = nn.Conv2d(
            channels, channels, (kernel_size, 1), padding=(reach, 0), groups=channels
        )
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = SafeBatchNorm2d(channels, eps=1e-3, momentum=0.03)
        self.gate = Gate("gate", init=init)
        if init == "identity":
            zero_(self.bn2)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        seen = F.silu(self.bn1(self.conv1(F.avg_pool2d(x, 7, 1, 3))))
        return x * self.gate(F.silu(self.bn2(self.conv2(self.columns(self.rows(seen))))))
