"""A gate of means and maxima with the batch normalisation before it, in few passes over the map.

Kept for the backward pass is the input u of the normalisation, which it keeps anyway, and numbers a
channel or a place. Forward, SE reads the map twice and CBAM three times, and each writes it once;
backward it is twice and three times, with the gradient. The passes are those of a module:
`visattn.blocks.fused.native` on a CPU, `visattn.blocks.fused.triton_kernels` on a GPU.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused.cbam import ByMeanAndMax
from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import Autocast, ByMean, Formula, gradients
from visattn.blocks.fused.small_gates import channel_gate, place_gate

FORMULAS: tuple[type[Formula], ...] = (ByMean, ByMeanAndMax)
"""Of the gates that can run like this."""

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Statistics:
    """How the normalisation is done: by the batch, or by running numbers.

    Attributes:
        of_batch: Whether mean and variance are those of u.
        mean: Of each channel (C,), float32 or float64.
        inverse: 1 / standard deviation (C,), as the mean.
        means: Of u, each channel of each map (N, C), as the mean.
        extremes: Its maximum and minimum (N, C), where the gate reads the maximum.
        alone: There is no normalisation: x is u.
    """

    of_batch: bool
    mean: Tensor
    inverse: Tensor
    means: Tensor
    extremes: tuple[Tensor, Tensor]
    alone: bool = False


@cache
def _constants(channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Zeros and ones that nobody writes to."""
    with torch.inference_mode(False), torch.no_grad():
        return torch.zeros(channels, device=device), torch.ones(channels, device=device)


def serves(formula: type[Formula], block: nn.Module, u: Tensor) -> bool:
    """Whether a gate of that formula can run by Triton on a map, as far as this GPU was seen."""
    kind: Any = type(block)
    return formula in FORMULAS and u.dtype in _TYPES and _agrees(formula, kind, u.device)


@cache
def _agrees(formula: Any, kind: Any, device: torch.device) -> bool:
    """Whether, on a small map, the kernels run on a device and give what the plain form gives."""
    from visattn.blocks.fused import triton_kernels

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        block = kind(24).to(device).requires_grad_(False)
        u = torch.randn(3, 24, 7, 5).to(device)
    norm = nn.BatchNorm2d(24, device=device)
    found = []
    try:
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for fused in (True, False):
                x = u.clone().requires_grad_()
                y = (
                    gate_after_norm(norm, block, x, formula, triton_kernels)
                    if fused
                    else block.forward(norm(x))
                )
                found += [y.detach(), *torch.autograd.grad(y, x, u.flip(0))]
        same = all(torch.allclose(found[i], found[i + 2], rtol=1e-3, atol=1e-4) for i in (0, 1))
        fault = "they don't give what the plain form gives" if not same else ""
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        warnings.warn(
            f"visattn's Triton kernels for {kind.__name__} aren't used on {device}: {fault}",
            stacklevel=2,
        )
    return not fault


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
    with torch.no_grad():
        found = _statistics(norm, u, passes, extremes=by_place)
    weight, bias, eps = (None, None, 0.0) if norm is None else (norm.weight, norm.bias, norm.eps)
    now = Autocast.now(u.device.type)
    if not tracked:
        call = _Call(block, None, by_place, found, eps, now, passes)
        return _forward(call, u, weight, bias, out=u if fresh else None)[0]
    double = Double(block)
    call = _Call(block, double, by_place, found, eps, now, passes)
    y: Tensor = Fused.apply(u, weight, bias, call, *double.parameters)
    return y


@dataclass(frozen=True)
class _Call:
    block: Any
    double: Double | None
    by_place: bool
    statistics: Statistics
    eps: float
    autocast: Autocast
    passes: Any


def _forward(
    call: _Call, u: Tensor, weight: Tensor | None, bias: Tensor | None, *, out: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the gate gives, and what it keeps of the places."""
    a, b, means = _affine(call.statistics, weight, bias)
    pooled = _pooled(call, a, b, means, u)
    with torch.no_grad(), call.autocast():
        g = _flat(channel_gate(call.block, pooled[: 1 + call.by_place]).value)
        if not call.by_place:
            return call.passes.gated(u, a, b, g, None, out), ()
        total, highest = call.passes.place_pools(u, a, b, g)
        places = _planes((total / u.shape[1], highest), u)
        s = place_gate(call.block.spatial, places, call.passes).value
    return call.passes.gated(u, a, b, g, _flat(s), out), places


@final
class Fused(torch.autograd.Function):
    """Gradients of gradients are taken through the plain form."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, weight: Tensor | None, bias: Tensor | None, call: _Call,
        *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        """Compute normalisation and gate without a graph."""
        y, places = _forward(call, u, weight, bias)
        ctx.call, ctx.kept = call, len(places)
        ctx.save_for_backward(u, weight, bias, *places, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients for u, weight and bias of the normalisation, and the gate's parameters."""
        call = ctx.call
        u, weight, bias, *saved = ctx.saved_tensors
        places, parameters = saved[: ctx.kept], saved[ctx.kept :]
        needs = [*ctx.needs_input_grad[:3], *ctx.needs_input_grad[4:]]
        if torch.is_grad_enabled():
            found = _plainly(call, u, weight, bias, parameters, d, needs)
        else:
            d = d.contiguous(memory_format=_format(u)).to(u.dtype)
            found = _backward(call, (u, weight, bias), parameters, places, d, needs)
        return *found[:3], None, *found[3:]


def _statistics(norm: Any, u: Tensor, passes: Any, *, extremes: bool) -> Statistics:
    of_batch = norm is not None and (
        norm.training or norm.running_mean is None or norm.running_var is None
    )
    means, squares, high, low = passes.moments(u, centred=of_batch, extremes=extremes)
    if norm is None:
        zeros, ones = _constants(u.shape[1], u.device)
        return Statistics(False, zeros, ones, means, (high, low), alone=True)
    if not of_batch:
        mean, variance = norm.running_mean.to(means), norm.running_var.to(means)
    else:
        count, places = u.numel() // u.shape[1], u.shape[2] * u.shape[3]
        mean = means.mean(0)
        variance = (squares + places * (means - mean) ** 2).sum(0) / count
        if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
            share = norm.momentum
            share = 1 / float(norm.num_batches_tracked) if share is None else share
            unbiased = variance * (count / (count - 1))
            for running, now in ((norm.running_mean, mean), (norm.running_var, unbiased)):
                running.lerp_(now.to(running.dtype), share)
    inverse = (variance + norm.eps).rsqrt()
    return Statistics(of_batch, mean, inverse, means, (high, low))


def _affine(found: Statistics, weight: Any, bias: Any) -> tuple[Tensor, Tensor, Tensor]:
    """``x = a u + b``, and x's mean in each channel of each map (N, C)."""
    if found.alone:
        return found.inverse, found.mean, found.means
    a = found.inverse if weight is None else weight.detach() * found.inverse
    shift = 0 if bias is None else bias.detach()
    means = (found.means - found.mean) * a + shift
    return a.float(), (shift - found.mean * a).float(), means


def _pooled(call: _Call, a: Tensor, b: Tensor, means: Tensor, u: Tensor) -> list[Tensor]:
    """Mean and maximum of x, (N, C, 1, 1), in the type that the plain form has them in."""
    values = [means]
    if call.by_place:
        values.append(call.passes.tops(u, a, b, *call.statistics.extremes))
    return [value.to(u.dtype)[..., None, None] for value in values]


def _planes(values: tuple[Tensor, Tensor], u: Tensor) -> tuple[Tensor, ...]:
    """(N, P) as (N, 1, H, W) in the map's type."""
    return tuple(v.to(u.dtype).view(u.shape[0], 1, *u.shape[2:]) for v in values)


def _flat(x: Any) -> Tensor:
    flat: Tensor = x.detach().float().reshape(x.shape[0], -1).contiguous()
    return flat


def _format(u: Tensor) -> torch.memory_format:
    return torch.contiguous_format if u.is_contiguous() else torch.channels_last


def _backward(
    call: _Call, inputs: tuple[Tensor, Any, Any], parameters: list[Tensor],
    places: list[Tensor], d: Tensor, needs: list[bool],
) -> list[Tensor | None]:  # fmt: skip
    u, weight, bias = inputs
    found, (a, b, means) = call.statistics, _affine(call.statistics, weight, bias)
    affine, hw, passes = (a, b, found.mean.float()), u.shape[2] * u.shape[3], call.passes
    leaves = [p.detach().requires_grad_(p.requires_grad) for p in parameters]
    block: Any = call.double.holding(leaves) if call.double is not None else None
    pooled = _pooled(call, a, b, means, u)
    with call.autocast():
        gate = channel_gate(block, pooled, leaves, needs[3:])
    g, top = _flat(gate.value), _flat(pooled[-1])
    of_places: tuple[Tensor, ...] = ()
    of_block: list[Any] = [None] * len(leaves)
    if places:
        with call.autocast():
            s = place_gate(block.spatial, tuple(places), passes, leaves, needs[3:])
        highest = _flat(places[1])
        of_s, ties = passes.place_sums(u, d, a, b, g, highest)
        at_place, of_block = s.gradients(of_s)
        mean, most = map(_flat, at_place)
        of_places = _flat(s.value), mean / u.shape[1], highest, most / ties
    sums, products, count, tops = passes.channel_sums(u, d, affine, g, of_places, top)
    if not found.alone:
        products = (products + (affine[2] - found.mean) * sums).float()  # the mean was rounded
    of_gate = products if found.alone else a * products
    of_pooled, more = gate.gradients(of_gate if bias is None else of_gate + bias.float() * sums)
    of_block = [y if x is None else x for x, y in zip(of_block, more, strict=True)]
    even = _flat(of_pooled[0])
    peak = _flat(of_pooled[1]) if places else None
    share = torch.zeros_like(even) if peak is None else peak / count
    zeros = _constants(u.shape[1], u.device)[0]
    of_norm = zeros, zeros
    if not found.alone:
        dx = g * sums + even
        product = g * products + even * (found.means - found.mean).float()
        if peak is not None:
            dx, product = dx + peak, product + share * tops
        first, second = dx.sum(0), product.sum(0)
    if found.of_batch:
        total = u.shape[0] * hw
        of_norm = first / total, (second * found.inverse**2 / total).float()
    du = None
    if needs[0]:
        read = d if found.alone and not places else u  # which then counts for nothing
        du = passes.map_gradient(read, d, affine, g, of_places, (top, even / hw, share), of_norm)
    if found.alone:
        return [du, None, None, *of_block]
    of_weight = None if weight is None else (second * found.inverse).to(weight.dtype)
    return [du, of_weight, None if bias is None else first.to(bias.dtype), *of_block]


def _plainly(
    call: _Call, u: Tensor, weight: Tensor | None, bias: Tensor | None, parameters: list[Tensor],
    d: Tensor, needs: list[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients with a graph of their own."""
    found = call.statistics
    if found.of_batch:
        x = nn.functional.batch_norm(u, None, None, weight, bias, training=True, eps=call.eps)
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
