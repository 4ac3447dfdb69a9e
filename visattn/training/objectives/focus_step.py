"""What the objectives with a mask share: options, and the steps that the options belong to.

Complete the masks, swap the backgrounds, classify.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.processes import all_agree
from visattn.data.background_swap import swap_backgrounds
from visattn.networks.mask_pass import (
    find_mask_block,
    find_mask_tap,
    predict_mask,
    predict_with_mask,
    set_leaks,
    sharpened,
)
from visattn.training.checks import check_in
from visattn.training.losses.mask_losses import consistency_loss, mask_loss
from visattn.training.objectives.base import Batch


@final
@dataclass(kw_only=True)
class FocusStep:
    """A step that puts objects on the backgrounds of other images, and classifies, by its options.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        warmup: Share of the training, in [0, 1), in which only the mask learns, while images
            without a mask are about.
        swap: How likely an image gets another background, in [0, 1].
        mask_weight: Weight of the mask loss beside the cross-entropy.
        predicted_weight: Weight of a pixel of a predicted mask beside one of a given mask.
        labelled: Labelled images from the bank in each step.
        bank: Most labelled images to hold, see `LabelledBank`.
        rim: Pixels at the edge of a mask whose colours are not trusted in swapping, see
            `visattn.data.background_swap.swap_backgrounds`.
        shift: Largest shift of a background along each axis, as a share of the side.
        anneal: Whether a mask of the annealed form closes.
        site: The mask's site, where the model has several.
        consistency_weight: Weight of the divergence between the answers for an image as it is and
            on its new background, `visattn.training.losses.consistency_loss`. Above 0 it takes a
            pass more in step 4; 0 leaves it out.

    Raises:
        ValueError: If an argument is out of its range.
    """

    label_smoothing: float = 0.1
    warmup: float = 0.15
    swap: float = 1.0
    mask_weight: float = 1.0
    predicted_weight: float = 0.5
    labelled: int = 16
    bank: int = 512
    rim: int = 1
    shift: float = 0.3
    anneal: bool = True
    site: str | None = None
    consistency_weight: float = 0.0
    _checked: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        check_in(
            "[0, 1)", label_smoothing=self.label_smoothing, warmup=self.warmup, shift=self.shift
        )
        check_in("[0, 1]", swap=self.swap)
        for name in ("mask_weight", "predicted_weight", "rim", "consistency_weight"):
            check_in("[0, inf)", **{name: getattr(self, name)})

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
        """Check the model in the first step, and close its masks in every one.

        Masks of the annealed form close during the first half of the training.
        """
        self.check(model)
        set_leaks(model, leak=max(0.0, 1 - 2 * progress) if self.anneal else 1.0)

    def complete(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch's masks without NaN, and how far each pixel is trusted.

        Missing pixels are predicted. A given one is trusted by 1, a predicted one by
        ``predicted_weight`` times the model's confidence |2 m - 1|.

        Returns:
            Masks in [0, 1] and trust, both (N, 1, H, W), without a graph.
        """
        given = batch["mask"]
        missing = given.isnan()
        if all_agree(not missing.any()):
            return given, torch.ones_like(given)
        # Not under no_grad: there, autocast of older PyTorch (issue 158232) keeps weights that it
        # casts without their graph, and the later passes of this step would take them.
        logits = predict_mask(model, batch["image"], site=self.site).detach().float()
        logits = resized(logits, given.shape[-2:])
        confidence = (2 * torch.sigmoid(logits) - 1).abs() * self.predicted_weight
        masks = torch.where(missing, sharpened(logits), given)
        return masks, torch.where(missing, confidence, 1)

    def classify(
        self, model: nn.Module, batch: Batch, masks: Tensor, trust: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Losses on images with swapped backgrounds.

        With a consistency, the statistics of batch normalisation follow the images as they are,
        too.

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
