"""Which entries and modules of a wrapped model are attention."""

from torch import nn

from visattn.blocks.attended import attended
from visattn.wrapping.weights import backbone_names


def attention_keys(model: nn.Module) -> set[str]:
    """Entries of the state dict that `wrap` added."""
    return set(model.state_dict()) - set(backbone_names(model).values())


def module_paths(model: nn.Module) -> list[str]:
    """Paths of the units, as ``get_submodule`` takes them."""
    paths = {id(module): path for path, module in model.named_modules()}
    return [paths[id(unit)] for unit in attended(model)]
