"""Whether class activation chooses a right layer by itself."""

import copy

import torch
from torch import nn

from visattn.recording.activation.layers import chosen_layer, maps_and_outputs
from visattn.wrapping.tracing import Trace, default_input_size, trace

SMALL = 32


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


def _nothing_around(model: nn.Module, name: str, shape: torch.Size) -> bool:
    """Whether an image gets the answer to another one whose map it is given at a layer."""
    real = copy.deepcopy(model).to_empty(device="cpu").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in real.parameters():  # so that the signal neither grows nor fades
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
            else:
                parameter.normal_(1, 0.1, generator=generator)
        for buffer in real.buffers():
            buffer.fill_(1)
        layer = real.get_submodule(name)
        images = torch.randn(2, *shape[1:], generator=generator, dtype=torch.double)
        kept: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda _, given, output: kept.append(output.clone()))
        expected = real(images[:1])
        hook.remove()
        hook = layer.register_forward_hook(lambda _, given, output: kept[-1].clone())
        found = real(images[1:])
        hook.remove()
        other = real(images[1:])
    return torch.equal(found, expected) and not torch.equal(other, expected)
