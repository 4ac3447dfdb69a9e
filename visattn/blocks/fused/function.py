"""The autograd function of a gate: what it keeps, and how gradients are had from that."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import Autocast, Backward, Formula, gradients
from visattn.blocks.fused.sources import Source


@dataclass(frozen=True)
class Call:
    """All of a call that is no tensor.

    Attributes:
        block: The gate.
        double: It as it is now, for the backward pass.
        formula: Of its kind.
        source: What x follows from.
        kept: How many tensors are kept of x.
        autocast: What holds now.
    """

    block: nn.Module
    double: Double
    formula: type[Formula]
    source: Source
    kept: int
    autocast: Autocast


@final
class Fused(torch.autograd.Function):
    """``y = gate(x)``, which keeps what x follows from and a few numbers a channel or place.

    Gradients of gradients are taken through the plain form, on x rebuilt with its graph.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, *tensors: Tensor) -> Tensor:
        """Compute the gate without a graph.

        Args:
            ctx: Of autograd.
            x: The map; overwritten unless it is what is kept.
            call: All that is no tensor.
            *tensors: What is kept of x, then the block's parameters.
        """
        with call.autocast():
            y, few = call.formula.forward(call.block, x, fresh=not call.source.is_kept)
        if y is x:
            ctx.mark_dirty(x)
        ctx.call, ctx.few = call, len(few)
        ctx.save_for_backward(*few, *tensors)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients for x and the parameters."""
        call, saved = ctx.call, ctx.saved_tensors
        few, kept = saved[: ctx.few], saved[ctx.few : ctx.few + call.kept]
        parameters = saved[ctx.few + call.kept :]
        needs = [ctx.needs_input_grad[0], *ctx.needs_input_grad[2 + call.kept :]]
        if torch.is_grad_enabled():
            x = call.source.with_graph(kept)
            with call.autocast():
                y = call.double.holding(parameters).forward(x)
            found = gradients(y, [x, *parameters], d, needs, create_graph=True)
        else:
            leaves = [p.detach().requires_grad_(p.requires_grad) for p in parameters]
            block = call.double.holding(leaves)
            given = Backward(d, block, leaves, needs, call.source, kept, few, call.autocast)
            found = call.formula.backward(given)
        return found[0], None, *(None for _ in kept), *found[1:]


def kept_apart(
    block: nn.Module, formula: type[Formula], x: Tensor, source: Source, kept: tuple[Any, ...]
) -> Tensor:
    """The gate of x by its formula, with what x follows from kept for the backward pass."""
    double = Double(block)
    call = Call(block, double, formula, source, len(kept), Autocast.now(x.device.type))
    y: Tensor = Fused.apply(x, call, *kept, *double.parameters)
    return y
