"""Effective squeeze-and-excitation: a gate for each channel from a single layer."""

import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.fused.choice import fusable
from visattn.blocks.fused.formulas import ByMean
from visattn.blocks.gates import Init, check_init, zero_
from visattn.blocks.taps import Tap


@fusable(ByMean)
class EffectiveSE(nn.Module):
    r"""Effective squeeze-and-excitation: a gate for each channel from a single layer.

    ``y = x * hardsigmoid(W mean_hw(x) + b)``, with ``hardsigmoid(z) = clip(z + 3, 0, 6) / 6``. The
    layer is as wide as the map, so that nothing is lost in a reduction.

    Parameter names are those of timm's ``EffectiveSEModule``.

    Args:
        channels: C of the map.
        init: With ``"identity"`` the layer starts at zero and the gate is doubled; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in [0, 1] or [0, 2].

    Raises:
        ValueError: ``channels`` is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in EffectiveSE(256).parameters())
        65792

    Source: Lee and Park, CenterMask (VoVNetV2), arXiv:1911.06667.
    """

    def __init__(self, channels: int, *, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = HardGate(scale=2.0 if init == "identity" else 1.0)
        if init == "identity":
            zero_(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        return x * self.of_mean(x.mean((2, 3), keepdim=True))

    def of_mean(self, mean: Tensor) -> Tensor:
        """Gates of the means, both (N, C, 1, 1)."""
        return self.gate(self.fc(mean))


class HardGate(nn.Module):
    """Hard sigmoid of logits (N, C, 1, 1) times a factor, seen by a tap.

    ``hardsigmoid(0)`` is exactly 1/2, so with a factor of 2 logits of 0 give exactly 1.
    """

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.tap = Tap("channel")

    def forward(self, logits: Tensor) -> Tensor:
        """Logits to gates of the same shape."""
        gate = F.hardsigmoid(logits)
        return self.tap(gate if self.scale == 1.0 else gate * self.scale)

    def extra_repr(self) -> str:
        """The factor, for printing."""
        return f"scale={self.scale:g}"
