"""Whether modules and tensors do no more than they say, so that a formula may stand for them."""

from collections.abc import Mapping
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._device import DeviceContext

from visattn.blocks.fused.doubles import HOOKS
from visattn.blocks.fused.kept import release_given


def is_unseen() -> bool:
    """Whether nobody sees what PyTorch is called for, to count it or to give other numbers.

    That is a mode, but for the one that says where new tensors lie, or a function put in the place
    of one of PyTorch's.
    """
    modes = torch._C._len_torch_function_stack()
    return (
        not torch._C._len_torch_dispatch_stack()
        and (not modes or all(map(_is_place, torch.overrides._get_current_function_mode_stack())))
        and layers_are_pytorchs()
    )


def layers_are_pytorchs() -> bool:
    """Whether the layers that formulas stand for, and what they call, are as PyTorch made them."""
    return _called() == _KNOWN


def _called() -> list[Any]:
    """What runs where layers are called."""
    methods = [nn.Conv2d.forward, nn.Conv2d._conv_forward, nn.BatchNorm2d.forward, nn.ReLU.forward]
    calls = [nn.Module.__call__, nn.Module._call_impl]
    return [*calls, *methods, F.conv2d, F.batch_norm, F.relu]


def _made_by_pytorch(function: Any) -> bool:
    own = type(function) is BuiltinFunctionType or function.__module__.startswith("torch.")
    return own and not hasattr(function, "__wrapped__")


_KNOWN = [f if _made_by_pytorch(f) else None for f in _called()]


def _is_place(mode: Any) -> bool:
    return type(mode) is DeviceContext


def is_plain(x: Any) -> bool:
    """Whether a tensor is no subclass that does other things: fake, distributed, quantised."""
    return type(x) in (Tensor, nn.Parameter) and not x.is_quantized


def is_bare(module: nn.Module) -> bool:
    """Whether nobody hooked into a module, replaced its ``forward`` or split it over devices."""
    own = module.__dict__  # which Dynamo follows, as it doesn't vars()
    for hooks in HOOKS:
        if (given := own[hooks]) and not _is_ours(given):
            return False
    return (
        "forward" not in own
        and "_conv_forward" not in own  # replaced for other borders, as for pictures without seams
        and "_is_replica" not in own
        and own.get("_compiled_call_impl") is None
        and "weight" not in own  # but among the parameters: nothing computed has their place
        and "bias" not in own
    )


def stays_bare(module: nn.Module) -> bool:
    """Whether a module is bare, in code that may be being compiled.

    That is guarded by the attributes that were looked at, and not by what isn't in a dictionary: so
    methods are looked at.
    """
    looked_at: list[Any] = [module.forward]
    if isinstance(module, nn.Conv2d):
        looked_at.append(module._conv_forward)
    return is_bare(module) and None not in looked_at


def _is_ours(hooks: Mapping[int, Any]) -> bool:
    """Whether hooks are no more than the one that `wrap` put there."""
    return all(hook is release_given for hook in hooks.values())
