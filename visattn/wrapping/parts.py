"""Modules that are named: their maps without a pass of the whole model."""

import fnmatch
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

from torch import nn

from visattn.wrapping.observing import Call, observe
from visattn.wrapping.passes import Inputs
from visattn.wrapping.places import PLACES
from visattn.wrapping.tracing import Trace

_SIDE = 32
_WIDTHS = ("in_channels", "num_features", "num_channels")


def is_named(
    place: str | Sequence[str] | Callable[..., Any] | None,
) -> TypeGuard[str | Sequence[str]]:
    """Whether a place is one or several names of modules, or globs."""
    names = [place] if isinstance(place, str) else place
    return isinstance(names, Sequence) and not any(name in PLACES for name in names)


def trace_parts(model: nn.Module, places: Sequence[str | Sequence[str]]) -> Trace:
    """What can be told of named modules one by one: the maps that they take and give, no stage.

    Each is run alone, on a map of the channels that its first convolution or normalisation takes.

    Raises:
        ValueError: There is a module whose map can't be told.
    """
    names = [name for place in places for name in ([place] if isinstance(place, str) else place)]
    modules = dict(model.named_modules())
    calls: dict[str, Call] = {}
    for name in names:
        fitting = [path for path in modules if path and fnmatch.fnmatchcase(path, name)]
        found = {path: call for path in fitting if (call := _call_alone(modules[path]))}
        if fitting and not found:
            raise ValueError(
                f"The model can't be run on an image, and what {fitting[0]!r} gives can't be told"
                " from it alone. Name a convolution or a normalisation, or give example_inputs."
            )
        calls |= found
    ends = {path: (calls[path].taken, calls[path].given) for path in modules if path in calls}
    return Trace(
        model=type(model).__name__,
        outputs={path: given.map for path, (_, given) in ends.items() if given and given.map},
        inputs={path: taken.map for path, (taken, _) in ends.items() if taken and taken.map},
        modules=modules,
    )


def _call_alone(module: nn.Module) -> Call | None:
    """A call of a module by itself, if it gives a map."""
    widths = (getattr(part, name, None) for part in module.modules() for name in _WIDTHS)
    taken = next((width for width in widths if isinstance(width, int) and width > 0), None)
    with suppress(Exception):
        if taken is not None:
            call = observe(module, Inputs.image(module, (taken, _SIDE, _SIDE))).calls[-1]
            return call if call.given and call.given.map else None
    return None
