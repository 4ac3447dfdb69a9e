"""Steps that objectives with a mask share: complete the masks, swap backgrounds, classify."""

import warnings
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.data.background_swap import swap_backgrounds
from visattn.networks.mask_pass import (
    find_mask_block,
    find_mask_tap,
    predict_mask,
    predict_with_mask,
    set_leaks,
    sharpened,
)
from visattn.training.losses.mask_losses import consistency_loss, mask_loss
from visattn.training.objectives.base import check_in


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
    missing = given.isnan()
    if not missing.any():
        return given, torch.ones_like(given)
    # Not under no_grad: there, autocast of older PyTorch (issue 158232) keeps weights that it
    # casts without their graph, and the later passes of this step would take them.
    logits = predict_mask(model, images, site=site).detach().float()
    logits = resized(logits, given.shape[-2:])
    confidence = (2 * torch.sigmoid(logits) - 1).abs() * weight
    masks = torch.where(missing, sharpened(logits), given)
    return masks, torch.where(missing, confidence, 1)


@final
class SwapStep:
    """Puts objects on the backgrounds of other images, and classifies: the step with its options.

    Args:
        label_smoothing: Of the cross-entropy, in [0, 1).
        swap: How likely an image gets another background, in [0, 1].
        mask_weight: Weight of the mask loss beside the cross-entropy.
        predicted_weight: Trust in a predicted pixel, see `complete_masks`.
        rim: See `visattn.data.background_swap.swap_backgrounds`.
        shift: See there; in [0, 1).
        anneal: Whether masks of the annealed form close during the first half of the training.
        consistency_weight: Weight of `visattn.training.losses.mask_losses.consistency_loss` between
        the answers
            for an image as it is and with its new background. Above 0 it takes one more pass, on
            the images as they are, which the statistics of batch normalisation follow too.
        site: The mask's site, where the model has several.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        label_smoothing: float,
        swap: float,
        mask_weight: float,
        predicted_weight: float,
        rim: int,
        shift: float,
        anneal: bool = True,
        consistency_weight: float = 0.0,
        site: str | None = None,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing, shift=shift)
        check_in("[0, 1]", swap=swap)
        check_in("[0, inf)", mask_weight=mask_weight, predicted_weight=predicted_weight, rim=rim)
        check_in("[0, inf)", consistency_weight=consistency_weight)
        self.label_smoothing = label_smoothing
        self.swap = swap
        self.mask_weight = mask_weight
        self.predicted_weight = predicted_weight
        self.rim = rim
        self.shift = shift
        self.anneal = anneal
        self.consistency_weight = consistency_weight
        self.site = site
        self._checked = False

    def check(self, model: nn.Module) -> None:
        """Find the mask, and warn, once, if the class loss can widen it.

        Raises:
            ValueError: If there is no mask, or none at the site.
        """
        if self._checked:
            return
        self._checked = True
        site, _ = find_mask_tap(model, site=self.site)
        block = find_mask_block(model, site=self.site)
        opened = block is not None and block.form == "annealed" and not self.anneal
        if block is not None and not block.detach and not opened:
            warnings.warn(
                f"the class loss reaches the spatial mask at {site!r} and can widen it, to read "
                "what is around the object: set model.attention.detach: true (in Python "
                "detach=True), unless it is meant",
                stacklevel=2,
            )

    def begin(self, model: nn.Module, progress: float) -> None:
        """Check the model in the first step, and close its masks in every one."""
        self.check(model)
        set_leaks(model, leak=max(0.0, 1 - 2 * progress) if self.anneal else 1.0)

    def complete(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """A batch's masks without NaN, and their trust, see `complete_masks`."""
        return complete_masks(
            model, batch["image"], batch["mask"], weight=self.predicted_weight, site=self.site
        )

    def classify(
        self, model: nn.Module, batch: Mapping[str, Tensor], masks: Tensor, trust: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Losses on images with swapped backgrounds.

        Args:
            model: Has a spatial mask.
            batch: See `visattn.training.objectives.Objective`.
            masks: What the objects are cut out with, (N, 1, H, W) in [0, 1].
            trust: How much each of their pixels counts in the mask loss, (N, 1, H, W).

        Returns:
            What to add up: cross-entropy, mask loss and consistency by their weights, with a
            graph; and the same by name, without weight and graph.
        """
        images, _ = swap_backgrounds(
            batch["image"], masks, probability=self.swap, rim=self.rim, shift=self.shift
        )
        logits, mask_logits = predict_with_mask(model, images, site=self.site)
        size = mask_logits.shape[-2:]
        mask = mask_loss(mask_logits, averaged(masks, size), weight=averaged(trust, size))
        entropy = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        terms = [entropy, self.mask_weight * mask]
        parts = {"cross_entropy": entropy.detach(), "mask": mask.detach()}
        if self.consistency_weight:
            consistency = consistency_loss(model(batch["image"]), logits)
            terms.append(self.consistency_weight * consistency)
            parts["consistency"] = consistency.detach()
        return terms, parts


def averaged(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks at the size of the logits; a place with a NaN among its pixels is NaN."""
    return masks if masks.shape[-2:] == size else F.adaptive_avg_pool2d(masks, (size[0], size[1]))


def resized(logits: Tensor, size: torch.Size) -> Tensor:
    """Logits at the size of the images."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
