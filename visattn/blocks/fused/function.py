"""The autograd function of a gate: what it keeps, and how gradients are had from that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import Again, Autocast, Backward, Formula, gradients
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
        ctx.undo = None
        if call.source.is_kept:
            block = call.double.holding(tensors[call.kept :])
            ctx.undo = partial(call.formula.undo, block, y.detach(), few)
        if y is x:
            ctx.mark_dirty(x)
        ctx.call, ctx.few, ctx.ahead = call, len(few), None
        ctx.save_for_backward(*few, *tensors)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients for x and the parameters."""
        call, count = ctx.call, ctx.call.kept
        needs = [ctx.needs_input_grad[0], *ctx.needs_input_grad[2 + count :]]
        if torch.is_grad_enabled():
            _, kept, parameters = _saved(ctx)
            x = call.source.with_graph(kept)
            with call.autocast():
                y = call.double.holding(parameters).forward(x)
            found = gradients(y, [x, *parameters], d, needs, create_graph=True)
        else:
            given, ctx.ahead = ctx.ahead or _given(ctx), None
            found = call.formula.backward(replace(given, d=d, needs=needs))
        return found[0], None, *(None for _ in range(count)), *found[1:]


def run_again(node: Any) -> Tensor:
    """What the gate of a call of `Fused` gave; its backward pass will go on from there."""
    given = _given(node)
    ahead = Again.run(given)
    node.ahead = replace(given, ahead=ahead)
    return ahead[1].detach()


def _saved(node: Any) -> Sequence[tuple[Any, ...]]:
    """Of a call of `Fused`: a few numbers, what is kept of x, and parameters."""
    saved, few = node.saved_tensors, node.few
    end = few + node.call.kept
    return saved[:few], saved[few:end], saved[end:]


def _given(node: Any) -> Backward:
    """What a gradient is computed from."""
    call, (few, kept, parameters) = node.call, _saved(node)
    leaves = [p.detach().requires_grad_(p.requires_grad) for p in parameters]
    block = call.double.holding(leaves)
    return Backward(block, leaves, call.source, kept, few, call.autocast)
