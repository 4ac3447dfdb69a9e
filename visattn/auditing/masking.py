"""Masks from a network that was trained to find the object, where none are given."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MaskModel = str | Path | nn.Module | Callable[[Tensor], Tensor]
"""A checkpoint or network with a spatial mask, or a function of pictures in [0, 1] to masks."""


def open_mask_model(model: MaskModel) -> tuple[Callable[[Tensor], Tensor], str]:
    """A function of pictures (N, 3, H, W) in [0, 1] to masks (N, 1, H, W), and its name.

    A network's mask logits z become alpha = sigmoid(4 z), sharp enough to cut out with, at the
    pictures' size. A network sees the pictures as it did in training.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The network has no spatial mask.
    """
    facts: dict[str, Any] = {}
    if isinstance(model, (str, Path)):
        from visattn.networks.loading import load_classifier

        network, facts = load_classifier(model)
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        return _of_network(network, facts), str(model)
    if isinstance(model, nn.Module):
        inner = getattr(model, "model", model)  # of an `ImageClassifier`
        facts = getattr(model, "data_facts", None) or {}
        return _of_network(inner, facts), type(model).__name__
    return _checked(model), getattr(model, "__name__", type(model).__name__)


def _of_network(network: nn.Module, facts: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    from visattn.auditing.opening import prepare
    from visattn.auditing.subject import evaluating
    from visattn.networks.mask_pass import find_mask_tap, predict_mask, sharpened

    find_mask_tap(network)  # an error now, not after reading
    prepared = prepare(facts, size=None, fit=None, mean=None, std=None)
    side = facts.get("size")

    def masks_of(pictures: Tensor) -> Tensor:
        device = next((p.device for p in network.parameters()), pictures.device)
        images = prepared.normalise(pictures).to(device)
        if side is not None and tuple(images.shape[-2:]) != (side, side):
            images = _resized(images, (side, side))
        with torch.no_grad(), evaluating(network):
            logits = predict_mask(network, images).float()
        return sharpened(_resized(logits, pictures.shape[-2:])).to(pictures)

    return masks_of


def _checked(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def masks_of(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            masks = torch.as_tensor(function(pictures)).to(pictures)
        masks = masks[:, None] if masks.ndim == 3 else masks
        expected = (len(pictures), 1, *pictures.shape[-2:])
        if tuple(masks.shape) != expected or not bool(((masks >= 0) & (masks <= 1)).all()):
            raise ValueError(
                f"the mask model must return masks {expected} in [0, 1], it returned "
                f"{tuple(masks.shape)} from {masks.min().item():.3g} to {masks.max().item():.3g}"
            )
        return masks

    return masks_of


def _resized(planes: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    shrinks = planes.shape[-1] > size[-1]
    return F.interpolate(
        planes, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks
    )
