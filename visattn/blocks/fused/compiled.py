"""CBAM behind a batch normalisation as an operator that `torch.compile` leaves as it is.

Inductor writes more passes over the map than `visattn.blocks.fused.native` needs, so in compiled
code for a CPU these run as operators: one for the gate, one for its gradient, which computes what
it needs of the places again from the map and keeps nothing but that.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.blocks.fused import native
from visattn.blocks.fused.bare import is_plain, layers_are_pytorchs, stays_bare
from visattn.blocks.fused.channels import (
    Channels,
    Norm,
    affine_of,
    affine_of_none,
    channels_of,
    learn,
)
from visattn.blocks.fused.formulas import Autocast
from visattn.blocks.fused.library import library
from visattn.blocks.fused.norm_gates import Call, Given, backward, forward
from visattn.blocks.fused.small_gates import Range
from visattn.blocks.fused.written_gates import (
    Convolution,
    Perceptron,
    is_convolution,
    is_perceptron,
)

AT_REST, TRAINING = 2**14, 2**19
"""Values of a map from which the operators pay: a call has its price, most of all in training."""


def serves(norm: nn.BatchNorm2d | None, block: Any, u: Tensor) -> bool:
    """Whether the operators can run a CBAM behind a normalisation, and pay, on a map.

    Asked in code that is being compiled, where each look at an object is a guard that every later
    call waits for: parts are named, none is looked at twice.
    """
    channel, spatial = block.channel, block.spatial
    if not (
        native.serves(u, training=True)
        and not torch.is_autocast_enabled("cpu")
        and is_perceptron(channel)
        and is_convolution(spatial)
    ):
        return False
    first, second, conv, bn = channel.fc1, channel.fc2, spatial.conv, spatial.bn
    layers = [block, channel, first, channel.activation, second, channel.gate]
    layers += [spatial, conv, bn, spatial.gate, *(() if norm is None else (norm,))]
    parameters = [first.weight, first.bias, second.weight, second.bias, conv.weight]
    parameters += [bn.weight, bn.bias, *(() if norm is None else (norm.weight, norm.bias))]
    parameters = [p for p in parameters if p is not None]
    norms = [bn] if norm is None else [bn, norm]
    at_rest = not any(each.training for each in norms) and not _is_tracked(u, parameters)
    return (
        u.numel() >= (AT_REST if at_rest else TRAINING)
        and _is_compiled(not u.is_contiguous())
        and _layers_are_pytorchs()
        and None not in (F.conv2d, F.batch_norm, F.relu)  # looked at: they may be replaced later
        and all(stays_bare(layer) for layer in layers)
        and all(is_plain(p) and p.dtype is torch.float32 for p in parameters)
        and first.weight.shape[1] == u.shape[1]
        and (norm is None or norm.num_features == u.shape[1])
        and all(each.momentum is not None for each in norms)
        and all(each.training or each.running_mean is not None for each in norms)
    )


def _compiles(last: bool) -> bool:
    return library(last=last) is not None


_is_compiled: Callable[[bool], bool] = torch.compiler.assume_constant_result(_compiles)
_layers_are_pytorchs: Callable[[], bool] = torch.compiler.assume_constant_result(
    layers_are_pytorchs
)


def cbam_after_norm(norm: nn.BatchNorm2d | None, block: Any, u: Tensor) -> Tensor:
    """``block(norm(u))`` of modules that `serves` was asked for; both normalisations learn."""
    places = u.numel() // u.shape[1]
    first, second, spatial = block.channel.fc1, block.channel.fc2, block.spatial
    gates = [
        first.weight, second.weight, _or(first.bias, 0, u, first.out_channels),
        _or(second.bias, 0, u, second.out_channels),
        spatial.conv.weight, spatial.bn.weight, spatial.bn.bias,
    ]  # fmt: skip
    numbers = [spatial.bn.eps]
    for gate in (block.channel.gate, spatial.gate):
        numbers += [gate.scale, gate.offset]
    norms, before = [spatial.bn], []
    if norm is not None:
        norms.append(norm)
        numbers.append(norm.eps)
        before = [_or(norm.weight, 1, u, u.shape[1]), _or(norm.bias, 0, u, u.shape[1])]
    learning = [each.running_mean is None or (each.training and places > 1) for each in norms]
    known = [[each.running_mean, each.running_var] for each in norms]
    if not any(learning) and not _is_tracked(u, [*gates, *before]):
        tensors: list[Any] = [*gates, *known[0], *before]
        if norm is not None:
            tensors += known[1]
        at_rest: Tensor = _CBAM_AT_REST(u, tensors, spatial.max_first, numbers)
        return at_rest
    tensors = [*gates, *before]
    for these, now in zip(known, learning, strict=True):
        tensors += [] if now else these
    y, *found = _CBAM(u, tensors, learning, spatial.max_first, numbers)
    with torch.no_grad():
        for k, each in enumerate(norms):
            if learning[k]:
                learn(each, found[2 * k], found[2 * k + 1], places)
    out: Tensor = y
    return out


def _is_tracked(u: Tensor, parameters: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in (u, *parameters))


def _or(parameter: Tensor | None, value: float, u: Tensor, count: int) -> Tensor:
    return u.new_full((count,), value) if parameter is None else parameter


def _parameters(tensors: Sequence[Tensor], learning: Sequence[bool]) -> Sequence[Tensor]:
    """Those that gradients are for."""
    return tensors[: 5 + 2 * len(learning)]


def _gates(
    tensors: Sequence[Tensor], learning: Sequence[bool], flipped: bool, numbers: Sequence[float]
) -> tuple[Perceptron, Convolution]:
    scale, offset, *of_places = numbers[1:5]
    first = len(_parameters(tensors, learning))
    known = None if learning[0] else (tensors[first], tensors[first + 1])
    return (
        Perceptron(tensors[:4], Range(scale, offset)),
        Convolution(tensors[4:7], known, numbers[0], Range(*of_places), native, flipped=flipped),
    )


def _norm(
    tensors: Sequence[Tensor], learning: Sequence[bool], numbers: Sequence[float]
) -> Norm | None:
    if len(learning) == 1:
        return None
    known = None if learning[1] else (tensors[-2], tensors[-1])
    return Norm(tensors[7], tensors[8], numbers[5], known)


def _laid_out(u: Tensor) -> Tensor:
    """As the passes read it, whoever rearranged the map meanwhile."""
    known = u.is_contiguous() or u.is_contiguous(memory_format=torch.channels_last)
    return u if known else u.contiguous()


_LIBRARY = torch.library.Library("visattn", "FRAGMENT")
_GIVEN = "Tensor u, Tensor[] tensors, bool[] learning, bool flipped, float[] numbers"
_KEPT = 11
_NAME = "cbam_" + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
"""New with every change: inductor's cache on disk knows operators by their names alone."""
_TAGS = (torch.Tag.flexible_layout,)
"""Inductor lays a map out as its convolutions like it, and would copy it otherwise."""
for _schema in (
    f"{_NAME}({_GIVEN}) -> ({', '.join(['Tensor'] * (_KEPT + 3))})",
    f"{_NAME}_at_rest(Tensor u, Tensor[] tensors, bool flipped, float[] numbers) -> Tensor",
    f"{_NAME}_backward(Tensor d, Tensor[] kept, {_GIVEN}) -> Tensor[]",
):
    _LIBRARY.define(_schema, tags=_TAGS)


@torch.library.impl(_LIBRARY, _NAME, "CPU")
def _cbam(
    u: Tensor, tensors: Sequence[Tensor], learning: Sequence[bool], flipped: bool,
    numbers: Sequence[float],
) -> tuple[Tensor, ...]:  # fmt: skip
    """The gated map, and numbers that the backward pass needs.

    Args:
        u: (N, C, H, W), float32, on a CPU.
        tensors: Weights (R, C, 1, 1) and (C, R, 1, 1) and biases of the channels' gate; kernel
            (1, 2, K, K), weight and bias of the places' gate; weight and bias of the normalisation
            before the block, if there is one. Then mean and variance of the places' normalisation
            and of that before the block, each unless it takes those of the batch. One list: two
            take the dispatcher longer.
        learning: Whether they do.
        flipped: Whether the kernel takes the maximum before the mean.
        numbers: eps of the places' normalisation; scale and offset of the channels' and of the
            places' gate; eps of the normalisation before the block.

    Returns:
        The gated map; mean and variance of the places and of the normalisation, empty unless they
        are those of the batch; the rest of `Channels`, empty without a normalisation; what both
        gates see; what that of the channels keeps.
    """
    x = _laid_out(u)
    norm = _norm(tensors, learning, numbers)
    exact = native.exact_statistics  # inductor's code has no bits to agree with
    channels = channels_of(norm, x, native, extremes=True, statistics=exact)
    gates = _gates(tensors, learning, flipped, numbers)
    call = Call(gates, channels, 0.0, Autocast.now("cpu"), native, tensors[:7])
    y, places, kept = forward(call, x)
    of_norm: tuple[Any, ...] = (None,) * 4
    if channels.inverse is not None:  # a, b and the mean share memory, which outputs may not
        of_norm = channels.inverse, *(t.clone() for t in channels.affine)
    of_places: Any = gates[1]
    of_batches = *(of_places.of_batch or (None,) * 2), *(channels.of_batch or (None,) * 2)
    some = *of_batches, channels.means, *of_norm, channels.pooled, places, *kept[0]
    y = y if x is u else torch.empty_like(u).copy_(y)
    return y, *(u.new_empty(0) if t is None else t.reshape(t.shape or 1) for t in some)


def _cbam_fake(
    u: Tensor, tensors: Sequence[Tensor], learning: Sequence[bool], flipped: bool,
    numbers: Sequence[float],
) -> tuple[Tensor, ...]:  # fmt: skip
    images, channels, height, width = u.shape
    double, norm = torch.float64, len(learning) > 1
    of_batch = channels if norm and learning[1] else 0
    of_norm = channels if norm else 0
    return (
        torch.empty_like(u),
        *(u.new_empty(int(learning[0])) for _ in range(2)),
        *(u.new_empty(of_batch, dtype=double if of_batch else u.dtype) for _ in range(2)),
        u.new_empty((images, channels), dtype=double),
        u.new_empty(of_norm, dtype=double if norm else u.dtype),
        *(u.new_empty(of_norm) for _ in range(3)),
        u.new_empty((2, images, channels)),
        u.new_empty((2, images, 1, height, width)),
        u.new_empty((2 * images, tensors[0].shape[0])),
        u.new_empty((images, channels)),
    )


@torch.library.impl(_LIBRARY, f"{_NAME}_at_rest", "CPU")
def _cbam_at_rest(
    u: Tensor, tensors: Sequence[Tensor], flipped: bool, numbers: Sequence[float]
) -> Tensor:
    """The gated map, where nothing is learnt; as above, but all of the gates comes first."""
    x, norm = _laid_out(u), None
    if len(tensors) > 9:
        weight, bias, *known = tensors[9:]
        norm = Norm(weight, bias, numbers[5], (known[0], known[1]))
    given = tensors[:9], numbers[:5]
    y = native.cbam(x, affine_of(norm, x, native), *given, flipped=flipped)
    return y if x is u else torch.empty_like(u).copy_(y)


def _cbam_at_rest_fake(u: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(u)


@torch.library.impl(_LIBRARY, f"{_NAME}_backward", "CPU")
def _cbam_backward(
    d: Tensor, kept: Sequence[Tensor], u: Tensor, tensors: Sequence[Tensor],
    learning: Sequence[bool], flipped: bool, numbers: Sequence[float],
) -> list[Tensor]:  # fmt: skip
    """The gradients for u and the parameters, of one for the gated map."""
    x = _laid_out(u)
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    d = d.contiguous(memory_format=layout)
    mean, variance, means, inverse, a, b, middle, pooled, places, units, g = kept
    if len(learning) == 1:
        channels = Channels(None, means, None, None, affine_of_none(x), pooled)
    else:
        of_batch = (mean, variance) if learning[1] else None
        mean = mean if learning[1] else tensors[-2].double()
        channels = Channels(of_batch, means, mean, inverse, (a, b, middle), pooled)
    gates = _gates(tensors, learning, flipped, numbers)
    call = Call(gates, channels, 0.0, Autocast.now("cpu"), native, tensors[:7])
    given = Given(call, (), [(units, g), ()], [True] * 7)
    parameters = _parameters(tensors, learning)
    of_norm = tuple(parameters[7:])
    inputs = (x, *(of_norm or (None, None)))
    found: Any = backward(given, inputs, places, d, of_u=True)
    found = [found[0], *found[3:], *found[1 : 1 + len(of_norm)]]
    of_u, *of_parameters = found
    of_u = of_u if x is u else torch.empty_like(u).copy_(of_u)
    # copies, since they may share memory, as outputs may not
    pairs = zip(parameters, of_parameters, strict=True)
    return [of_u, *(torch.empty_like(p).copy_(t.reshape(p.shape)) for p, t in pairs)]


def _cbam_backward_fake(
    d: Tensor, kept: Any, u: Tensor, tensors: Sequence[Tensor], learning: Sequence[bool], *_: Any
) -> list[Tensor]:
    return [torch.empty_like(t) for t in (u, *_parameters(tensors, learning))]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    u, tensors, *ctx.rest = inputs
    ctx.save_for_backward(*output[-_KEPT:], u, *tensors)


def _back(ctx: Any, d: Tensor, *_: Any) -> tuple[Any, ...]:
    kept, (u, *tensors) = ctx.saved_tensors[:_KEPT], ctx.saved_tensors[_KEPT:]
    du, *found = _OF_CBAM(d, kept, u, tensors, *ctx.rest)
    return du, [*found, *[None] * (len(tensors) - len(found))], None, None, None


for _name, _fake in (
    (_NAME, _cbam_fake),
    (f"{_NAME}_at_rest", _cbam_at_rest_fake),
    (f"{_NAME}_backward", _cbam_backward_fake),
):
    torch.library.register_fake(f"visattn::{_name}", _fake, lib=_LIBRARY)
torch.library.register_autograd(f"visattn::{_NAME}", _back, setup_context=_save, lib=_LIBRARY)
_CBAM = getattr(torch.ops.visattn, _NAME)
_CBAM_AT_REST = getattr(torch.ops.visattn, f"{_NAME}_at_rest")
_OF_CBAM = getattr(torch.ops.visattn, f"{_NAME}_backward")
