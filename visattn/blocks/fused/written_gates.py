"""Small gates whose gradient is written out: two layers, or a kernel over mean and maximum."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.fused.channels import learn
from visattn.blocks.fused.formulas import Gradients
from visattn.blocks.fused.small_gates import (
    Again,
    Back,
    Kept,
    Range,
    SmallGate,
    asked_of,
    is_single,
)
from visattn.blocks.gates import Gate


def channel_gate(block: Any, *, single: bool) -> SmallGate:
    """Gates (N, C, 1, 1) of the mean, or of mean and maximum, of each channel.

    Args:
        block: The gate.
        single: Whether all is in single precision, and stays so.
    """
    of_mean = hasattr(type(block), "of_mean")
    layers = block if of_mean else block.channel
    if single and is_perceptron(layers) and is_single(layers.fc1, layers.fc2):
        return Perceptron.of(layers)
    return Again(layers.of_mean if of_mean else layers.of_pooled)


def place_gate(block: Any, passes: Any, *, single: bool, places: int) -> SmallGate:
    """Gates (N, 1, H, W) of the mean and the maximum of each place; else as `channel_gate`.

    Args:
        block: The gate.
        passes: The module that may convolve.
        single: As for `channel_gate`.
        places: Of all maps together.
    """
    own = single and hasattr(passes, "convolved") and is_convolution(block)
    if own and is_single(block.conv, block.bn):
        return Convolution.of(block, passes, places)
    return Again(block.of_pooled)


def is_perceptron(block: Any) -> bool:
    """Whether a gate is two matrices with a ReLU between them."""
    parts = block._modules
    first, second = parts.get("fc1"), parts.get("fc2")
    if not type(first) is type(second) is nn.Conv2d:
        return False
    w1, w2 = first._parameters.get("weight"), second._parameters.get("weight")
    if w1 is None or w2 is None:  # one that is computed is no parameter
        return False
    hidden, channels = w1.shape[:2]  # fewer in groups
    return (
        w1.shape == (hidden, channels, 1, 1)
        and w2.shape == (channels, hidden, 1, 1)
        and first.padding == second.padding == (0, 0)
        and type(parts["activation"]) is nn.ReLU
        and type(parts["gate"]) is Gate
        and not block.__dict__.get("light", False)
    )


class Perceptron:
    """``scale sigmoid(W2 h + K b2) + offset``, ``h = sum_k relu(W1 m_k + b1)`` of K pooled m."""

    is_written = True
    running: tuple[Tensor, Tensor] | None = None

    def __init__(self, parameters: Sequence[Any], of: Range) -> None:
        self.parameters, self.range = parameters, of

    @cached_property
    def weights(self) -> list[Tensor]:
        """The two matrices."""
        return [weight.detach().flatten(1) for weight in self.parameters[:2]]

    @classmethod
    def of(cls, block: Any) -> "Perceptron":
        """That of a block."""
        parts = block._modules
        first, second = parts["fc1"]._parameters, parts["fc2"]._parameters
        parameters = first["weight"], second["weight"], first["bias"], second["bias"]
        return cls(parameters, Range.of_gate(parts["gate"]))

    def run(self, inputs: Tensor) -> tuple[Tensor, Kept]:
        """See `SmallGate`."""
        count, (w1, w2), (b1, b2) = len(inputs), self.weights, self.parameters[2:]
        units = F.linear(inputs.flatten(0, 1).flatten(1), w1, b1).relu_()
        bias = b2 if count == 1 or b2 is None else count * b2
        g = F.linear(_summed(units, count), w2, bias).sigmoid_()
        return self.range.of(g)[:, :, None, None], (units, g)

    def again(
        self, inputs: Tensor, kept: Kept, leaves: Sequence[Tensor], needs: Sequence[bool]
    ) -> tuple[Tensor, Back]:
        """See `SmallGate`."""
        (units, g), count, (w1, w2) = kept, len(inputs), self.weights

        def back(d: Tensor) -> tuple[Sequence[Tensor], Gradients]:
            of_logits = self.range.of_logits(d, g)
            of_h = of_logits @ w2
            of_h = torch.cat([of_h] * count) if count > 1 else of_h  # faster than repeat()
            of_units = torch.ops.aten.threshold_backward(of_h, units, 0)
            m = inputs.flatten(0, 1).flatten(1)
            of_inputs = (of_units @ w1).view(inputs.shape)
            return of_inputs, self.of_parameters(of_logits, of_units, m, units, leaves, needs)

        return self.range.of(g)[:, :, None, None], back

    def of_parameters(
        self, of_logits: Tensor, of_units: Tensor, m: Tensor, units: Tensor,
        leaves: Sequence[Tensor], needs: Sequence[bool],
    ) -> Gradients:  # fmt: skip
        """The gradients for the block's parameters.

        Args:
            of_logits: The gradient for the logits (N, C).
            of_units: For the hidden units (K N, R), 0 where they are not above 0.
            m: What was pooled (K N, C).
            units: The hidden units (K N, R).
            leaves: The block's parameters, in the order in which gradients are wanted.
            needs: Whether one is asked for each of them.
        """
        count = len(units) // len(of_logits)
        found = (
            lambda: (of_units.t() @ m)[:, :, None, None],
            lambda: (of_logits.t() @ _summed(units, count))[:, :, None, None],
            lambda: of_units.sum(0),
            lambda: count * of_logits.sum(0) if count > 1 else of_logits.sum(0),
        )
        return asked_of(found, self.parameters, leaves, needs)


def _summed(units: Tensor, count: int) -> Tensor:
    return units.unflatten(0, (count, -1)).sum(0) if count > 1 else units


def is_convolution(block: Any) -> bool:
    """Whether a gate is one kernel over mean and maximum, zeros around, and a normalisation."""
    parts = block._modules
    conv, norm = parts["conv"], parts["bn"]
    if type(conv) is not nn.Conv2d:
        return False
    kernel, weight = conv._parameters.get("weight"), norm._parameters.get("weight")
    if kernel is None or weight is None:
        return False
    side = kernel.shape[3]
    return (
        type(norm) is SafeBatchNorm2d
        and weight.shape == (1,)
        and type(parts["gate"]) is Gate
        and kernel.shape == (1, 2, side, side)
        and side % 2 == 1
        and conv.padding == (side // 2, side // 2)
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv._parameters["bias"] is None
    )


class Convolution:
    """``scale sigmoid(BN(conv([mean, max]))) + offset``, or with the maximum first."""

    is_written = True

    def __init__(
        self, parameters: Sequence[Tensor], running: tuple[Tensor, Tensor] | None, eps: float,
        of: Range, passes: Any, *, flipped: bool = False, norm: Any = None,
    ) -> None:  # fmt: skip
        self.parameters, self.running, self.eps = parameters, running, eps
        self.range, self.passes, self.flipped, self.norm = of, passes, flipped, norm
        self.of_batch: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, block: Any, passes: Any, places: int) -> "Convolution":
        """That of a block, whose normalisation learns from what runs on so many places."""
        parts = block._modules
        norm = parts["bn"]
        own, known = norm._parameters, norm._buffers
        parameters = parts["conv"]._parameters["weight"], own["weight"], own["bias"]
        running = None
        if not (norm.training and places > 1) and known["running_mean"] is not None:
            running = known["running_mean"].clone(), known["running_var"].clone()
        of = Range.of_gate(parts["gate"])
        flipped = block.max_first
        return cls(parameters, running, norm.eps, of, passes, flipped=flipped, norm=norm)

    def kernel(self, kernel: Tensor) -> Tensor:
        """With the mean first, or a gradient for that as the parameter has it."""
        return kernel.flip(1) if self.flipped else kernel

    def _centred(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the normalisation gives without weight and bias; 1 / deviation, mean, variance."""
        y = self.passes.convolved(inputs, self.kernel(self.parameters[0].detach()))
        if self.running is not None:
            mean, variance = self.running
        else:
            variance, mean = torch.var_mean(y, correction=0)
        inverse = (variance + self.eps).rsqrt()
        return (y - mean) * inverse, inverse, mean, variance

    def run(self, inputs: Tensor) -> tuple[Tensor, Kept]:
        """See `SmallGate`."""
        centred, _, mean, variance = self._centred(inputs)
        if self.running is None:
            self.of_batch = mean, variance
            if self.norm is not None:
                learn(self.norm, mean, variance, centred.numel())
        weight, bias = (p.detach() for p in self.parameters[1:])
        return self.range.of((centred * weight + bias).sigmoid_()), ()

    def again(
        self, inputs: Tensor, kept: Kept, leaves: Sequence[Tensor], needs: Sequence[bool]
    ) -> tuple[Tensor, Back]:
        """See `SmallGate`."""
        kernel, weight, bias = (p.detach() for p in self.parameters)
        # again, since a plane that is kept would be much beside few channels
        centred, inverse, *_ = self._centred(inputs)
        g = (centred * weight + bias).sigmoid_()

        def back(d: Tensor) -> tuple[Sequence[Tensor], Gradients]:
            of_logits = self.range.of_logits(d, g)
            of_bias, of_weight = of_logits.sum(), (of_logits * centred).sum()
            dy = of_logits
            if self.running is None:
                dy = of_logits - (of_bias + centred * of_weight) / centred.numel()
            dy = dy * (weight * inverse)
            of_inputs, of_kernel = self.passes.of_convolved(dy, inputs, self.kernel(kernel))
            found = (
                lambda: self.kernel(of_kernel),
                lambda: of_weight.reshape(1),
                lambda: of_bias.reshape(1),
            )
            return of_inputs, asked_of(found, self.parameters, leaves, needs)

        return self.range.of(g), back
