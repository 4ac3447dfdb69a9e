"""Copies of a model to look at: what happens to them happens to nobody else's."""

import copy
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

T = TypeVar("T")
Copier = Callable[[Tensor], Tensor]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_PARTS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
_LEFT_OUT = ("_trainer", "_fabric")  # of a LightningModule: what it trains with
_PLAIN = {str, bytes, int, float, complex, bool, type, type(None), FunctionType, torch.dtype}


def twin(value: T, tensor: Copier) -> T:
    """A copy of a model, or of what holds one, with its tensors given by a function.

    Modules, containers and bound methods are copied along. So are other objects, as far as they can
    be; a generator, a lock or an open file is shared. A user's hooks stay out of it; those by which
    PyTorch itself works (``weight_norm``, ``spectral_norm``, pruning, lazy modules) are kept, and
    those by which transformers collects hidden states.

    Args:
        value: It is left alone.
        tensor: From each parameter, buffer and other tensor to that of the copy.
    """
    double: T = _Twins(tensor).of(value)
    return double


def without_data(tensor: Tensor) -> Tensor:
    """A tensor like another on the meta device."""
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        raise ValueError("it has no shape yet")
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def shared(tensor: Tensor) -> Tensor:
    """Parameters as they are; of any other tensor, which a pass might write to, a copy."""
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        kind: Any = type(tensor)
        found: Tensor = kind(tensor.requires_grad, device=tensor.device, dtype=tensor.dtype)
        return found
    return tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone()


class _Twins:
    """Copies values, each once."""

    def __init__(self, tensor: Copier) -> None:
        self.tensor = tensor
        self.memo: dict[int, Any] = {}
        self.alive: list[Any] = []  # so that no id is used twice

    def of(self, value: Any) -> Any:
        """The copy of a value."""
        if type(value) in _PLAIN:
            return value
        if id(value) not in self.memo:
            self.alive.append(value)
            self.memo[id(value)] = self._copied(value)
        return self.memo[id(value)]

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
            return self._module(value)
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(self.of(item) for item in value)
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return value._make(self.of(item) for item in value)
        if type(value) in (dict, OrderedDict):
            return type(value)((key, self.of(item)) for key, item in value.items())
        if type(value) is defaultdict:
            pairs = {key: self.of(item) for key, item in value.items()}
            return defaultdict(self.of(value.default_factory), pairs)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self.of(value.__self__))
        if type(value) is functools.partial:
            arguments, named = self.of(value.args), self.of(value.keywords)
            return functools.partial(self.of(value.func), *arguments, **named)
        try:
            return copy.deepcopy(value, self.memo)
        except Exception:
            return value

    def _module(self, module: nn.Module) -> nn.Module:
        double: nn.Module = object.__new__(type(module))
        self.memo[id(module)] = double
        own = vars(double)
        for name, value in vars(module).items():
            if name in _HOOKS:
                kept = {key: hook for key, hook in value.items() if _works_by(hook)}
                own[name] = OrderedDict((key, self.of(hook)) for key, hook in kept.items())
            elif name in _LEFT_OUT:
                own[name] = None
            elif type(value) in _PLAIN or "state_dict" in name:
                own[name] = value
            elif name in _PARTS and not value:
                own[name] = type(value)()
            else:
                own[name] = self.of(value)
        return double


def _works_by(hook: Any) -> bool:
    """Whether a hook is PyTorch's or transformers' own: what is computed needs it."""
    function = getattr(hook, "__func__", hook)
    home = getattr(function, "__module__", None) or type(hook).__module__
    return str(home).startswith(("torch.nn.", "transformers."))
