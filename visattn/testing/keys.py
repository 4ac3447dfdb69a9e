"""Which entries of a wrapped model's state dict are whose."""

from collections.abc import Iterator

from torch import nn

from visattn.blocks.attended import Attended, attended, natural_paths
from visattn.wrapping.weights import backbone_names


def units(model: nn.Module) -> Iterator[tuple[str, Attended]]:
    """(path, unit) for every unit, with the path that state dicts use."""
    for path, module in natural_paths(model):
        if isinstance(module, Attended):
            yield path, module


def attention_keys(model: nn.Module) -> set[str]:
    """Entries that `wrap` added."""
    return set(model.state_dict()) - set(backbone_names(model).values())


def module_paths(model: nn.Module) -> list[str]:
    """Paths of the units, as ``get_submodule`` takes them."""
    paths = {id(module): path for path, module in model.named_modules()}
    return [paths[id(unit)] for unit in attended(model)]
