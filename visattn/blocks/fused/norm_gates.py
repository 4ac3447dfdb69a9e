"""A gate of means and maxima with the batch normalisation before it, in few passes over the map.

Kept for the backward pass is the input u of the normalisation, which it keeps anyway, and numbers a
channel or a place. Forward, SE reads the map twice and CBAM three times, and each writes it once;
backward it is twice and three times, with the gradient. On a CPU the statistics of a batch are two
reads before that, for PyTorch's bits. The passes are those of a module:
`visattn.blocks.fused.native` on a CPU, `visattn.blocks.fused.triton_kernels` on a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused.channels import Channels, Norm, affine_of, channels_of
from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import (
    Autocast,
    ByMeanAndMax,
    Formula,
    exact,
    gradients,
    laid_out_as,
)
from visattn.blocks.fused.se import se
from visattn.blocks.fused.small_gates import Back, Kept, SmallGate
from visattn.blocks.fused.written_gates import channel_gate, place_gate


def gate_after_norm(
    norm: nn.BatchNorm2d | None, block: nn.Module, u: Tensor, formula: type[Formula], passes: Any,
    *, tracked: bool = True, fresh: bool = False,
) -> Tensor:  # fmt: skip
    """``block(norm(u))`` for a gate, statistics of the normalisation updated.

    Args:
        norm: The normalisation; None for a gate alone.
        block: The gate.
        u: (N, C, H, W), float32; by Triton float16 or bfloat16 too.
        formula: The gate's, one of `FORMULAS`.
        passes: The module whose passes are taken.
        tracked: Whether autograd follows the call.
        fresh: Whether u is nobody else's, and may be overwritten where nothing is kept.
    """
    u = passes.laid_out(u)
    by_place = formula is ByMeanAndMax
    given, now = None if norm is None else Norm.of(norm), Autocast.now(u.device.type)
    single = u.dtype is torch.float32 and not now.enabled
    gates = _gates(block, passes, u, by_place=by_place, single=single)
    if not tracked and is_at_rest(given, gates, passes):
        with torch.no_grad():
            return _at_rest(given, gates, u, passes, out=u if fresh else None)
    if tracked and given is None and not by_place and are_in_c(gates, passes):
        alone: Any = gates[0]
        return se(u, alone, block)
    with torch.no_grad():
        found = channels_of(given, u, passes, extremes=by_place, learner=norm)
    double = Double(block) if tracked else None
    parameters = [] if double is None else double.parameters
    call = Call(gates, found, 0.0 if given is None else given.eps, now, passes, parameters, double)
    if double is None:
        return forward(call, u, out=u if fresh else None)[0]
    of_norm = (None, None) if given is None else (given.weight, given.bias)
    y: Tensor = Fused.apply(u, *of_norm, call, *parameters)
    return y


def is_at_rest(norm: Norm | None, gates: Sequence[SmallGate], passes: Any) -> bool:
    """Whether a CBAM and the normalisation before it take nothing of the batch, and are ours."""
    if norm is not None and norm.running is None:
        return False
    return len(gates) > 1 and are_in_c(gates, passes) and gates[1].running is not None


def _at_rest(
    norm: Norm | None, gates: tuple[Any, ...], u: Tensor, passes: Any, *, out: Tensor | None
) -> Tensor:
    of_channels, of_places = gates
    tensors = *of_channels.parameters, *of_places.parameters, *of_places.running
    numbers = float(of_places.eps), *of_channels.range, *of_places.range
    given = affine_of(norm, u, passes), tensors, numbers
    y: Tensor = passes.cbam(u, *given, flipped=of_places.flipped, out=out)
    return y


def are_in_c(gates: Sequence[SmallGate], passes: Any) -> bool:
    """Whether gates can run between passes, in one call with them."""
    return hasattr(passes, "se") and all(g.is_written for g in gates)


def _gates(
    block: Any, passes: Any, u: Tensor, *, by_place: bool, single: bool
) -> tuple[SmallGate, ...]:
    """That of the channels, and of the places if there is one."""
    of_channels = channel_gate(block, single=single)
    if not by_place:
        return (of_channels,)
    places = u.numel() // u.shape[1]
    return of_channels, place_gate(block.spatial, passes, single=single, places=places)


@dataclass(frozen=True)
class Call:
    """All of a call that is no tensor which autograd follows.

    Attributes:
        gates: Of the channels, and of the places if there is one.
        channels: The normalisation.
        eps: Of it.
        autocast: What holds now.
        passes: The module of the passes.
        parameters: The block's, in the order in which their gradients are wanted.
        double: The block as it is now, for what is not written out.
    """

    gates: tuple[SmallGate, ...]
    channels: Channels
    eps: float
    autocast: Autocast
    passes: Any
    parameters: Sequence[Tensor]
    double: Double | None = None


def forward(
    call: Call, u: Tensor, *, out: Tensor | None = None
) -> tuple[Tensor, Tensor | None, list[Kept]]:
    """What the gate gives, what it sees of the places, and what each small gate keeps."""
    a, b, _ = call.channels.affine
    with call.autocast():
        value, kept = call.gates[0].run(_pooled(call, u))
        g = _flat(value.expand(*u.shape[:2], 1, 1))  # an error, where it doesn't fit the map
        if len(call.gates) == 1:
            alone = call.channels.mean is None
            y = torch.mul(u, value, out=out) if alone else call.passes.gated(u, a, b, g, None, out)
            return y, None, [kept]
        places = call.passes.place_pools(u, a, b, g).to(u.dtype)
        places = places.view(2, u.shape[0], 1, *u.shape[2:])
        value, more = call.gates[1].run(places)
    s = _flat(value.expand(len(u), 1, *u.shape[2:]))
    return call.passes.gated(u, a, b, g, s, out), places, [kept, more]


@final
class Fused(torch.autograd.Function):
    """Gradients of gradients are taken through the plain form."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, weight: Tensor | None, bias: Tensor | None, call: Call,
        *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        """Compute normalisation and gate without a graph."""
        y, places, kept = forward(call, u)
        ctx.call, ctx.counts = call, [len(few) for few in kept]
        few = [t for each in kept for t in each]
        ctx.save_for_backward(u, weight, bias, places, *few, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients for u, weight and bias of the normalisation, and the gate's parameters."""
        call = ctx.call
        u, weight, bias, places, *saved = ctx.saved_tensors
        kept = []
        for count in ctx.counts:
            kept.append(tuple(saved[:count]))
            saved = saved[count:]
        needs = [*ctx.needs_input_grad[:3], *ctx.needs_input_grad[4:]]
        if torch.is_grad_enabled():
            found = _plainly(call, u, weight, bias, saved, d, needs)
        else:
            with exact(u):
                given, d = Given(call, saved, kept, needs[3:]), laid_out_as(d, u)
                found = backward(given, (u, weight, bias), places, d, of_u=needs[0])
        return *found[:3], None, *found[3:]


def _pooled(call: Call, u: Tensor) -> Tensor:
    """Mean and maximum of x, (K, N, C, 1, 1), in the type that the plain form has them in."""
    return call.channels.pooled.to(u.dtype)[..., None, None]


def _flat(x: Any) -> Tensor:
    flat: Tensor = x.detach().float().reshape(x.shape[0], -1).contiguous()
    return flat


@dataclass(frozen=True)
class Given:
    """What the small gates need to run again."""

    call: Call
    saved: Sequence[Tensor]
    kept: Sequence[Kept]
    needs: Sequence[bool]

    def again(self, index: int, inputs: Tensor, u: Tensor) -> tuple[Tensor, Back]:
        """Of the channels (0) or the places (1)."""
        call, double = self.call, self.call.double
        gate = call.gates[index]
        if gate.is_written or double is None:
            return gate.again(inputs, self.kept[index], call.parameters, self.needs)
        leaves = [p.detach().requires_grad_(p.requires_grad) for p in self.saved]
        by_place = len(call.gates) > 1
        block = double.holding(leaves)
        gates = _gates(block, call.passes, u, by_place=by_place, single=False)
        with call.autocast():
            return gates[index].again(inputs, (), leaves, self.needs)


def backward(
    given: Given, inputs: tuple[Tensor, Any, Any], places: Tensor | None, d: Tensor, *, of_u: bool
) -> list[Tensor | None]:
    """The gradients for u, for weight and bias of the normalisation, and for the gate's parameters.

    Args:
        given: What the forward pass kept.
        inputs: U, weight and bias.
        places: What the gate of the places saw.
        d: The gradient for the gated map, laid out as u.
        of_u: Whether that for u is asked for.
    """
    u, weight, bias = inputs
    found, passes, hw = given.call.channels, given.call.passes, u.shape[2] * u.shape[3]
    a, b, _ = found.affine
    pooled = _pooled(given.call, u)
    value, back = given.again(0, pooled, u)
    g, top = _flat(value), _flat(pooled[-1])
    of_places: tuple[Tensor, ...] = ()
    of_block: list[Any] = [None] * len(given.needs)
    if places is not None:
        value, back_from_places = given.again(1, places, u)
        highest = _flat(places[1])
        of_s, ties = passes.place_sums(u, d, a, b, g, highest)
        at_place, of_block = back_from_places(of_s)
        mean, most = map(_flat, at_place)
        of_places = _flat(value), mean / u.shape[1], highest, most / ties
    sums, products, *tops = passes.channel_sums(u, d, found.affine, g, of_places, top)
    products, of_g = passes.of_gate(found, sums, products, bias)
    of_pooled, more = back(of_g)
    of_block = [y if x is None else x for x, y in zip(of_block, more, strict=True)]
    flat = [_flat(t) for t in of_pooled]
    even, share, *of_norm = passes.of_norm(found, hw, g, sums, products, flat, *tops)
    du = None
    if of_u:
        alone = found.mean is None
        read = d if alone and places is None else u  # which then counts for nothing
        of_channels = top, even, share
        du = passes.map_gradient(read, d, found.affine, g, of_places, of_channels, of_norm[:2])
    if found.mean is None:
        return [du, None, None, *of_block]
    of_weight, of_bias = of_norm[2:]
    return [
        du,
        None if weight is None else of_weight.to(weight.dtype),
        None if bias is None else of_bias.to(bias.dtype),
        *of_block,
    ]


def _plainly(
    call: Call, u: Tensor, weight: Tensor | None, bias: Tensor | None, parameters: list[Tensor],
    d: Tensor, needs: list[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients with a graph of their own."""
    found = call.channels
    if found.of_batch is not None:
        x = nn.functional.batch_norm(u, None, None, weight, bias, training=True, eps=call.eps)
    elif found.mean is None or found.inverse is None:
        x = u
    else:
        variance = found.inverse**-2 - call.eps
        mean = found.mean.float()
        x = nn.functional.batch_norm(u, mean, variance.float(), weight, bias, eps=call.eps)
    assert call.double is not None
    with call.autocast():
        y = call.double.holding(parameters).forward(x)
    inputs = [t for t in (u, weight, bias) if t is not None]
    asked = [n for n, t in zip(needs[:3], (u, weight, bias), strict=True) if t is not None]
    got = iter(gradients(y, [*inputs, *parameters], d, [*asked, *needs[3:]], create_graph=True))
    return [None if t is None else next(got) for t in (u, weight, bias, *parameters)]
