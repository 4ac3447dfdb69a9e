"""Cross-entropy, and no reasons outside of the object on the images that have a mask."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.training.attribution_losses import right_reasons_loss
from visattn.training.labelled_bank import LabelledBank
from visattn.training.objectives.base import Objective, check_not_negative, check_share


@final
class RightReasons(Objective):
    """Cross-entropy, and no reasons outside of the object on the images that have a mask.

    The reasons are the input gradients of the log-probabilities, see
    `visattn.training.attribution_losses.right_reasons_loss`. The images with a mask come from a
    bank of those seen so far, so that they are in every step however few they are; they pass the
    model together with the batch, and have no part in the cross-entropy.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        weight: Of the squared gradients, summed over the pixels. Choose it so that both parts are
            of one size once the training runs.
        labelled: Images with a mask in each step.
        bank: Most images to hold, see `visattn.training.labelled_bank.LabelledBank`.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Ross et al., Right for the Right Reasons, arXiv:1703.03717.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        labelled: int = 16,
        bank: int = 512,
    ) -> None:
        check_share("label_smoothing", label_smoothing)
        check_not_negative(weight=weight)
        self.label_smoothing = label_smoothing
        self.weight = weight
        self.labelled = labelled
        self.bank = LabelledBank(bank)

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        images, labels = batch["image"], batch["label"]
        self.bank.add(images, batch["mask"], batch["index"])
        if not len(self.bank):
            loss = F.cross_entropy(model(images), labels, label_smoothing=self.label_smoothing)
            return loss, {"cross_entropy": loss.detach()}
        views, masks, _ = self.bank.draw(self.labelled)
        views.requires_grad_()
        logits = model(torch.cat([images, views]))
        count = len(images)
        loss = F.cross_entropy(logits[:count], labels, label_smoothing=self.label_smoothing)
        reasons = right_reasons_loss(logits[count:], views, masks)
        parts = {"cross_entropy": loss.detach(), "reasons": reasons.detach()}
        return loss + self.weight * reasons, parts
