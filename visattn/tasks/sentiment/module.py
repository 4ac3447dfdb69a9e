"""A classifier of sentences, trained by Lightning."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric

from visattn.sequence import PAD, CellName, SentenceClassifier
from visattn.tasks.batched import Batch
from visattn.tasks.sequence_module import SequenceModule

NEAR = 0.1
"""How far from 1/2 a probability may be that knows nothing."""


@final
class SentimentModule(SequenceModule):
    """Whether a sentence is kind, with attention over its words or without.

    In training, words are blanked at random, so that a sentence without its deciding word is
    nothing unheard of, and the answer to it is the prior. Logged are ``train/loss``,
    ``val/accuracy`` and for each test split ``accuracy``, ``top`` (share whose greatest weight lies
    on a deciding word), ``half_when_masked`` (share whose probability is within 0.1 of 1/2 once
    the deciding words are blanked) and ``distance_when_masked`` (mean of ``|p - 1/2|`` then).

    Args:
        attention: Whether there is attention.
        words: Size of the vocabulary; on the command line it comes from the data.
        embedding: Width of the words' vectors.
        hidden: Width of the states.
        cell: ``"lstm"`` or ``"gru"``.
        blank: Share of the words that are blanked in training.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Raises:
        ValueError: A value is out of its range.

    Example:
        >>> model = SentimentModule(words=20)
        >>> model.model(torch.tensor([[3, 4]]), torch.tensor([2])).logits.shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        attention: bool = True,
        *,
        words: int,
        embedding: int = 32,
        hidden: int = 64,
        cell: CellName = "gru",
        blank: float = 0.2,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        if not 0 <= blank < 1:
            raise ValueError(f"blank is a share, in [0, 1), got {blank}")
        self.save_hyperparameters()
        self.blank = blank
        self.model = SentenceClassifier(
            words, classes=2, attention=attention, embedding=embedding, hidden=hidden, cell=cell
        )
        self.val_accuracy = MeanMetric()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of sentences with blanks."""
        blank = torch.rand(batch["words"].shape, device=self.device) < self.blank
        words = batch["words"].masked_fill(blank, PAD)
        loss = F.cross_entropy(self.model(words, batch["lengths"]).logits, batch["label"])
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(words))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy."""
        found = self.model(batch["words"], batch["lengths"]).logits.argmax(1)
        self.val_accuracy((found == batch["label"]).float())
        self.log("val/accuracy", self.val_accuracy, on_epoch=True, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Accuracy, where the attention lies, and what is left without the deciding words."""
        found = self.model(batch["words"], batch["lengths"])
        right = found.logits.argmax(1) == batch["label"]
        self.tests.add(dataloader_idx, "accuracy", right)
        if found.weights is not None:
            place = found.weights.argmax(1, keepdim=True)
            self.tests.add(dataloader_idx, "top", batch["deciding"].gather(1, place))
        masked = batch["words"].masked_fill(batch["deciding"], PAD)
        share = self.model(masked, batch["lengths"]).logits.softmax(1)[:, 1]
        distance = (share - 0.5).abs()
        self.tests.add(dataloader_idx, "half_when_masked", distance < NEAR)
        self.tests.add(dataloader_idx, "distance_when_masked", distance)
