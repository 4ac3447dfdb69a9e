"""ParNet's block: a 1x1 and a 3x3 convolution, and a gated skip, side by side."""

import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Gate
from visattn.blocks.self_attention.positions import mean_of_windows


class ParNetBlock(nn.Module):
    r"""ParNet's block: a 1x1 and a 3x3 convolution, and a gated skip, side by side.

    ``y = silu(BN(conv3x3(x)) + BN(conv1x1(x)) + u * sigmoid(W mean_hw(u)))`` with ``u = BN(x)``:
    the last is skip squeeze-and-excitation, a channel gate of one layer. Where the map changes its
    size or its channels there is no skip, and the gate multiplies the sum of the two, the 1x1 of
    the means of the stride's windows: the paper's downsampling block.

    It takes the place of a 3x3 convolution and of the BN after it. Copies leave out u's BN.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: The map that it gives is smaller by this.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``channel`` (N, C), in (0, 1).

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> sum(p.numel() for p in ParNetBlock(64).parameters())
        45504

    Source: Goyal et al., Non-deep Networks, arXiv:2110.07641.
    """

    stands = "instead"
    brings_norm = True
    default_at = "conv"

    def __init__(self, channels: int, *, in_channels: int | None = None, stride: int = 1) -> None:
        super().__init__()
        check_numbers("ParNetBlock", channels=channels, in_channels=in_channels, stride=stride)
        taken = in_channels or channels
        self.stride = stride
        self.skips = taken == channels and stride == 1
        self.near = nn.Conv2d(taken, channels, 3, stride=stride, padding=1, bias=False)
        self.norm_near = SafeBatchNorm2d(channels)
        self.place = nn.Conv2d(taken, channels, 1, bias=False)
        self.norm_place = SafeBatchNorm2d(channels)
        self.norm = SafeBatchNorm2d(taken)
        self.fc = nn.Conv2d(taken, channels, 1)
        self.gate = Gate("channel", init="paper")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        seen = self.norm(x)
        gate = self.gate(self.fc(seen.mean((2, 3), keepdim=True)))
        pooled = x if self.stride == 1 else mean_of_windows(x, self.stride)
        y = self.norm_near(self.near(x)) + self.norm_place(self.place(pooled))
        return F.silu(y + seen * gate if self.skips else y * gate)
