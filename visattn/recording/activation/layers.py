"""The layer at which class activation is taken, and the passes that find it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked
from visattn.basics.logits import main_output
from visattn.recording.activation.at_layer import Layer, maps_and_outputs, slopes_at
from visattn.recording.activation.graph import Value, gradients_kept, is_sum, trunk, value_of
from visattn.recording.activation.inputs import (
    Inputs,
    images_of,
    rows,
    run,
    twice_as_wide,
    with_images,
)
from visattn.recording.activation.places import Reshape, Size, arrangement, grid_of
from visattn.recording.tokens.grids import Call, token_grids

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
_PYRAMID = "FeaturePyramidNetwork"  # torchvision's; its levels by name, the coarsest last
_PASSED_OVER = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Identity)
Score = Callable[[Any], Tensor]
"""From what a model gives to the score whose maps are wanted, one an image (N,)."""
Tokens = Callable[[], Mapping[Call, Reshape | None]]
"""Gives how a model's tokens lie on the picture, see `token_grids`."""


@dataclass
class Passage:
    """What the modules of a model gave for one image, in the order in which they finished.

    A sum that no module gave, as a residual stream that is added up in a ``forward``, stands before
    the module that takes it. ``coarsest`` are the coarsest maps that feature pyramids take, which
    they add to all their levels.
    """

    outputs: list[tuple[nn.Module, int, Sequence[int], Value | None, bool]] = field(
        default_factory=list
    )
    grids: list[list[Size]] = field(default_factory=list)
    calls: Counter[nn.Module] = field(default_factory=Counter)
    seen: set[Value | None] = field(default_factory=set)
    coarsest: list[Value | None] = field(default_factory=list)

    def note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """A forward hook."""
        self.calls[module] += 1
        before = self.grids[-1] if self.grids else []
        grid = grid_of(module, output)
        after = [*before, grid] if grid and [grid] != before[-1:] else before
        first = inputs[0] if isinstance(inputs, tuple) and inputs else None
        if type(module).__name__ == _PYRAMID and isinstance(first, Mapping) and first:
            self.coarsest.append(value_of([*first.values()][-1]))
        for tensor, grids, enters in ((first, before, True), (output, after, False)):
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else ()
            value = value_of(tensor) if isinstance(tensor, Tensor) else None
            if enters and (value in self.seen or not is_sum(value)):
                continue
            self.seen.add(value)
            self.grids.append(grids)
            self.outputs.append((module, self.calls[module], shape, value, enters))


def first_of(inputs: Inputs) -> Inputs:
    """The inputs of the first image alone."""
    found: Inputs = rows(inputs, torch.tensor([0]), of=len(images_of(inputs)))
    return found


def chosen_layer(model: nn.Module, inputs: Inputs, *, score: Score, least: int = 1) -> Layer:
    """The last layer through whose maps the score sees the images.

    Args:
        model: The model, in evaluation mode.
        inputs: What it takes.
        score: Of its answer.
        least: Places along the shorter side.

    Raises:
        ValueError: If no module gives such maps, or the model is quantised.
    """
    check_differentiable(model)
    names = {module: name for name, module in model.named_modules() if name}
    images = images_of(inputs)
    silent, traced = None, followed_tokens(model, inputs)
    for layer, shape, grids in _candidates(model, inputs, names, score):
        reshape = reshape_of(model, inputs, layer, shape, grids, traced=traced)
        if reshape is None:
            continue
        size = reshape(torch.empty(shape, device="meta")).shape[2:]
        if min(size) < least or size.numel() < 2:
            continue
        layer = replace(layer, reshape=reshape)
        speaks = _speaks(model, inputs, layer, score)
        if speaks:
            return layer
        if speaks is not None and silent is None:
            silent = layer
    if silent is not None:
        return silent
    images = images_of(inputs)
    places = f"at least {least} places a side" if least > 1 else "more than one place"
    raise ValueError(
        f"no module of {type(model).__name__} gives maps (N, C, H, W), (N, H, W, C) or tokens "
        f"(N, T, C) of {places}, on which the logits depend, for images of {images.shape[2]} x "
        f"{images.shape[3]} pixels. Class activation needs a network that keeps places, or larger "
        "images, and gradients (no detach, no inference_mode in it); of a layer that is laid out "
        "otherwise, name it and give reshape"
    )


def check_differentiable(model: nn.Module) -> None:
    """Refuse a quantised model, through whose integers no gradient leads.

    Raises:
        ValueError: It has a quantised layer.
    """
    for name, module in model.named_modules():
        if type(module).__module__.startswith(_QUANTISED):
            raise ValueError(
                f"{type(model).__name__} is quantised: {name or 'it'} is a {type(module).__name__} "
                f"of {type(module).__module__.rpartition('.modules')[0]}, which computes with "
                "integers, and no gradient leads through them to class activation. Take the network"
                " as it was before, in floating point"
            )


def _candidates(
    model: nn.Module, inputs: Inputs, names: Mapping[nn.Module, str], score: Score
) -> Sequence[tuple[Layer, Sequence[int], Sequence[Size]]]:
    """Calls of modules, the last to finish first; before others those that all must pass.

    Each with its output's shape and the sizes of the maps before. The others serve where branches
    meet after their places are gone, and where a step without a gradient hides the images. Before
    all stands what every level of a feature pyramid reads: past it each level has its own layers,
    and what all must pass is an early stage.
    """
    images = images_of(inputs)
    passage = Passage()
    with torch.enable_grad(), gradients_kept():
        source = images.detach().requires_grad_().clone()
        with hooked((module, passage.note) for module in names):
            outputs = run(model, with_images(inputs, source))
        shared = trunk(score(outputs).sum(), source=source)
    answer = main_output(outputs)
    read: list[tuple[Layer, Sequence[int], Sequence[Size]]] = []
    whole: list[tuple[Layer, Sequence[int], Sequence[Size]]] = []
    part: list[tuple[Layer, Sequence[int], Sequence[Size]]] = []
    for noted, grids in zip(passage.outputs, passage.grids, strict=True):
        module, call, shape, value, enters = noted
        if not enters and isinstance(module, _PASSED_OVER):
            continue
        if len(shape) not in (3, 4) or shape[0] != len(images):
            continue
        if answer is not None and _answers(shape, tuple(answer.shape)):
            continue
        number = None if call == passage.calls[module] else call
        layer = Layer(module, names[module], number, enters=enters)
        if value is not None and value in passage.coarsest and not enters:
            read.append((layer, shape, grids))
        elif value in shared:
            whole.append((layer, shape, grids))
        elif not enters:
            part.append((layer, shape, grids))
    return [*read[::-1], *whole[::-1], *part[::-1]]


def _answers(shape: Sequence[int], answer: Sequence[int]) -> bool:
    """Whether a map a class is the answer itself, of whatever size, or tokens are."""
    if len(shape) == 4:
        return len(answer) == 4 and shape[1] == answer[1]
    return tuple(shape) == tuple(answer)


def _speaks(model: nn.Module, inputs: Inputs, layer: Layer, score: Score) -> bool | None:
    """Whether the score has slopes at the layer's places; None if it doesn't depend on it.

    Where it has none at all, as behind a head of zeros, no other layer would say more.
    """
    maps, outputs = maps_and_outputs(model, inputs, layer)
    slopes = slopes_at(score(outputs).sum(), maps)
    if slopes is None or layer.reshape is None:
        return None
    return slopes.is_meta or bool(layer.reshape(slopes).any()) or not bool(slopes.any())


def followed_tokens(model: nn.Module, inputs: Inputs) -> Tokens:
    """How a model's tokens lie on the picture, by one pass when that is first asked."""
    first = first_of(inputs)
    return cache(lambda: token_grids(model, lambda: run(model, first)))


def reshape_of(
    model: nn.Module,
    inputs: Inputs,
    layer: Layer,
    shape: Sequence[int],
    grids: Sequence[Size],
    *,
    traced: Tokens,
) -> Reshape | None:
    """How the output of a layer is laid out, asking the model about a wider image in doubt.

    Tokens are put where the picture's places were followed to: 16 of them may be 4 x 4 patches, in
    whatever order, or 16 rows. Where they couldn't be followed, their number and the maps before
    have to say it.
    """
    if len(shape) == 3:
        calls = [n for m, n, enters in traced() if m is layer.module and enters == layer.enters]
        call = (layer.module, layer.call or max(calls, default=0), layer.enters)
        if call in traced():
            return traced()[call]
    height, width = images_of(inputs).shape[2:]

    def wider() -> Sequence[int] | None:
        wide = twice_as_wide(first_of(inputs))
        try:
            with torch.no_grad():
                maps, _ = maps_and_outputs(model, wide, layer)
                if grids and grids_before(model, wide, layer) == grids:
                    return None  # it brings all images to one size
        except Exception:
            return None  # it takes images of one size
        return tuple(maps.shape) if maps.ndim == len(shape) else None

    return arrangement(shape, image=(height, width), grids=grids, module=layer.module, wider=wider)


def grids_before(model: nn.Module, inputs: Inputs, layer: Layer) -> Sequence[Size]:
    """Sizes of the maps that convolutions give before a layer."""
    passage = Passage()
    with torch.no_grad(), hooked((module, passage.note) for module in model.modules()):
        run(model, first_of(inputs))
    calls = [
        grids
        for (module, *_, enters), grids in zip(passage.outputs, passage.grids, strict=True)
        if module is layer.module and not enters
    ]
    return calls[(layer.call or 0) - 1] if calls else []
