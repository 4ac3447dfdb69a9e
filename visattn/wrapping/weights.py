"""Attention weights in and out: what wrap added, alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from visattn.blocks.attended import Attended, block_of, natural_paths


def save_attention(model: nn.Module, path: str | Path) -> Path:
    """Save what `wrap` added, its buffers too, and nothing of the backbone.

    Args:
        model: A wrapped model.
        path: A ``.safetensors`` file; a ``.json`` of the same name beside it says what stands
            where.

    Returns:
        The path of the weights.

    Raises:
        ValueError: The model has no attention, or the path has another suffix.
    """
    target = _checked(path)
    units = attention_units(model)
    from safetensors.torch import save_file

    state = {
        f"{key}.{name}": tensor.detach().contiguous().cpu()
        for key, unit in units.items()
        for name, tensor in block_of(unit).state_dict().items()
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, target)
    target.with_suffix(".json").write_text(json.dumps(_layout(units), indent=1) + "\n")
    return target


def load_attention(model: nn.Module, path: str | Path) -> nn.Module:
    """Load saved attention into a model that is wrapped in the same way.

    Everything is compared before anything is loaded.

    Args:
        model: Wrapped as the saved one was: same blocks at the same sites.
        path: What `save_attention` wrote.

    Returns:
        ``model``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Sites, blocks or shapes differ; the message names the first that does.
    """
    from safetensors.torch import load_file

    source = _checked(path)
    for file in (source, source.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"No saved attention at {file}; save_attention writes it.")
    units = attention_units(model)
    saved, here = json.loads(source.with_suffix(".json").read_text()), _layout(units)
    for site in [*saved, *here]:
        if saved.get(site) != here.get(site):
            raise ValueError(
                f"The saved attention differs from the model's at {site!r}: saved"
                f" {saved.get(site, 'nothing')}, here {here.get(site, 'nothing')}. Wrap the model"
                " as the saved one was."
            )
    state = load_file(source)
    own = {
        f"{key}.{name}": tensor
        for key, unit in units.items()
        for name, tensor in block_of(unit).state_dict().items()
    }
    for name in [*state, *own]:
        shapes = [tuple(s[name].shape) if name in s else "nothing" for s in (state, own)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"The saved attention differs from the model's at {name!r}: saved {shapes[0]},"
                f" here {shapes[1]}. Wrap the model with the same options."
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])
    return model


def _checked(path: str | Path) -> Path:
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ValueError(f"Expected a path that ends in .safetensors, got {str(path)!r}.")
    return target


def attention_units(model: nn.Module) -> dict[str, Attended]:
    """The units by the key of their attention in the state dict.

    Raises:
        ValueError: The model has no attention that `wrap` put in.
    """
    units = {
        f"{path}.{unit.visattn.child}": unit
        for path, unit in natural_paths(model)
        if isinstance(unit, Attended)
    }
    if not units:
        raise ValueError(f"{type(model).__name__} has no attention that wrap put in.")
    return units


def _layout(units: Mapping[str, Attended]) -> dict[str, dict[str, Any]]:
    """What stands where, as plain values."""
    return {
        key: {
            "site": unit.visattn.site,
            "block": type(block_of(unit)).__name__,
            "where": unit.visattn.where,
        }
        for key, unit in units.items()
    }
