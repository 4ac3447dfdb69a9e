"""Cross-entropy of the labels, the plain objective."""

from typing import final

from torch import nn
from torch.nn import functional as F

from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective


@final
class CrossEntropy(Objective):
    """Cross-entropy of the labels, on the images as they are.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> batch = {"image": torch.randn(4, 3, 2, 2), "label": torch.tensor([0, 1, 0, 1])}
        >>> loss, parts = CrossEntropy()(model, batch, 0.0)
        >>> sorted(parts)
        ['cross_entropy']
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        logits = model(batch["image"])
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        return loss, {"cross_entropy": loss.detach()}
