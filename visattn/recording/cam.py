"""Grad-CAM: where a CNN finds a class, the yardstick to hold any attention map against.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", 2017, arXiv:1610.02391.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.hooks import hooked, uncompiled
from visattn.basics.modes import evaluating
from visattn.basics.suggestions import did_you_mean

_PASSED_OVER = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Identity)


def grad_cam(
    model: nn.Module,
    images: Tensor,
    *,
    layer: str | nn.Module | None = None,
    classes: int | Sequence[int] | Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    r"""Grad-CAM of a class at a layer.

    .. math:: \mathrm{ReLU}\Big(\sum_k w_k A_k\Big), \quad
        w_k = \frac{1}{H W} \sum_{y, x} \frac{\partial Y_c}{\partial A_k(y, x)}

    with the layer's maps :math:`A_k` and the logit :math:`Y_c`. The values are raw: not brought to
    [0, 1], since their size says how much there is of the class. A map of zeros says that nothing
    speaks for it.

    The model runs in evaluation mode and gets its own modes back. No hook and no gradient is left,
    and neither frozen parameters nor ``torch.inference_mode`` outside matter. A compiled model runs
    uncompiled. Of a layer that runs several times the last time counts.

    Args:
        model: Images (N, C, H, W) to logits (N, K); any CNN, wrapped or not.
        images: Images (N, C, H, W) as the model takes them.
        layer: Whose maps to weigh: a module of the model or its name, such as ``"layer4"``. If
            None, `cam_layer` chooses: the last maps before the global pooling.
        classes: One class for all images or one an image (N,); those that the model predicts if
            None.
        size: Height and width to which the maps are brought, bilinear, for instance
            ``images.shape[-2:]``; the layer's own if None.

    Returns:
        Maps (N, h, w) of the layer's size, or of ``size``; single precision, at least 0.

    Raises:
        KeyError: If the model has no layer of that name; the nearest names are in the message.
        TypeError: If an argument or the layer's output is of another type.
        ValueError: If shapes or classes don't fit, the layer gives no maps, or the logits don't
            depend on them.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18(num_classes=10)
        >>> maps = grad_cam(model, torch.randn(2, 3, 64, 96))
        >>> maps.shape, bool((maps >= 0).all())
        (torch.Size([2, 2, 3]), True)
    """
    _check_images(images)
    target = _module(model, cam_layer(model, images) if layer is None else layer)
    with _undisturbed(model):
        # A tensor of inference mode cannot be saved for a gradient; its copy can.
        plain = images.detach().clone() if images.is_inference() else images.detach()
        maps, logits = _forward(model, plain, target)
        chosen = _classes(classes, logits)
        score = logits.gather(1, chosen[:, None]).sum()
        slopes = _slopes(score, maps)
        if slopes is None:
            raise ValueError(
                f"the logits don't depend on {_name(model, target)}, or are computed without "
                "gradients: name another layer"
            )
        weights = slopes.float().mean((2, 3), keepdim=True)
        found = F.relu((weights * maps.detach().float()).sum(1))
        if size is not None:
            found = F.interpolate(found[:, None], size=tuple(size), mode="bilinear")[:, 0]
    return found


def cam_layer(model: nn.Module, images: Tensor, *, least: int = 1) -> str:
    """The layer at which Grad-CAM is taken unless told otherwise.

    It is the last module whose output is a map (N, C, H, W) of more than one place, in the order in
    which modules finish, on which the logits depend: in a ResNet the last stage. An adaptive
    pooling, such as VGG's to 7 x 7, and an ``nn.Identity`` are passed over.

    Args:
        model: Images (N, C, H, W) to logits (N, K).
        images: Images (N, C, H, W); the first one is looked at.
        least: Places that the map must have along its shorter side: 7 asks for a finer one where
            small images leave only 2 x 2 places at the last stage.

    Returns:
        The module's name.

    Raises:
        TypeError: If ``images`` is no tensor of floating point.
        ValueError: If no module gives such a map.

    Example:
        >>> import torchvision
        >>> cam_layer(torchvision.models.resnet18(), torch.randn(1, 3, 64, 64))
        'layer4'
    """
    _check_images(images)
    finished: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            height, width = output.shape[2:]
            if height * width > 1 and min(height, width) >= least:
                finished.append(module)

    with _undisturbed(model):
        image = images[:1].detach().clone()
        names = {module: name for name, module in model.named_modules() if name}
        watched = [module for module in names if not isinstance(module, _PASSED_OVER)]
        with hooked((module, note) for module in watched), torch.no_grad():
            model(image)
        for module in dict.fromkeys(reversed(finished)):
            maps, logits = _forward(model, image, module)
            if _slopes(logits.sum(), maps) is not None:
                return names[module]
    places = f"at least {least} places a side" if least > 1 else "more than one place"
    raise ValueError(
        f"no module of {type(model).__name__} gives maps (N, C, H, W) of {places}, on which the "
        f"logits depend, for images of {images.shape[2]} x {images.shape[3]} pixels; Grad-CAM "
        "needs a CNN, or larger images"
    )


def _forward(model: nn.Module, images: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The layer's maps as a leaf, and the logits that follow from them.

    The graph begins at the layer: what lies before it is computed without one.
    """
    found: list[Tensor] = []

    def begin(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{_name(model, layer)} returns {type(output).__name__}; Grad-CAM needs a layer "
                "that returns a map (N, C, H, W)"
            )
        if output.ndim != 4:
            raise ValueError(
                f"{_name(model, layer)} gives {tuple(output.shape)}; Grad-CAM needs a layer that "
                "gives maps (N, C, H, W)"
            )
        torch.set_grad_enabled(True)
        leaf = output.detach().requires_grad_()
        found[:] = [leaf]
        return leaf.clone()  # may be changed in place by what follows

    with hooked([(layer, begin)]), torch.no_grad():
        logits = model(images)
    if not found:
        raise ValueError(f"{_name(model, layer)} doesn't run when the model does")
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model must return logits (N, K), it returned {came}")
    return found[0], logits


def _slopes(score: Tensor, maps: Tensor) -> Tensor | None:
    """The gradient of the score, None where it doesn't depend on the maps."""
    if not score.requires_grad:
        return None
    return torch.autograd.grad(score, maps, allow_unused=True)[0]


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, gradients possible, nothing compiled; all as before at the end."""
    with uncompiled(), torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield


def _module(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    names = {name: module for name, module in model.named_modules() if name}
    if isinstance(layer, nn.Module):
        if any(module is layer for module in names.values()):
            return layer
        raise ValueError(f"the layer, a {type(layer).__name__}, is no part of the model")
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a name or a module, not {type(layer).__name__}")
    if layer in names:
        return names[layer]
    hint = did_you_mean(layer, names=names)
    top = ", ".join(name for name, _ in model.named_children())
    raise KeyError(f"{type(model).__name__} has no layer {layer!r}.{hint} At the top are {top}.")


def _classes(classes: int | Sequence[int] | Tensor | None, logits: Tensor) -> Tensor:
    count, known = logits.shape
    if classes is None:
        return logits.detach().argmax(1)
    chosen = torch.as_tensor(classes, device=logits.device).detach()
    if chosen.dtype.is_floating_point or chosen.dtype.is_complex or chosen.dtype == torch.bool:
        raise TypeError(f"classes must be integers, not {chosen.dtype}")
    if chosen.shape not in ((), (count,)):
        raise ValueError(
            f"classes must be one class or one an image ({count},), not {tuple(chosen.shape)}"
        )
    chosen = chosen.long().expand(count).clone()
    if count and not 0 <= int(chosen.min()) <= int(chosen.max()) < known:
        raise ValueError(
            f"the model has the classes 0 to {known - 1}; classes go from {int(chosen.min())} to "
            f"{int(chosen.max())}"
        )
    return chosen


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or not images.dtype.is_floating_point:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor of floating point, not {kind}")
    if images.ndim != 4 or images.numel() == 0:
        hint = "; images[None] makes a batch of one" if images.ndim == 3 else ""
        raise ValueError(
            f"images must be (N, C, H, W), at least one, not {tuple(images.shape)}{hint}"
        )


def _name(model: nn.Module, layer: nn.Module) -> str:
    return next(repr(name) for name, module in model.named_modules() if module is layer)
