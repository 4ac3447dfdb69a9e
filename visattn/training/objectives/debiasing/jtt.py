"""Just train twice: what a first network gets wrong counts more for the second."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective, no_loss
from visattn.training.objectives.debiasing.companion import Companion
from visattn.training.objectives.debiasing.remembered import Remembered


@final
class JTT(Objective):
    r"""Just train twice, without labels of groups.

    During the first ``T`` of the training an identification network, a copy of the model as it
    begins, learns by plain cross-entropy while the model itself waits. Then the model learns, and
    the error set E, what the first network gets wrong, counts ``lambda_up`` times:

    .. math:: \frac{\sum_i w_i \ell_i}{\sum_i w_i}, \quad w_i = \lambda_{up} \text{ in } E, 1
        \text{ elsewhere.}

    The paper repeats the images of E as often, which is the same in expectation, and trains both
    networks for as long as a validation set with labels of groups says; here the training has one
    length. An image's place in E is settled when the model first sees it. The part ``error_set``
    is the share of images in E: where it is 0, this is plain training.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        T: Share of the training, in (0, 1), in which the identification network learns.
        lambda_up: How much an image of E counts beside another, at least 1.
        learning_rate: Highest learning rate of the identification network; None for the model's.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Liu et al., Just Train Twice: Improving Group Robustness without Training Group
    Information, arXiv:2107.09044.
    """

    waits = True

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        T: float = 0.2,  # noqa: N803, the paper's name
        lambda_up: float = 20.0,
        learning_rate: float | None = None,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("(0, 1)", T=T)
        check_in("[1, inf)", lambda_up=lambda_up)
        self.label_smoothing = label_smoothing
        self.first = T
        self.stages = (T,)
        self.lambda_up = lambda_up
        self.companion = Companion(learning_rate=learning_rate)
        self.errors = Remembered(1)

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        images, labels = batch["image"], batch["label"]
        if progress < self.first or self.companion.untrained:
            loss = F.cross_entropy(self.companion.logits(model, images), labels)
            self.companion.learn(loss, done=progress / self.first)
            return no_loss(model), {"identification": loss.detach()}
        wrong = self._in_error_set(model, batch)
        losses = F.cross_entropy(
            model(images), labels, label_smoothing=self.label_smoothing, reduction="none"
        )
        weights = upsampling_weights(wrong, lambda_up=self.lambda_up).to(losses)
        loss = (weights * losses).sum() / weights.sum()
        parts = {"cross_entropy": losses.mean().detach(), "error_set": wrong.float().mean()}
        return loss, parts

    def _in_error_set(self, model: nn.Module, batch: Batch) -> Tensor:
        """Whether images (N,) are in E; those never seen before are judged now."""
        found = self.errors.get(batch["index"]).squeeze(1)
        new = found.isnan()
        if new.any():
            answers = self.companion.judged(model, batch["image"][new]).argmax(1)
            found[new] = (answers != batch["label"][new]).float()
            self.errors.put(batch["index"], found[:, None])
        return found > 0


def upsampling_weights(wrong: Tensor, *, lambda_up: float) -> Tensor:
    """How much images (N,) count: ``lambda_up`` where the first network was wrong, else 1.

    Example:
        >>> upsampling_weights(torch.tensor([True, False]), lambda_up=20.0)
        tensor([20.,  1.])
    """
    return torch.where(wrong, lambda_up, 1.0)
