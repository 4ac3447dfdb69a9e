"""Batch normalisation with SE or CBAM behind it, as few passes over the map, on a GPU.

Kept for the backward pass is the input u of the normalisation, which it keeps anyway, and numbers a
channel or a place. Forward, SE reads the map twice and CBAM three times, and each writes it once;
backward it is twice and three times, with the gradient. The small layers of a gate are PyTorch's.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.blocks.fused import triton_kernels as kernels
from visattn.blocks.fused.cbam import ByMeanAndMax
from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import Autocast, ByMean, Formula, gradients

FORMULAS: tuple[type[Formula], ...] = (ByMean, ByMeanAndMax)
"""Of the gates that can run like this."""

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Statistics:
    """How the normalisation is done: by the batch, or by running numbers.

    Attributes:
        of_batch: Whether mean and variance are those of u.
        mean: Of each channel (C,), float32.
        inverse: 1 / standard deviation (C,), float32.
        means: Of u, each channel of each map (N, C).
        extremes: Its maximum and minimum (N, C).
    """

    of_batch: bool
    mean: Tensor
    inverse: Tensor
    means: Tensor
    extremes: tuple[Tensor, Tensor]


def serves(formula: type[Formula], block: nn.Module, u: Tensor) -> bool:
    """Whether a gate of that formula can run like this on a map, as far as this GPU was seen."""
    kind: Any = type(block)
    return formula in FORMULAS and u.dtype in _TYPES and _agrees(formula, kind, u.device)


@cache
def _agrees(formula: Any, kind: Any, device: torch.device) -> bool:
    """Whether, on a small map, the kernels run on a device and give what the plain form gives."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        block = kind(24).to(device).requires_grad_(False)
        u = torch.randn(3, 24, 7, 5).to(device)
    norm = nn.BatchNorm2d(24, device=device)
    found = []
    try:
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for fused in (True, False):
                x = u.clone().requires_grad_()
                y = gate_after_norm(norm, block, x, formula) if fused else block.forward(norm(x))
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
    norm: nn.BatchNorm2d, block: nn.Module, u: Tensor, formula: type[Formula]
) -> Tensor:
    """``block(norm(u))`` for a gate, statistics of the normalisation updated.

    Args:
        norm: The normalisation.
        block: The gate.
        u: (N, C, H, W), float32, float16 or bfloat16.
        formula: The gate's, one of `FORMULAS`.
    """
    u = kernels.laid_out(u)
    with torch.no_grad():
        found = _statistics(norm, u)
    double = Double(block)
    now = Autocast.now(u.device.type)
    call = _Call(block, double, formula is ByMeanAndMax, found, norm.eps, now)
    y: Tensor = _GateAfterNorm.apply(u, norm.weight, norm.bias, call, *double.parameters)
    return y


@dataclass(frozen=True)
class _Call:
    block: nn.Module
    double: Double
    by_place: bool
    statistics: Statistics
    eps: float
    autocast: Autocast


@final
class _GateAfterNorm(torch.autograd.Function):
    """Gradients of gradients are taken through the plain form."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, weight: Tensor | None, bias: Tensor | None, call: _Call,
        *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        a, b = _affine(call.statistics, weight, bias)
        pooled = _pooled(call.statistics, a, b, u)
        with call.autocast():
            block: Any = call.block
            g = _channel_gate(block, pooled)
            places: tuple[Tensor, ...] = ()
            s = None
            if call.by_place:
                total, highest = kernels.place_pools(u, a, b, _flat(g))
                places = _planes((total / u.shape[1], highest), u)
                s = block.spatial.of_pooled(*places)
        ctx.call, ctx.kept = call, len(places)
        ctx.save_for_backward(u, weight, bias, *places, *parameters)
        return kernels.gated(u, a, b, _flat(g), None if s is None else _flat(s))

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
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


def _statistics(norm: Any, u: Tensor) -> Statistics:
    pivot = u[0, :, 0, 0].float().contiguous()
    sums, squares, *extremes = kernels.moments(u, pivot)
    count, places = u.numel() // u.shape[1], u.shape[2] * u.shape[3]
    of_batch = norm.training or norm.running_mean is None or norm.running_var is None
    if not of_batch:
        mean, variance = norm.running_mean.float(), norm.running_var.float()
    else:
        shift = sums.sum(0) / count
        mean, variance = pivot + shift, (squares.sum(0) / count - shift**2).clamp_(min=0)
        if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
            share = norm.momentum
            share = 1 / float(norm.num_batches_tracked) if share is None else share
            unbiased = variance * (count / (count - 1))
            for running, now in ((norm.running_mean, mean), (norm.running_var, unbiased)):
                running.lerp_(now.to(running.dtype), share)
    inverse = (variance + norm.eps).rsqrt()
    return Statistics(of_batch, mean, inverse, pivot + sums / places, (extremes[0], extremes[1]))


def _affine(found: Statistics, weight: Any, bias: Any) -> tuple[Tensor, Tensor]:
    a = found.inverse if weight is None else weight.float() * found.inverse
    return a, -found.mean * a if bias is None else bias.float() - found.mean * a


def _pooled(found: Statistics, a: Tensor, b: Tensor, u: Tensor) -> list[Tensor]:
    """Mean and maximum of x, (N, C, 1, 1), in the type that the plain form has them in."""
    values = a * found.means + b, kernels.tops(u, a, b, *found.extremes)
    return [value.to(u.dtype)[..., None, None] for value in values]


def _channel_gate(block: Any, pooled: list[Tensor]) -> Tensor:
    by_mean = hasattr(block, "of_mean")
    gate: Tensor = block.of_mean(pooled[0]) if by_mean else block.channel.of_pooled(*pooled)
    return gate


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
    found, (a, b) = call.statistics, _affine(call.statistics, weight, bias)
    affine, hw = (a, b, found.mean), u.shape[2] * u.shape[3]
    leaves = [p.detach().requires_grad_(p.requires_grad) for p in parameters]
    block: Any = call.double.holding(leaves)
    pooled = [t.requires_grad_() for t in _pooled(found, a, b, u)]
    top = _flat(pooled[1])
    with torch.enable_grad(), call.autocast():
        gate = _channel_gate(block, pooled)
    g = _flat(gate)
    of_places: tuple[Tensor, ...] = ()
    of_block: list[Any] = [None] * len(leaves)
    if places:
        planes = [t.detach().requires_grad_() for t in places]
        highest = _flat(planes[1])
        with torch.enable_grad(), call.autocast():
            s = block.spatial.of_pooled(*planes)
        of_s, ties = kernels.place_sums(u, d, a, b, g, highest)
        of_s = of_s.view_as(s).to(s.dtype)
        even, peak, *of_block = gradients(s, [*planes, *leaves], of_s, [True, True, *needs[3:]])
        of_places = _flat(s), _flat(even) / u.shape[1], highest, _flat(peak) / ties
    sums, products, count, tops = kernels.channel_sums(u, d, affine, g, of_places, top)
    shift = 0 if bias is None else bias.float()
    of_gate = (a * products + shift * sums).view_as(gate).to(gate.dtype)
    even, peak, *more = gradients(gate, [*pooled, *leaves], of_gate, [True, True, *needs[3:]])
    of_block = [y if x is None else x for x, y in zip(of_block, more, strict=True)]
    even = _flat(even)
    share = torch.zeros_like(even) if peak is None else _flat(peak) / count
    dx = g * sums + even
    product = g * products + even * (found.means - found.mean)
    if peak is not None:
        dx, product = dx + _flat(peak), product + share * tops
    first, second = dx.sum(0), product.sum(0)
    of_norm = torch.zeros_like(first), torch.zeros_like(first)
    if found.of_batch:
        total = u.shape[0] * hw
        of_norm = first / total, second * found.inverse**2 / total
    du = None
    if needs[0]:
        du = kernels.map_gradient(
            u, d, affine, g, of_places, (top, even / hw, share), of_norm
        )  # fmt: skip
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
        x = nn.functional.batch_norm(u, found.mean, variance, weight, bias, eps=call.eps)
    with call.autocast():
        y = call.double.holding(parameters).forward(x)
    inputs = [t for t in (u, weight, bias) if t is not None]
    asked = [n for n, t in zip(needs[:3], (u, weight, bias), strict=True) if t is not None]
    got = iter(gradients(y, [*inputs, *parameters], d, [*asked, *needs[3:]], create_graph=True))
    return [None if t is None else next(got) for t in (u, weight, bias, *parameters)]
