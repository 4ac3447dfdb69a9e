"""Class activation: where a network finds a class, the yardstick to hold any attention map against.

Grad-CAM is that of Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
gradient-based localization", 2017, arXiv:1610.02391.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.suggestions import nearest
from visattn.recording.activation.at_layer import (
    Layer,
    maps_and_outputs,
    named_layer,
    slopes_at,
    undisturbed,
)
from visattn.recording.activation.inputs import Inputs, detached, images_of
from visattn.recording.activation.layers import (
    check_differentiable,
    chosen_layer,
    first_of,
    followed_tokens,
    grids_before,
    reshape_of,
)
from visattn.recording.activation.methods import BY_SLOPES, TITLES, eigen_cam_map
from visattn.recording.activation.score_cam import score_cam_map
from visattn.recording.targets import Classes, Target, answered_logits, class_score

Method = Literal["gradcam", "gradcam++", "layercam", "hirescam", "eigencam", "scorecam"]


def class_activation(
    model: nn.Module,
    images: Inputs,
    *,
    method: Method = "gradcam",
    layer: str | nn.Module | None = None,
    target: Classes | Target | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 32,
) -> Tensor:
    r"""Class activation maps of any network that keeps places: a CNN, a Swin, a ViT, a detector.

    With a layer's maps :math:`A_k`, the target's score :math:`Y` and its slopes
    :math:`g_k = \partial Y / \partial A_k`, each followed by a ReLU:

    - ``"gradcam"``: :math:`\sum_k \overline{g_k} A_k`, the slopes' mean over places
      (Selvaraju et al., 2017, arXiv:1610.02391);
    - ``"gradcam++"``: weights from rising slopes (Chattopadhay et al., 2018, arXiv:1710.11063);
    - ``"layercam"``: :math:`\sum_k \mathrm{ReLU}(g_k) A_k`
      (Jiang et al., 2021, doi:10.1109/TIP.2021.3089943);
    - ``"hirescam"``: :math:`\sum_k g_k A_k` (Draelos & Carin, 2020, arXiv:2011.08891);
    - ``"eigencam"``: the first principal component, of no class
      (Muhammad & Yeasin, 2020, arXiv:2008.00299);
    - ``"scorecam"``: weights from the scores of the image behind each channel, one call an image
      and channel (Wang et al., 2020, arXiv:1910.01279).

    The values are raw: not brought to [0, 1], since their size says how much there is of the class.
    A map of zeros says that nothing speaks for it.

    The model runs in evaluation mode and gets its own modes back. No hook and no gradient is left,
    and neither frozen parameters nor ``torch.no_grad``, inside of the model or outside, matter. A
    compiled model runs uncompiled.

    Args:
        model: Any network; images to logits (N, K), to one logit (N, 1) or (N,) that says yes, or,
            with a target function, to anything.
        images: Images (N, C, H, W) as the model takes them. A model of several inputs gets a tuple,
            or a mapping by name; the first images among them are looked at.
        method: One of the above.
        layer: Whose maps to weigh: a module of the model or its name, such as ``"layer4"``; of a
            layer that runs several times the last counts, or the one that is named, as in
            ``"backbone, call 1"``; ``"norm, input"`` is what ``norm`` is given. If None,
            `cam_layer` chooses.
        target: One class for all images or one an image (N,); the predicted ones if None (of a
            single logit, class 1 where it is above 0, else class 0). Or a function of the model's
            output that gives a score an image (N,), such as those of `visattn.recording.targets`
            for labels, regression, segmentation and detection.
        reshape: From the layer's output to maps (N, C, h, w), if its layout isn't seen by itself:
            (N, C, h, w), (N, h, w, C), or tokens (N, T, C), put where the picture's places were
            followed to: patches in any order, T rows (T, 1) or T columns (1, T).
        size: Height and width to which the maps are brought, bilinear, for instance
            ``images.shape[-2:]``; the layer's own if None.
        batch_size: Images a call of the model, for Score-CAM.

    Returns:
        Maps (N, h, w) of the layer's size, or of ``size``; single precision, at least 0.

    Raises:
        KeyError: If the model has no layer of that name; the nearest names are in the message.
        TypeError: If an argument or the layer's output is of another type.
        ValueError: If shapes or classes don't fit, nothing tells how the layer's output is laid
            out, the score doesn't depend on it, or the model is quantised.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", num_classes=10)
        >>> class_activation(model, torch.randn(2, 3, 160, 160), method="layercam").shape
        torch.Size([2, 10, 10])
    """
    if method not in TITLES:
        raise ValueError(f"unknown method {method!r}{nearest(method, names=list(TITLES))}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    pixels = images_of(images)
    if method in BY_SLOPES:
        check_differentiable(model)
    asked = class_score(target) if target is not None and not callable(target) else target
    with undisturbed(model):
        inputs = detached(images)
        if layer is None:
            found = _default(model, inputs, target=asked if callable(target) else None, least=1)
        else:
            found = named_layer(model, layer)
        maps, outputs = maps_and_outputs(model, inputs, found)
        if asked is None:
            asked = class_score(answered_logits(outputs).detach().argmax(1))
        scores = _checked(asked(outputs), count=len(pixels))
        reading = reshape or found.reshape or _reading(model, inputs, found, maps)
        planes = _planes(reading(maps.detach()), found, count=len(pixels)).float()
        if method == "scorecam":
            kept = asked
            said = score_cam_map(
                planes,
                model=model,
                inputs=inputs,
                score=lambda outputs: _checked(kept(outputs), count=len(pixels)),
                batch_size=batch_size,
            )
        elif method == "eigencam":
            said = eigen_cam_map(planes)
        else:
            said = BY_SLOPES[method](planes, _slopes(scores, maps, found, reading))
        weighed = F.relu(said)
        if size is not None:
            weighed = F.interpolate(weighed[:, None], size=tuple(size), mode="bilinear")[:, 0]
    return weighed


def grad_cam(
    model: nn.Module,
    images: Tensor,
    *,
    layer: str | nn.Module | None = None,
    classes: int | Sequence[int] | Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    r"""Grad-CAM of a class at a layer: `class_activation` by its best-known method.

    .. math:: \mathrm{ReLU}\Big(\sum_k w_k A_k\Big), \quad
        w_k = \frac{1}{H W} \sum_{y, x} \frac{\partial Y_c}{\partial A_k(y, x)}

    with the layer's maps :math:`A_k` and the logit :math:`Y_c`. Arguments, values and errors are
    those of `class_activation`, with ``classes`` for its ``target``.

    Returns:
        Maps (N, h, w) of the layer's size, or of ``size``; single precision, at least 0.

    Example:
        >>> import torch, torchvision
        >>> model = torchvision.models.resnet18(num_classes=10)
        >>> maps = grad_cam(model, torch.randn(2, 3, 64, 96))
        >>> maps.shape, bool((maps >= 0).all())
        (torch.Size([2, 2, 3]), True)
    """
    return class_activation(model, images, layer=layer, target=classes, size=size)


def cam_layer(
    model: nn.Module, images: Inputs, *, target: Target | None = None, least: int = 1
) -> str:
    """The layer at which class activation is taken unless told otherwise.

    It is the last module, in the order in which they finish, whose output has more than one place
    and through which all that the logits see of the images has passed: in a ResNet the last stage
    of more than one place, and no map inside of a residual block. The output may be (N, C, H, W),
    (N, H, W, C), or tokens (N, T, C) of a grid; a ViT that answers from its class token is taken
    before its last block, the last whose patches are read. A residual stream that is added up in a
    ``forward``, so that no module gives it, is taken where it enters one. Where branches meet only
    after their places are gone, it is the last layer on which the logits depend. An adaptive
    pooling, such as VGG's to 7 x 7, and an ``nn.Identity`` are passed over, and so are the maps
    that are a segmentation's answer.

    Args:
        model: Images to logits, or to whatever ``target`` takes.
        images: As for `class_activation`; without a target function the first one is looked at.
        target: A target function of `class_activation`; all logits if None.
        least: Places that the map must have along its shorter side: 7 asks for a finer one where
            small images leave only 2 x 2 places at the last stage.

    Returns:
        The module's name, with ``", call 2"`` behind it if that call isn't its last, and
        ``", input"`` if its input is meant.

    Raises:
        TypeError: If ``images`` is no tensor of floating point.
        ValueError: If no module gives such a map.

    Example:
        >>> import torch, torchvision
        >>> cam_layer(torchvision.models.resnet18(), torch.randn(1, 3, 64, 64))
        'layer4'
    """
    images_of(images)
    with undisturbed(model):
        return _default(model, detached(images), target=target, least=least).title


def _default(model: nn.Module, inputs: Inputs, *, target: Target | None, least: int) -> Layer:
    if target is None:
        inputs = first_of(inputs)
        return chosen_layer(model, inputs, score=_predicted, least=least)
    return chosen_layer(model, inputs, score=target, least=least)


def _predicted(outputs: Any) -> Tensor:
    return answered_logits(outputs).max(1).values


def _reading(
    model: nn.Module, inputs: Inputs, layer: Layer, maps: Tensor
) -> Callable[[Tensor], Tensor]:
    """How the output of a named layer is laid out."""
    grids = grids_before(model, inputs, layer) if maps.ndim == 3 else ()
    found = None
    if len(maps) == len(images_of(inputs)):
        found = reshape_of(
            model,
            inputs,
            layer,
            tuple(maps.shape),
            grids,
            traced=followed_tokens(model, inputs),
        )
    if found is None:
        raise ValueError(
            f"{layer.title!r} gives {tuple(maps.shape)} for images "
            f"{tuple(images_of(inputs).shape)}; Grad-CAM needs a layer that gives maps (N, C, H, W)"
            " or (N, H, W, C), or tokens (N, T, C) of a grid of patches. If it does, say how to"
            " bring its output to (N, C, H, W) by reshape"
        )
    return found


def _planes(planes: Tensor, layer: Layer, *, count: int) -> Tensor:
    if planes.ndim != 4 or len(planes) != count:
        raise ValueError(
            f"reshape must bring the output of {layer.title!r} to maps ({count}, C, h, w), not "
            f"{tuple(planes.shape)}"
        )
    return planes


def _slopes(
    scores: Tensor, maps: Tensor, layer: Layer, reading: Callable[[Tensor], Tensor]
) -> Tensor:
    slopes = slopes_at(scores.sum(), maps)
    if slopes is None:
        raise ValueError(
            f"the logits don't depend on {layer.title!r}, or are computed without gradients: name "
            "another layer"
        )
    found = reading(slopes)
    if slopes.any() and not found.any():
        raise ValueError(
            f"the logits read no place of {layer.title!r}, only a token beside them, such as the "
            "class token: name a layer before, or none"
        )
    return found.float()


def _checked(scores: Any, *, count: int) -> Tensor:
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        came = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"a target must give one score an image ({count},), not {came}")
    return scores
