"""Fine-grained class-conditional distribution balancing, by a biased network's confusions."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective, no_loss
from visattn.training.objectives.debiasing.afr import is_held_out
from visattn.training.objectives.debiasing.companion import Companion
from visattn.training.objectives.debiasing.remembered import Remembered


@final
class FGCCDB(Objective):
    """Fine-grained class-conditional distribution balancing, without labels of groups.

    A first network is made as biased as may be (multi-stage selective retraining): it learns from
    ``gamma`` of the images; then, ``repeats`` times, it begins anew and learns from the ``beta`` of
    each class in whose label the one before was most confident. Its answer s for an image of the
    class y puts the image into a cell (s, y) of the confusion matrix, and the model, which waited
    till then, learns with `cell_weights`, which make s and y independent of each other and the
    classes alike.

    The paper draws images by these weights; here they weigh the loss, which is the same in
    expectation, and the cells are counted as the images come by. What is confident enough is
    settled by the images judged so far in a stage.

    Written from the paper's abstract and what others say of its method, not held against its code.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        bias: Share of the training, in (0, 1), for the biased network, in equal stages.
        gamma: Share of the images for its first stage, in (0, 1].
        beta: Share of each class for the later ones, in (0, 1].
        repeats: How many of these there are.
        learning_rate: Highest learning rate of the biased network; None for the model's.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Zhao and Zhang, Fine-Grained Class-Conditional Distribution Balancing for Debiased
    Learning, arXiv:2505.06831.
    """

    waits = True

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        bias: float = 0.4,
        gamma: float = 0.1,
        beta: float = 0.5,
        repeats: int = 1,
        learning_rate: float | None = None,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("(0, 1)", bias=bias)
        check_in("(0, 1]", gamma=gamma, beta=beta)
        check_in("[0, inf)", repeats=repeats)
        self.label_smoothing = label_smoothing
        self.bias = bias
        self.gamma = gamma
        self.beta = beta
        self.stages = (bias,)
        self.parts = 1 + repeats
        self.companion = Companion(learning_rate=learning_rate)
        self.judge = Companion(learning_rate=learning_rate)  # what the stage before learned
        self.confidences = Remembered(3)  # stage, confidence, label
        self.cells = Remembered(2)  # s, y
        self._stage = 0

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        labels = batch["label"]
        done = progress / self.bias * self.parts
        if done < self.parts or self.companion.untrained:
            stage = min(int(done), self.parts - 1)
            self._enter(model, stage)
            chosen = self._chosen(model, batch, stage)
            losses = F.cross_entropy(
                self.companion.logits(model, batch["image"]), labels, reduction="none"
            )
            loss = (losses * chosen).sum() / chosen.sum().clamp_min(1)
            self.companion.learn(loss, done=done - stage)
            return no_loss(model), {"bias": loss.detach(), "chosen": chosen.float().mean()}
        answers = self.cells.get(batch["index"])[:, 0]
        new = answers.isnan()
        if new.any():
            judged = self.companion.judged(model, batch["image"][new]).argmax(1)
            answers[new] = judged.to(answers)
            self.cells.put(batch["index"], torch.stack([answers, labels.to(answers)], 1))
        losses = F.cross_entropy(
            model(batch["image"]), labels, label_smoothing=self.label_smoothing, reduction="none"
        )
        known = self.cells.known.long().T
        count = int(known.max()) + 1
        matrix = torch.zeros(count, count).index_put_(
            (known[0], known[1]), torch.ones(known.shape[1]), accumulate=True
        )
        weights = cell_weights(matrix)[answers.long().cpu(), labels.cpu()].to(losses)
        loss = (weights * losses).sum() / weights.sum()
        conflicting = (answers != labels).float().mean()
        return loss, {"cross_entropy": losses.mean().detach(), "conflicting": conflicting}

    def state_dict(self) -> dict[str, Any]:
        """Both networks, what is known of the images, and the stage."""
        return {**super().state_dict(), "stage": self._stage}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these."""
        self._stage = state["stage"]
        super().load_state_dict({name: part for name, part in state.items() if name != "stage"})

    def _enter(self, model: nn.Module, stage: int) -> None:
        """Begin a stage: what was learned judges, and learning begins anew."""
        if self._stage < stage:
            self._stage = stage
            self.judge.of(model).load_state_dict(self.companion.of(model).state_dict())
            self.companion.begin_anew()

    def _chosen(self, model: nn.Module, batch: Batch, stage: int) -> Tensor:
        """Which images (N,) the biased network learns from."""
        rows, labels = batch["index"], batch["label"]
        if stage == 0:
            return is_held_out(rows, share=self.gamma)
        before = self.confidences.get(rows)
        new = before[:, 0] != stage
        if new.any():
            judged = self.judge.judged(model, batch["image"][new])
            sure = judged.gather(1, labels[new][:, None])
            lines = [torch.full_like(sure, stage), sure, labels[new][:, None].to(sure)]
            before[new] = torch.cat(lines, 1).to(before)
            self.confidences.put(rows, before)
        known = self.confidences.known
        known = known[known[:, 0] == stage].to(before.device)
        least = [known[known[:, 2] == label, 1].quantile(1 - self.beta) for label in labels]
        return before[:, 1] >= torch.stack(least)


def cell_weights(counts: Tensor) -> Tensor:
    r"""How much one image of each cell of a confusion matrix counts.

    With P the columns of the matrix as shares, p(s | y), and q the shares of its rows, p(s), an
    image of the cell counts q / P over the images of its class: each column then has the same
    distribution q, and all classes the same sum.

    Args:
        counts: Images by the answer s and the class y (K, K).

    Returns:
        Weights (K, K), 0 for cells without images.

    Example:
        >>> cell_weights(torch.tensor([[8.0, 2.0], [2.0, 8.0]]))
        tensor([[0.0625, 0.2500],
                [0.2500, 0.0625]])
    """
    shares = counts.sum(1, keepdim=True) / counts.sum()
    return torch.where(counts > 0, shares / counts.clamp_min(1), 0.0)
