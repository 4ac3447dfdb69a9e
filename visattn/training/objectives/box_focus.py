"""Learn the object's mask from a few boxes, and the class behind that mask."""

from typing import Any, final

from torch import Tensor, nn

from visattn.networks.mask_pass import predict_mask
from visattn.training.checks import check_in
from visattn.training.losses.box_losses import alike_loss, inside_loss, projection_loss
from visattn.training.losses.mask_losses import mask_loss
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.focus_step import FocusStep, averaged
from visattn.training.objectives.labelled_bank import Labelled, LabelledSupply


@final
class BoxFocus(Objective):
    """Learn the object's mask from a few boxes, and the class behind that mask.

    The model has a spatial mask, as for `visattn.training.objectives.MaskedFocus`, which is to be
    detached here too. A box is a mask that is 0 outside of the box and NaN inside, as
    ``data.mask_form: box`` gives it. A step goes through

    1. *mask*: on images with a box, from a bank of those seen so far, the mask must be 0 outside
       (`mask_loss` of `visattn.training.losses`), reach every side of the box (`projection_loss`),
       treat neighbours of one colour alike (`alike_loss`), and fill the box but for what looks like
       the background (`inside_loss`). During the ``warmup`` this is all.
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
        options: ``mask_weight``, ``predicted_weight``, ``labelled`` (images with a box in each
            step), ``bank``, ``rim``, ``shift`` and ``site`` of `MaskedFocus`.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images has a box.
    """

    needs = ("box",)

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
        **options: Any,
    ) -> None:
        check_in(
            "[0, inf)",
            box_weight=box_weight,
            projection_weight=projection_weight,
            alike_weight=alike_weight,
            inside_weight=inside_weight,
        )
        self.box_weight = box_weight
        self.projection_weight = projection_weight
        self.alike_weight = alike_weight
        self.inside_weight = inside_weight
        self.step = FocusStep(
            label_smoothing=label_smoothing,
            warmup=warmup,
            swap=swap,
            anneal=True,
            consistency_weight=0.0,
            **options,
        )
        self.supply = LabelledSupply(
            "BoxFocus",
            labelled=self.step.labelled,
            bank=self.step.bank,
            without="nothing can be learned",
            kind="box",
        )

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        self.step.begin(model, progress)
        if not self.supply.keep(batch):
            return (predict_mask(model, batch["image"], site=self.step.site) * 0).sum(), {}
        boxes = self._box_loss(model, self.supply.draw())
        loss, parts = self.box_weight * boxes, {"box": boxes.detach()}
        if progress < self.step.warmup:
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
