"""Let the class loss find the mask, under what is known of masks in general."""

from typing import final

import torch
from torch import nn
from torch.nn import functional as F

from visattn.networks.mask_pass import find_mask_block, predict_with_mask
from visattn.training.checks import check_in
from visattn.training.losses.mask_losses import (
    area_loss,
    border_loss,
    total_variation,
    undecided_loss,
)
from visattn.training.objectives.base import Batch, Loss, Objective


@final
class AreaFocus(Objective):
    r"""Cross-entropy through a mask that must become small, smooth and decided.

    Nothing but labels is needed: the loss is

    .. math:: CE + w_a (\bar m - a)^2 + w_b\,\text{border} + w_s\,\text{variation}
              + w_d\,\text{entropy},

    with the area a falling from 1 to ``area`` along a line over the first ``shrink`` of the
    training, the other terms those of `visattn.training.losses`, and the last one
    growing from 0 along with it. The mask keeps what the classifier reads. So it finds the object
    only where the class cannot be read from the background; where it can, as in biased data, the
    mask settles on the background as well. `LabelFocus` is for such data.

    Put the mask in without ``detach``, so that the class loss reaches it.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        area: Share of the image that an object takes, in [0, 1).
        shrink: Share of the training that the area takes to get there, above 0 and at most 1.
        area_weight: Weight w_a.
        border_weight: Weight w_b; 0 where objects touch the image's border.
        smooth_weight: Weight w_s.
        decided_weight: Weight w_d at the end of the shrinking.
        site: The mask's site, where the model has several.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            it is detached.

    Example:
        >>> from visattn.blocks import SpatialMask
        >>> model = nn.Sequential(SpatialMask(3), nn.Flatten(), nn.Linear(192, 2))
        >>> batch = {"image": torch.randn(4, 3, 8, 8), "label": torch.tensor([0, 1, 0, 1])}
        >>> loss, parts = AreaFocus()(model, batch, 0.5)
        >>> sorted(parts)
        ['area', 'border', 'cross_entropy', 'smooth', 'undecided']
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        area: float = 0.3,
        shrink: float = 0.5,
        area_weight: float = 10.0,
        border_weight: float = 0.5,
        smooth_weight: float = 0.5,
        decided_weight: float = 0.5,
        site: str | None = None,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing, area=area)
        check_in("(0, 1]", shrink=shrink)
        self.weights = {
            "area": area_weight,
            "border": border_weight,
            "smooth": smooth_weight,
            "undecided": decided_weight,
        }
        for name, weight in self.weights.items():
            check_in("[0, inf)", **{f"the weight of {name}": weight})
        self.label_smoothing = label_smoothing
        self.area = area
        self.shrink = shrink
        self.site = site

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        block = find_mask_block(model, site=self.site)
        if block is not None and block.detach:
            raise ValueError(
                "AreaFocus: the model's spatial mask is detached, so the class loss does not reach "
                "it and it can only shrink. Set model.attention.detach: false (in Python "
                "detach=False), or take LabelFocus, whose mask has to be detached."
            )
        logits, mask_logits = predict_with_mask(model, batch["image"], site=self.site)
        mask_logits = mask_logits.float()
        mask = torch.sigmoid(mask_logits)
        shrunk = min(1.0, progress / self.shrink)
        parts = {
            "cross_entropy": F.cross_entropy(
                logits, batch["label"], label_smoothing=self.label_smoothing
            ),
            "area": area_loss(mask, 1 - shrunk * (1 - self.area)),
            "border": border_loss(mask_logits),
            "smooth": total_variation(mask),
            "undecided": undecided_loss(mask_logits),
        }
        weights = {**self.weights, "cross_entropy": 1.0}
        weights["undecided"] *= shrunk
        loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return loss, {name: part.detach() for name, part in parts.items()}
