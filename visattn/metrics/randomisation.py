"""The randomisation test: does a map change when the weights do?

Adebayo et al., "Sanity checks for saliency maps", 2018, arXiv:1810.03292.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked
from visattn.metrics.inputs import check_finite, read_maps


@dataclass(frozen=True)
class Randomisation:
    """How alike the maps are to those of the trained model, as the weights are randomised.

    Attributes:
        layers: For each step, the layers that were randomised in it; those of the steps before
            stay so.
        correlations: Spearman's rank correlation of each image's map with its map before (steps,
            N), NaN where one of the two is flat.
    """

    layers: tuple[tuple[str, ...], ...]
    correlations: Tensor


def randomisation_test(
    model: nn.Module,
    maps_of: Callable[[nn.Module], Tensor],
    *,
    steps: int | None = None,
    seed: int = 0,
) -> Randomisation:
    """Randomise the weights of a copy from the top down, and compare the maps after each step.

    The top is the layer that runs last (a layer's first run counts) while the maps are made, most
    often the classifier. A layer is a module with parameters of its own. Each of its parameters is
    shuffled: the same values at other places, which keeps their scale; one of equal values, such as
    a fresh normalisation's, has nothing to shuffle. Layers that do not run stay out.

    A map that does not change reads nothing of the layers that were randomised: that of an edge
    detector never does, and that of attention at the image cannot change before its own weights.

    Args:
        model: The trained model; it stays as it is.
        maps_of: Makes maps (N, H, W) or (N, 1, H, W) with a given model, of the same images and
            for the same classes each time.
        steps: How many; the layers are shared out among them evenly. As many as layers if None.
        seed: Of the shuffling.

    Returns:
        The correlations, in [-1, 1], and the layers of each step.

    Raises:
        TypeError: If ``maps_of`` gives no tensor.
        ValueError: If no layer with parameters ran, ``steps`` is less than 1, or maps are not
            finite or change their shape.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(36, 2)).eval()
        >>> image = torch.randn(1, 1, 8, 8)
        >>> found = randomisation_test(model, lambda network: network[0](image)[:, 0])
        >>> found.layers, found.correlations.shape
        ((('0',),), torch.Size([1, 1]))
    """
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    double = copy.deepcopy(model)
    names: list[str] = []
    layers_inside = {
        module: name
        for name, module in double.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    }

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        names.append(layers_inside[module])

    with hooked((module, note) for module in layers_inside):
        before = _read(maps_of(double))
    if not names:
        raise ValueError(
            "no layer with parameters ran while maps_of made the maps: it must call the model that "
            "it is given, uncompiled"
        )
    order = list(dict.fromkeys(names))[::-1]
    parts = min(steps or len(order), len(order))
    bounds = [round(len(order) * part / parts) for part in range(parts + 1)]
    generator = torch.Generator().manual_seed(seed)
    layers, found = [], []
    for first, last in pairwise(bounds):
        for name in order[first:last]:
            _shuffle(double.get_submodule(name), generator)
        maps = _read(maps_of(double))
        if maps.shape != before.shape:
            raise ValueError(
                f"maps_of gave maps of shape {tuple(before.shape)} first and "
                f"{tuple(maps.shape)} then: it must make the same images' maps each time"
            )
        layers.append(tuple(order[first:last]))
        found.append(rank_correlation(before, maps))
    return Randomisation(tuple(layers), torch.stack(found))


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of each pair of maps, equal values sharing their mean rank.

    Args:
        first: Maps (N, H, W) or (N, 1, H, W).
        second: Maps of the same shape.

    Returns:
        Values (N,) in [-1, 1]; NaN where a map is flat.

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the shapes differ or a value isn't finite.

    Example:
        >>> first = torch.tensor([[[1.0, 2.0, 3.0]]])
        >>> rank_correlation(first, -(first**2))
        tensor([-1.], dtype=torch.float64)
    """
    first, second = _read(first), _read(second)
    if first.shape != second.shape:
        raise ValueError(
            f"maps of one shape were expected, not {tuple(first.shape)} and {tuple(second.shape)}"
        )
    ranks = [_ranks(maps.flatten(1)) for maps in (first, second)]
    a, b = (rank - rank.mean(1, keepdim=True) for rank in ranks)
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()


def _read(maps: Tensor) -> Tensor:
    maps = read_maps(maps, what="maps")
    check_finite(maps, what="given")
    return maps


def _shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _ranks(values: Tensor) -> Tensor:
    """Mean ranks of each row (N, P)."""
    ordered, order = values.sort(1)
    groups = torch.zeros_like(order)
    groups[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(1)
    places = torch.arange(values.shape[1], device=values.device).to(values).expand_as(values)
    means = torch.zeros_like(values).scatter_reduce(1, groups, places, "mean", include_self=False)
    return torch.empty_like(values).scatter_(1, order, means.gather(1, groups))
