"""Steps that objectives with a mask share: complete the masks, swap backgrounds, classify."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.data.background_swap import swap_backgrounds
from visattn.training.losses import mask_loss
from visattn.training.mask_pass import predict_mask, predict_with_mask, sharpened


def complete_masks(
    model: nn.Module, images: Tensor, given: Tensor, *, weight: float, site: str | None = None
) -> tuple[Tensor, Tensor]:
    """Masks without NaN, the missing pixels predicted, and how far each pixel is trusted.

    Args:
        model: Has a spatial mask.
        images: (N, 3, H, W).
        given: (N, 1, H, W), NaN where unlabelled.
        weight: Trust in a predicted pixel of which the model is certain; it falls with the
            confidence |2 m - 1|. A given pixel is trusted by 1.
        site: The mask's site, where the model has several.

    Returns:
        Masks in [0, 1] and trust, both (N, 1, H, W), without a graph.
    """
    # Not under no_grad: there, autocast of older PyTorch (issue 158232) keeps weights that it
    # casts without their graph, and the later passes of this step would take them.
    logits = predict_mask(model, images, site=site).detach().float()
    logits = resized(logits, given.shape[-2:])
    missing = given.isnan()
    confidence = (2 * torch.sigmoid(logits) - 1).abs() * weight
    masks = torch.where(missing, sharpened(logits), given)
    return masks, torch.where(missing, confidence, 1)


def classify_swapped(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    masks: Tensor,
    trust: Tensor,
    *,
    swap: float,
    rim: int,
    shift: float,
    label_smoothing: float,
    site: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and mask loss on images with swapped backgrounds.

    Args:
        model: Has a spatial mask.
        batch: See `visattn.training.objectives.Objective`.
        masks: What the objects are cut out with, (N, 1, H, W) in [0, 1].
        trust: How much each of their pixels counts in the mask loss, (N, 1, H, W).
        swap: How likely an image gets another background.
        rim: See `visattn.data.background_swap.swap_backgrounds`.
        shift: See there.
        label_smoothing: Of the cross-entropy.
        site: The mask's site, where the model has several.
    """
    images, _ = swap_backgrounds(batch["image"], masks, probability=swap, rim=rim, shift=shift)
    logits, mask_logits = predict_with_mask(model, images, site=site)
    size = mask_logits.shape[-2:]
    mask = mask_loss(mask_logits, averaged(masks, size), weight=averaged(trust, size))
    return F.cross_entropy(logits, batch["label"], label_smoothing=label_smoothing), mask


def averaged(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks at the size of the logits; a place with a NaN among its pixels is NaN."""
    return masks if masks.shape[-2:] == size else F.adaptive_avg_pool2d(masks, (size[0], size[1]))


def resized(logits: Tensor, size: torch.Size) -> Tensor:
    """Logits at the size of the images."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
