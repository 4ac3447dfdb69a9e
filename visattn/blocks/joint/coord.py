"""Coordinate attention: a gate for each channel and row, and one for each channel and column."""

import torch
from torch import Tensor, nn

from visattn.blocks.fused.choice import fusable
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_


@fusable()
class CoordinateAttention(nn.Module):
    r"""Coordinate attention: a gate for each channel and row, one for each channel and column.

    ``y = x * sigmoid(Wh h) * sigmoid(Ww w)``, with the means over the columns (C, H) and over the
    rows (C, W) joined to one sequence of H + W vectors, ``hardswish(BN(W1 [...] + b1))``, split
    into ``h`` and ``w`` again.

    With ``simple`` there is no BN, SiLU instead of hard-swish, and one gate
    ``sigmoid(Wh h + Ww w)`` for each value: timm's ``scoord``, whose other defaults are
    ``reduction=6, rd_divisor=8``. There the hidden layer may be narrower than 8.

    Parameter names are those of the official code and of timm's ``CoordAttn``. timm's defaults:
    ``reduction=24, rd_divisor=8, bias=False``.

    Args:
        channels: C of the map.
        reduction: The hidden layer has ``C // reduction`` units, at least 8.
        rd_divisor: Round that number to a multiple of this, as timm does (8 there).
        bias: Biases on the three layers: the official code has them, timm doesn't.
        simple: The simpler form above.
        init: With ``"identity"`` the last two layers start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded as ``gate``: ``rows`` (N, C, H, 1) and ``columns``
        (N, C, 1, W), each in (0, 1) or (0, 2); with ``simple`` ``joint`` (N, C, H, W) instead.

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in CoordinateAttention(256).parameters())
        6680

    Source: Hou et al., Coordinate Attention for Efficient Mobile Network Design,
    arXiv:2103.02907, and its official code.
    """

    __constants__ = ("simple",)
    simple = False  # of blocks that were pickled without it

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 32,
        rd_divisor: int | None = None,
        bias: bool = True,
        simple: bool = False,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        hidden = reduced_channels(channels, reduction=reduction, rd_divisor=rd_divisor)
        hidden = hidden if simple else max(8, hidden)
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.bn1 = nn.Identity() if simple else nn.BatchNorm2d(hidden)
        self.activation = nn.SiLU() if simple else nn.Hardswish()
        self.conv_h = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.conv_w = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.simple = simple
        if simple:
            self.joint = Gate("gate", init=init)
        else:
            self.rows = Gate("gate", init=init)
            self.columns = Gate("gate", init=init)
        if init == "identity":
            zero_(self.conv_h, self.conv_w)

    def forward(self, x: Tensor) -> Tensor:
        """Gate rows and columns of each channel of (N, C, H, W)."""
        height = x.shape[2]
        means = torch.cat((x.mean(3), x.mean(2)), 2).unsqueeze(3)
        hidden = self.activation(self.bn1(self.conv1(means)))
        of_rows = self.conv_h(hidden[:, :, :height])
        of_columns = self.conv_w(hidden[:, :, height:]).transpose(2, 3)
        if self.simple:
            return x * self.joint(of_rows + of_columns)
        return x * self.rows(of_rows) * self.columns(of_columns)
