"""Learning from failure: a biased network beside a debiased one."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.training.checks import check_in
from visattn.training.losses.group_losses import generalised_cross_entropy
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.debiasing.companion import Companion
from visattn.training.objectives.debiasing.remembered import Remembered


@final
class LfF(Objective):
    r"""Learning from failure: two networks at a time, the first one as biased as may be.

    A copy of the model learns by the generalised cross-entropy, which follows what is easy; the
    model learns by cross-entropy in which an image counts by its relative difficulty

    .. math:: W(x) = \frac{CE(f_B(x), y)}{CE(f_B(x), y) + CE(f_D(x), y)}.

    As in the authors' code both losses are running means of an image's own, over its epochs, each
    divided by the largest of its class.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1), in
            the model's loss; W is without.
        q: Of the generalised cross-entropy, in (0, 1].
        alpha: How much of the running mean stays at each new loss, in [0, 1).
        learning_rate: Highest learning rate of the biased network; None for the model's.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Nam et al., Learning from Failure: Training Debiased Classifier from Biased Classifier,
    arXiv:2007.02561.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        q: float = 0.7,
        alpha: float = 0.7,
        learning_rate: float | None = None,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing, alpha=alpha)
        check_in("(0, 1]", q=q)
        self.label_smoothing = label_smoothing
        self.q = q
        self.alpha = alpha
        self.companion = Companion(learning_rate=learning_rate)
        self.losses = Remembered(3)  # of the biased and the debiased network, and the label

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        images, labels = batch["image"], batch["label"]
        biased, logits = self.companion.logits(model, images), model(images)
        answers = torch.stack([biased.detach().float(), logits.detach().float()], 2)
        both = F.cross_entropy(answers, labels[:, None].expand(-1, 2), reduction="none")
        weights = self._difficulty(batch["index"], labels, both)
        self.companion.learn(
            generalised_cross_entropy(biased[..., None], labels, power=self.q), done=progress
        )
        losses = F.cross_entropy(
            logits, labels, label_smoothing=self.label_smoothing, reduction="none"
        )
        parts = {"cross_entropy": losses.mean().detach(), "difficulty": weights.mean()}
        return (weights * losses).mean(), parts

    def _difficulty(self, rows: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
        """W (N,) after new losses (N, 2) of images."""
        before = self.losses.get(rows)[:, :2]
        mixed = self.alpha * before + (1 - self.alpha) * losses
        now = torch.where(before.isnan(), losses, mixed)
        self.losses.put(rows, torch.cat([now, labels[:, None].float()], 1))
        known = self.losses.known.to(now.device)
        highest = torch.stack([known[known[:, 2] == label, :2].amax(0) for label in labels])
        return relative_difficulty(*(now / highest.clamp_min(1e-8)).T)


def relative_difficulty(biased: Tensor, debiased: Tensor) -> Tensor:
    """Losses (N,) of the biased network over the sum of both networks'.

    Example:
        >>> relative_difficulty(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([0.7500, 0.5000])
    """
    return biased / (biased + debiased + 1e-8)
