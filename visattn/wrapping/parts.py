"""Modules that are named: their maps without a pass of the whole model."""

import fnmatch
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

from torch import nn

from visattn.wrapping.observing import Map, observe
from visattn.wrapping.passes import Inputs
from visattn.wrapping.places import PLACES
from visattn.wrapping.tracing import Trace

_SIDE = 32
_WIDTHS = ("out_channels", "num_features", "num_channels")


def is_named(
    place: str | Sequence[str] | Callable[..., Any] | None,
) -> TypeGuard[str | Sequence[str]]:
    """Whether a place is one or several names of modules, or globs."""
    names = [place] if isinstance(place, str) else place
    return isinstance(names, Sequence) and not any(name in PLACES for name in names)


def trace_parts(model: nn.Module, places: Sequence[str | Sequence[str]]) -> Trace:
    """What can be told of named modules one by one: the maps that they give, no stage.

    A convolution, a normalisation or a sequence that ends with one says its channels itself; any
    other module is run alone on a map of the channels that its first convolution takes.

    Raises:
        ValueError: There is a module whose map can't be told.
    """
    names = [name for place in places for name in ([place] if isinstance(place, str) else place)]
    modules = dict(model.named_modules())
    outputs: dict[str, Map] = {}
    for name in names:
        fitting = [path for path in modules if path and fnmatch.fnmatchcase(path, name)]
        found = {path: given for path in fitting if (given := _given(modules[path]))}
        if fitting and not found:
            raise ValueError(
                f"The model can't be run on an image, and what {fitting[0]!r} gives can't be told"
                " from it alone. Name a convolution or a normalisation, or give example_inputs."
            )
        outputs |= found
    widths = {path: _channels_taken(modules[path]) for path in outputs}
    return Trace(
        model=type(model).__name__,
        outputs={path: outputs[path] for path in modules if path in outputs},
        inputs={path: Map(width, _SIDE, _SIDE) for path, width in widths.items() if width},
        children={
            path: [name for name, _ in module.named_children()]
            for path, module in modules.items()
            if type(module) is nn.Sequential
        },
    )


def _given(module: nn.Module) -> Map | None:
    """The map that a module gives, of some size."""
    if type(module) is nn.Sequential and len(module):
        return _given(module[-1])
    kinds = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
    width = next((getattr(module, name) for name in _WIDTHS if hasattr(module, name)), None)
    if isinstance(module, kinds) and isinstance(width, int) and width > 0:
        return Map(width, _SIDE, _SIDE)
    taken = _channels_taken(module)
    if taken is not None:
        with suppress(Exception):
            root = observe(module, Inputs.image(module, (taken, _SIDE, _SIDE))).calls[-1]
            return root.given.map if root.given else None
    return None


def _channels_taken(module: nn.Module) -> int | None:
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    return None if first is None else first.in_channels
