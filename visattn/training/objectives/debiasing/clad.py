"""Contrast of one object on two backgrounds against one background under two objects."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.data.background_swap import swap_backgrounds
from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.last_layer import last_linear, with_features


@final
class CLAD(Objective):
    r"""Cross-entropy and a contrast of backgrounds, after CLAD, with masks that are given.

    Every object that has a mask is put on another image's background. The features of that picture,
    what goes into the last linear layer, are to be near those of the object's own image, and far
    from those of the image that lent the background:

    .. math:: -\log \frac{e^{s^+ / \tau}}{e^{s^+ / \tau} + e^{s^- / \tau}}

    with cosines s. Where both objects are of one class, nothing is pushed apart. The paper has a
    queue of further negatives; here there is the one that shows the same background, the hardest.

    Written from the paper's abstract and what others say of its method, not held against its code.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        contrast_weight: Weight of the contrast beside the cross-entropy.
        temperature: tau, above 0.
        rim: Pixels at the edge of a mask whose colours are not trusted in swapping.
        shift: Largest shift of a background along each axis, as a share of the side, in [0, 1).

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no linear layer.

    Source: Wang et al., CLAD: A Contrastive Learning based Approach for Background Debiasing,
    arXiv:2210.02748.
    """

    needs = ("mask",)

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        contrast_weight: float = 1.0,
        temperature: float = 0.1,
        rim: int = 1,
        shift: float = 0.3,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing, shift=shift)
        check_in("(0, inf)", temperature=temperature)
        check_in("[0, inf)", contrast_weight=contrast_weight, rim=rim)
        self.label_smoothing = label_smoothing
        self.contrast_weight = contrast_weight
        self.temperature = temperature
        self.rim = rim
        self.shift = shift

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        images, labels = batch["image"], batch["label"]
        swapped, source = swap_backgrounds(images, batch["mask"], rim=self.rim, shift=self.shift)
        logits, features = with_features(model, last_linear(model), torch.cat([images, swapped]))
        count = len(images)
        loss = F.cross_entropy(logits[:count], labels, label_smoothing=self.label_smoothing)
        own, moved = features[:count].float(), features[count:].float()
        told = labels != labels[source]  # False for an image that lends itself its background
        losses = background_contrast(moved, own, own[source], temperature=self.temperature)
        contrast = (losses * told).sum() / told.sum().clamp_min(1)
        parts = {"cross_entropy": loss.detach(), "contrast": contrast.detach()}
        return loss + self.contrast_weight * contrast, parts


def background_contrast(
    anchors: Tensor, positives: Tensor, negatives: Tensor, *, temperature: float = 0.1
) -> Tensor:
    """The loss (N,) of features (N, C) against one positive and one negative each; see `CLAD`.

    Example:
        >>> here, there = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> background_contrast(here, here, there, temperature=1.0)  # log(1 + 1 / e)
        tensor([0.3133])
    """
    near, far = (F.cosine_similarity(anchors, others) for others in (positives, negatives))
    return F.softplus((far - near) / temperature)
