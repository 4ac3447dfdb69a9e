"""The way back from what attention has read to the map that it is added to."""

from abc import ABC

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import zero_


class AddedAttention(nn.Module, ABC):
    """Self-attention that is added to a map: a few of them stand between the blocks of a model."""

    default_at = "block"
    default_stages = (2, 3)
    default_every = 2


class Readout(nn.Module):
    """A 1x1 convolution, and BN with a weight that starts at zero.

    Without BN the convolution starts at zero. Either way a block that adds the result to its input
    starts as the identity, and learns at once. (N, width, H, W) to (N, channels, H, W).
    """

    def __init__(self, width: int, channels: int, *, norm: bool) -> None:
        super().__init__()
        self.out = nn.Conv2d(width, channels, 1)
        self.bn = SafeBatchNorm2d(channels) if norm else None
        zero_(self.out if self.bn is None else self.bn)

    def forward(self, context: Tensor) -> Tensor:
        """What is to be added."""
        context = self.out(context)
        return context if self.bn is None else self.bn(context)


def head_width(block: str, channels: int, *, reduction: int, heads: int) -> int:
    """Channels of all heads together: ``channels // reduction``, at least one a head.

    Example:
        >>> head_width("Axial", 64, reduction=2, heads=4)
        32
    """
    check_numbers(block, channels=channels, reduction=reduction, heads=heads)
    width = max(1, channels // reduction)
    if width % heads:
        raise ValueError(
            f"{block}: {width} channels ({channels} // {reduction}) can't be shared out among"
            f" heads={heads}. Choose other heads or another reduction."
        )
    return width
