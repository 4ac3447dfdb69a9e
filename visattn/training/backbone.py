"""A classifier by name: timm's, any constructor by its import path, or a function."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import timm
from torch import nn

from visattn.training.suggestions import nearest


def build_backbone(
    backbone: str | Callable[..., nn.Module],
    *,
    num_classes: int,
    pretrained: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network that maps images to logits.

    Args:
        backbone: A timm name (``"resnet18"``, ``"resnet50.a1_in1k"``), the import path of a
            constructor (``"torchvision.models.resnet18"``), or the constructor itself. A
            constructor is called with ``num_classes`` and ``options``.
        num_classes: Number of logits.
        pretrained: Load timm's weights for ImageNet, with a new last layer. For a constructor of
            one's own give its way of saying so in ``options``.
        options: Further arguments, such as ``{"drop_path_rate": 0.1}``.

    Raises:
        ValueError: If the name is unknown (the nearest are named), or ``pretrained`` is asked of a
            constructor.
        TypeError: If the constructor doesn't take the arguments, or returns no module.
        OSError: If the weights can be loaded neither from the cache nor from the network.

    Example:
        >>> build_backbone("resnet10t", num_classes=8).fc.out_features
        8
    """
    options = dict(options or {})
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if isinstance(backbone, str) and timm.is_model(backbone):
        return _from_timm(backbone, num_classes=num_classes, pretrained=pretrained, options=options)
    constructor = _import(backbone) if isinstance(backbone, str) else backbone
    name = backbone if isinstance(backbone, str) else getattr(backbone, "__name__", repr(backbone))
    if pretrained:
        raise ValueError(
            f"pretrained: true works with timm's names only; {name} is a constructor: "
            "give what it takes in backbone_options, such as {weights: DEFAULT}"
        )
    try:
        model = constructor(num_classes=num_classes, **options)
    except TypeError as error:
        raise TypeError(
            f"{name} was called with num_classes={num_classes} and {options}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must return a torch.nn.Module, it returned {type(model).__name__}")
    return model


def _from_timm(
    name: str, *, num_classes: int, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, **options
        )
    except TypeError as error:
        raise TypeError(f"timm's {name} was called with {options}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise
        raise OSError(
            f"the pretrained weights of {name} could not be loaded: {error}\nThey come from the "
            "network or from the cache in HF_HOME; pretrained: false trains from scratch"
        ) from error
    return model


def _import(path: str) -> Callable[..., Any]:
    module_name, _, attribute = path.rpartition(".")
    unknown = (
        f"unknown backbone {path!r}{nearest(path.split('.')[0], names=timm.list_models())}\n"
        "Expected a timm name (python -c 'import timm; print(timm.list_models())') or the import "
        "path of a constructor, such as torchvision.models.resnet18"
    )
    if not module_name:
        raise ValueError(unknown)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{unknown} ({error})") from error
    found = getattr(module, attribute, None)
    if found is None:
        raise ValueError(
            f"{module_name} has no {attribute!r}{nearest(attribute, names=dir(module))}"
        )
    if not callable(found):
        raise ValueError(f"{path} is no constructor but {type(found).__name__}")
    return found
