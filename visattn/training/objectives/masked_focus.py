"""Learn the object's mask from few labelled images, and the class behind that mask."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from visattn.data.background_swap import composite, remove_foreground
from visattn.networks.mask_pass import predict_mask
from visattn.training.losses.mask_losses import mask_loss
from visattn.training.objectives.base import Objective, check_in, masks_must_come
from visattn.training.objectives.focus_step import SwapStep, averaged
from visattn.training.objectives.labelled_bank import LabelledBank


@final
class MaskedFocus(Objective):
    """Learn the object's mask from few labelled images, and the class behind that mask.

    The model has a spatial mask (`visattn.blocks.SpatialMask`). A step goes through

    1. *mask*: labelled images, as they are and on other backgrounds, teach the mask. They come
       from a bank of those seen so far, so that they are in every step however few they are.
       During the ``warmup`` this is all, and the rest of the network does not run.
    2. *predict*: the model estimates the masks of the images that have none.
    3. *swap*: every object is put on the background of another image, cut out by its mask, given
       or predicted. The background then says nothing about the class, nor does what is left of it
       at the object's edge.
    4. *classify*: cross-entropy on the swapped images, together with the mask loss against the
       masks that they were cut with; a predicted mask counts by its confidence |2 m - 1|.

    Where every image has its mask, there is nothing to predict and no warmup. Until the first image
    with a mask has come, nothing is learned.

    Put the mask in with ``detach=True``: otherwise the class loss widens the mask to read what is
    around the object, and the first step warns of it. A mask of the annealed form is closed along
    the way: its ``leak`` falls from 1 to 0 during the first half of the training. Without
    ``anneal`` it stays open: the mask then serves to cut objects out during the training, and the
    classifier judges whole images, in training and afterwards (self-training).

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
            on its new background, `visattn.training.losses.mask_losses.consistency_loss`. Above 0
            it takes a pass more in step 4; 0 leaves it out.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images has one.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        warmup: float = 0.15,
        swap: float = 1.0,
        mask_weight: float = 1.0,
        predicted_weight: float = 0.5,
        labelled: int = 16,
        bank: int = 512,
        rim: int = 1,
        shift: float = 0.3,
        anneal: bool = True,
        site: str | None = None,
        consistency_weight: float = 0.0,
    ) -> None:
        check_in("[0, 1)", warmup=warmup)
        check_in("[2, inf)", labelled=labelled)
        self.warmup = warmup
        self.labelled = labelled
        self.step = SwapStep(
            label_smoothing=label_smoothing,
            swap=swap,
            mask_weight=mask_weight,
            predicted_weight=predicted_weight,
            rim=rim,
            shift=shift,
            anneal=anneal,
            consistency_weight=consistency_weight,
            site=site,
        )
        self.bank = LabelledBank(bank)
        self._patience = masks_must_come("MaskedFocus", without="nothing can be learned")

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        images, given = batch["image"], batch["mask"]
        self.step.begin(model, progress)
        self.bank.add(images, given, batch["index"])
        if not len(self.bank):
            self._patience.wait(len(images))
        masks, trust = self.step.complete(model, batch)
        labelled = self._labelled_loss(model, images, masks, progress)
        loss, parts = self.step.mask_weight * labelled, {"labelled_mask": labelled.detach()}
        waiting = progress < self.warmup and bool(given.isnan().any())
        if len(self.bank) and not waiting:
            rest, more = self._classify(model, batch, masks, trust)
            loss, parts = loss + rest, parts | more
        return loss, parts

    def _labelled_loss(
        self, model: nn.Module, images: Tensor, masks: Tensor, progress: float
    ) -> Tensor:
        """Mask loss on labelled images, half of them on the backgrounds of other images."""
        if not len(self.bank):
            logits = predict_mask(model, images, site=self.step.site)
            return mask_loss(logits, torch.full_like(logits, torch.nan))
        views, targets, _ = self.bank.draw(self.labelled)
        # Until the predictions are worth something, only labelled images lend their background.
        pool, pool_masks = views, targets
        if progress >= self.warmup / 2:
            pool, pool_masks = torch.cat([views, images]), torch.cat([targets, masks])
        half = self.labelled // 2
        lent = torch.randint(len(pool), (self.labelled - half,), device=pool.device)
        known = targets[half:].nan_to_num(0)
        backgrounds = remove_foreground(
            pool[lent], pool_masks[lent].nan_to_num(0), rim=self.step.rim + 1
        )
        swapped = composite(views[half:], known, backgrounds, rim=self.step.rim)
        logits = predict_mask(model, torch.cat([views[:half], swapped]), site=self.step.site)
        return mask_loss(logits, averaged(targets, logits.shape[-2:]))

    def _classify(
        self, model: nn.Module, batch: Mapping[str, Tensor], masks: Tensor, trust: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        terms, parts = self.step.classify(model, batch, masks, trust)
        return sum(terms[1:], start=terms[0]), parts
