"""A block as it is at one moment, to run again later with given parameters."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Attributes of a module that hold its hooks."""
_NO_HOOKS: dict[str, Any] = {name: OrderedDict() for name in HOOKS}


@final
class Double:
    """A copy of a block that shares no state with it: modes and buffers as they are now.

    What is changed in the block afterwards changes nothing here, hooks included, and running the
    copy changes nothing in the block: no statistics, in no thread. Its parameters are put in for
    each run.

    Args:
        block: Any module without hooks.

    Attributes:
        parameters: The block's own, in a fixed order, for the autograd function to keep.
    """

    def __init__(self, block: nn.Module) -> None:
        self.parameters: list[Tensor] = []
        self._slots: list[tuple[dict[str, Any], str]] = []
        self._module = self._copy(block)

    def _copy(self, module: nn.Module) -> nn.Module:
        copy = object.__new__(type(module))
        own = copy.__dict__
        own.update(module.__dict__)
        own.update(_NO_HOOKS)
        if buffers := own["_buffers"]:
            own["_buffers"] = {n: b if b is None else b.clone() for n, b in buffers.items()}
        if parts := own["_modules"]:
            own["_modules"] = {n: m and self._copy(m) for n, m in parts.items()}
        if parameters := own["_parameters"]:
            own["_parameters"] = slots = dict(parameters)
            for name, parameter in parameters.items():
                if parameter is not None:
                    self.parameters.append(parameter)
                    self._slots.append((slots, name))
                    slots[name] = None
        return copy

    def holding(self, parameters: Sequence[Tensor]) -> nn.Module:
        """The copy, with these parameters."""
        for (slots, name), parameter in zip(self._slots, parameters, strict=True):
            slots[name] = parameter
        return self._module
