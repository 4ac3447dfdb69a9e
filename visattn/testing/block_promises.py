"""The promises of a block alone."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visattn.testing.graphs import check_graph_trains, check_graphs
from visattn.testing.outputs import (
    check_copies,
    check_images_alone,
    check_recording,
    enliven,
    seeded,
)

SIZES = ((2, 8, 8), (1, 9, 5), (3, 1, 7), (1, 16, 3), (2, 1, 1), (1, 1, 1))
"""Batch, height and width of the maps that a block must take."""


@dataclass(frozen=True)
class BlockCase:
    """A block to check, with the arguments of `check_block`."""

    factory: Callable[..., nn.Module]
    channels: Sequence[int]
    sizes: Sequence[tuple[int, int, int]]
    learns_at_once: bool
    options: dict[str, Any]

    @property
    def offers_identity(self) -> bool:
        """Whether the factory takes ``init``."""
        return "init" in inspect.signature(self.factory).parameters

    def live(self) -> tuple[nn.Module, Tensor]:
        """The block as after training, in evaluation mode, and a map for it."""
        width = self.channels[-1]
        block = enliven(self.factory(width, **self.options)).eval()
        return block, torch.randn(2, width, 8, 6)


def check_block(
    factory: Callable[..., nn.Module],
    *,
    channels: Sequence[int] = (1, 3, 16, 24),
    sizes: Sequence[tuple[int, int, int]] = SIZES,
    learns_at_once: bool = True,
    **options: Any,
) -> None:
    """Check a block alone: shapes, identity, gradients, copies, layouts, recording.

    Args:
        factory: The block class, or a function of channels and ``options``.
        channels: Widths to try.
        sizes: Batch, height and width to try.
        learns_at_once: Whether the identity must pass a gradient to its parameters from the first
            step; False for a block that a schedule brings in.
        **options: For the factory.

    Raises:
        AssertionError: A promise is broken; the message says which.

    Example:
        >>> from visattn.blocks import SE
        >>> check_block(SE, channels=(16,), sizes=((2, 8, 8),))
    """
    case = BlockCase(factory, channels, sizes, learns_at_once, options)
    for promise in BLOCK_PROMISES:
        promise(case)


def keeps_shapes_and_gradients(case: BlockCase) -> None:
    """Any width, height, batch: the same shape, finite values and gradients, input left alone."""
    for width in case.channels:
        for batch, height, columns in case.sizes:
            block = case.factory(width, **case.options)
            x = torch.randn(batch, width, height, columns)
            given = x.clone().requires_grad_()
            for training in (True, False):
                y = block.train(training)(given)
                assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
                assert y.isfinite().all(), f"not finite on {tuple(x.shape)}, training={training}"
                y.square().sum().backward()
            assert torch.equal(given, x), "the block changes its input in place"
            assert given.grad is not None, "no gradient reaches the input"
            assert given.grad.isfinite().all(), f"gradient not finite on {tuple(x.shape)}"


def starts_as_the_identity(case: BlockCase) -> None:
    """With ``init="identity"`` the output is the input, bit for bit, in both modes."""
    if not case.offers_identity:
        return
    for width in case.channels:
        for batch, height, columns in case.sizes:
            x = torch.randn(batch, width, height, columns)
            for training in (True, False):
                block = case.factory(width, init="identity", **case.options).train(training)
                assert torch.equal(block(x), x), (
                    f"no identity at the start on {tuple(x.shape)}, training={training}"
                )


def learns_from_the_identity(case: BlockCase) -> None:
    """From the identity, something besides the input receives a gradient at once."""
    if not (case.offers_identity and case.learns_at_once):
        return
    block = case.factory(64, init="identity", **case.options)
    if not list(block.parameters()):
        return
    y = block.train()(torch.randn(4, 64, 8, 8))
    assert y.requires_grad, "the identity cannot learn: its output depends on no parameter"
    (y * torch.randn_like(y)).sum().backward()
    moved = [p for p in block.parameters() if p.grad is not None and p.grad.any()]
    assert moved, "the identity cannot learn: no parameter receives a gradient"


def survives_copies(case: BlockCase) -> None:
    """``copy.deepcopy`` and ``torch.save`` keep the outputs; no tensor is a part of another."""
    block, x = case.live()
    check_copies(block, x)
    for name, value in block.state_dict().items():
        whole = value.untyped_storage().nbytes() == value.nbytes
        assert whole, f"{name} is a part of a larger tensor, which safetensors doesn't save"


def treats_each_image_alone(case: BlockCase) -> None:
    """In evaluation the batch doesn't matter, the layout in memory doesn't, nothing is changed."""
    block, x = case.live()
    state = {name: value.clone() for name, value in block.state_dict().items()}
    check_images_alone(block, x)
    for name, value in block.state_dict().items():
        assert torch.equal(value, state[name]), f"evaluation changes {name}"


def runs_under_autocast(case: BlockCase) -> None:
    """In bfloat16 by autocast the values are finite, and near to those in full precision."""
    block, x = case.live()
    expected = seeded(block, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = seeded(block, x).float()
    assert rounded.isfinite().all(), "not finite under autocast"
    error = (rounded - expected).norm() / expected.norm()
    assert error < 0.1, f"autocast changes the output by {error:.1%}"


def keeps_the_type(case: BlockCase) -> None:
    """The output's type is the map's, under autocast and of a block that was cast."""
    block, x = case.live()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = seeded(block, x.bfloat16()).dtype
    assert given is torch.bfloat16, f"under autocast a bfloat16 map becomes {given}"
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        given = seeded(block.to(dtype), x.to(dtype)).dtype
        assert given is dtype, f"a block in {dtype} gives {given}"


def is_recorded(case: BlockCase) -> None:
    """Recording a block with taps changes no output and leaves no hook."""
    check_recording(*case.live())


def gives_graphs(case: BlockCase) -> None:
    """``torch.fx`` and ``torch.jit.trace`` give the same outputs, at other sizes too."""
    check_graphs(*case.live())
    check_graph_trains(*case.live())


BLOCK_PROMISES: tuple[Callable[[BlockCase], None], ...] = (
    keeps_shapes_and_gradients,
    starts_as_the_identity,
    learns_from_the_identity,
    survives_copies,
    treats_each_image_alone,
    runs_under_autocast,
    keeps_the_type,
    is_recorded,
    gives_graphs,
)
"""What `check_block` checks, in order."""
