"""Sigmoid gates for channels and places together."""

import torch
from torch import Tensor, nn

from visattn.blocks.gates import Init, check_init
from visattn.blocks.taps import Tap


class JointGate(nn.Module):
    """Sigmoid of logits of any shape that broadcasts to the map's, seen by a tap.

    The tap's kind is ``"gate"``. As with `Gate`, the factor is 1 with ``"paper"`` and 2 with
    ``"identity"``, where logits of 0 give exactly 1. A residual gate, for blocks that multiply by
    ``1 + sigmoid``, has range (1, 2) with ``"paper"`` and (0, 2) with ``"identity"``.

    Args:
        init: ``"paper"`` or ``"identity"``.
        residual: Add 1 to the sigmoid with ``"paper"``.

    Example:
        >>> import torch
        >>> JointGate(init="identity")(torch.zeros(1, 2, 1, 1)).flatten()
        tensor([1., 1.])
    """

    def __init__(self, *, init: Init, residual: bool = False) -> None:
        super().__init__()
        check_init(init)
        self.scale = 2.0 if init == "identity" else 1.0
        self.offset = 1.0 if residual and init == "paper" else 0.0
        self.tap = Tap("gate")

    def forward(self, logits: Tensor) -> Tensor:
        """Logits to gates of the same shape."""
        gate = torch.sigmoid(logits)
        if self.scale != 1.0:
            gate = gate * self.scale
        return self.tap(gate if self.offset == 0.0 else gate + self.offset)

    def extra_repr(self) -> str:
        """The range, for printing."""
        return f"scale={self.scale:g}, offset={self.offset:g}"
