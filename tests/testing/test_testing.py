"""The contract catches what it promises to catch."""

import pytest
import timm
import torch
from torch import nn

from visattn.blocks import SE
from visattn.blocks.taps import Tap
from visattn.testing import check_block, check_compiles, check_exports, check_wrapped, enliven


class Block(nn.Module):
    """A sound block, for the broken ones to differ from it in one thing."""

    def __init__(self, channels, *, init="paper"):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.tap = Tap("spatial")
        if init == "identity":
            nn.init.zeros_(self.conv.weight)
            nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return x + self.tap(self.gate(x))

    def gate(self, x):
        return self.conv(x)


class Shrinks(Block):
    def forward(self, x):
        return super().forward(x)[:, :, 1:]


class NotFinite(Block):
    def gate(self, x):
        return self.conv(x) / (x.shape[2] * x.shape[3] - 1)


class InPlace(Block):
    def forward(self, x):
        return x.detach().mul_(2) + super().forward(x)


class NoIdentity(Block):
    def gate(self, x):
        return self.conv(x) + 1e-6 * x


class NeverLearns(Block):
    def gate(self, x):
        return self.conv(x).detach()


class MixesImages(Block):
    def gate(self, x):
        return self.conv(x).mean(0, keepdim=True)


class CountsInEvaluation(Block):
    def __init__(self, channels, *, init="paper"):
        super().__init__(channels, init=init)
        self.register_buffer("calls", torch.zeros(()))

    def gate(self, x):
        self.calls += 1
        return self.conv(x)


class OverflowsInHalf(Block):
    def gate(self, x):
        product = self.conv(x)
        return product if product.dtype == torch.float32 else product * float("inf")


class LeavesHook(Block):
    def gate(self, x):
        if self.tap._forward_hooks:
            self.tap.register_forward_hook(lambda *_: None)
        return self.conv(x)


class SharesMemory(Block):
    def __init__(self, channels, *, init="paper"):
        super().__init__(channels, init=init)
        self.scale, self.shift = map(nn.Parameter, torch.zeros(2, channels))


class NotCopied(Block):
    def __deepcopy__(self, memo):
        return type(self)(self.conv.in_channels)


BROKEN = [
    (Shrinks, "became"),
    (NotFinite, "not finite on"),
    (InPlace, "in place"),
    (NoIdentity, "no identity at the start"),
    (NeverLearns, "cannot learn"),
    (MixesImages, "images one by one"),
    (CountsInEvaluation, "evaluation changes calls"),
    (OverflowsInHalf, "not finite under autocast"),
    (LeavesHook, "a hook is left"),
    (NotCopied, "copy.deepcopy changes the output"),
    (SharesMemory, "scale is a part of a larger tensor"),
]


def test_a_sound_block_passes():
    check_block(Block)


@pytest.mark.parametrize(("block", "message"), BROKEN, ids=[b.__name__ for b, _ in BROKEN])
def test_a_broken_block_is_caught(block, message):
    with pytest.raises(AssertionError, match=message):
        check_block(block)


def build():
    return timm.create_model("test_resnet", num_classes=3)


class TouchesItsInput(SE):
    def forward(self, x):
        return super().forward(x.mul_(1 + 1e-3))


class HoldsTensor(SE):
    """Computes with a tensor that it reaches by a way of its own."""

    def __init__(self, channels, **options):
        super().__init__(channels, **options)
        self.held = [self.fc1.weight]

    def forward(self, x):
        return super().forward(x) + 1e-3 * self.held[0].square().sum() * (
            self.fc2.weight.sum() != 0
        )


class FixedSize(SE):
    """Fits the size that it saw first."""

    def forward(self, x):
        if not hasattr(self, "size"):
            self.size = tuple(x.shape[2:])
        return super().forward(x) if tuple(x.shape[2:]) == self.size else x * torch.nan


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (TouchesItsInput, "differs at the start, training=False"),
        (FixedSize, "at another size"),
        (MixesImages, "images one by one"),
        (LeavesHook, "a hook is left"),
        (HoldsTensor, "functional_call"),
    ],
)
def test_a_broken_block_in_a_model_is_caught(block, message):
    with pytest.raises(AssertionError, match=message):
        check_wrapped(build, block, at="branch")


def test_a_block_that_ends_the_graph_does_not_compile():
    class Prints(Block):
        def gate(self, x):
            torch._dynamo.graph_break()
            return self.conv(x)

    with pytest.raises(Exception, match="graph_break"):
        check_compiles(Prints(4).eval(), torch.randn(2, 4, 5, 6))


def test_a_block_whose_way_depends_on_the_size_is_not_exported():
    class Decides(Block):
        def gate(self, x):
            return self.conv(x) * (2 if x.shape[2] > 10 else 1)

    with pytest.raises(Exception, match="Guard failed"):
        check_exports(Decides(4).eval(), torch.randn(2, 4, 9, 8))


def test_enliven_leaves_nothing_at_zero():
    model = enliven(timm.create_model("test_convnext", num_classes=3))
    assert all(p.abs().max() > 1e-4 for p in model.parameters())
