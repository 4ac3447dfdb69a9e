"""Learn the object's mask from a few boxes, and the class behind that mask."""

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from visattn.networks.mask_pass import predict_mask
from visattn.training.losses.box_losses import alike_loss, inside_loss, projection_loss
from visattn.training.losses.mask_losses import mask_loss
from visattn.training.objectives.base import (
    Objective,
    check_in,
    masks_must_come,
    zero_loss,
)
from visattn.training.objectives.focus_step import SwapStep, averaged
from visattn.training.objectives.labelled_bank import Labelled
from visattn.training.objectives.labelled_supply import LabelledSupply


@final
class BoxFocus(Objective):
    """Learn the object's mask from a few boxes, and the class behind that mask.

    The model has a spatial mask, as for `visattn.training.objectives.MaskedFocus`, which is to be
    detached here too. A box is a mask
    that is 0 outside of the box and NaN inside, as ``data.mask_form: box`` gives it. A step goes
    through

    1. *mask*: on images with a box, from a bank of those seen so far, the mask must be 0 outside
       (`visattn.training.losses.mask_losses.mask_loss`), reach every side of the box
       (`visattn.training.losses.box_losses.projection_loss`), treat neighbours of one colour alike
       (`visattn.training.losses.box_losses.alike_loss`), and fill the box but for what looks like
       the background (`visattn.training.losses.box_losses.inside_loss`). During the ``warmup`` this
       is all.
    2. *predict*: the model estimates the masks of all images, inside of the boxes too.
    3. *swap* and *classify*, as `MaskedFocus` does.

    Boxes stay right under flips, shifts and scaling, but not under rotation: train without it.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        warmup: Share of the training, in [0, 1), in which only the mask learns.
        swap: How likely an image gets another background, in [0, 1].
        box_weight: Weight of step 1 beside the cross-entropy.
        projection_weight: Weight of the projection in step 1.
        alike_weight: Weight of the neighbours in step 1.
        inside_weight: Weight of filling the box in step 1, well below 1.
        mask_weight: Weight of the mask loss on swapped images beside the cross-entropy.
        predicted_weight: Weight of a predicted pixel in it beside one that is known.
        labelled: Images with a box from the bank in each step.
        bank: Most images to hold.
        rim: See `visattn.data.background_swap.swap_backgrounds`.
        shift: See there.
        site: The mask's site, where the model has several.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images has a box.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        warmup: float = 0.2,
        swap: float = 1.0,
        box_weight: float = 1.0,
        projection_weight: float = 1.0,
        alike_weight: float = 1.0,
        inside_weight: float = 0.3,
        mask_weight: float = 1.0,
        predicted_weight: float = 0.5,
        labelled: int = 16,
        bank: int = 512,
        rim: int = 1,
        shift: float = 0.3,
        site: str | None = None,
    ) -> None:
        check_in("[0, 1)", warmup=warmup)
        check_in(
            "[0, inf)",
            box_weight=box_weight,
            projection_weight=projection_weight,
            alike_weight=alike_weight,
            inside_weight=inside_weight,
        )
        self.warmup = warmup
        self.box_weight = box_weight
        self.projection_weight = projection_weight
        self.alike_weight = alike_weight
        self.inside_weight = inside_weight
        self.step = SwapStep(
            label_smoothing=label_smoothing,
            swap=swap,
            mask_weight=mask_weight,
            predicted_weight=predicted_weight,
            rim=rim,
            shift=shift,
            site=site,
        )
        self.supply = LabelledSupply(
            labelled=labelled,
            bank=bank,
            patience=masks_must_come("BoxFocus", without="nothing can be learned", kind="box"),
        )

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        self.step.begin(model, progress)
        shown = self.supply(batch)
        if shown is None:
            return zero_loss(predict_mask(model, batch["image"], site=self.step.site)), {}
        boxes = self._box_loss(model, shown)
        loss, parts = self.box_weight * boxes, {"box": boxes.detach()}
        if progress < self.warmup:
            return loss, parts
        masks, trust = self.step.complete(model, batch)
        terms, more = self.step.classify(model, batch, masks, trust)
        return sum(terms, start=loss), parts | more

    def _box_loss(self, model: nn.Module, shown: Labelled) -> Tensor:
        views, targets, _ = shown
        logits = predict_mask(model, views, site=self.step.site)
        size = logits.shape[-2:]
        targets = averaged(targets, size)
        box = targets.isnan().to(logits.dtype)
        loss = mask_loss(logits, targets)
        loss = loss + self.projection_weight * projection_loss(logits, box)
        loss = loss + self.inside_weight * inside_loss(logits, box)
        if self.alike_weight:
            alike = alike_loss(logits, averaged(views, size), box)
            loss = loss + self.alike_weight * alike
        return loss
