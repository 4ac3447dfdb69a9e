"""What marks places, by name: class activation at a layer, or attention through a transformer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from torch import Tensor, nn

from visattn.recording.activation.methods import TITLES
from visattn.recording.cam import Method, class_activation
from visattn.recording.legrad_map import legrad
from visattn.recording.rollout import attention_relevance, attention_rollout

Through = Literal["rollout", "relevance", "legrad"]
"""Methods that follow attention through all layers of a transformer, at no layer."""
Marker = Literal[Method, Through]
MARKERS: Mapping[str, str] = MappingProxyType(
    {**TITLES, "rollout": "Rollout", "relevance": "Relevance", "legrad": "LeGrad"}
)
"""What tables and pictures call the methods."""


def has_layer(marker: Marker) -> bool:
    """Whether a method works at a layer."""
    return marker in get_args(Method)


def marked(
    network: nn.Module,
    images: Tensor,
    *,
    marker: Marker,
    layer: str | None = None,
    classes: Tensor | None = None,
) -> Tensor:
    """Where a network finds classes, (N, h, w), at least 0.

    Args:
        network: Images to logits.
        images: (N, C, H, W) as the network takes them.
        marker: The method; ``"eigencam"`` and ``"rollout"`` know of no class.
        layer: Of class activation; its own choice if None.
        classes: (N,); the predicted ones if None.

    Raises:
        ValueError: If the method can't be had of this network, see there.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", img_size=64, num_classes=5)
        >>> marked(model, torch.randn(2, 3, 64, 64), marker="rollout").shape
        torch.Size([2, 4, 4])
    """
    if marker == "rollout":
        return attention_rollout(network, images)
    if marker == "relevance":
        return attention_relevance(network, images, classes=classes)
    if marker == "legrad":
        return legrad(network, images, classes=classes)
    return class_activation(network, images, method=marker, layer=layer, target=classes)
