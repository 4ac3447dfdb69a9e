"""Triplet attention: gates for the three planes that a map has."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.checks import check_odd
from visattn.blocks.fused.choice import fusable
from visattn.blocks.gates import Gate, Init


@fusable()
class TripletAttention(nn.Module):
    r"""Triplet attention: gates for the three planes that a map has, averaged.

    Each branch takes the maximum and the mean along one axis, a 7x7 convolution over the plane of
    the other two, BN and a sigmoid: ``g_cw`` from along the height, ``g_hc`` from along the width
    and ``g_hw`` from along the channels. Then ``y = (x g_cw + x g_hc + x g_hw) / 3``, computed as
    ``x * ((g_cw + g_hc + g_hw) / 3)``.

    Args:
        channels: C of the map; no parameter depends on it.
        kernel_size: Of the three convolutions, odd.
        spatial: With ``g_hw``; the mean of two without it (the official ``no_spatial``).
        init: With ``"identity"`` the BN weights start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W) and as ``gate`` the two
        others, ``columns`` (N, C, 1, W) and ``rows`` (N, C, H, 1), each in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, ``kernel_size`` is even, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in TripletAttention(256).parameters())
        300

    Source: Misra et al., Rotate to Attend: Convolutional Triplet Attention Module,
    arXiv:2010.03045, and its official code.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        spatial: bool = True,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_numbers(channels=channels)
        check_odd(kernel_size)
        self.cw = PlaneBranch(kernel_size=kernel_size, init=init)
        self.columns = Gate("gate", init=init)
        self.hc = PlaneBranch(kernel_size=kernel_size, init=init)
        self.rows = Gate("gate", init=init)
        self.hw = PlaneBranch(kernel_size=kernel_size, init=init) if spatial else None
        self.spatial = Gate("spatial", init=init) if spatial else None

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W) by the planes that it is in."""
        columns = self.columns(self.cw(x.transpose(1, 2)).transpose(1, 2))
        rows = self.rows(self.hc(x.transpose(1, 3)).transpose(1, 3))
        if self.hw is None or self.spatial is None:
            return x * ((columns + rows) / 2)
        return x * ((columns + rows + self.spatial(self.hw(x))) / 3)


class PlaneBranch(nn.Module):
    """Logits for a plane of a map from the maximum and the mean along the axis across it."""

    def __init__(self, *, kernel_size: int, init: Init) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = SafeBatchNorm2d(1, momentum=0.01)
        if init == "identity":
            nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, A, B), with the axis to pool second, to logits (N, 1, A, B)."""
        planes = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
        return self.bn(self.conv(planes))
