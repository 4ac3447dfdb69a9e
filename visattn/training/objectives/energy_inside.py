"""Cross-entropy, and the attribution inside of the object on the images that have a mask."""

from contextlib import ExitStack
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.suggestions import nearest
from visattn.training.checks import check_in
from visattn.training.losses.attribution_losses import attribution_of, energy_loss
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.cross_entropy import CrossEntropy
from visattn.training.objectives.focus_step import averaged
from visattn.training.objectives.labelled_bank import LabelledSupply


@final
class EnergyInside(Objective):
    """Cross-entropy, and the attribution inside of the object on the images that have a mask.

    The attribution of the logit of an image's class is input times gradient, or that of an inner
    ``layer``, see `visattn.training.losses.attribution_of`; of its positive part, the share outside
    of the mask is the loss. Of a box, all its inside counts as inside. The images with a mask come
    from a bank of those seen so far; they pass the model together with the batch, and have no part
    in the cross-entropy. Until the first of them has come, it is cross-entropy alone.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        weight: Of the share of the attribution outside of the mask.
        layer: Name of the module whose output is explained, such as ``"layer2"``; the image itself
            if None.
        labelled: Images with a mask in each step.
        bank: Most images to hold, see `visattn.training.objectives.labelled_bank.LabelledBank`.
        class_weight: Of the cross-entropy; 0 where another part of a `WeightedSum` has it.

    Raises:
        ValueError: If an argument is out of its range; in a step, if there is no such layer, or if
            none of the first 2,000 images has a mask.

    Source: Rao et al., Studying How to Efficiently and Effectively Guide Models with Explanations,
    arXiv:2303.11932.
    """

    needs = ("region",)

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        layer: str | None = None,
        labelled: int = 16,
        bank: int = 512,
        class_weight: float = 1.0,
    ) -> None:
        check_in("[0, inf)", weight=weight, class_weight=class_weight)
        self.weight = weight
        self.class_weight = class_weight
        self.layer = layer
        self.plain = CrossEntropy(label_smoothing=label_smoothing)
        self.supply = LabelledSupply(
            "EnergyInside", labelled=labelled, bank=bank, without="it is cross-entropy alone"
        )

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        if not self.supply.keep(batch):
            loss, parts = self.plain(model, batch, progress)
            return self.class_weight * loss, parts
        images, labels = batch["image"], batch["label"]
        views, masks, classes = self.supply.draw()
        count = len(images)
        logits, features = self._explained(model, torch.cat([images, views]))
        loss = F.cross_entropy(logits[:count], labels, label_smoothing=self.plain.label_smoothing)
        scores = logits[count:].gather(1, classes[:, None])
        attribution = attribution_of(scores, features)[count:]
        inside = averaged(masks.nan_to_num(1), attribution.shape[-2:])
        energy = energy_loss(attribution, inside)
        parts = {"cross_entropy": loss.detach(), "energy": energy.detach()}
        return self.class_weight * loss + self.weight * energy, parts

    def _explained(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and what they are explained by: the images, or the layer's output."""
        if self.layer is None:
            images.requires_grad_()
            return model(images), images
        modules = dict(model.named_modules())
        if self.layer not in modules:
            raise ValueError(
                f"EnergyInside: there is no layer {self.layer!r} in {type(model).__name__}"
                f"{nearest(self.layer, names=modules)}"
            )
        found: list[Tensor] = []

        def keep(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            found.append(output)

        with ExitStack() as stack:
            stack.callback(modules[self.layer].register_forward_hook(keep).remove)
            logits = model(images)
        return logits, found[-1]
