"""Learn the object's mask from few labelled images, and the class behind that mask."""

from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.basics.processes import all_agree
from visattn.data.background_swap import composite, remove_foreground
from visattn.data.moving import moved_aside
from visattn.networks.mask_pass import predict_mask
from visattn.training.checks import check_in
from visattn.training.losses.mask_losses import mask_loss
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.focus_step import FocusStep, averaged
from visattn.training.objectives.labelled_bank import LabelledSupply


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
        neighbours: How likely, in [0, 1], a background that a labelled image is put on in step 1
            keeps its own object, moved aside. For an object in the middle with others like it
            around: nothing but the place then says which one is meant.
        options: Those of `visattn.training.objectives.focus_step.FocusStep`: ``label_smoothing``,
            ``warmup``, ``swap``, ``mask_weight``, ``predicted_weight``, ``labelled`` (at least 2),
            ``bank``, ``rim``, ``shift``, ``anneal``, ``site``, ``consistency_weight``.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images has one.
    """

    needs = ("mask",)

    def __init__(self, *, neighbours: float = 0.0, **options: Any) -> None:
        self.step = FocusStep(**options)
        check_in("[2, inf)", labelled=self.step.labelled)
        check_in("[0, 1]", neighbours=neighbours)
        self.neighbours = neighbours
        self.supply = LabelledSupply(
            "MaskedFocus",
            labelled=self.step.labelled,
            bank=self.step.bank,
            without="nothing can be learned",
        )

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        self.step.begin(model, progress)
        known = self.supply.keep(batch)
        masks, trust = self.step.complete(model, batch)
        if known:
            labelled = self._labelled_loss(model, batch["image"], masks, progress)
        else:
            labelled = (predict_mask(model, batch["image"], site=self.step.site).float() * 0).sum()
        loss, parts = self.step.mask_weight * labelled, {"labelled_mask": labelled.detach()}
        waiting = progress < self.step.warmup and not all_agree(not batch["mask"].isnan().any())
        if known and not waiting:
            terms, more = self.step.classify(model, batch, masks, trust)
            loss, parts = loss + sum(terms[1:], start=terms[0]), parts | more
        return loss, parts

    def _labelled_loss(
        self, model: nn.Module, images: Tensor, masks: Tensor, progress: float
    ) -> Tensor:
        """Mask loss on labelled images, half of them on the backgrounds of other images."""
        views, targets, _ = self.supply.draw()
        # Until the predictions are worth something, only labelled images lend their background.
        pool, pool_masks = views, targets
        if progress >= self.step.warmup / 2:
            pool, pool_masks = torch.cat([views, images]), torch.cat([targets, masks])
        count, half = len(views), len(views) // 2
        lent = torch.randint(len(pool), (count - half,), device=pool.device)
        known = targets[half:].nan_to_num(0)
        backgrounds = remove_foreground(
            pool[lent], pool_masks[lent].nan_to_num(0), rim=self.step.rim + 1
        )
        if self.neighbours:
            kept = torch.rand(len(lent), device=pool.device) < self.neighbours
            backgrounds = torch.where(kept.view(-1, 1, 1, 1), moved_aside(pool[lent]), backgrounds)
        swapped = composite(views[half:], known, backgrounds, rim=self.step.rim)
        logits = predict_mask(model, torch.cat([views[:half], swapped]), site=self.step.site)
        return mask_loss(logits, averaged(targets, logits.shape[-2:]))
