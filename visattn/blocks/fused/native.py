"""Passes over a map in C, where a compiler is at hand: an extra that nothing needs.

Without a compiler, or with ``VISATTN_NATIVE=0`` in the environment, PyTorch's passes run.
Images are shared out among as many threads as PyTorch uses.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visattn.blocks.fused.channels import Channels, Norm, affine_of_none
from visattn.blocks.fused.library import call as _call, library as _library, parts_of
from visattn.blocks.fused.rounding import at_rest, statistics as statistics
from visattn.blocks.fused.written_gates import Perceptron

LEAST, IN_TRAINING = 2**16, 2**12
"""Values of a map from which a gate takes these passes: in evaluation, where smaller ones keep the
bits of the plain form, so that a recording changes none, and in training."""
_WIDE = 16
"""Numbers in the widest registers."""


def is_native(x: Tensor, *, training: bool = False) -> bool:
    """Whether these passes can be had, and are taken, for a map."""
    return serves(x, training=training) and _library(last=not x.is_contiguous()) is not None


def serves(x: Tensor, *, training: bool = False) -> bool:
    """Whether they are taken for a map, where they can be had."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and x.numel() >= (min(LEAST, IN_TRAINING) if training else LEAST)
        and (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))
    )


def laid_out(u: Tensor) -> Tensor:
    """U as it is: these passes are for maps that lie in one of two ways, see `is_native`."""
    return u


def moments(u: Tensor, *, centred: bool, extremes: bool) -> tuple[Tensor, ...]:
    """Of each channel of each map (N, C): mean, what `statistics` needs, extremes.

    It needs nothing, whether ``centred`` or not; the extremes may be anything if nobody wants them.
    """
    means = u.new_empty(u.shape[:2], dtype=torch.float64)
    high, low = _channels(u), _channels(u)
    _run("moments", u, u, means, *((high, low) if extremes else (None, None)))
    return means, means, high, low


def exact_statistics(u: Tensor, means: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """As `statistics`, in one pass: without the bits that PyTorch gives, and nearer the truth."""
    mean = means.mean(0)
    middle, found = mean.float(), torch.empty_like(means)
    _run("squares", u, u, middle, found)
    each = found.mean(0) / (u.shape[2] * u.shape[3])
    return mean, each - (mean - middle) ** 2


def tops(u: Tensor, a: Tensor, b: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """The maximum of x in each channel of each map (N, C), with the bits that x has."""
    found = _channels(u)
    _run("tops", u, a, b, high, low, found)
    return found


def place_pools(u: Tensor, a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """Of each place: mean and maximum of z over the channels, (2, N, P)."""
    found = u.new_empty((2, u.shape[0], u.shape[2] * u.shape[3]))
    _run("place_pools", u, u, a, b, g, found[0], found[1])
    return found


def place_sums(
    u: Tensor, d: Tensor, a: Tensor, b: Tensor, g: Tensor, highest: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each place (N, P): the sum of d z, and how many channels have the maximum."""
    total, count = _places(u), _places(u)
    _run("place_sums", u, u, d, a, b, g, highest, total, count)
    return total, count


def gated(
    u: Tensor, a: Tensor, b: Tensor, g: Tensor, s: Tensor | None, out: Tensor | None = None
) -> Tensor:
    """``x g``, times a gate s (N, P) for each place if there is one; into ``out``, perhaps u."""
    y = torch.empty_like(u) if out is None else out
    _run("gated", u, u, a, b, g, s, y)
    return y


def channel_sums(
    u: Tensor, d: Tensor, affine: tuple[Tensor, ...], g: Tensor, of_places: tuple[Tensor, ...],
    top: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """As `visattn.blocks.fused.triton_kernels.channel_sums`."""
    found = tuple(_channels(u) for _ in range(4))
    _run("channel_sums", u, u, d, *affine, g, *(of_places or (None,) * 4), top, *found)
    return found


def map_gradient(
    u: Tensor, d: Tensor, affine: tuple[Tensor, ...], g: Tensor, of_places: tuple[Tensor, ...],
    of_channels: tuple[Tensor, ...], of_norm: tuple[Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """As `visattn.blocks.fused.triton_kernels.map_gradient`."""
    du = torch.empty_like(u)
    given = (u, d, *affine, g, *(of_places or (None,) * 4), *of_channels, *of_norm, du)
    _run("map_gradient", u, *given)
    return du


def affine(norm: Norm, means: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """As `visattn.blocks.fused.channels.affine`, with the bits that x has by PyTorch."""
    inverse, x_means = torch.empty_like(mean), torch.empty_like(means, dtype=torch.float32)
    if of_batch := norm.running is None:
        a, b = x_means.new_empty((2, len(mean))).unbind()
    else:
        a, b = at_rest(norm)
    made = inverse, a, b, x_means.new_empty(len(mean)), x_means
    given = means, mean, variance, norm.weight, norm.bias
    _of_channels("affine", means, (of_batch, float(norm.eps)), *given, *made)
    return made


def of_gate(
    found: Channels, sums: Tensor, products: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `visattn.blocks.fused.channels.of_gate`."""
    if found.mean is None:
        return products, products
    a, _, middle = found.affine
    of_gates = torch.empty_like(sums)
    _of_channels("of_gate", sums, (), found.mean, a, middle, bias, sums, products, of_gates)
    return products, of_gates


def of_norm(
    found: Channels, places: int, g: Tensor, sums: Tensor, products: Tensor,
    of_pooled: Sequence[Tensor], count: Tensor, tops: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """As `visattn.blocks.fused.channels.of_norm`."""
    even, share = torch.empty_like(sums), torch.empty_like(sums)
    of_channels = sums.new_empty((4, sums.shape[1])).unbind()
    room = sums.new_empty((2, sums.shape[1]), dtype=torch.float64)
    of_tops = of_pooled[1] if len(of_pooled) > 1 else None
    given = found.means, found.mean, found.inverse, g, sums, products, of_pooled[0], of_tops
    made = even, share, *of_channels
    numbers = places, found.of_batch is not None
    _of_channels("of_norm", sums, numbers, *given, count, tops, room[0], room[1], *made)
    return made


def se(u: Tensor, gate: Perceptron) -> tuple[Tensor, ...]:
    """SE in one call.

    Args:
        u: (N, C, H, W).
        gate: Of the means.

    Returns:
        The gated map; the means (N, C), the hidden units (N, R) and the sigmoids (N, C).
    """
    w1, w2, b1, b2 = _layers(gate.parameters, u)
    ones, zeros, _ = affine_of_none(u)
    y = torch.empty_like(u)
    mean, sigmoid, g = u.new_empty((3, *u.shape[:2])).unbind()
    units = u.new_empty((len(u), w1.shape[0]))
    means = u.new_empty(u.shape[:2], dtype=torch.float64)
    given = u, ones, zeros, w1, b1, w2, b2, means, mean, units, sigmoid, g, y
    _call("se", len(u), _perceptron_numbers(u, w1, gate), *given, **_shared(u))
    return y, mean, units, sigmoid


def of_se(
    u: Tensor, d: Tensor, gate: Perceptron, kept: Sequence[Tensor], *, of_u: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients for u of `se`, for its logits and for its units.

    Args:
        u: (N, C, H, W).
        d: The gradient for the gated map, laid out as u.
        gate: Of the means.
        kept: What `se` gave beside the map.
        of_u: Whether the gradient for u is asked for.
    """
    w1, w2, *_ = _layers(gate.parameters, u)
    ones, zeros, _ = affine_of_none(u)
    du = torch.empty_like(u) if of_u else None
    _, units, sigmoid = kept
    g, sums, of_logits, even = u.new_empty((4, *u.shape[:2])).unbind()
    of_units = torch.empty_like(units)
    given = u, d, ones, zeros, w1, w2, units, sigmoid
    made = g, sums, of_logits, of_units, even, du
    _call("of_se", len(u), _perceptron_numbers(u, w1, gate), *given, *made, **_shared(u))
    return du, of_logits, of_units


def cbam(
    u: Tensor, affine: tuple[Tensor, ...], tensors: Sequence[Any], numbers: Sequence[float],
    *, flipped: bool, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """CBAM behind a normalisation, where nothing is learnt, in one call.

    Args:
        u: (N, C, H, W).
        affine: a and b of the normalisation.
        tensors: Weights (R, C, 1, 1) and (C, R, 1, 1) and biases, if any, of the channels' gate;
            kernel (1, 2, K, K) of the places' gate, weight, bias, mean and variance of its
            normalisation.
        numbers: Its eps; scale and offset of the channels' and of the places' gate: floats.
        flipped: Whether the kernel takes the maximum before the mean.
        out: For the gated map, perhaps u.
    """
    y = torch.empty_like(u) if out is None else out  # before what is small: where one lay, one fits
    tensors = [*_layers(tensors[:4], u), tensors[4].contiguous(), *tensors[5:]]
    count, channels, height, width = u.shape
    hidden, side = tensors[0].shape[0], tensors[4].shape[-1]
    around = (height + side - 1) * (width + side - 1)
    needed = count * (6 * channels + hidden + 3 * height * width + 2 * around) + _WIDE
    room = u.new_empty(needed)
    numbers = count, channels, height, width, hidden, side, flipped, *numbers
    _call("cbam", count, numbers, u, *affine, *tensors, room, y, **_shared(u))
    return y


def _layers(parameters: Sequence[Any], u: Tensor) -> list[Any]:
    """Weights (R, C, 1, 1) and (C, R, 1, 1) and biases of a gate, checked and in one piece."""
    w1, w2, b1, b2 = parameters
    hidden, channels, *_ = w1.shape
    if channels != u.shape[1]:
        raise ValueError(f"a gate of {channels} channels can't take a map of {u.shape[1]}")
    if not (
        w1.numel() == w2.numel() == hidden * channels
        and (b1 is None or b1.numel() == hidden)
        and (b2 is None or b2.numel() == channels)
    ):
        shapes = ", ".join(str(p if p is None else tuple(p.shape)) for p in parameters)
        raise ValueError(f"a gate's layers don't fit, its weights and biases are {shapes}")
    return [None if p is None else p.contiguous() for p in parameters]


def _perceptron_numbers(u: Tensor, w1: Tensor, gate: Perceptron) -> tuple[float, ...]:
    count, channels, height, width = u.shape
    return count, channels, height * width, w1.shape[0], *gate.range


def convolved(planes: Tensor, kernel: Tensor) -> Tensor:
    """Planes (J, N, 1, H, W) by a kernel (1, J, K, K), K odd, with zeros around: (N, 1, H, W)."""
    y = torch.empty_like(planes[0])
    wide = _with_zeros_around(planes, kernel)
    _call("convolve", len(y), _sizes(planes, kernel), wide, kernel.contiguous(), y)
    return y


def of_convolved(d: Tensor, planes: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients for planes and kernel of `convolved`."""
    of_planes = torch.empty_like(planes)
    of_kernel = kernel.new_empty(planes.shape[1], *kernel.shape[1:])
    wide, wide_d = (_with_zeros_around(t, kernel) for t in (planes, d[None]))
    given = wide, kernel.contiguous(), wide_d, of_planes, of_kernel
    _call("of_convolve", planes.shape[1], _sizes(planes, kernel), *given)
    return of_planes, of_kernel.sum(0, keepdim=True)


def _with_zeros_around(planes: Tensor, kernel: Tensor) -> Tensor:
    """Planes (J, N, 1, H, W), zeros around each, and room to read behind the last."""
    around, (height, width) = kernel.shape[-1] // 2, planes.shape[3:]
    shape = *planes.shape[:2], height + 2 * around, width + 2 * around
    wide = planes.new_zeros(math.prod(shape) + _WIDE)
    within = wide[:-_WIDE].view(shape)[..., around : around + height, around : around + width]
    within.copy_(planes[:, :, 0])
    return wide


def _sizes(planes: Tensor, kernel: Tensor) -> tuple[int, ...]:
    count, images, _, height, width = planes.shape
    return images, count, height, width, kernel.shape[-1]


def _of_channels(
    name: str, of_maps: Tensor, numbers: tuple[float, ...], *given: Tensor | None
) -> None:
    """A function of `native.c` on numbers of channels; ``of_maps`` is (N, C)."""
    images, channels = of_maps.shape
    plain = (None if t is None else t.contiguous() for t in given)
    _call(name, channels, (images, channels, *numbers), *plain)


def _channels(u: Tensor) -> Tensor:
    """Room for a number per channel of each map."""
    return u.new_empty(u.shape[:2])


def _places(u: Tensor) -> Tensor:
    return u.new_empty((u.shape[0], u.shape[2] * u.shape[3]))


def _run(name: str, u: Tensor, *tensors: Tensor | None) -> None:
    """A function of `native.c` on all images of a map: maps lie as u does, all else contiguous."""
    count, channels, height, width = u.shape
    _call(name, count, (channels, height * width), *tensors, **_shared(u))


def _shared(u: Tensor) -> dict[str, Any]:
    """How images are shared out among threads, and which library is for them."""
    return {"parts": parts_of(len(u), u), "last": not u.is_contiguous()}
