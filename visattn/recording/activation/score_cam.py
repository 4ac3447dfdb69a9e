"""Score-CAM: channels weighed by what the model says to the image behind each of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.recording.activation.inputs import Inputs, images_of, rows, run, with_images


def score_cam_map(
    maps: Tensor,
    *,
    model: nn.Module,
    inputs: Inputs,
    score: Callable[[Any], Tensor],
    batch_size: int,
) -> Tensor:
    r"""Channels weighed by the score of the image times the channel, a softmax over channels.

    .. math:: w = \mathrm{softmax}_k \, Y_c(X \circ s(A_k))

    with :math:`s` the map enlarged to the image and brought to [0, 1]; a flat map hides the whole
    image. The score of a baseline that the paper takes off changes no softmax. Wang et al.,
    "Score-CAM", 2020, arXiv:1910.01279.

    Args:
        maps: The layer's maps (N, C, h, w).
        model: The model, in evaluation mode.
        inputs: What it takes; the images among them are masked.
        score: Of what it gives for all N images, one an image (N,).
        batch_size: Images a call of the model, as far as N allows.
    """
    images = images_of(inputs)
    count = len(images)
    at_once = max(1, batch_size // count)
    scores = []
    for channels in maps.split(at_once, dim=1):
        times = channels.shape[1]
        masks = F.interpolate(channels.float(), size=images.shape[2:], mode="bilinear")
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masks = torch.where(high > low, (masks - low) / (high - low), 0.0).to(images.dtype)
        hidden = (images[:, None] * masks[:, :, None]).transpose(0, 1).flatten(0, 1)
        whole = rows(inputs, torch.arange(count).repeat(times), of=count)
        with torch.no_grad():
            outputs = run(model, with_images(whole, hidden))
            scores += [
                score(rows(outputs, torch.arange(count) + first, of=count * times)).float()
                for first in range(0, count * times, count)
            ]
    weights = torch.stack(scores, 1).softmax(1)
    return (weights[:, :, None, None] * maps).sum(1)
