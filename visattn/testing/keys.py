"""Which entries of a wrapped model's state dict are whose."""

from collections.abc import Iterator

from torch import nn

from visattn.blocks.attended import Attended, attended, base_of, natural_paths


def units(model: nn.Module) -> Iterator[tuple[str, Attended]]:
    """(path, unit) for every unit, with the path that state dicts use."""
    for path, module in natural_paths(model):
        if isinstance(module, Attended):
            yield path, module


def attention_keys(model: nn.Module) -> set[str]:
    """Entries that `wrap` added."""
    prefixes = tuple(_join(path, f"{unit.visattn.child}.") for path, unit in units(model))
    return {key for key in model.state_dict() if key.startswith(prefixes)}


def displaced_keys(model: nn.Module) -> set[str]:
    """Entries of modules whose place a block has taken."""
    return {
        _join(path, name)
        for path, unit in units(model)
        if unit.visattn.where == "instead"
        for name in base_of(unit).state_dict()
    }


def module_paths(model: nn.Module) -> list[str]:
    """Paths of the units, as ``get_submodule`` takes them."""
    paths = {id(module): path for path, module in model.named_modules()}
    return [paths[id(unit)] for unit in attended(model)]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
