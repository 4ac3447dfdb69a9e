"""The checks that every block and every wrapped model must pass, for third parties too.

Each function returns nothing and raises AssertionError with what was broken::

    from visattn.testing import check_block, check_wrapped

    def test_my_block():
        check_block(MyBlock)
        check_wrapped(lambda: timm.create_model("resnet18"), MyBlock)
"""

import copy
import inspect
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from visattn.blocks.attended import attended
from visattn.insertion import (
    attention_parameters,
    backbone_parameters,
    disabled,
    unwrap,
    wrap,
)
from visattn.planning import Block
from visattn.recording import find_taps, record

SIZES = ((2, 8, 8), (1, 9, 5), (3, 1, 7), (1, 16, 3))
"""Batch, height and width of the maps that a block must take."""


def enliven(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give every normalisation weights, biases and statistics as training would leave them.

    A residual branch whose last BN is zero adds nothing, and hides damage done to it.

    Args:
        model: Changed in place.
        seed: Of the values.

    Returns:
        ``model``.
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(tensor: Any, low: float, high: float) -> None:
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=generator) * (high - low) + low
            with torch.no_grad():
                tensor.copy_(values)

    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)):
            fill(module.weight, 0.5, 1.5)
            fill(module.bias, -0.5, 0.5)
            fill(getattr(module, "running_mean", None), -0.5, 0.5)
            fill(getattr(module, "running_var", None), 0.5, 1.5)
    return model


def check_block(
    factory: Callable[..., nn.Module],
    *,
    channels: Sequence[int] = (1, 16, 24),
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
    """
    offers_identity = "init" in inspect.signature(factory).parameters
    for width in channels:
        for batch, height, rows in sizes:
            x = torch.randn(batch, width, height, rows)
            _check_shapes_and_gradients(factory(width, **options), x)
            if offers_identity:
                _check_identity(partial(factory, width, init="identity", **options), x)
    if offers_identity and learns_at_once:
        _check_learns(factory(64, init="identity", **options))
    x = torch.randn(2, channels[-1], 8, 6)
    block = enliven(factory(channels[-1], **options)).eval()
    _check_copies(block, x)
    _check_layouts(block, x)
    taps = list(find_taps(block))
    if taps:
        _check_recording(block, x)


def check_wrapped(
    build: Callable[[], nn.Module],
    block: Block,
    *,
    image_size: tuple[int, int] = (48, 40),
    **options: Any,
) -> None:
    """Check a block in a model: the promises of `wrap`, `unwrap`, `disabled` and `record`.

    Args:
        build: Makes the plain model.
        block: As for `wrap`.
        image_size: Height and width of the images to try.
        **options: For `wrap`; ``init`` is tried both ways.
    """
    plain = enliven(build())
    images = torch.randn(2, 3, *image_size)
    for training in (False, True):
        model = wrap(copy.deepcopy(plain).train(training), block, **options)
        expected = _seeded(copy.deepcopy(plain).train(training), images)
        assert torch.equal(_seeded(model, images), expected), (
            f"the model with {block!r} differs at the start, training={training}: by"
            f" {(_seeded(model, images) - expected).abs().max():g}"
        )
    plain.eval()
    model = enliven(wrap(copy.deepcopy(plain), block, init="paper", **options), seed=1).eval()
    _check_keys(plain, model)
    _check_unwrap(plain, model, images)
    _check_copies(model, images)
    if list(find_taps(model)):
        _check_recording(model, images)


def _seeded(model: nn.Module, x: Tensor) -> Tensor:
    """The output under a fixed seed, so that dropout draws the same."""
    torch.manual_seed(0)
    with torch.no_grad():
        result = model(x.clone())
    assert isinstance(result, Tensor), f"expected a tensor from the model, got {type(result)}"
    return result


def _check_shapes_and_gradients(block: nn.Module, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    for training in (True, False):
        y = block.train(training)(x)
        assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
        assert y.isfinite().all(), f"not finite on {tuple(x.shape)}, training={training}"
        y.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all(), f"the gradient is not finite on {tuple(x.shape)}"


def _check_identity(build: Callable[[], nn.Module], x: Tensor) -> None:
    for training in (True, False):
        block = build().train(training)
        y = block(x)
        assert torch.equal(y, x), f"no identity at the start, training={training}"


def _check_learns(block: nn.Module) -> None:
    """Something besides the input must receive a gradient from the output at the start."""
    y = block.train()(torch.randn(4, 64, 8, 8))
    (y * torch.randn_like(y)).sum().backward()
    moved = [p for p in block.parameters() if p.grad is not None and p.grad.any()]
    assert moved, "the identity cannot learn: no parameter receives a gradient"


def _check_copies(module: nn.Module, x: Tensor) -> None:
    expected = _seeded(module, x)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for name, double in {
        "copy.deepcopy": copy.deepcopy(module),
        "torch.save and load": torch.load(buffer, weights_only=False),
    }.items():
        assert torch.equal(_seeded(double, x), expected), f"{name} changes the output"


def _check_layouts(block: nn.Module, x: Tensor) -> None:
    expected = _seeded(block, x)
    turned = _seeded(block, x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-4)
    alone = torch.cat([_seeded(block, row) for row in x.split(1)])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _seeded(block, x).isfinite().all(), "not finite under autocast"


def _check_recording(model: nn.Module, x: Tensor) -> None:
    expected = _seeded(model, x)
    with record(model) as maps:
        recorded = _seeded(model, x)
    assert torch.equal(recorded, expected), "recording changes the output"
    assert len(maps) > 0
    assert not any(tap._forward_hooks for _, _, tap in find_taps(model)), "a hook is left"


def _check_keys(plain: nn.Module, model: nn.Module) -> None:
    before, after = plain.state_dict(), model.state_dict()
    lost = [key for key in before if key not in after]
    assert not lost, f"the backbone's keys changed: {lost[:3]} are gone"
    added = {id(p) for p in attention_parameters(model)}
    assert not added & {id(p) for p in backbone_parameters(model)}
    result = model.load_state_dict(before, strict=False)
    assert not result.unexpected_keys, f"unexpected: {result.unexpected_keys[:3]}"
    assert not set(result.missing_keys) & set(before), "a plain checkpoint doesn't load"


def _check_unwrap(plain: nn.Module, model: nn.Module, x: Tensor) -> None:
    expected = _seeded(plain, x)
    with disabled(model):
        assert torch.equal(_seeded(model, x), expected), "disabled() leaves an effect"
    bare = unwrap(copy.deepcopy(model))
    assert list(bare.state_dict()) == list(plain.state_dict()), "unwrap changes the keys"
    assert [type(m) for m in bare.modules()] == [type(m) for m in plain.modules()]
    assert torch.equal(_seeded(bare, x), expected), "unwrap changes the output"
    assert list(attended(model)), "unwrap of a copy touched the original"
