"""Residual attention: an hourglass beside a trunk says what of the trunk to strengthen."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.basics.leaves import leaf_function
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Gate, Init, check_init, zero_
from visattn.blocks.scripting import unscriptable
from visattn.blocks.taps import Tap

Attention = Literal["mixed", "channel", "spatial"]


@unscriptable("residual attention")
class ResidualAttention(nn.Module):
    r"""Residual attention: an hourglass beside a trunk says what of the trunk to strengthen.

    ``y = (1 + m(x)) * trunk``, with a mask for each channel and place. The mask branch halves the
    map ``depth`` times by 3x3 max pooling, a residual unit after each and two at the bottom, comes
    back by bilinear interpolation with a residual unit on each skip connection, and ends in two 1x1
    convolutions whose result z is brought to the trunk's size.

    The paper compares three ways from z to m:

    - ``"mixed"``, the paper's best and the default: ``sigmoid(z)``;
    - ``"channel"``: z divided by its L2 norm over the channels of each place;
    - ``"spatial"``: ``sigmoid`` of z after the mean and standard deviation over the places of each
      channel.

    The units are the paper's bottlenecks with the normalisation first: BN, ReLU, 1x1 to C / 4, BN,
    ReLU, 3x3, BN, ReLU, 1x1 to C, and a 1x1 on the way around where the width changes.

    Args:
        channels: C of the trunk.
        in_channels: Of x; ``channels`` if None.
        size: (H, W) of the trunk, for images of the size to be trained on.
        depth: How often the branch halves the map. If None, down to 7 places or just above, as in
            the paper: 3 times for 56 x 56, twice for 28 x 28, once for 14 x 14; twice without a
            ``size``.
        attention: ``"mixed"``, ``"channel"`` or ``"spatial"``, as above.
        init: With ``"identity"`` the mixed gate is ``2 * sigmoid`` instead of ``1 + sigmoid`` and z
            starts at zero, see `Gate`; the other two have a scalar s, zero at the start, and
            ``1 + s m``.

    Shapes:
        x (N, in_channels, h, w) and trunk (N, C, H, W) to (N, C, H, W); x may be larger than the
        trunk. Without a trunk, x is the trunk. Recorded: ``gate`` (N, C, H, W), what multiplies the
        trunk, in (1, 2), (0, 2) with the mixed identity, or above 0; and ``spatial`` (N, H, W), the
        mean of gate - 1 over the channels.

    Raises:
        ValueError: A number is below 1, or a name is unknown.

    Example:
        >>> block = ResidualAttention(32, in_channels=16, init="identity")
        >>> x, trunk = torch.randn(2, 16, 14, 9), torch.randn(2, 32, 7, 5)
        >>> torch.equal(block(x, trunk), trunk)
        True

    Source: Wang et al., Residual Attention Network for Image Classification, arXiv:1704.06904.
    """

    stands = "around"
    default_at = "stage"
    default_stages = (1, 2, 3)

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        size: tuple[int, int] | None = None,
        depth: int | None = None,
        attention: Attention = "mixed",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        depth = _depth(size) if depth is None else depth
        check_numbers("ResidualAttention", channels=channels, in_channels=in_channels, depth=depth)
        check_choice("attention", attention, get_args(Attention))
        self.hourglass = _Hourglass(in_channels or channels, channels, depth=depth)
        self.head = nn.Sequential(
            SafeBatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            SafeBatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
        )
        self.gate: nn.Module
        if attention == "mixed":
            self.gate = Gate("gate", init=init, residual=True)
            if init == "identity":
                zero_(self.head[-1])
        else:
            self.gate = _NormalisedGate(attention, init=init)
        self.spatial = Tap("spatial")

    def forward(self, x: Tensor, trunk: Tensor | None = None) -> Tensor:
        """Strengthen the trunk (N, C, H, W) by what the branch sees in x."""
        trunk = _one_of(x, trunk)
        seen = F.interpolate(self.hourglass(x), trunk.shape[2:], mode="bilinear")
        gate = self.gate(self.head(seen))
        self.spatial(gate.mean(1, keepdim=True) - 1)
        return trunk * gate  # in this order the result has the memory layout of the trunk


@leaf_function
def _one_of(x: Tensor, trunk: Tensor | None) -> Tensor:
    """The trunk, or x without one."""
    return x if trunk is None else trunk


class _NormalisedGate(nn.Module):
    """1 + m, or 1 + s m, with m the logits normalised over channels or over places."""

    def __init__(self, attention: Attention, *, init: Init) -> None:
        super().__init__()
        self.attention = attention
        self.strength = nn.Parameter(torch.zeros(())) if init == "identity" else None
        self.tap = Tap("gate")

    def forward(self, logits: Tensor) -> Tensor:
        if self.attention == "channel":
            mask = F.normalize(logits, dim=1, eps=1e-6)
        else:
            centred = logits - logits.mean((2, 3), keepdim=True)
            variance = centred.square().mean((2, 3), keepdim=True)
            mask = torch.sigmoid(centred * (variance + 1e-5).rsqrt())
        return self.tap(1 + (mask if self.strength is None else self.strength * mask))

    def extra_repr(self) -> str:
        return self.attention


class _Hourglass(nn.Module):
    """Down by max pooling, up by interpolation, to a map (N, channels) at half of x's size."""

    def __init__(self, in_channels: int, channels: int, *, depth: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _Unit(channels if level else in_channels, channels) for level in range(depth)
        )
        self.bottom = _Unit(channels, channels)
        self.skip = nn.ModuleList(_Unit(channels, channels) for _ in range(depth - 1))
        self.up = nn.ModuleList(_Unit(channels, channels) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        levels: list[Tensor] = []
        for down in self.down:
            x = down(F.max_pool2d(x, 3, stride=2, padding=1))
            levels.append(x)
        x = self.bottom(levels.pop())
        for skip, up in zip(reversed(self.skip), reversed(self.up), strict=True):
            fine = levels.pop()
            x = up(skip(fine) + F.interpolate(x, fine.shape[2:], mode="bilinear"))
        return x


class _Unit(nn.Module):
    """Residual bottleneck with the normalisation first."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.bn1 = SafeBatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.bn2 = SafeBatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.bn3 = SafeBatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)
        same = in_channels == channels
        self.around = None if same else nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        normal = self.bn1(x).relu()
        y = self.conv1(normal)
        y = self.conv2(self.bn2(y).relu())
        y = self.conv3(self.bn3(y).relu())
        return y + (x if self.around is None else self.around(normal))


def _depth(size: tuple[int, int] | None) -> int:
    """Halvings until the shorter side has 7 places or just above, at least one."""
    if size is None:
        return 2
    places, depth = min(size), 0
    while places >= 14:
        places, depth = (places + 1) // 2, depth + 1
    return max(1, depth)
