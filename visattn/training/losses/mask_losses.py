"""Losses that make a classifier judge the object: on masks, and on predictions.

Pure functions of tensors. Masks and their logits are (N, 1, H, W); a target is in [0, 1], NaN
where nothing is known: on every pixel of an image without a mask, or on single pixels to ignore.
Each function returns a scalar with a graph.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.training.checks import check_one_shape


def labelled_images(target: Tensor) -> Tensor:
    """Which images have a mask: (N,), True where at least one pixel is not NaN.

    Example:
        >>> labelled_images(torch.tensor([[[[0.0, torch.nan]]], [[[torch.nan, torch.nan]]]]))
        tensor([ True, False])
    """
    return ~target.isnan().flatten(1).all(1)


def mask_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    r"""Binary cross-entropy plus Dice on the labelled pixels.

    With t the target, m = sigmoid(z), and w the weight of a pixel (0 where t is NaN):

    - cross-entropy: the weighted mean of -t log m - (1 - t) log(1 - m) over all pixels,
    - Dice (Milletari et al., V-Net, arXiv:1606.04797), for each image with a labelled pixel
      1 - (2 sum w m t + 1) / (sum w m + sum w t + 1), averaged over these images.

    Args:
        logits: z, (N, 1, H, W).
        target: t, (N, 1, H, W) in [0, 1], NaN where unlabelled.
        weight: How much a pixel counts, at least 0, of a shape that broadcasts to ``target``'s; 1
            for all if None. For instance the confidence of predicted targets.

    Returns:
        A scalar, at least 0; exactly 0, with a graph, if nothing is labelled.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> logits = torch.tensor([[[[8.0, -8.0]]], [[[0.0, 0.0]]]])
        >>> target = torch.tensor([[[[1.0, 0.0]]], [[[torch.nan, torch.nan]]]])
        >>> round(mask_loss(logits, target).item(), 3)
        0.001
    """
    hint = "; resize the target to the logits (not the other way round)"
    check_one_shape("mask_loss", hint=hint, logits=logits, target=target)
    logits = logits.float()
    known = ~target.isnan()
    target = torch.where(known, target, 0).to(logits.dtype)
    weights = known.to(logits.dtype)
    if weight is not None:
        weights = weights * weight
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * weights).sum() / weights.sum().clamp_min(torch.finfo(logits.dtype).tiny)
    mask = torch.sigmoid(logits)
    overlap = (weights * mask * target).flatten(1).sum(1)
    total = (weights * (mask + target)).flatten(1).sum(1)
    counted = (weights.flatten(1).sum(1) > 0).to(logits.dtype)
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * counted).sum() / counted.sum().clamp_min(1)
    return entropy + dice


def area_loss(mask: Tensor, target: float) -> Tensor:
    """Squared difference of the mean of each mask from ``target``, averaged over the images.

    Lower ``target`` from 1 to the share that objects take (about 0.3) during training.

    Example:
        >>> area_loss(torch.full((2, 1, 4, 4), 0.5), 0.25).item()
        0.0625
    """
    return (mask.flatten(1).mean(1) - target).square().mean()


def total_variation(mask: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and to the right added; 0 for one pixel.

    Shapes are (N, 1, H, W) to ().

    Example:
        >>> total_variation(torch.tensor([[[[0.0, 1.0, 1.0]]]])).item()
        0.5
    """
    down = (mask[..., 1:, :] - mask[..., :-1, :]).abs()
    right = (mask[..., :, 1:] - mask[..., :, :-1]).abs()
    return down.sum() / max(down.numel(), 1) + right.sum() / max(right.numel(), 1)


def undecided_loss(logits: Tensor) -> Tensor:
    """Mean entropy of the pixels in nats: log 2 for m = 0.5, 0 where every pixel is decided.

    Example:
        >>> round(undecided_loss(torch.zeros(1, 1, 2, 2)).item(), 4)
        0.6931
    """
    return F.binary_cross_entropy_with_logits(logits, torch.sigmoid(logits))


def border_loss(logits: Tensor, *, width: int = 1) -> Tensor:
    """Cross-entropy of the outermost ``width`` pixels against background, their mean.

    A pixel in a corner counts once. Of use where objects do not touch the image's border.

    Raises:
        ValueError: If ``width`` is below 1.

    Example:
        >>> round(border_loss(torch.zeros(1, 1, 3, 3)).item(), 4)
        0.6931
    """
    if width < 1:
        raise ValueError(f"border_loss: width must be at least 1, got {width}.")
    border = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device)
    border[width:-width, width:-width] = False
    return F.softplus(logits[..., border]).mean()


def consistency_loss(logits: Tensor, others: Tensor) -> Tensor:
    """Symmetric KL divergence of two predictions of one object, 0 where they agree.

    (KL(p || q) + KL(q || p)) / 2 averaged over the images; ``logits`` and ``others`` are (N, K),
    for instance of the same foregrounds on two backgrounds.

    Example:
        >>> consistency_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])).item()
        0.0
    """
    log_p, log_q = F.log_softmax(logits, 1), F.log_softmax(others, 1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean() / 2
