"""Models as training would leave them, their outputs, and what must not change these."""

import copy
import io
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from visattn.recording import find_taps, record
from visattn.wrapping.building import NORMALISATIONS

_ALMOST_ZERO = 1e-4


def enliven(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give every normalisation, and every weight that starts at zero, values as training would.

    A residual branch whose last BN or layer scale is zero adds nothing, and hides damage done to
    it; so does a block whose last layer is zero.

    Args:
        model: Changed in place.
        seed: Of the values.

    Returns:
        ``model``.

    Example:
        >>> float(enliven(nn.BatchNorm2d(1)).running_mean) != 0
        True
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(tensor: Any, low: float, high: float) -> None:
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=generator) * (high - low) + low
            with torch.no_grad():
                tensor.copy_(values)

    for module in model.modules():
        if isinstance(module, NORMALISATIONS):
            fill(module.weight, 0.5, 1.5)
            fill(module.bias, -0.5, 0.5)
            fill(getattr(module, "running_mean", None), -0.5, 0.5)
            fill(getattr(module, "running_var", None), 0.5, 1.5)
    for parameter in model.parameters():
        if parameter.numel() and parameter.detach().abs().max() <= _ALMOST_ZERO:
            fill(parameter, -0.5, 0.5) if parameter.ndim < 2 else fill(parameter, -0.1, 0.1)
    return model


def seeded(model: nn.Module, x: Tensor) -> Tensor:
    """The output for a copy of ``x`` under a fixed seed, so that dropout draws the same."""
    torch.manual_seed(0)
    with torch.no_grad():
        result = model(x.clone())
    assert isinstance(result, Tensor), f"expected a tensor from the model, got {type(result)}"
    return result


def close(ours: Tensor, expected: Tensor, what: str) -> None:
    """Both must agree but for rounding."""
    torch.testing.assert_close(
        ours.float(), expected.float(), atol=1e-4, rtol=1e-3, msg=lambda text: f"{what}: {text}"
    )


def check_copies(model: nn.Module, x: Tensor) -> None:
    """``copy.deepcopy`` and ``torch.save`` (pickle) must give a model with the same outputs."""
    expected = seeded(model, x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for name, double in {
        "copy.deepcopy": copy.deepcopy(model),
        "torch.save and load": torch.load(buffer, weights_only=False),
    }.items():
        assert torch.equal(seeded(double, x), expected), f"{name} changes the output"


def check_recording(model: nn.Module, x: Tensor) -> None:
    """Recording must change no output, and leave no hook, after an exception either."""
    if not list(find_taps(model)):
        return
    expected = seeded(model, x)
    with record(model) as maps:
        recorded = seeded(model, x)
    assert torch.equal(recorded, expected), "recording changes the output"
    assert len(maps) > 0, "nothing was recorded"
    with suppress(InterruptedError), record(model):
        raise InterruptedError
    assert not any(tap._forward_hooks for _, _, tap in find_taps(model)), "a hook is left"


def check_images_alone(model: nn.Module, x: Tensor) -> None:
    """Neither the other images of a batch nor the layout in memory may change an output."""
    expected = seeded(model, x)
    last = x.contiguous(memory_format=torch.channels_last)
    close(seeded(model, last), expected, "channels_last")
    alone = torch.cat([seeded(model, image) for image in x.split(1)])
    close(alone, expected, "images one by one")
