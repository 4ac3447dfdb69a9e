"""Whether class activation chooses a right layer by itself."""

import torch
from torch import nn

from visattn.recording.activation.layers import chosen_layer, maps_and_outputs
from visattn.wrapping.tracing import Trace, default_input_size, trace

SMALL = 32


def check_cam_layer(model: nn.Module, traced: Trace | None = None) -> str | None:
    """What is wrong with the layer that class activation chooses; empty if nothing is.

    Its maps must have more than one place, rows and columns in the image's ratio, at least as many
    as the last stage that has more than one (a trace sees none of tokens), and it lies in no branch
    of a residual block.

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
    fine = [stage.output.size for stage in traced.stages if min(stage.output.size) > 1]
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
    return _fault(
        traced, layer.title, (int(height), int(width)), least=fine[-1], image=(size[1], size[2])
    )


def _fault(
    traced: Trace, layer: str, places: tuple[int, int], *, least: tuple[int, int], image: tuple
) -> str:
    said = f"{layer}, {places[0]} x {places[1]}"
    if places[0] * image[1] != places[1] * image[0] or places[0] * places[1] < 2:
        return f"{said} of images of {image[0]} x {image[1]}"
    if places[0] < least[0] and not traced.sequences:
        return f"{said}, coarser than the last stage's {least[0]} x {least[1]}"
    path = layer.partition(", call ")[0]
    for block in traced.blocks:
        if block.branch and path.startswith(f"{block.path}."):
            return f"{said}, inside of the block {block.path}"
    return ""
