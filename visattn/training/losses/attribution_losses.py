"""Losses on what a classifier's answer depends on: it should be the object.

Both are trained through a gradient's gradient, so every layer must be differentiable twice. A mask
is (N, 1, H, W) in [0, 1], NaN where nothing is known: unknown pixels count neither as object nor as
background.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.training.checks import check_one_shape


def right_reasons_loss(logits: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    r"""Squared input gradient of the log-probabilities outside of the mask.

    .. math:: \sum_{d} (a_d \, \partial / \partial x_d \sum_k \log p_k)^2, \quad a = 1 - mask

    for each image, averaged over the images that have a mask.

    Args:
        logits: (N, K), computed from ``images``.
        images: (N, C, H, W), a tensor that requires a gradient.
        masks: (N, 1, H, W), 1 where the reasons may be.

    Returns:
        A scalar, at least 0, with a graph; 0 if no image has a mask.

    Raises:
        ValueError: If ``images`` requires no gradient.

    Example:
        >>> images = torch.ones(1, 1, 1, 2, requires_grad=True)
        >>> logits = images.flatten(1) @ torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> right_reasons_loss(logits, images, torch.ones(1, 1, 1, 2)).item()
        0.0

    Source: Ross et al., Right for the Right Reasons, arXiv:1703.03717, equation 1, without the
    term of the weights.
    """
    if not images.requires_grad:
        raise ValueError(
            "right_reasons_loss: images must require a gradient before the logits are computed "
            "from them: images.requires_grad_()."
        )
    log_probabilities = F.log_softmax(logits.float(), 1).sum()
    (gradient,) = torch.autograd.grad(log_probabilities, images, create_graph=True)
    outside = (1 - masks).nan_to_num(0)
    counted = (~masks.isnan()).flatten(1).any(1).to(gradient.dtype)
    squares = (outside * gradient).square().flatten(1).sum(1)
    return (squares * counted).sum() / counted.sum().clamp_min(1)


def energy_loss(attribution: Tensor, masks: Tensor) -> Tensor:
    r"""One minus the share of the positive attribution that lies inside of the mask.

    .. math:: 1 - \sum_{d \in mask} \max(A_d, 0) / \sum_d \max(A_d, 0)

    averaged over the images that have a mask and any positive attribution. With boxes, whose
    inside is unknown, give 1 there.

    Args:
        attribution: A, (N, 1, H, W).
        masks: (N, 1, H, W).

    Returns:
        A scalar in [0, 1], with the graph of ``attribution``.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> attribution = torch.tensor([[[[3.0, 1.0, -9.0]]]])
        >>> energy_loss(attribution, torch.tensor([[[[1.0, 0.0, 0.0]]]])).item()
        0.25

    Source: Rao et al., Studying How to Efficiently and Effectively Guide Models with Explanations,
    arXiv:2303.11932, their energy loss, which takes boxes.
    """
    check_one_shape("energy_loss", attribution=attribution, masks=masks)
    known = ~masks.isnan()
    positive = attribution.clamp_min(0) * known
    inside = (positive * masks.nan_to_num(0)).flatten(1).sum(1)
    whole = positive.flatten(1).sum(1)
    counted = (whole > 0).to(attribution.dtype)
    share = inside / whole.clamp_min(torch.finfo(attribution.dtype).tiny)
    return ((1 - share) * counted).sum() / counted.sum().clamp_min(1)


def attribution_of(scores: Tensor, features: Tensor) -> Tensor:
    """Features times their gradient, summed over the channels: (N, C, H, W) to (N, 1, H, W).

    Of the images it is input times gradient, of a convolution's output the map that Grad-CAM
    weights, with a gradient of its own for each place.

    Args:
        scores: What is explained, summed over: such as the logit of each image's class.
        features: The images or an inner map that ``scores`` was computed from.

    Example:
        >>> images = torch.ones(1, 3, 2, 2, requires_grad=True)
        >>> attribution_of((2 * images).sum(), images).unique()
        tensor([6.], grad_fn=<...>)
    """
    (gradient,) = torch.autograd.grad(scores.sum(), features, create_graph=True)
    return (features * gradient).sum(1, keepdim=True)
