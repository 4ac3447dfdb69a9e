"""What marks places, by name: class activation at a layer, or attention through a transformer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, cast, get_args

from torch import Tensor, nn

from visattn.recording.activation.methods import TITLES
from visattn.recording.cam import Method, class_activation
from visattn.recording.legrad_map import legrad
from visattn.recording.rollout import attention_relevance, attention_rollout
from visattn.recording.targets import Target

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
    target: Tensor | Target | None = None,
) -> Tensor:
    """Where a network finds classes or another target, (N, h, w), at least 0.

    Args:
        network: Images to logits, or to whatever a target function takes.
        images: (N, C, H, W) as the network takes them.
        marker: The method; ``"eigencam"`` and ``"rollout"`` know of no class.
        layer: Of class activation; its own choice if None.
        target: Classes (N,), the predicted ones if None; or a function of what the network gives,
            for class activation.

    Raises:
        ValueError: If the method can't be had of this network, see there.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", img_size=64, num_classes=5)
        >>> marked(model, torch.randn(2, 3, 64, 64), marker="rollout").shape
        torch.Size([2, 4, 4])
    """
    if has_layer(marker):
        method = cast(Method, marker)
        return class_activation(network, images, method=method, layer=layer, target=target)
    if callable(target):
        raise ValueError(
            f"{MARKERS[marker]} follows a transformer's attention to the logits of classes, which a"
            " segmentation or a detector doesn't give: take a method of class activation, such as"
            " gradcam"
        )
    if marker == "rollout":
        return attention_rollout(network, images)
    if marker == "relevance":
        return attention_relevance(network, images, classes=target)
    return legrad(network, images, classes=target)
