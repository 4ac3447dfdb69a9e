"""Group DRO: train on the (class, background) group that does worst."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.processes import average, process_count
from visattn.training.checks import check_in
from visattn.training.losses.group_losses import group_means, raised_weights
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.groups import GroupNumbers


@final
class GroupDRO(Objective):
    """Group distributionally robust optimisation over the groups (class, background).

    Each group has a weight q; with the mean losses of the groups in a batch, q of each is
    multiplied by exp(step loss) and all are normalised, and the loss is the sum of q times the
    group's loss. A group that no image of the batch is of keeps its loss of 0, as in the authors'
    code. Every training image's background must be known, which is more than a mask for some.

    Groups are found as they come: a new one gets the mean weight of the others.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        step: How fast the weights follow the losses, the paper's eta.

    Raises:
        ValueError: If an argument is out of its range; in a step, if no background is known.

    Source: Sagawa et al., Distributionally Robust Neural Networks for Group Shifts,
    arXiv:1911.08731, algorithm 1. It draws evenly over the groups: so do the data modules with
    ``group_balanced=True``. Otherwise a small group's weight is seldom raised.
    """

    needs = ("background",)

    def __init__(self, *, label_smoothing: float = 0.0, step: float = 0.01) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("(0, inf)", step=step)
        self.label_smoothing = label_smoothing
        self.step = step
        self.numbers = GroupNumbers()
        self.weights = torch.ones(0)

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        groups = self.numbers(batch["label"], batch["background"])
        logits = model(batch["image"])
        losses = F.cross_entropy(
            logits, batch["label"], label_smoothing=self.label_smoothing, reduction="none"
        ).float()
        means, counts = group_means(losses, groups, count=len(self.numbers))
        overall, share = _over_processes(means.detach(), counts)
        weights = self._grown(len(self.numbers)).to(losses.device)
        self.weights = raised_weights(weights, overall, step=self.step)
        loss = (self.weights * share * means).sum()
        parts = {"cross_entropy": losses.detach().mean(), "worst_group": overall.max()}
        return loss, parts

    def state_dict(self) -> dict[str, Any]:
        """The groups and their weights."""
        return {**super().state_dict(), "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these."""
        self.numbers.load_state_dict(state["numbers"])
        self.weights = state["weights"]

    def _grown(self, count: int) -> Tensor:
        """The weights, with those of the groups that are new in this batch."""
        mean = self.weights.mean() if len(self.weights) else self.weights.new_ones(())
        weights = torch.cat([self.weights, mean.expand(count - len(self.weights))])
        return weights / weights.sum()


def _over_processes(means: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The groups' means over all processes, and the weight of this one's in their mean.

    DDP averages what the processes find: with these weights that is the mean over all images.
    """
    if process_count() == 1:
        return means, torch.ones_like(means)
    sums, images = means * counts, counts.clone()
    average([sums, images])
    images = images.clamp_min(1 / process_count())
    return sums / images, counts / images
