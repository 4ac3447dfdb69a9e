"""CBAM and its gradient, given what was kept."""

from typing import Any

import torch
from torch import Tensor

from visattn.blocks.fused.formulas import Backward, Formula, Gradients, multiplied


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
