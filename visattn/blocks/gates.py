"""Sigmoid gates that can start as exactly 1."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.taps import Tap

Init = Literal["identity", "paper"]


class Gate(nn.Module):
    """Sigmoid of logits, times 1 (``"paper"``) or times 2 (``"identity"``), seen by a tap.

    With logits of 0, where a zeroed last layer starts, ``2 * sigmoid(0)`` is exactly 1 in every
    floating-point format, and its gradient is not zero: the gated map is its input bit for bit at
    the start, and learns at once. Range (0, 1) or (0, 2). A residual gate, for blocks that multiply
    by ``1 + sigmoid``, has range (1, 2) with ``"paper"`` and (0, 2) with ``"identity"``.

    Args:
        kind: ``"channel"`` for logits (N, C, 1, 1), ``"spatial"`` for (N, 1, H, W), ``"gate"`` for
            any other shape that broadcasts to the map's.
        init: ``"paper"`` or ``"identity"``.
        residual: Add 1 to the sigmoid with ``"paper"``.

    Example:
        >>> Gate("channel", init="identity")(torch.zeros(1, 2, 1, 1)).flatten()
        tensor([1., 1.])
    """

    offset = 0.0  # of gates that were pickled without one

    def __init__(
        self, kind: Literal["channel", "spatial", "gate"], *, init: Init, residual: bool = False
    ) -> None:
        super().__init__()
        check_init(init)
        self.scale = 2.0 if init == "identity" else 1.0
        self.offset = 1.0 if residual and init == "paper" else 0.0
        self.tap = Tap(kind)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits to gates of the same shape."""
        gate = torch.sigmoid(logits)
        if self.scale != 1.0:
            gate = gate * self.scale
        return self.tap(gate if self.offset == 0.0 else gate + self.offset)

    def extra_repr(self) -> str:
        """The range, for printing."""
        return f"scale={self.scale:g}" + (f", offset={self.offset:g}" if self.offset else "")


JointGate = Gate
"""The name of a gate that is neither in models that were pickled long ago."""


def check_init(init: str) -> None:
    """Raise a ValueError unless ``init`` is one of the two ways to start a block."""
    check_choice("init", init, get_args(Init))


def zero_(*modules: nn.Module) -> None:
    """Set the weights, and the biases where there are some, of ``modules`` to zero."""
    for module in modules:
        for parameter in module.parameters(recurse=False):
            nn.init.zeros_(parameter)


def one_(layer: nn.Conv2d) -> None:
    """Let a layer with a bias give 1 whatever it sees: what that multiplies starts as it is."""
    zero_(layer)
    assert layer.bias is not None
    nn.init.ones_(layer.bias)


def reduced_channels(channels: int, *, reduction: int, rd_divisor: int | None = None) -> int:
    """Hidden width of a gate: ``channels // reduction``, at least 1, or timm's rounding.

    timm's is ``channels / reduction`` to the nearest multiple of ``rd_divisor`` (8 there), at least
    one of it: 64 channels at 16 give 8 instead of 4.

    Example:
        >>> reduced_channels(64, reduction=16), reduced_channels(192, reduction=16, rd_divisor=8)
        (4, 16)
    """
    check_numbers(channels=channels, reduction=reduction, rd_divisor=rd_divisor)
    if rd_divisor is None:
        return max(1, channels // reduction)
    rounded = int(channels / reduction + rd_divisor / 2) // rd_divisor * rd_divisor
    return max(rd_divisor, rounded)
