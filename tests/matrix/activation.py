"""Whether class activation chooses a right layer by itself."""

import copy
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matrix.architectures import Architecture
from matrix.survey import resolutions
from visattn.recording.activation.at_layer import maps_and_outputs
from visattn.recording.activation.layers import chosen_layer
from visattn.wrapping.tracing import Trace, default_input_size, trace

SMALL = 32
_NOISE = 1_000_003


@dataclass(frozen=True)
class Activation:
    """The layers that class activation chooses in one architecture.

    Attributes:
        architecture: Which.
        own: What is wrong with the layer for images of its own size, see `check_cam_layer`.
        small: The same for images of 32 pixels.
        convolutional: Whether convolutions give maps of two or more resolutions; others aren't
            checked.
    """

    architecture: Architecture
    own: str | None = None
    small: str | None = None
    convolutional: bool = True


def check_activation(architecture: Architecture) -> Activation:
    """Check the layers of one architecture, without memory for its weights."""
    gc.collect()
    model = architecture.build_without_memory()
    traced = trace(model)
    if resolutions(model, traced) < 2:
        return Activation(architecture, convolutional=False)
    return Activation(architecture, check_cam_layer(model, traced), check_cam_layer(model))


def activation_page(found: Sequence[Activation], *, head: str) -> str:
    """The whole page."""
    checked = [entry for entry in found if entry.convolutional]
    sizes = ("of their own size", f"of {SMALL} pixels")
    lines = [
        "# Which layer class activation takes",
        "",
        f"{head} Of every architecture whose convolutions give maps of two or more resolutions, the"
        " layer that `visattn.class_activation` chooses by itself (`visattn.recording.cam_layer`),"
        f" for images of the network's own size and for images of {SMALL} pixels where these leave"
        " more than one place. It is right if its maps have more than one place in the ratio of the"
        " image, none of a later stage is left out, and nothing leads around it from the image to"
        " the logits.",
        "",
    ]
    for index, images in enumerate(sizes):
        faults = _faults(checked, index)
        right = list(faults.values()).count("")
        lines.append(f"- Images {images}: right in {right} of {len(faults)} architectures.")
        lines += [f"    - {name}: {fault}" for name, fault in faults.items() if fault]
    lines += ["", f"| family | architectures | {sizes[0]} | {sizes[1]} |", "| --- |" + " --- |" * 3]
    for family in dict.fromkeys(entry.architecture.family for entry in checked):
        inside = [entry for entry in checked if entry.architecture.family == family]
        shares = [list(_faults(inside, index).values()) for index in range(2)]
        cells = [f"{share.count('')} of {len(share)}" if share else "" for share in shares]
        lines.append(f"| {family} | {len(inside)} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _faults(found: Sequence[Activation], index: int) -> dict[str, str]:
    """What is wrong in each architecture that leaves more than one place; empty if nothing is."""
    faults = {entry.architecture: (entry.own, entry.small)[index] for entry in found}
    return {own.title: fault for own, fault in faults.items() if fault is not None}


def check_cam_layer(model: nn.Module, traced: Trace | None = None) -> str | None:
    """What is wrong with the layer that class activation chooses; empty if nothing is.

    Its maps must have more than one place, rows and columns in the image's ratio, and no more of
    them than the last stage that has more than one (a trace sees none of tokens), unless it comes
    after that stage or something leads around it; and if it lies in a residual block, nothing may
    lead around it.

    Args:
        model: A model with stages of convolutions; it may be without memory (``"meta"``).
        traced: Its trace for images of its own size; they are small ones if None.

    Returns:
        None if the model doesn't take such images, or no stage has more than one place.
    """
    size = default_input_size(model)
    if traced is None:
        size = (size[0], SMALL, SMALL)
        try:
            traced = trace(model, input_size=size)
        except Exception:
            return None
    fine = [stage for stage in traced.stages if min(stage.output.size) > 1]
    if not fine:
        return None
    device = next(model.parameters()).device
    images = torch.zeros(1, *size, device=device)
    try:
        with _plain_norms():
            layer = chosen_layer(model.eval(), images, score=lambda logits: logits.sum(1))
            maps, _ = maps_and_outputs(model, images, layer)
        height, width = layer.reshape(maps).shape[2:]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    places, ratio = (int(height), int(width)), (size[1], size[2])
    said = f"{layer.title}, {places[0]} x {places[1]}"
    if places[0] * ratio[1] != places[1] * ratio[0] or places[0] * places[1] < 2:
        return f"{said} of images of {ratio[0]} x {ratio[1]}"
    last, order = fine[-1].output, list(traced.outputs)
    after = layer.name in order and order.index(layer.name) > order.index(fine[-1].last)
    finer = places[0] > last.height and not after and not traced.sequences
    if finer and _nothing_around(model, fine[-1].last, images.shape):
        return f"{said}, finer than the last stage's {last.height} x {last.width}"
    inside = [b.path for b in traced.blocks if b.branch and layer.name.startswith(f"{b.path}.")]
    if inside and not _nothing_around(model, layer.name, images.shape):
        return f"{said}, inside of the block {inside[0]}"
    return ""


@contextmanager
def _plain_norms() -> Iterator[None]:
    """Without memory, a batch norm as a factor a channel: torch's takes 5 ms a call there."""
    whole = F.batch_norm

    def norm(images: Tensor, mean: Tensor, var: Tensor, *args: object, **options: object) -> Tensor:
        if images.is_meta:
            return images * torch.ones(images.shape[1], *[1] * (images.ndim - 2), device="meta")
        found: Tensor = whole(images, mean, var, *args, **options)  # type: ignore[arg-type]
        return found

    with patch.object(F, "batch_norm", norm):
        yield


def _nothing_around(model: nn.Module, name: str, shape: torch.Size) -> bool:
    """Whether an image gets the answer to another one whose map it is given at a layer."""
    real = copy.deepcopy(model).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(_NOISE, generator=generator)
    with torch.no_grad():
        for parameter in real.parameters():  # so that the signal neither grows nor fades
            spread, centre = (parameter[0].numel() ** -0.5, 0) if parameter.ndim > 1 else (0.1, 1)
            values = noise.repeat(parameter.numel() // _NOISE + 1)[: parameter.numel()]
            parameter.copy_(values.mul_(spread).add_(centre).view_as(parameter))
        for buffer in real.buffers():
            buffer.fill_(1)
        layer = real.get_submodule(name)
        images = torch.randn(2, *shape[1:], generator=generator)
        kept: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda _, given, output: kept.append(output.clone()))
        expected = real(images[:1])
        hook.remove()
        hook = layer.register_forward_hook(lambda _, given, output: kept[-1].clone())
        found = real(images[1:])
        hook.remove()
        other = real(images[1:])
    return torch.equal(found, expected) and not torch.equal(other, expected)
