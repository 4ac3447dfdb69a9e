"""Which entries and modules of a wrapped model are attention."""

from torch import nn

from visattn.blocks.attended import attended
from visattn.wrapping.weights import attention_units


def attention_keys(model: nn.Module) -> set[str]:
    """Entries of the state dict that `wrap` added."""
    prefixes = tuple(f"{key}." for key in attention_units(model))
    return {key for key in model.state_dict() if key.startswith(prefixes)}


def module_paths(model: nn.Module) -> list[str]:
    """Paths of the units, as ``get_submodule`` takes them."""
    paths = {id(module): path for path, module in model.named_modules()}
    return [paths[id(unit)] for unit in attended(model)]
