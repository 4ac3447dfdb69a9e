"""Losses that teach a mask from boxes: nothing of the object's shape is given.

Pure functions of tensors. Logits of masks are (N, 1, H, W); a box is (N, 1, H, W) too, 1 inside and
0 outside. Each function returns a scalar with a graph.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.training.checks import check_one_shape

_RESIZE = "; resize the box to the logits"


def projection_loss(logits: Tensor, box: Tensor) -> Tensor:
    r"""Make a mask as wide and as high as its box.

    Mask and box are projected on both axes by their largest value in each column and in each row.
    With p a projection of the mask m = sigmoid(z) and q that of the box, an axis costs the Dice
    loss 1 - 2 sum p q / (sum p^2 + sum q^2); the axes add up, and the images with a box are
    averaged. It is 0 where every row and column of the box has a pixel of the object, and none
    outside of it has one.

    Args:
        logits: z, (N, 1, H, W).
        box: (N, 1, H, W), 1 inside and 0 outside; images without any 1 do not count. Its sides are
            parallel to the image's, which rotating the images would break.

    Returns:
        A scalar in [0, 2]; 0, with a graph, if there is no box.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> box = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]]])
        >>> diagonal = torch.tensor([[[[-9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]]]])
        >>> round(projection_loss(diagonal, box).item(), 3)
        0.0

    Source: Tian et al., BoxInst, arXiv:2012.02310.
    """
    check_one_shape("projection_loss", hint=_RESIZE, logits=logits, box=box)
    mask, box = torch.sigmoid(logits.float()), box.float()
    counted = box.flatten(1).amax(1)
    loss = mask.new_zeros(len(mask))
    for axis in (2, 3):
        ours, wanted = mask.amax(axis).flatten(1), box.amax(axis).flatten(1)
        squares = ours.square().sum(1) + wanted.square().sum(1)
        loss = loss + 1 - 2 * (ours * wanted).sum(1) / squares.clamp_min(1e-6)
    return (loss * counted).sum() / counted.sum().clamp_min(1)


def inside_loss(logits: Tensor, box: Tensor) -> Tensor:
    r"""Mean of -log m over the pixels of the boxes: as if every one was of the object.

    Most are. Give it a small weight, so that a pixel in the box that looks like what lies outside
    of the boxes is background all the same. Without it a thin cross satisfies `projection_loss`.

    Args:
        logits: z of the mask m = sigmoid(z), (N, 1, H, W).
        box: (N, 1, H, W), 1 inside and 0 outside.

    Returns:
        A scalar, at least 0; 0, with a graph, if there is no box.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> round(inside_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])).item(), 4)
        0.6931
    """
    check_one_shape("inside_loss", hint=_RESIZE, logits=logits, box=box)
    return (F.softplus(-logits.float()) * box).sum() / box.sum().clamp_min(1)


def alike_loss(
    logits: Tensor, images: Tensor, box: Tensor, *, tolerance: float = 0.1, step: int = 2
) -> Tensor:
    r"""Neighbours of one colour are both of the object, or both of the background.

    Over the pairs of pixels that are ``step`` apart (along the axes and the diagonals), whose
    colours are at most ``tolerance`` apart, and of which one at least lies in the box: the mean of
    -log(m m' + (1 - m) (1 - m')). The paper's similarity exp(-d / theta) >= tau is the same as
    d <= -theta log tau; it measures d in the LAB space, here it is the Euclidean distance of the
    normalised channels.

    Args:
        logits: Of the masks, (N, 1, H, W).
        images: (N, C, H, W), normalised.
        box: (N, 1, H, W), 1 inside and 0 outside.
        tolerance: Largest distance of two colours that count as one.
        step: Distance of the neighbours in pixels.

    Returns:
        A scalar, at least 0; 0, with a graph, where there is no such pair.

    Raises:
        ValueError: If the shapes differ, or an option is out of its range.

    Example:
        >>> logits = torch.tensor([[[[20.0, 20.0, -20.0]]]])
        >>> images, box = torch.tensor([[[[0.0, 0.0, 5.0]]]]), torch.ones(1, 1, 1, 3)
        >>> round(alike_loss(logits, images, box, step=1).item(), 3)
        0.0

    Source: Tian et al., BoxInst, arXiv:2012.02310.
    """
    check_one_shape("alike_loss", hint=_RESIZE, logits=logits, box=box)
    if images.shape[-2:] != logits.shape[-2:]:
        raise ValueError(
            f"alike_loss: images and logits must have one size, got {tuple(images.shape)} and "
            f"{tuple(logits.shape)}."
        )
    if tolerance <= 0 or step < 1:
        raise ValueError(
            f"alike_loss: tolerance must be above 0 and step at least 1, got {tolerance}, {step}."
        )
    logits, height, width = logits.float(), logits.shape[-2], logits.shape[-1]
    total, pairs = logits.sum() * 0, logits.new_zeros(())
    for down, right in ((0, step), (step, 0), (step, step), (step, -step)):
        if down >= height or abs(right) >= width:
            continue
        first = (slice(None, height - down), slice(max(0, -right), width - max(0, right)))
        second = (slice(down, None), slice(max(0, right), width - max(0, -right)))
        ours, theirs = logits[..., *first], logits[..., *second]
        distance = (images[..., *first] - images[..., *second]).square().sum(1, keepdim=True)
        counted = (distance <= tolerance**2) & ((box[..., *first] + box[..., *second]) > 0)
        both = F.logsigmoid(ours) + F.logsigmoid(theirs)
        neither = F.logsigmoid(-ours) + F.logsigmoid(-theirs)
        total = total - (torch.logaddexp(both, neither) * counted).sum()
        pairs = pairs + counted.sum()
    return total / pairs.clamp_min(1)
