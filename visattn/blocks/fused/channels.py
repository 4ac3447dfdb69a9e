"""The numbers of a channel that a normalisation and a gate behind it need, by PyTorch.

Sums that nearly cancel are taken in double precision. `visattn.blocks.fused.native` has the same
functions in C: they are some forty operations on few numbers, most of the time of a small map.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Norm:
    """What a batch normalisation computes with.

    Attributes:
        weight: (C,), or None.
        bias: (C,), or None.
        eps: Added to the variance.
        running: Mean and variance (C,); None where those of the batch are taken.
    """

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    running: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "Norm":
        """Those of a module as it is now."""
        mean, variance = norm.running_mean, norm.running_var
        known = None if norm.training or mean is None or variance is None else (mean, variance)
        return cls(norm.weight, norm.bias, norm.eps, known)


@dataclass(frozen=True)
class Channels:
    """A normalisation at work, ``x = a u + b``.

    Attributes:
        of_batch: Mean and variance (C,), float64, where they are those of u; else None.
        means: Of u, each channel of each map (N, C), float64.
        mean: Of each channel (C,), float64; None without a normalisation, where x is u.
        inverse: 1 / standard deviation (C,), float64; None without.
        affine: a, b and the mean (C,), float32.
        pooled: Of x, the mean of each channel of each map, and its maximum where the gate reads it:
            (1 or 2, N, C), float32.
    """

    of_batch: tuple[Tensor, Tensor] | None
    means: Tensor
    mean: Tensor | None
    inverse: Tensor | None
    affine: tuple[Tensor, Tensor, Tensor]
    pooled: Tensor


def statistics(
    u: Tensor, means: Tensor, squares: Tensor, learner: nn.BatchNorm2d | None
) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) in float64 of all maps.

    Args:
        u: The maps (N, C, H, W).
        means: Of each channel of each map (N, C).
        squares: The sums of the squares of what lies off them.
        learner: The normalisation whose running statistics follow, if any do.
    """
    means, places = means.double(), u[0, 0].numel()
    mean = means.mean(0)
    variance = (squares + places * (means - mean) ** 2).mean(0) / places
    if learner is not None:
        learn(learner, mean, variance, len(means) * places)
    return mean, variance


def affine(norm: Norm, means: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """1 / standard deviation in float64, a, b and the mean in float32 (C,), x's means (N, C)."""
    inverse = (variance + norm.eps).rsqrt()
    a = inverse if norm.weight is None else norm.weight.detach() * inverse
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach().double()
    x_means = (means - mean) * a + shift
    return inverse, a.float(), (shift - mean * a).float(), mean.float(), x_means.float()


def of_gate(
    found: Channels, sums: Tensor, products: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sums over a map of its gradient times u - mean, and times x: (N, C).

    Args:
        found: The normalisation.
        sums: Of the gradient.
        products: Of the gradient times u less the mean as it was rounded.
        bias: Of the normalisation.
    """
    if found.mean is None:
        return products, products
    products = products + (found.affine[2] - found.mean) * sums
    times_x = found.affine[0] * products
    return products, (times_x if bias is None else times_x + bias * sums).float()


def of_norm(
    found: Channels, places: int, g: Tensor, sums: Tensor, products: Tensor,
    of_pooled: list[Tensor], count: Tensor, tops: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `map_gradient` takes of the channels, and the gradients for weight and bias (C,).

    Args:
        found: The normalisation.
        places: Of a map.
        g: The gates (N, C).
        sums: See `of_gate`.
        products: From there.
        of_pooled: The gradients for `Channels.pooled`.
        count: How many places have the maximum (N, C).
        tops: The sum of u - mean over these.

    Returns:
        The even part and the share of a maximum (N, C); what the normalisation takes off,
        altogether and for each u - mean (C,); the gradients for weight and bias.
    """
    even = of_pooled[0]
    share = of_pooled[1] / count if len(of_pooled) > 1 else torch.zeros_like(even)
    if found.mean is None or found.inverse is None:
        zeros = torch.zeros_like(found.affine[0])
        return even / places, share, zeros, zeros, zeros, zeros
    dx = g * sums + sum(of_pooled)
    product = g * products + even * (found.means - found.mean)
    if len(of_pooled) > 1:
        product = product + share * tops
    first, second = dx.double().sum(0), product.sum(0)
    taken = torch.zeros_like(first), torch.zeros_like(second)
    if found.of_batch is not None:
        total = len(even) * places
        taken = first / total, second * found.inverse**2 / total
    whole: list[Any] = [*taken, second * found.inverse, first]
    return even / places, share, *(t.float() for t in whole)


def learn(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let a normalisation's running statistics follow those of a batch, if it is to.

    Args:
        norm: The normalisation.
        mean: Of the batch, each channel.
        variance: The same, over ``count``.
        count: Numbers a channel.
    """
    share = share_of(norm)
    if share is None:
        return
    unbiased = variance * (count / (count - 1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), share)


def share_of(norm: Any) -> float | None:
    """The share in running statistics of a batch, which is counted; None if they don't follow."""
    if not (norm.training and norm.track_running_stats) or norm.num_batches_tracked is None:
        return None
    norm.num_batches_tracked += 1
    share: float | None = norm.momentum
    return 1 / float(norm.num_batches_tracked) if share is None else share


def channels_of(
    norm: Norm | None, u: Tensor, passes: Any, *, extremes: bool,
    learner: nn.BatchNorm2d | None = None, statistics: Any = None,
) -> Channels:  # fmt: skip
    """The normalisation of a map.

    Args:
        norm: Its numbers; None for a gate alone.
        u: The map.
        passes: As for `gate_after_norm`.
        extremes: Whether the gate reads maxima.
        learner: The normalisation itself, if its running statistics are to follow.
        statistics: Those of a batch; that of the passes if not given.
    """
    of_u = norm is not None and norm.running is None
    means, squares, *both = passes.moments(u, centred=of_u, extremes=extremes)
    means, of_batch = means.double(), None
    if norm is None:
        pooled = _stacked(means.float(), both[0] if extremes else None)
        return Channels(None, means, None, None, affine_of_none(u), pooled)
    if norm.running is None:
        statistics = statistics or passes.statistics
        of_batch = mean, variance = statistics(u, means, squares, learner)
    else:
        mean, variance = (t.double() for t in norm.running)
    inverse, a, b, middle, x_means = passes.affine(norm, means, mean, variance)
    pooled = _stacked(x_means, passes.tops(u, a, b, *both) if extremes else None)
    return Channels(of_batch, means, mean, inverse, (a, b, middle), pooled)


def _stacked(mean: Tensor, highest: Tensor | None) -> Tensor:
    return mean[None] if highest is None else torch.stack((mean, highest))


def affine_of(norm: Norm | None, u: Tensor, passes: Any) -> tuple[Tensor, ...]:
    """Of a normalisation that takes nothing of the batch, a and b; without one, of x = u."""
    if norm is None:
        return affine_of_none(u)[:2]
    found: tuple[Tensor, ...] = passes.at_rest(norm)
    return found


def affine_of_none(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`Channels.affine` where x is u."""
    zeros, ones = constants(u.shape[1], u.device)
    return ones, zeros, zeros


@cache
def constants(channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Zeros and ones that nobody writes to."""
    with torch.inference_mode(False), torch.no_grad():
        zeros = torch.zeros(channels, device=device, dtype=torch.float32)
        return zeros, torch.ones_like(zeros)
