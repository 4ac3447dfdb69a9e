"""Cross-entropy of the answer, and of the answers that attention branches give by themselves."""

from typing import final

from torch import nn
from torch.nn import functional as F

from visattn.recording import record
from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective


@final
class BranchCrossEntropy(Objective):
    """Cross-entropy of the answer, and of the answers that attention branches give by themselves.

    For a model with `visattn.blocks.AttentionBranch` (``attention: {block: abn}``): the sum of the
    cross-entropy of the model's logits and, by ``weight``, that of each branch's.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        weight: Of a branch's cross-entropy; the paper's is 1.

    Raises:
        ValueError: If an argument is out of its range; in a step, if no block of the model gives
            an answer of its own.

    Source: Fukui et al., Attention Branch Network, arXiv:1812.10025.
    """

    def __init__(self, *, label_smoothing: float = 0.0, weight: float = 1.0) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("[0, inf)", weight=weight)
        self.label_smoothing = label_smoothing
        self.weight = weight

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        with record(model, graph=True) as maps:
            logits = model(batch["image"])
        answers = [
            site.class_logits for site in maps.values() if "class_logits" in site.kinds.values()
        ]
        if not answers:
            raise ValueError(
                f"{type(model).__name__} has no attention branch with an answer of its own: put "
                'one in with visattn.wrap(model, "abn"), or in a recipe with '
                "attention: {block: abn, init: paper}."
            )
        labels, smoothing = batch["label"], self.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        branches = [F.cross_entropy(each, labels, label_smoothing=smoothing) for each in answers]
        branch = sum(branches[1:], branches[0])
        parts = {"cross_entropy": loss.detach(), "branch": branch.detach()}
        return loss + self.weight * branch, parts
