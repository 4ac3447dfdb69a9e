"""What a model takes: images alone, or images among other inputs."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

Inputs: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]


def images_of(inputs: Inputs) -> Tensor:
    """The images (N, C, H, W): the inputs themselves, or the first such tensor among them.

    Raises:
        TypeError: If they are no tensor of floating point.
        ValueError: If they are no batch of images.
    """
    if isinstance(inputs, (Sequence, Mapping)):
        for found in tree_flatten(_plain(inputs))[0]:
            if _floating(found) and found.ndim == 4 and found.numel():
                return found
        raise ValueError(
            "of several inputs one must be images (N, C, H, W) of floating point; a single input is"
            " given as a tensor"
        )
    if not _floating(inputs):
        kind = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"images must be a tensor of floating point, not {kind}")
    if inputs.ndim != 4 or inputs.numel() == 0:
        hint = "; images[None] makes a batch of one" if inputs.ndim == 3 else ""
        raise ValueError(
            f"images must be (N, C, H, W), at least one, not {tuple(inputs.shape)}{hint}"
        )
    return inputs


def with_images(inputs: Inputs, images: Tensor) -> Inputs:
    """The same inputs with other images."""
    old = images_of(inputs)
    found: Inputs = tree_map(lambda value: images if value is old else value, _plain(inputs))
    return found


def twice_as_wide(inputs: Inputs) -> Inputs:
    """The same inputs with all images of the first ones' size beside themselves."""
    size = images_of(inputs).shape[2:]

    def wide(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim == 4 and value.shape[2:] == size:
            return torch.cat([value, value], 3)
        return value

    found: Inputs = tree_map(wide, _plain(inputs))
    return found


def rows(values: Any, chosen: Tensor, *, of: int) -> Any:
    """Some rows of everything that has ``of`` of them: tensors, and lists as detectors give them.

    Example:
        >>> import torch
        >>> rows({"out": torch.arange(3), "loss": torch.ones(())}, torch.tensor([2]), of=3)
        {'out': tensor([2]), 'loss': tensor(1.)}
    """
    if isinstance(values, list) and len(values) == of:
        return [values[row] for row in chosen.tolist()]

    def taken(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == of:
            return value[chosen.to(value.device)]
        return value

    return tree_map(taken, values)


def detached(inputs: Inputs) -> Inputs:
    """Inputs without a graph, which autograd can save: a tensor of inference mode as its copy."""

    def safe(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().clone() if value.is_inference() else value.detach()

    found: Inputs = tree_map(safe, _plain(inputs))
    return found


def run(model: nn.Module, inputs: Inputs) -> Any:
    """What the model gives for a tensor, for several inputs, or for inputs by name."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs) if isinstance(inputs, Tensor) else model(*inputs)


def _plain(inputs: Inputs) -> Inputs:
    """A mapping of another kind, such as a processor gives, as a dictionary."""
    return dict(inputs) if isinstance(inputs, Mapping) else inputs


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.is_floating_point
