"""Cross-entropy, and no reasons outside of the object on the images that have a mask."""

from typing import final

from torch import nn

from visattn.training.checks import check_in
from visattn.training.losses.attribution_losses import right_reasons_loss
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.cross_entropy import CrossEntropy
from visattn.training.objectives.labelled_bank import LabelledSupply


@final
class RightReasons(Objective):
    """Cross-entropy, and no reasons outside of the object on the images that have a mask.

    The reasons are the input gradients of the log-probabilities, see
    `visattn.training.losses.right_reasons_loss`. The images with a mask come from a bank of those
    seen so far, so that they are in every step however few they are; they pass the model by
    themselves, and have no part in the cross-entropy. Until the first of them has come, it is
    cross-entropy alone.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        weight: Of the squared gradients, summed over the pixels. Choose it so that both parts are
            of one size once the training runs.
        labelled: Images with a mask in each step.
        bank: Most images to hold, see `visattn.training.objectives.labelled_bank.LabelledBank`.
        class_weight: Of the cross-entropy; 0 where another part of a `WeightedSum` has it.

    Raises:
        ValueError: If an argument is out of its range; in a step, if none of the first 2,000
            images has a mask.

    Source: Ross et al., Right for the Right Reasons, arXiv:1703.03717.
    """

    needs = ("region",)

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        labelled: int = 16,
        bank: int = 512,
        class_weight: float = 1.0,
    ) -> None:
        check_in("[0, inf)", weight=weight, class_weight=class_weight)
        self.weight = weight
        self.class_weight = class_weight
        self.plain = CrossEntropy(label_smoothing=label_smoothing)
        self.supply = LabelledSupply(
            "RightReasons", labelled=labelled, bank=bank, without="it is cross-entropy alone"
        )

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        shown = self.supply.draw() if self.supply.keep(batch) else None
        loss, parts = self.plain(model, batch, progress)
        if shown is None:
            return self.class_weight * loss, parts
        views, masks, _ = shown
        views.requires_grad_()
        # A pass of their own: with the batch, batch normalisation would draw all of it into the
        # gradient's gradient, and a step would take half as long again.
        reasons = right_reasons_loss(model(views), views, masks)
        parts = {**parts, "reasons": reasons.detach()}
        return self.class_weight * loss + self.weight * reasons, parts
