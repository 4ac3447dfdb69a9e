"""The map of a CNN of timm's that a captioner looks at, with attention in it or without."""

from typing import Any, final

import timm
import torch
from torch import Tensor, nn

from visattn.basics.modes import evaluating
from visattn.networks.backbone import Attention, put_attention, unknown_backbone

_TRIED = (96, 64)  # pixels of the picture by which a backbone is tried


def map_features(
    backbone: str, *, reduction: int, attention: Attention = None
) -> tuple[nn.Module, int]:
    """A network that gives the map of a CNN of timm's at a reduction, and its channels.

    Args:
        backbone: A timm name.
        reduction: Pixels of the image for one of the map.
        attention: What `visattn.wrap` puts in, as for `CaptionerModule`.

    Raises:
        ValueError: There is no such backbone (the nearest are named), it gives no maps
            (N, channels, h, w), or none at that reduction.
        KeyError: There is no such block of attention.

    Example:
        >>> network, channels = map_features("resnet10t", reduction=4, attention="se")
        >>> network(torch.zeros(1, 3, 64, 32)).shape, channels
        (torch.Size([1, 64, 16, 8]), 64)
    """
    if not timm.is_model(backbone):
        raise ValueError(unknown_backbone(backbone))
    try:
        whole: Any = timm.create_model(backbone, features_only=True)
    except Exception as error:
        raise ValueError(_no_maps(backbone, f"timm has no features of it: {error}")) from error
    stages = whole.feature_info.reduction()
    if reduction not in stages:
        raise ValueError(f"{backbone} has features at {stages}, not at reduction={reduction}")
    index = stages.index(reduction)
    network: Any = timm.create_model(backbone, features_only=True, out_indices=(index,))
    channels = int(network.feature_info.channels()[0])
    _check_map(network, channels=channels, name=backbone)
    put_attention(network, attention)
    return _OnlyMap(network), channels


def _check_map(network: nn.Module, *, channels: int, name: str) -> None:
    """Whether a small picture gives one map (1, channels, h, w), whatever the training's size."""
    try:
        with evaluating(network), torch.no_grad():
            found = network(torch.zeros(1, 3, *_TRIED))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(_no_maps(name, f"a picture of 96 x 64 pixels fails: {error}")) from error
    shapes = [tuple(entry.shape) for entry in found]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != channels:
        raise ValueError(_no_maps(name, f"expected one map (N, {channels}, h, w), got {shapes}"))


def _no_maps(name: str, why: str) -> str:
    return f"{name} cannot be captioned from: {why}\nGive a CNN of timm's, such as resnet10t"


@final
class _OnlyMap(nn.Module):
    """The only map of a list of them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        only: list[Tensor] = self.network(images)
        return only[0]
