"""What a model does with an image: its maps, blocks, stages and stem."""

import re
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import nn

from visattn.basics.suggestions import did_you_mean
from visattn.wrapping.anatomy import Block, Passage
from visattn.wrapping.observing import Like as Like, Map as Map, Node, observe
from visattn.wrapping.passes import Example, Inputs
from visattn.wrapping.stages import (
    Stage,
    find_blocks,
    find_encoder,
    find_stages,
    find_stem,
    with_stages,
)


@dataclass
class Trace:
    """What one forward pass of a model showed.

    Attributes:
        model: The name of the model's class.
        outputs: The map that each module gives, by path, in order of first completion; modules
            that give no map are left out.
        inputs: The first map that each module takes, by path.
        shared: What a module gives at the places where it is used, by path, if not always alike.
        blocks: Residual blocks (with a branch) and blocks that join branches otherwise, in order.
        stages: The stages in order.
        image: The first module that takes the image, and the image; None if none does.
        stem: The last module before the first stage, and its map; None if none is.
        sequences: Whether the model works on sequences of tokens (N, T, C).
    """

    model: str
    outputs: dict[str, Map] = field(default_factory=dict)
    inputs: dict[str, Map] = field(default_factory=dict)
    shared: dict[str, list[str]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    image: tuple[str, Map] | None = None
    stem: tuple[str, Map] | None = None
    sequences: bool = False
    likes: dict[tuple[str, str], Like] = field(default_factory=dict)
    """Device and type of the first map ``"before"`` and ``"after"`` each module."""

    part: str = ""
    """The part of the model that was run."""

    called_with: Inputs = field(default_factory=Inputs)
    """What it was called with."""

    modules: dict[str, nn.Module] = field(default_factory=dict, repr=False)
    """The model's modules by path."""

    def last_of(self, path: str) -> str:
        """The module itself, or the last child of a sequence, whose output is the same."""
        while type(module := self.modules.get(path)) is nn.Sequential and len(module):
            path = f"{path}.{next(reversed(module._modules))}"
        return path

    def stage_of(self, path: str) -> int | None:
        """The stage that a path lies in or is; None outside of the stages."""
        return next((stage.number for stage in self.stages if stage.holds(path)), None)


def model_from_name(name: str) -> nn.Module:
    """A timm model with fresh weights.

    Raises:
        ValueError: timm has none of that name; the message has the nearest names.
    """
    import timm

    if not timm.is_model(name):
        hint = did_you_mean(name, names=timm.list_models(), cutoff=0.6)
        raise ValueError(
            f"timm has no model {name!r}.{hint} Give a timm name, or a model of your own as a"
            " module or a function that builds it."
        )
    return timm.create_model(name)


def default_input_size(model: nn.Module) -> tuple[int, int, int]:
    """(C, H, W) that timm names for the model, or (3, 224, 224); C as the model has it.

    The number of channels is the model's ``in_chans`` if it has that, or what its first
    convolution takes if that are a few.
    """
    settings = getattr(model, "pretrained_cfg", None) or {}
    channels, height, width = settings.get("input_size", (3, 224, 224))
    convolutions = (m for m in model.modules() if _is_convolution(m))
    taken = getattr(next(convolutions, None), "in_channels", 0)
    if 0 < taken <= 12:  # Sentinel-2 has 12 bands; TResNet makes 48 channels of 3 by itself
        channels = taken
    return getattr(model, "in_chans", channels), height, width


def _is_convolution(module: nn.Module) -> bool:
    """Whether a module is a convolution, or the scripted one."""
    return isinstance(module, nn.Conv2d) or getattr(module, "original_name", "") == "Conv2d"


def trace(
    model: nn.Module,
    *,
    input_size: tuple[int, int, int] | None = None,
    example_inputs: Example | None = None,
) -> Trace:
    """Run a twin of the model once and note what happens; the model itself isn't touched.

    Of torchvision's detectors the backbone is run, of an encoder-decoder stages and blocks are
    those of the encoder.

    Args:
        model: Takes one batch of images (N, C, H, W), or ``example_inputs``.
        input_size: (C, H, W); see `default_input_size`.
        example_inputs: What the model is called with, if that is no image: a tensor, a tuple of
            arguments, or a mapping (of named arguments, or the one argument).

    Raises:
        ValueError: The model can't be run on that, or is compiled or scripted.
        TypeError: ``example_inputs`` are something else.
    """
    _check_open(model)
    if example_inputs is not None and input_size is not None:
        raise ValueError("Give input_size or example_inputs, not both: an example has its size.")
    path = "" if example_inputs is not None else trunk_path(model)
    part = model.get_submodule(path)
    if example_inputs is None:
        inputs = Inputs.image(part, input_size or default_input_size(part))
    else:
        inputs = Inputs.example(part, example_inputs)
    try:
        seen = observe(part, inputs, prefix=path)
    except Exception as error:
        raise ValueError(
            _reason(model, inputs, error, example=example_inputs is not None)
        ) from error
    passage = Passage(model, seen)
    encoder = find_encoder(passage)
    blocks = find_blocks(encoder)
    stages = find_stages(encoder, blocks)
    return Trace(
        model=type(model).__name__,
        outputs=passage.outputs,
        inputs=passage.inputs,
        shared={p: kinds for p in passage.outputs if len(kinds := passage.kinds(p)) > 1},
        blocks=with_stages(blocks, stages),
        stages=stages,
        image=_first_taker(passage),
        stem=find_stem(encoder, stages),
        sequences=seen.sequences,
        likes=passage.likes,
        part=path,
        called_with=inputs,
        modules=passage.modules,
    )


def trunk_path(model: nn.Module) -> str:
    """The part of a model that sees the image as it comes: of torchvision's detectors the body.

    A detector itself takes lists of images, and what it does next depends on what it finds.
    """
    kinds = [kind.__module__ for kind in type(model).__mro__]
    if not any(kind.startswith("torchvision.models.detection.") for kind in kinds):
        return ""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return ""
    return "backbone.body" if isinstance(getattr(backbone, "body", None), nn.Module) else "backbone"


def _reason(model: nn.Module, inputs: Inputs, error: Exception, *, example: bool) -> str:
    """Why a pass failed, and what can be done."""
    name, lines = type(model).__name__, str(error).strip().splitlines() or [""]
    said = lines[-1 if "TorchScript" in lines[0] else 0]
    sizes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs.tensors())
    text = f"{name} could not be run on a tensor of {sizes}: {type(error).__name__}: {said}."
    if not example:
        by_size = not isinstance(error, (TypeError, LookupError, AttributeError)) and (
            _OF_SIZE.search(said)
        )
        text += (
            " Give the size that it expects as input_size=(C, H, W)."
            if by_size
            else " Give what it is called with as example_inputs: a tensor, a tuple or a mapping."
        )
    parts = [path for path, part in model.named_children() if any(True for _ in part.children())]
    for path in parts:
        with suppress(Exception):
            part = model.get_submodule(path)
            seen = observe(part, Inputs.image(part, default_input_size(part)))
            if find_stages(passage := Passage(part, seen), find_blocks(passage)):
                return f"{text} Its part {path!r} can be run alone: wrap(model.{path}, ...)."
    return f"{text} A module's own name as at= needs no pass of the whole model."


_OF_SIZE = re.compile(r"size|shape|dimension|channels|kernel|height|width|mat1", re.IGNORECASE)


def _check_open(model: nn.Module) -> None:
    """Raise a ValueError for a model whose modules can't be reached."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "The model is a torch.jit.ScriptModule: its forward is compiled, and modules can't be"
            " put into it. Give the Python model that it was made of; script it afterwards."
        )
    if hasattr(model, "_orig_mod"):
        raise ValueError(
            "The model is compiled by torch.compile. Give the model itself (model._orig_mod) and"
            " compile it afterwards."
        )


def _first_taker(passage: Passage) -> tuple[str, Map] | None:
    """The first module that takes the image, or what was made of it before any module."""
    calls = sorted(passage.seen.calls, key=lambda call: call.order)
    for call in calls:
        if not call.path or call.taken is None or call.taken.map is None:
            continue
        if call.taken.shape == passage.seen.image.shape and not _made(call.taken):
            return call.path, call.taken.map
        return None
    return None


def _made(node: Node) -> bool:
    """Whether a module had a part in a tensor."""
    return bool(node.makers) or any(_made(parent) for parent in node.parents)
