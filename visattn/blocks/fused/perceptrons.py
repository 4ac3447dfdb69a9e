"""Two layers and a gate on pooled numbers, as matrix products: much faster than convolutions."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.blocks.fused.formulas import Backward, Gradients
from visattn.blocks.gates import Gate


def is_perceptron(block: Any) -> bool:
    """Whether a block's ``fc1`` and ``fc2`` are there, and matrices."""
    layers = getattr(block, "fc1", None), getattr(block, "fc2", None)
    return all(
        type(layer) is nn.Conv2d
        and layer.kernel_size == layer.stride == (1, 1)
        and layer.groups == 1
        and layer.padding == (0, 0)
        for layer in layers
    )


def perceptron(block: Any, *pooled: Tensor) -> Tensor:
    """Gates (N, C, 1, 1) of the sum of what the layers give of each; hidden units are added."""
    first, second = block.fc1, block.fc2
    several, count = torch.cat(pooled) if len(pooled) > 1 else pooled[0], len(pooled)
    hidden = block.activation(F.linear(several.flatten(1), first.weight.flatten(1), first.bias))
    hidden = hidden if count == 1 else hidden.unflatten(0, (count, -1)).sum(0)
    bias = second.bias if count == 1 or second.bias is None else count * second.bias
    gates: Tensor = block.gate(F.linear(hidden, second.weight.flatten(1), bias)[:, :, None, None])
    return gates


def is_plain(given: Backward) -> bool:
    """Whether `gates_and_gradients` has the gradient: SE's own parts, in single precision."""
    block = given.block
    return (
        is_perceptron(block)
        and type(block.activation) is nn.ReLU
        and type(block.gate) is Gate
        and not given.autocast.enabled
        and all(leaf.dtype is torch.float32 for leaf in given.leaves)
    )


def gates_and_gradients(
    given: Backward, mean: Tensor, of_gates: Tensor
) -> tuple[Tensor, Tensor, Gradients]:
    """The gates of the means (N, C, 1, 1), and the gradients for means and parameters.

    ``g = scale sigmoid(W2 h + b2) + offset`` with ``h = relu(W1 m + b1)``; without a graph, which
    takes longer than the products where a map is small.
    """
    first, second, gate = given.block.fc1, given.block.fc2, given.block.gate
    with torch.no_grad(), given.autocast():  # which is off, whatever holds now
        m, w1, w2 = mean.flatten(1), first.weight.flatten(1), second.weight.flatten(1)
        h = F.linear(m, w1, first.bias).relu_()
        g = F.linear(h, w2, second.bias).sigmoid_()
        of_logits = torch.ops.aten.sigmoid_backward(of_gates.flatten(1) * gate.scale, g)
        of_hidden = torch.ops.aten.threshold_backward(of_logits @ w2, h, 0)
        of_mean = (of_hidden @ w1)[:, :, None, None]
        found = {
            id(layer.weight): (d.t() @ x)[:, :, None, None]
            for layer, d, x in ((first, of_hidden, m), (second, of_logits, h))
        } | {id(first.bias): of_hidden.sum(0), id(second.bias): of_logits.sum(0)}
        gates = (g * gate.scale + gate.offset)[:, :, None, None]
    return gates, of_mean, [found.get(id(leaf)) for leaf in given.leaves]
