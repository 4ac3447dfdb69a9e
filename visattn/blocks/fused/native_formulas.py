"""The formulas of gates in the fewest passes over the map, by `visattn.blocks.fused.native`."""

from typing import Any, Final

import torch
from torch import Tensor

from visattn.blocks.fused.cbam import ByMeanAndMax, merged
from visattn.blocks.fused.formulas import Backward, ByMean, Formula, Gradients
from visattn.blocks.fused.native import native_pass
from visattn.blocks.fused.perceptrons import (
    gates_and_gradients,
    is_perceptron,
    is_plain,
    perceptron,
)

_LARGE = 2**17
"""Values of a map from which a forward pass in C pays."""


class NativeByMean:
    """`ByMean`, whose two passes are PyTorch's, with two for the gradient."""

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`."""
        return ByMean.forward(block, x, fresh=fresh)

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """See `Formula`."""
        u, a, b, d = _like_the_map(given)
        (sums,) = _channels(d, 1)
        native_pass("product", u, a, b, d, sums)
        mean = given.few[0].detach()
        if is_plain(given):
            gate, of_mean, of_parameters = gates_and_gradients(given, mean, sums)
        else:
            with torch.enable_grad(), given.autocast():
                gate = given.block.of_mean(mean.requires_grad_())
            (of_mean,), of_parameters = given.through(gate, [mean], sums)
        dx = torch.empty_like(d)
        native_pass("gate", d, _single(gate), None, _single(of_mean / d[0, 0].numel()), dx)
        return [dx, *of_parameters]


class NativeByMeanAndMax:
    """`ByMeanAndMax` in three passes, and three for the gradient: neither x nor y is rebuilt."""

    @staticmethod
    def forward(block: Any, x: Tensor, *, fresh: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Formula`; where x is small, by PyTorch's passes, to the plain form's last bit."""
        if x.numel() < _LARGE:
            return ByMeanAndMax.forward(block, x, fresh=fresh)
        mean, highest = _channels(x, 2)
        native_pass("pool", x, mean, highest)
        gate = _single(_of_pooled(block.channel, mean, highest))
        mean_c, highest_c = _places(x, 2)
        native_pass("pool_channels", x, gate, mean_c, highest_c)
        gate_c = _single(block.spatial.of_pooled(mean_c, highest_c))
        z = x if fresh else torch.empty_like(x)
        native_pass("gate", x, gate, gate_c, None, z)
        return z, (mean, mean_c, highest)

    @staticmethod
    def backward(given: Backward) -> Gradients:
        """See `Formula`."""
        u, a, b, d = _like_the_map(given)
        mean, mean_c, highest = (t.detach().requires_grad_() for t in given.few[:3])
        with torch.enable_grad(), given.autocast():
            gate = _of_pooled(given.block.channel, mean, highest)
        g = _single(gate)
        sums_c, highest_c, count_c = _places(d, 3)
        top, count = _channels(d, 2)
        native_pass("places", u, a, b, d, g, sums_c, highest_c, count_c, top, count)
        with torch.enable_grad(), given.autocast():
            gate_c = given.block.spatial.of_pooled(mean_c, highest_c.requires_grad_())

        pooled, of_places = given.through(gate_c, [mean_c, highest_c], sums_c)
        at_place = (_single(gate_c), _single(pooled[0] / d.shape[1]), _single(pooled[1] / count_c))
        of_y = (u, a, b, d, g, *at_place, highest_c)
        (sums,) = _channels(d, 1)
        native_pass("channels", *of_y, sums)

        pooled, of_channels = given.through(gate, [mean, highest], sums)
        dx, of_mean = torch.empty_like(d), pooled[0] / d[0, 0].numel()
        native_pass("whole", *of_y, _single(of_mean), _single(pooled[1] / count), top, dx)
        return [dx, *merged(of_places, of_channels)]


def _of_pooled(gate: Any, mean: Tensor, highest: Tensor) -> Tensor:
    """CBAM's gates (N, C, 1, 1), by matrix products."""
    if gate.light or not is_perceptron(gate):
        gates: Tensor = gate.of_pooled(mean, highest)
        return gates
    return perceptron(gate, mean, highest)


def _like_the_map(given: Backward) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    """What x follows from, and the gradient in the same layout."""
    u, a, b = given.source.parts(given.kept)
    last = u.is_contiguous(memory_format=torch.channels_last) and not u.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return u.contiguous(memory_format=layout), a, b, given.d.contiguous(memory_format=layout)


def _channels(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Room for some numbers per channel, (N, C, 1, 1) each."""
    return tuple(x.new_empty(*x.shape[:2], 1, 1) for _ in range(count))


def _places(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Room for some numbers per place, (N, 1, H, W) each."""
    return tuple(x.new_empty(x.shape[0], 1, *x.shape[2:]) for _ in range(count))


def _single(x: Tensor) -> Tensor:
    """As the passes read it."""
    return x.detach().float().contiguous()


NATIVE: Final[dict[type[Formula], type[Formula]]] = {
    ByMean: NativeByMean,
    ByMeanAndMax: NativeByMeanAndMax,
}
"""From formulas to their native forms."""
