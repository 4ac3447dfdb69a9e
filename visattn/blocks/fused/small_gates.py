"""The small gates of pooled numbers, and how gradients go back through them.

Where a gate is made of its own parts, in single precision, its gradient is written out: two layers
are matrix products, and the planes of places are convolved in C. Any other runs again by autograd.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.fused.formulas import Gradients, gradients
from visattn.blocks.gates import Gate


@dataclass(frozen=True)
class SmallGate:
    """A gate's values, and its gradients.

    Attributes:
        value: The gates.
        back: From the gradient for the gates, in any shape with as many values, to those for what
            they are computed from, and for the block's parameters.
    """

    value: Tensor
    back: Callable[[Tensor], tuple[list[Tensor], Gradients]] | None = None

    def gradients(self, d: Tensor) -> tuple[list[Tensor], Gradients]:
        """See ``back``."""
        assert self.back is not None
        return self.back(d)


def channel_gate(
    block: Any, pooled: Sequence[Tensor], leaves: Sequence[Tensor] = (), needs: Sequence[bool] = ()
) -> SmallGate:
    """Gates (N, C, 1, 1) of means, or of means and maxima, each (N, C, 1, 1).

    Args:
        block: The gate.
        pooled: What of each channel it sees.
        leaves: The block's parameters; none for the values alone.
        needs: Whether a gradient is asked for each of them.
    """
    layers = block if hasattr(block, "of_mean") else block.channel
    if _is_perceptron(layers) and _single((*pooled, *layers.parameters())):
        return _perceptron(layers, pooled, leaves)
    compute = layers.of_mean if hasattr(layers, "of_mean") else layers.of_pooled
    return _again(compute, pooled, leaves, needs)


def place_gate(
    block: Any, places: Sequence[Tensor], passes: Any,
    leaves: Sequence[Tensor] = (), needs: Sequence[bool] = (),
) -> SmallGate:  # fmt: skip
    """Gates (N, 1, H, W) of the mean and the maximum of each place; else as `channel_gate`."""
    own = _is_convolution(block) and hasattr(passes, "convolved")
    if own and _single((*places, *block.parameters())):
        return _convolution(block, places, passes, leaves)
    return _again(block.of_pooled, places, leaves, needs)


def _single(tensors: Any) -> bool:
    """Whether all is in single precision, and stays so."""
    given = list(tensors)
    device = given[0].device.type
    return not torch.is_autocast_enabled(device) and all(t.dtype is torch.float32 for t in given)


def _again(
    compute: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    leaves: Sequence[Tensor],
    needs: Sequence[bool],
) -> SmallGate:
    if not leaves:
        return SmallGate(compute(*inputs))
    given = [t.detach().requires_grad_() for t in inputs]
    with torch.enable_grad():
        value = compute(*given)

    def back(d: Tensor) -> tuple[list[Tensor], Gradients]:
        asked = [True] * len(given) + list(needs)
        d = d.reshape(value.shape).to(value.dtype)
        found: list[Any] = gradients(value, [*given, *leaves], d, asked)
        return found[: len(given)], found[len(given) :]

    return SmallGate(value.detach(), back)


def _is_convolution(block: Any) -> bool:
    """Whether a gate is one kernel over mean and maximum, zeros around, and a normalisation."""
    conv = block.conv
    return (
        (type(conv), type(block.bn), type(block.gate)) == (nn.Conv2d, SafeBatchNorm2d, Gate)
        and conv.weight.shape == (1, 2, *conv.kernel_size)
        and conv.kernel_size == (conv.kernel_size[0],) * 2
        and conv.padding == (conv.kernel_size[0] // 2,) * 2
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.bias is None
        and block.bn.affine
        and conv.kernel_size[0] % 2 == 1
    )


def _is_perceptron(block: Any) -> bool:
    """Whether a gate is two matrices with a ReLU between them."""
    layers = getattr(block, "fc1", None), getattr(block, "fc2", None)
    return (
        all(
            type(layer) is nn.Conv2d
            and layer.kernel_size == layer.stride == (1, 1)
            and layer.groups == 1
            and layer.padding == (0, 0)
            for layer in layers
        )
        and type(block.activation) is nn.ReLU
        and type(block.gate) is Gate
        and not getattr(block, "light", False)
    )


def _perceptron(block: Any, pooled: Sequence[Tensor], leaves: Sequence[Tensor]) -> SmallGate:
    """``scale sigmoid(W2 h + k b2) + offset``, ``h = sum_k relu(W1 m_k + b1)`` of k pooled m."""
    first, second, gate = block.fc1, block.fc2, block.gate
    count = len(pooled)
    with torch.no_grad():
        m = torch.cat(tuple(pooled)).flatten(1) if count > 1 else pooled[0].detach().flatten(1)
        w1, w2 = first.weight.flatten(1), second.weight.flatten(1)
        units = F.linear(m, w1, first.bias).relu_()
        h = units.unflatten(0, (count, -1)).sum(0) if count > 1 else units
        bias = second.bias if count == 1 or second.bias is None else count * second.bias
        logits = F.linear(h, w2, bias)
        if not leaves:
            return SmallGate(gate(logits[:, :, None, None]))
        g = logits.sigmoid_()

    def back(d: Tensor) -> tuple[list[Tensor], Gradients]:
        with _exact(d):
            of_logits = _of_logits(d.reshape(g.shape), g, gate)
            of_h = of_logits @ w2
            of_units = torch.ops.aten.threshold_backward(
                of_h.repeat(count, 1) if count > 1 else of_h, units, 0
            )
            of_pooled = (of_units @ w1)[:, :, None, None].chunk(count)
            found = {
                id(first.weight): (of_units.t() @ m)[:, :, None, None],
                id(second.weight): (of_logits.t() @ h)[:, :, None, None],
                id(first.bias): of_units.sum(0),
                id(second.bias): count * of_logits.sum(0),
            }
        return list(of_pooled), [found.get(id(leaf)) for leaf in leaves]

    return SmallGate((g * gate.scale + gate.offset)[:, :, None, None], back)


@contextmanager
def _exact(d: Tensor) -> Iterator[None]:
    """Without a graph, and in single precision, whatever holds where gradients are computed."""
    with torch.no_grad(), torch.autocast(d.device.type, enabled=False):
        yield


def _of_logits(d: Tensor, sigmoid: Tensor, gate: Gate) -> Tensor:
    found: Tensor = torch.ops.aten.sigmoid_backward(d * gate.scale, sigmoid)
    return found


def _convolution(
    block: Any, places: Sequence[Tensor], passes: Any, leaves: Sequence[Tensor]
) -> SmallGate:
    """``scale sigmoid(BN(conv([mean, max]))) + offset``, or with the maximum first."""
    order = (1, 0) if block.max_first else (0, 1)
    norm, gate, kernel = block.bn, block.gate, block.conv.weight
    with torch.no_grad():
        planes = torch.cat([places[k] for k in order], 1)
        y = passes.convolved(planes, kernel)
        if not leaves:
            return SmallGate(gate(norm(y)))
        of_batch = y.numel() > 1 if norm.training else norm.running_mean is None
        if of_batch:
            variance, mean = torch.var_mean(y, correction=0)
        else:
            variance, mean = norm.running_var, norm.running_mean
        inverse = (variance + norm.eps).rsqrt()
        centred = (y - mean) * inverse
        g = (centred * norm.weight + norm.bias).sigmoid_()

    def back(d: Tensor) -> tuple[list[Tensor], Gradients]:
        with _exact(d):
            of_logits = _of_logits(d.reshape(g.shape), g, gate)
            of_bias, of_weight = of_logits.sum(), (of_logits * centred).sum()
            dy = of_logits
            if of_batch:
                dy = of_logits - (of_bias + centred * of_weight) / y.numel()
            dy *= norm.weight * inverse
            of_planes, of_kernel = passes.of_convolved(dy, planes, kernel)
            found = {
                id(kernel): of_kernel,
                id(norm.weight): of_weight.reshape(1),
                id(norm.bias): of_bias.reshape(1),
            }
        return [of_planes[:, k : k + 1] for k in order], [found.get(id(leaf)) for leaf in leaves]

    return SmallGate(g * gate.scale + gate.offset, back)
