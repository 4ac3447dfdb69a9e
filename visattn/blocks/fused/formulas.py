"""How a gate and its gradient are computed, given what was kept."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from visattn.blocks.fused.sources import Source

Gradients = list[Tensor | None]


@dataclass(frozen=True)
class Autocast:
    """The autocast of a forward pass, for what the backward pass runs again."""

    device: str
    dtype: torch.dtype
    enabled: bool

    @classmethod
    def now(cls, device: str) -> "Autocast":
        """What holds at this moment."""
        enabled = torch.is_autocast_enabled(device)
        return cls(device, torch.get_autocast_dtype(device), enabled)

    def __call__(self) -> AbstractContextManager[Any]:
        """As it was; without the cache, whose weights would carry no graph."""
        return torch.autocast(self.device, self.dtype, self.enabled, cache_enabled=False)


@dataclass(frozen=True)
class Backward:
    """What a gradient is computed from.

    Attributes:
        block: The block as it was, with ``leaves`` for its parameters.
        leaves: Its parameters, detached.
        source: How x follows from ``kept``.
        kept: What was kept of x.
        few: What the formula kept.
        autocast: That of the forward pass.
        d: The gradient for the output.
        needs: Whether a gradient is asked for x and for each parameter.
        ahead: x and the output with its graph, where the gate has run again already.
    """

    block: Any
    leaves: list[Tensor]
    source: Source
    kept: tuple[Tensor, ...]
    few: tuple[Tensor, ...]
    autocast: Autocast
    d: Any = None
    needs: Sequence[bool] = ()
    ahead: tuple[Tensor, Tensor] | None = None

    def through(self, y: Tensor, small: list[Tensor], d: Tensor) -> tuple[list[Tensor], Gradients]:
        """Gradients for what y was computed from, and for the parameters."""
        needs = [True] * len(small) + [*self.needs[1:]]
        found: list[Any] = gradients(y, [*small, *self.leaves], d.to(y.dtype), needs)
        return found[: len(small)], found[len(small) :]


class Formula(Protocol):
    """A gate in few passes, and its gradient."""

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The output, and what to keep beside x; a fresh x may be overwritten."""

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """Gradients for x and each parameter, None where none is asked for."""

    @staticmethod
    def undo(block: Any, y: Tensor, few: tuple[Tensor, ...]) -> Callable[[], Tensor] | None:
        """How to have x from the output, detached, and what was kept beside it; None if not."""
        return None


class Again(Formula):
    """Any gate: its ``forward`` runs again in the backward pass, on x rebuilt."""

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`."""
        return block.forward(x), ()

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """See `Formula`."""
        x, y = given.ahead or Again.run(given)
        return gradients(y, [x, *given.leaves], given.d, given.needs)

    @staticmethod
    def run(given: Backward) -> tuple[Tensor, Tensor]:
        """The map, and what the gate gives for it with a graph."""
        x = given.source.rebuilt(given.kept).requires_grad_()
        with torch.enable_grad(), given.autocast():
            return x, given.block.forward(x)


class ByParts(Again):
    r"""A gate of few numbers, ``y = x f(p)`` with ``p`` of each channel and of each place.

    With p kept, x follows from what the gate gives, ``x = y / f(p)``, to the last digit or two.

    The block says p by ``parts`` and f by ``factor``, which needs no parameters.
    """

    LEAST = 1e-6
    """Of f, for a quotient that is exact."""

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`."""
        parts = block.parts(x)
        return x * block.factor(*parts), () if fresh else parts

    @staticmethod
    def undo(block: Any, y: Tensor, few: tuple[Tensor, ...]) -> Callable[[], Tensor] | None:
        """See `Formula`; None in half precision, too, and where f is next to 0."""
        if y.dtype.itemsize < 4 or _is_captured(y):
            return None
        least = block.gate.offset or block.factor(*few).amin()
        if not least > ByParts.LEAST:
            return None
        version = y._version

        def undone() -> Tensor:
            if y._version != version:
                raise RuntimeError(
                    f"The map {tuple(y.shape)} that a gate gave was changed in place before the"
                    " backward pass, which needs it. Change a copy, or take visattn.fused(False)."
                )
            return y / block.factor(*few)

        return undone


def _is_captured(x: Tensor) -> bool:
    """Whether a CUDA graph is being made, in which no number can be looked at."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


class ByMean(Formula):
    r"""A gate per channel from the mean, ``y = x g(m)`` with ``m = mean_hw(x)``.

    With d the gradient for y, ``dg = sum_hw(d x)``, and dm and those for the parameters follow from
    dg through g, which is small and computed again; then ``dx = d g + dm / HW``. Of x only the sum
    is needed, for which it need not be rebuilt.

    The block says its gate (N, C, 1, 1) of the mean by ``of_mean``.
    """

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`."""
        mean = x.mean((2, 3), keepdim=True)
        return multiplied(x, block.of_mean(mean), fresh=fresh), (mean,)

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """See `Formula`."""
        sums, product = given.source.product_sums(given.d, given.kept)
        mean = given.few[0].detach().requires_grad_()
        with torch.enable_grad(), given.autocast():
            gate = given.block.of_mean(mean)
        (of_mean,), of_parameters = given.through(gate, [mean], sums)
        if not given.needs[0]:
            return [None, *of_parameters]
        torch.mul(given.d, gate.detach(), out=product)
        product += of_mean / product[0, 0].numel()
        return [product, *of_parameters]


def exact(u: Tensor) -> AbstractContextManager[Any]:
    """In the precision of what is given, whatever holds where gradients are computed."""
    kind = u.device.type
    off = torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if off else nullcontext()


def laid_out_as(d: Tensor, u: Tensor) -> Tensor:
    """A gradient in the order of a map's memory, and of its type."""
    order = torch.contiguous_format if u.is_contiguous() else torch.channels_last
    return d.contiguous(memory_format=order).to(u.dtype)


def multiplied(x: Tensor, gate: Tensor, *, fresh: bool) -> Tensor:
    """``x * gate``, in x's memory if it is fresh and the product has its type."""
    if fresh and torch.result_type(x, gate) == x.dtype:
        return x.mul_(gate)
    return x * gate


def gradients(
    y: Tensor, inputs: Sequence[Tensor], d: Tensor, needs: Sequence[bool], **options: bool
) -> Gradients:
    """Those asked for; None for the others, and where y doesn't depend on an input."""
    asked = [x for x, need in zip(inputs, needs, strict=True) if need]
    if not asked or not y.requires_grad:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad(y, asked, d, allow_unused=True, **options))
    return [next(found) if need else None for need in needs]


class ByMeanAndMax(Formula):
    r"""CBAM: a gate per channel, then one per place, each from a mean and a maximum.

    ``y = x g(mean_hw(x), max_hw(x))``, then ``z = y s(mean_c(y), max_c(y))``.

    With d the gradient for z, ``ds = sum_c(d y)``, from which those for the mean and the maximum of
    each place follow through the small gate, computed again. Then, with [.] 1 at a maximum, shared
    among equal ones,

    - ``dy = d s + dmean_c / C + [y = max_c] dmax_c``;
    - ``dg = sum_hw(dy x)``, from which those for the mean and maximum of each channel follow;
    - ``dx = dy g + dmean_hw / HW + [x = max_hw] dmax_hw``.
    """

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`."""
        mean, highest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        y = multiplied(x, block.channel.of_pooled(mean, highest), fresh=fresh)
        mean_c, highest_c = y.mean(1, keepdim=True), y.amax(1, keepdim=True)
        z = multiplied(y, block.spatial.of_pooled(mean_c, highest_c), fresh=True)
        return z, (mean, mean_c, highest) if fresh else (mean, mean_c, highest, highest_c)

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """See `Formula`."""
        d, x, kept = given.d, given.source.rebuilt(given.kept), given.source.is_kept
        mean, mean_c = (t.detach().requires_grad_() for t in given.few[:2])
        highest = given.few[2].detach() if kept else x.amax((2, 3), keepdim=True)
        with torch.enable_grad(), given.autocast():
            gate = given.block.channel.of_pooled(mean, highest.requires_grad_())
        y = x * gate.detach()
        highest_c = given.few[3].detach() if kept else y.amax(1, keepdim=True)
        with torch.enable_grad(), given.autocast():
            gate_c = given.block.spatial.of_pooled(mean_c, highest_c.requires_grad_())

        places = Maxima(y, highest_c.detach(), dim=(1,))
        of_gate_c = y.mul_(d).sum(1, keepdim=True)
        of_pooled, of_places = given.through(gate_c, [mean_c, highest_c], of_gate_c)
        dy = torch.mul(d, gate_c.detach(), out=y)
        dy += of_pooled[0] / d.shape[1]
        places.add_(dy, of_pooled[1])

        channels = Maxima(x, highest.detach(), dim=(2, 3))
        of_gate = (dy * x if kept else x.mul_(dy)).sum((2, 3), keepdim=True)
        of_pooled, of_channels = given.through(gate, [mean, highest], of_gate)
        dx = dy.mul_(gate.detach())
        dx += of_pooled[0] / d[0, 0].numel()
        channels.add_(dx, of_pooled[1])
        return [dx, *merged(of_places, of_channels)]


def merged(first: Gradients, second: Gradients) -> Gradients:
    """Gradients of parameters each of which has part in one of two gates."""
    return [a if b is None else b for a, b in zip(first, second, strict=True)]


class Maxima:
    """Where a map is at its maximum along some axes; equal ones share a gradient.

    Args:
        x: The map.
        highest: Its maxima.
        dim: The axes.
    """

    def __init__(self, x: Tensor, highest: Tensor, *, dim: tuple[int, ...]) -> None:
        self.dim = dim
        self.mask = x == highest
        # few are: a list of them is faster than passes over the map, but waits for a GPU
        self.places = self.mask.nonzero(as_tuple=True) if x.device.type == "cpu" else None

    def add_(self, dx: Tensor, of_highest: Tensor) -> None:
        """Add each maximum's gradient to that of the map."""
        count = self.mask.sum(self.dim, keepdim=True)
        share = of_highest / count
        if self.places is None:
            dx += self.mask * share
        else:
            dx[self.places] += share.expand_as(dx)[self.places]
