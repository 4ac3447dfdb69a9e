"""What a real forward pass shows of an architecture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visattn.bench.matrix.architectures import Architecture
from visattn.bench.matrix.survey import Surveyed
from visattn.testing import enliven
from visattn.wrapping.insertion import unwrap, wrap
from visattn.wrapping.places import PLACE_RULES, PLACES
from visattn.wrapping.tracing import default_input_size, trace

BLOCKS = {
    "branch": "se",
    "conv": "eca",
    "block": "cbam",
    "stage": "gc",
    "stem": "se",
    "image": "spatial_mask",
}
"""The block that is tried at each place."""


@dataclass(frozen=True)
class Verified:
    """What a real forward pass showed of one architecture: the places that held, and a fault."""

    architecture: Architecture
    places: tuple[str, ...]
    fault: str = ""


def verify(entry: Surveyed) -> Verified:
    """Wrap a real model at each place that it has and compare it with the plain one."""
    torch.manual_seed(0)
    held: list[str] = []
    try:
        model = enliven(entry.architecture.build())
        images, plain = _plain(model)
        if not all(torch.isfinite(one).all() for one in plain):
            raise AssertionError("the plain model's outputs are not finite")
        traced = trace(model, input_size=(images.shape[1], images.shape[2], images.shape[3]))
        for places in (("branch", "stage", "stem"), ("conv", "block", "image")):
            there = [
                place for place in places if place in entry.sites and PLACE_RULES[place](traced)
            ]
            if there:
                _check(model, {place: BLOCKS[place] for place in there}, images, plain)
                held += there
    except Exception as error:
        return Verified(entry.architecture, tuple(held), f"{type(error).__name__}: {error}"[:200])
    return Verified(entry.architecture, tuple(place for place in PLACES if place in held))


def _plain(model: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Images of the smallest size that a model takes in both modes, and what it gives for them."""
    channels, *own = default_input_size(model)
    for size in ([128, 128], [224, 224], own):
        images = torch.randn(2, channels, *size)
        try:
            return images, _outputs(model, images)
        except (AssertionError, IndexError, RuntimeError, ValueError):
            continue
    images = torch.randn(2, channels, 299, 299)
    return images, _outputs(model, images)


def _check(
    model: nn.Module, blocks: dict[str, str], images: Tensor, expected: Sequence[Tensor]
) -> None:
    """Raise AssertionError unless a model with blocks, and without them again, gives the same."""
    keys = list(model.state_dict())
    wrap(model, blocks, input_size=(images.shape[1], images.shape[2], images.shape[3]))
    given = _outputs(model, images)
    if list(unwrap(model).state_dict()) != keys:
        raise AssertionError(f"unwrap of {blocks} changes the keys")
    if not all(torch.equal(one, other) for one, other in zip(given, expected, strict=True)):
        raise AssertionError(f"{', '.join(blocks)} change the outputs")


def _outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """All that a model gives in evaluation and in training mode; its statistics are kept."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found: list[Tensor] = []
    with torch.no_grad():
        for training in (False, True):
            torch.manual_seed(0)
            found += _leaves(model.train(training)(images.clone()))
        for name, buffer in model.named_buffers():
            if name in before:
                buffer.copy_(before[name])
    return found


def _leaves(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
