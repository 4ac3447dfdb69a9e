"""Sigmoid gates that can start as exactly 1."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from visattn.blocks.taps import Tap

Init = Literal["identity", "paper"]


class Gate(nn.Module):
    """Sigmoid of logits, times 1 (``"paper"``) or times 2 (``"identity"``), seen by a tap.

    With logits of 0, where a zeroed last layer starts, ``2 * sigmoid(0)`` is exactly 1 in every
    floating-point format, and its gradient is not zero: the gated map starts as its input and
    learns at once. Range (0, 1) or (0, 2).

    Args:
        kind: ``"channel"`` for logits (N, C, 1, 1), ``"spatial"`` for (N, 1, H, W).
        init: ``"paper"`` or ``"identity"``.

    Example:
        >>> import torch
        >>> Gate("channel", init="identity")(torch.zeros(1, 2, 1, 1)).flatten()
        tensor([1., 1.])
    """

    def __init__(self, kind: Literal["channel", "spatial"], *, init: Init) -> None:
        super().__init__()
        check_init(init)
        self.scale = 2.0 if init == "identity" else 1.0
        self.tap = Tap(kind)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits to gates of the same shape."""
        gate = torch.sigmoid(logits)
        return self.tap(gate if self.scale == 1.0 else gate * self.scale)

    def extra_repr(self) -> str:
        """The factor, for printing."""
        return f"scale={self.scale:g}"


def check_init(init: str) -> None:
    """Raise a ValueError unless ``init`` is one of the two ways to start a block."""
    if init not in get_args(Init):
        raise ValueError(f"init must be 'identity' or 'paper', got {init!r}.")


def zero_(*modules: nn.Module) -> None:
    """Set the weights, and the biases where there are some, of ``modules`` to zero."""
    for module in modules:
        for parameter in module.parameters(recurse=False):
            nn.init.zeros_(parameter)


def reduced_channels(channels: int, *, reduction: int, rd_divisor: int | None = None) -> int:
    """Hidden width of a gate: ``channels // reduction``, at least 1, or timm's rounding.

    Args:
        channels: Width of the map, at least 1.
        reduction: Its divisor, at least 1.
        rd_divisor: Round ``channels / reduction`` to a multiple of this, at least one of it, as
            timm does (8 there): 64 channels at 16 give 8 instead of 4.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> reduced_channels(64, reduction=16), reduced_channels(192, reduction=16, rd_divisor=8)
        (4, 16)
    """
    given = {"channels": channels, "reduction": reduction, "rd_divisor": rd_divisor or 1}
    for name, number in given.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}.")
    if rd_divisor is None:
        return max(1, channels // reduction)
    rounded = int(channels / reduction + rd_divisor / 2) // rd_divisor * rd_divisor
    return max(rd_divisor, rounded)
