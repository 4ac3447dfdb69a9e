"""Attention weights in and out: what wrap added, alone."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.files import whole_file, write_whole
from visattn.blocks.attended import (
    Attended,
    attended_units,
    base_of,
    block_of,
    joined,
    natural_paths,
)
from visattn.blocks.loading import differences, made_of


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

    Example:
        >>> import tempfile, torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "se", stages=[4])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_attention(model, f"{folder}/se.safetensors")
        ...     load_attention(model, path) is model
        True
    """
    target = _checked(path)
    units = attention_units(model)
    from safetensors.torch import save_file

    own = attention_state(units)
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in own.items()}
    with whole_file(target) as part:
        save_file(state, part)
    write_whole(target.with_suffix(".json"), json.dumps(_layout(units), indent=1) + "\n")
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
    for key in [*saved, *here]:
        there, own = saved.get(key), here.get(key)
        if there is None or own is None:
            unlike = f"saved {there or 'nothing'}, here {own or 'nothing'}"
        elif not (unlike := differences(there, own)):
            continue
        raise ValueError(
            f"The saved attention differs from the model's at {key!r}: {unlike}. Wrap the model as"
            " the saved one was."
        )
    if any("init" not in entry for entry in saved.values()):
        warnings.warn(
            f"{source} was written by an earlier version, which kept neither init nor the blocks'"
            " options: it is not known whether they are those of this model.",
            stacklevel=2,
        )
    state, tensors = load_file(source), attention_state(units)
    for name in [*state, *tensors]:
        shapes = [tuple(s[name].shape) if name in s else "nothing" for s in (state, tensors)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"The saved attention differs from the model's at {name!r}: saved {shapes[0]},"
                f" here {shapes[1]}. Wrap the model with the same options."
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(state[name])
    return model


def backbone_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the plain model: its own names, without attention.

    What `wrap` put aside, a convolution that a block takes the place of, is in it too.

    Args:
        model: A wrapped model, or any other.

    Example:
        >>> import torchvision, visattn
        >>> plain, model = (torchvision.models.resnet18() for _ in range(2))
        >>> plain.load_state_dict(backbone_state_dict(visattn.wrap(model, "cbam")))
        <All keys matched successfully>
    """
    state = model.state_dict()
    found = {plain: state[own] for plain, own in backbone_names(model).items()}
    for path, unit in natural_paths(model):
        if isinstance(unit, Attended) and unit.visattn.where == "instead":
            inside = base_of(unit).state_dict()
            found |= {joined(path, name): tensor for name, tensor in inside.items()}
    return found


def backbone_names(model: nn.Module) -> dict[str, str]:
    """From the plain model's names of parameters and buffers to those that they have here.

    By these any file that goes by names, such as a plain model's optimiser state, fits a wrapped
    one. Attention has no part in it, nor what is kept aside.

    Example:
        >>> import torchvision, visattn
        >>> backbone_names(visattn.wrap(torchvision.models.resnet18(), "se"))["layer1.0.bn2.bias"]
        'layer1.0.bn2.base.bias'
    """
    names = {key: key for key in model.state_dict()}
    inner_first = reversed(list(model.named_modules()))
    for path, unit in ((path, m) for path, m in inner_first if isinstance(m, Attended)):
        prefix = joined(path, "")
        attention, base = (f"{prefix}{part}." for part in (unit.visattn.child, unit.visattn.inner))
        names = {
            f"{prefix}{plain.removeprefix(base)}" if plain.startswith(base) else plain: own
            for plain, own in names.items()
            if not plain.startswith(attention)
        }
    return names


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
    attended_units(model)
    return {
        f"{path}.{unit.visattn.child}": unit
        for path, unit in natural_paths(model)
        if isinstance(unit, Attended)
    }


def attention_state(units: Mapping[str, Attended]) -> dict[str, Tensor]:
    """The entries of some units' attention in the model's state dict."""
    return {
        f"{key}.{name}": tensor
        for key, unit in units.items()
        for name, tensor in block_of(unit).state_dict().items()
    }


def _layout(units: Mapping[str, Attended]) -> dict[str, dict[str, Any]]:
    """What stands where, as plain values."""
    return {key: {"site": unit.visattn.site, **made_of(unit)} for key, unit in units.items()}
