"""The small gates of pooled numbers, and how gradients go back through them.

Where a gate is made of its own parts, in single precision, its gradient is written out, see
`visattn.blocks.fused.written_gates`. Any other runs again by autograd.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from visattn.blocks.fused.formulas import Gradients, gradients

Kept = tuple[Tensor, ...]
Back = Callable[[Tensor], tuple[Sequence[Tensor], Gradients]]
"""From the gradient for the gates, in any shape with as many values, to those for what they are
computed from and for the block's parameters."""


class SmallGate(Protocol):
    """Gates of one or two inputs, stacked: (K, N, C, 1, 1) or (K, N, 1, H, W).

    Attributes:
        is_written: Whether its gradient is, so that the same object serves in the backward pass;
            otherwise one for a block that has `leaves` for its parameters.
        running: Mean and variance that it takes of no batch, if it normalises.
    """

    is_written: bool
    running: tuple[Tensor, Tensor] | None

    def run(self, inputs: Tensor) -> tuple[Tensor, Kept]:
        """The gates, and what to keep."""

    def again(
        self, inputs: Tensor, kept: Kept, leaves: Sequence[Tensor], needs: Sequence[bool]
    ) -> tuple[Tensor, Back]:
        """The gates, and how gradients go back.

        Args:
            inputs: As for `run`.
            kept: From there.
            leaves: The block's parameters, in the order in which gradients are wanted.
            needs: Whether one is asked for each of them.
        """


def is_single(*layers: nn.Module) -> bool:
    """Whether all parameters of layers are in single precision."""
    for layer in layers:
        for p in layer._parameters.values():
            if not (p is None or p.dtype is torch.float32):
                return False
    return True


class Again:
    """Any gate: it runs again, with a graph."""

    is_written = False
    running: tuple[Tensor, Tensor] | None = None

    def __init__(self, compute: Callable[..., Tensor]) -> None:
        self.compute = compute

    def run(self, inputs: Tensor) -> tuple[Tensor, Kept]:
        """See `SmallGate`."""
        return self.compute(*inputs), ()

    def again(
        self, inputs: Tensor, kept: Kept, leaves: Sequence[Tensor], needs: Sequence[bool]
    ) -> tuple[Tensor, Back]:
        """See `SmallGate`."""
        given = [t.detach().requires_grad_() for t in inputs]
        with torch.enable_grad():
            value = self.compute(*given)

        def back(d: Tensor) -> tuple[list[Tensor], Gradients]:
            asked = [True] * len(given) + list(needs)
            d = d.reshape(value.shape).to(value.dtype)
            found: list[Any] = gradients(value, [*given, *leaves], d, asked)
            return found[: len(given)], found[len(given) :]

        return value.detach(), back


class Range(NamedTuple):
    """That of a gate: ``scale sigmoid + offset``."""

    scale: float
    offset: float

    @classmethod
    def of_gate(cls, gate: Any) -> "Range":
        """That of a `Gate`."""
        return cls(float(gate.scale), float(gate.offset))

    def of(self, sigmoid: Tensor) -> Tensor:
        """The gate."""
        return sigmoid if self == (1, 0) else sigmoid * self.scale + self.offset

    def of_logits(self, d: Tensor, sigmoid: Tensor) -> Tensor:
        """The gradient for the logits, from that for the gate in any shape."""
        d = d.reshape(sigmoid.shape)
        d = d if self.scale == 1 else d * self.scale
        found: Tensor = torch.ops.aten.sigmoid_backward(d, sigmoid)
        return found


def asked_of(
    found: Sequence[Callable[[], Tensor]],
    parameters: Sequence[Tensor | None],
    leaves: Sequence[Tensor],
    needs: Sequence[bool],
) -> Gradients:
    """The gradients of a gate's parameters, for those of its block."""
    of = {id(p): gradient for p, gradient in zip(parameters, found, strict=True)}
    pairs = zip(leaves, needs, strict=True)
    return [of[id(p)]() if need and id(p) in of else None for p, need in pairs]
