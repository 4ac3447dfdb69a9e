"""SE on a map that is kept, in one call of C forward and one for the gradient.

Both go from image to image, so that the second pass over one finds it in the caches. Kept are the
map and the numbers of the small gate.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused import native
from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import exact, gradients, laid_out_as
from visattn.blocks.fused.written_gates import Perceptron


@dataclass(frozen=True)
class Call:
    """All of a call that is no tensor which autograd follows."""

    gate: Perceptron
    double: Double


def se(u: Tensor, gate: Perceptron, block: nn.Module) -> Tensor:
    """``u gate(mean_hw(u))``, followed by autograd; gate is block's."""
    double = Double(block)
    y: Tensor = Fused.apply(u, Call(gate, double), *double.parameters)
    return y


@final
class Fused(torch.autograd.Function):
    """Gradients of gradients are taken through the plain form."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, call: Call, *parameters: Tensor) -> Tensor:
        """Compute the gate without a graph."""
        y, *kept = native.se(u, call.gate)
        ctx.call, ctx.count = call, len(kept)
        ctx.save_for_backward(u, *kept, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients for u and the gate's parameters."""
        u, *saved = ctx.saved_tensors
        kept, parameters = saved[: ctx.count], saved[ctx.count :]
        call, needs = ctx.call, ctx.needs_input_grad
        if torch.is_grad_enabled():
            y = call.double.holding(parameters).forward(u)
            asked = [needs[0], *needs[2:]]
            of_u, *found = gradients(y, [u, *parameters], d, asked, create_graph=True)
            return of_u, None, *found
        with exact(u):
            d = laid_out_as(d, u)
            of_u, of_logits, of_units = native.of_se(u, d, call.gate, kept, of_u=needs[0])
            given = of_logits, of_units, *kept[:2]
            found = call.gate.of_parameters(*given, call.double.parameters, needs[2:])
        return of_u, None, *found
