"""A layer that is named, and a pass that begins at it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked, uncompiled
from visattn.basics.modes import evaluating
from visattn.basics.suggestions import did_you_mean
from visattn.recording.activation.graph import gradients_kept
from visattn.recording.activation.inputs import Inputs, run
from visattn.recording.activation.places import Reshape


@dataclass(frozen=True)
class Layer:
    """A module of a model, and which of its calls.

    Attributes:
        module: The module.
        name: Its name.
        call: Which call, from 1 on; None for the last.
        enters: Whether it's about what the module is given, not about its output.
        reshape: From its output to maps (N, C, h, w); None where that isn't known yet.
    """

    module: nn.Module
    name: str
    call: int | None = None
    reshape: Reshape | None = None
    enters: bool = False

    @property
    def title(self) -> str:
        """Its name, with the number of the call where that isn't the last, and ``input``."""
        call = "" if self.call is None else f", call {self.call}"
        return f"{self.name}{call}{', input' if self.enters else ''}"


def maps_and_outputs(model: nn.Module, inputs: Inputs, layer: Layer) -> tuple[Tensor, Any]:
    """The layer's output as a leaf, and what the model gives after it.

    The graph begins at the layer: what lies before it is computed without one.

    Raises:
        TypeError: If the layer gives something else than a tensor.
        ValueError: If it isn't called, or not so often.
    """
    found: list[Tensor] = []
    calls = 0

    def begin(module: nn.Module, given: Any, output: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if layer.call is not None and calls != layer.call:
            return None
        if layer.enters:
            output = given[0] if given else None
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{layer.name!r} {'takes' if layer.enters else 'returns'} "
                f"{type(output).__name__}; Grad-CAM needs a layer that returns a map (N, C, H, W)"
            )
        torch.set_grad_enabled(True)
        leaf = output.detach().clone() if layer.enters else output.detach()
        found[:] = [leaf.requires_grad_(output.dtype.is_floating_point)]
        if layer.enters:  # what leads around the module reads this very tensor, too
            output.copy_(leaf)
            return None
        return leaf.clone()  # may be changed in place by what follows

    hook = hooked([(layer.module, begin)], before=layer.enters)
    with torch.no_grad(), gradients_kept(), hook:
        outputs = run(model, inputs)
    if not found:
        times = f"runs {calls} times" if calls else "doesn't run"
        raise ValueError(
            f"{layer.name!r} {times} when the model does"
            + (f"; call {layer.call} was asked for" if calls else "")
        )
    return found[0], outputs


def slopes_at(score: Tensor, maps: Tensor) -> Tensor | None:
    """The gradient of the score, None where it doesn't depend on the maps."""
    if not score.requires_grad:
        return None
    return torch.autograd.grad(score, maps, allow_unused=True)[0]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, gradients possible, nothing compiled; all as before at the end."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "a scripted or traced model hides what its modules give: take the model that it was "
            "made of"
        )
    with uncompiled(), torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield


def named_layer(model: nn.Module, layer: str | nn.Module) -> Layer:
    """The layer that a user names: a module, or a name, with ``", call 2"`` or ``", input"``.

    Raises:
        KeyError: If there is none of that name.
        TypeError: If it is neither a name nor a module.
        ValueError: If the module is no part of the model.
    """
    names = {name: module for name, module in model.named_modules() if name}
    if isinstance(layer, nn.Module):
        for name, module in names.items():
            if module is layer:
                return Layer(module, name)
        raise ValueError(f"the layer, a {type(layer).__name__}, is no part of the model")
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a name or a module, not {type(layer).__name__}")
    name, call, enters = layer, None, False
    pattern = r"(.+?)(?:, call ([1-9]\d*))?(, input)?"
    if layer not in names and (said := re.fullmatch(pattern, layer)):
        name, call, enters = said[1], int(said[2]) if said[2] else None, bool(said[3])
    if name in names:
        return Layer(names[name], name, call, enters=enters)
    hint = did_you_mean(name, names=names)
    top = ", ".join(name for name, _ in model.named_children())
    raise KeyError(f"{type(model).__name__} has no layer {layer!r}.{hint} At the top are {top}.")
