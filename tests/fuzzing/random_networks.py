"""Convolutional networks drawn at random, with what is known of them by construction."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn


@dataclass(frozen=True)
class Plan:
    """How a network is built.

    Attributes:
        kind: Of its blocks.
        stages: Blocks, width and stride of each stage.
        activation: Of all layers.
        norm: Whether batch or group normalisation, or none.
        flat: Whether the blocks stand in one list, in place of a module a stage.
        stem: Whether a convolution with a stride comes first.
        names: What the stages are called.
    """

    kind: str
    stages: tuple[tuple[int, int, int], ...]
    activation: type[nn.Module]
    norm: str
    flat: bool
    stem: bool
    names: str


def plans(kinds=("plain", "basic", "bottleneck", "inverted", "preactivated", "joining")):
    """Plans of small networks."""
    stage = st.tuples(st.integers(1, 3), st.sampled_from([4, 8, 12]), st.just(2))
    return st.builds(
        Plan,
        kind=st.sampled_from(kinds),
        stages=st.lists(stage, min_size=2, max_size=3).map(tuple),
        activation=st.sampled_from([nn.ReLU, nn.SiLU, nn.GELU]),
        norm=st.sampled_from(["batch", "group"]),
        flat=st.booleans(),
        stem=st.booleans(),
        names=st.sampled_from(["layer", "s", "stage_", "encoder"]),
    )


class Network(nn.Module):
    """A stem, stages of blocks, a mean and a linear layer."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        width = 6
        stem = [nn.Conv2d(3, width, 3, stride=2 if plan.stem else 1, padding=1, bias=False)]
        self.stem = nn.Sequential(*stem, norm_of(plan, width), plan.activation())
        stages = []
        for blocks, wide, stride in plan.stages:
            made = []
            for number in range(blocks):
                made.append(BLOCKS[plan.kind](plan, width, wide, 1 if number else stride))
                width = wide
            stages.append(made)
        if plan.flat:
            self.features = nn.Sequential(*(block for stage in stages for block in stage))
        else:
            for number, stage in enumerate(stages, 1):
                setattr(self, f"{plan.names}{number}", nn.Sequential(*stage))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.stem(x)
        if self.plan.flat:
            x = self.features(x)
        else:
            for number in range(1, len(self.plan.stages) + 1):
                x = getattr(self, f"{self.plan.names}{number}")(x)
        return self.head(x.mean((2, 3)))


def norm_of(plan, width):
    return nn.BatchNorm2d(width) if plan.norm == "batch" else nn.GroupNorm(2, width)


def layer(plan, inputs, outputs, size, *, stride=1, groups=1, act=True):
    parts = [
        nn.Conv2d(
            inputs, outputs, size, stride=stride, padding=size // 2, groups=groups, bias=False
        ),
        norm_of(plan, outputs),
    ]
    return nn.Sequential(*parts, *([plan.activation()] if act else []))


def plain(plan, inputs, outputs, stride):
    return layer(plan, inputs, outputs, 3, stride=stride)


class Residual(nn.Module):
    """A branch, a way around it, and an activation after the sum."""

    def __init__(self, plan, branch, inputs, outputs, stride, *, act=True):
        super().__init__()
        self.branch = branch
        same = stride == 1 and inputs == outputs
        self.around = None if same else layer(plan, inputs, outputs, 1, stride=stride, act=False)
        self.activation = plan.activation() if act else nn.Identity()

    def forward(self, x):
        shortcut = x if self.around is None else self.around(x)
        return self.activation(self.branch(x) + shortcut)


def basic(plan, inputs, outputs, stride):
    branch = nn.Sequential(
        *layer(plan, inputs, outputs, 3, stride=stride),
        *layer(plan, outputs, outputs, 3, act=False),
    )
    return Residual(plan, branch, inputs, outputs, stride)


def bottleneck(plan, inputs, outputs, stride):
    hidden = 2 * max(1, outputs // 4)
    branch = nn.Sequential(
        layer(plan, inputs, hidden, 1),
        layer(plan, hidden, hidden, 3, stride=stride),
        layer(plan, hidden, outputs, 1, act=False),
    )
    return Residual(plan, branch, inputs, outputs, stride)


def inverted(plan, inputs, outputs, stride):
    hidden = 2 * inputs
    branch = nn.Sequential(
        layer(plan, inputs, hidden, 1),
        layer(plan, hidden, hidden, 3, stride=stride, groups=hidden),
        layer(plan, hidden, outputs, 1, act=False),
    )
    return Residual(plan, branch, inputs, outputs, stride, act=False)


class Preactivated(nn.Module):
    """Normalisation first, nothing after the sum."""

    def __init__(self, plan, inputs, outputs, stride):
        super().__init__()
        self.norm, self.activation = norm_of(plan, inputs), plan.activation()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = stride == 1 and inputs == outputs
        self.around = None if same else nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x):
        y = self.activation(self.norm(x))
        shortcut = x if self.around is None else self.around(y)
        return shortcut + self.conv2(self.activation(self.conv1(y)))


class Joining(nn.Module):
    """Two convolutions of different size side by side."""

    def __init__(self, plan, inputs, outputs, stride):
        super().__init__()
        self.small = layer(plan, inputs, outputs // 2, 1, stride=stride)
        self.large = layer(plan, inputs, outputs - outputs // 2, 3, stride=stride)

    def forward(self, x):
        return torch.cat([self.small(x), self.large(x)], 1)


BLOCKS = {
    "plain": plain,
    "basic": basic,
    "bottleneck": bottleneck,
    "inverted": inverted,
    "preactivated": Preactivated,
    "joining": Joining,
}
