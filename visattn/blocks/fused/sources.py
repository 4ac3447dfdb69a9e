"""The map that a gate reads, and what of it is kept for the backward pass."""

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kept = tuple[Any, ...]
"""Tensors, or None for a weight that isn't there."""


class Source(Protocol):
    """How a map x (N, C, H, W) follows from the tensors that are kept of it."""

    @property
    def is_kept(self) -> bool:
        """Whether x itself is kept: it must not be changed, and its maxima stay the same."""

    def rebuilt(self, kept: Kept) -> Tensor:
        """x, without a graph; to be overwritten unless it is what is kept."""

    def with_graph(self, kept: Kept) -> Tensor:
        """X as a function of what is kept, for gradients of gradients."""

    def parts(self, kept: Kept) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """U (N, C, H, W), a and b (C,) of ``x = a u + b``; None for 1 and 0."""

    def product_sums(self, d: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """``sum_hw(d * x)`` (N, C, 1, 1), and a map of x's shape that may be overwritten."""


@dataclass(frozen=True)
class Itself:
    """x is kept."""

    is_kept = True

    def rebuilt(self, kept: Kept) -> Tensor:
        """See `Source`."""
        return kept[0].detach()

    def with_graph(self, kept: Kept) -> Tensor:
        """See `Source`."""
        return kept[0]

    def parts(self, kept: Kept) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """See `Source`."""
        return kept[0].detach(), None, None

    def product_sums(self, d: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """See `Source`."""
        product = d * kept[0]
        return product.sum((2, 3), keepdim=True), product


@dataclass(frozen=True)
class OfBatchNorm:
    """``x = a u + b`` with u the input of a batch normalisation, which keeps it in any case.

    Kept are u (N, C, H, W), weight and bias or None, and mean and 1 / std of each channel; then
    ``a = weight / std`` and ``b = bias - a mean``.

    Attributes:
        of_batch: The statistics are those of u, and not running ones.
        eps: Of the normalisation.
    """

    of_batch: bool
    eps: float
    is_kept = False

    def parts(self, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        """See `Source`."""
        now: Any = (t if t is None else t.detach() for t in kept)
        u, weight, bias, mean, inverse = now
        a = inverse if weight is None else weight * inverse
        return u, a, -mean * a if bias is None else bias - mean * a

    def rebuilt(self, kept: Kept) -> Tensor:
        """See `Source`; by the kernel of the normalisation, for the same last digits."""
        u, a, b = self.parts(kept)
        zeros, ones = torch.zeros_like(a), torch.ones_like(a)
        # not F.batch_norm, which refuses an eps of 0 in PyTorch 2.10 and some after it
        on = torch.backends.cudnn.enabled
        return torch.batch_norm(u, a, b, zeros, ones, False, 0.0, 0.0, on)

    def with_graph(self, kept: Kept) -> Tensor:
        """See `Source`."""
        u, weight, bias, mean, inverse = kept
        if self.of_batch:
            return F.batch_norm(u, None, None, weight, bias, training=True, eps=self.eps)
        mean, inverse = mean[:, None, None], inverse[:, None, None]
        x = (u - mean) * inverse
        x = x if weight is None else x * weight[:, None, None]
        return x if bias is None else x + bias[:, None, None]

    def product_sums(self, d: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """See `Source`: ``a sum(d u) + b sum(d)``; x is not rebuilt."""
        u, a, b = self.parts(kept)
        product = d * u
        sums = [t.sum((2, 3), keepdim=True, dtype=a.dtype) for t in (product, d)]
        total = a[:, None, None] * sums[0] + b[:, None, None] * sums[1]
        return total.to(product.dtype), product


def normalised(norm: nn.BatchNorm2d, u: Tensor) -> tuple[Tensor, Source, Kept]:
    """What ``nn.BatchNorm2d`` gives and does to its statistics, with what is kept of that.

    Its ``forward`` doesn't tell the statistics that it found. Where they are too coarse to rebuild
    x from, x is kept.
    """
    average = norm.momentum or 0.0
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            average = 1.0 / float(norm.num_batches_tracked)
    tracked = not norm.training or norm.track_running_stats
    running = (norm.running_mean, norm.running_var) if tracked else (None, None)
    of_batch = norm.training or running == (None, None)
    x, mean, inverse, *_ = torch._batch_norm_impl_index(
        u, norm.weight, norm.bias, *running, of_batch, average, norm.eps,
        torch.backends.cudnn.enabled,
    )  # fmt: skip
    if not of_batch:
        mean = cast(Tensor, running[0]).clone()
        inverse = 1 / (cast(Tensor, running[1]) + norm.eps).sqrt()
    if mean.dtype.itemsize < 4:
        return x, Itself(), (x,)
    kept = (u, norm.weight, norm.bias, mean, inverse)
    return x, OfBatchNorm(of_batch=of_batch, eps=norm.eps), kept
