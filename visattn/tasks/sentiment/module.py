"""A classifier of sentences, trained by Lightning."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.sequence import PAD, CellName, SentenceClassifier
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.split_data import Batch
from visattn.training.checks import check_in

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

    validated = "accuracy"

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
        check_in("[0, 1)", blank=blank)
        self.save_hyperparameters()
        self.blank = blank
        self.model = SentenceClassifier(
            words, classes=2, attention=attention, embedding=embedding, hidden=hidden, cell=cell
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of sentences with blanks."""
        blank = torch.rand(batch["words"].shape, device=self.device) < self.blank
        words = batch["words"].masked_fill(blank, PAD)
        loss = F.cross_entropy(self.model(words, batch["lengths"]).logits, batch["label"])
        return self.logged(loss, count=len(words))

    def right(self, batch: Batch) -> Tensor:
        """Which sentences are judged right."""
        found: Tensor = self.model(batch["words"], batch["lengths"]).logits.argmax(1)
        return found == batch["label"]

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Accuracy, where the attention lies, and what is left without the deciding words."""
        found = self.model(batch["words"], batch["lengths"])
        measures = {"accuracy": found.logits.argmax(1) == batch["label"]}
        if found.weights is not None:
            place = found.weights.argmax(1, keepdim=True)
            measures["top"] = batch["deciding"].gather(1, place)
        masked = batch["words"].masked_fill(batch["deciding"], PAD)
        share = self.model(masked, batch["lengths"]).logits.softmax(1)[:, 1]
        distance = (share - 0.5).abs()
        measures["half_when_masked"] = distance < NEAR
        return {**measures, "distance_when_masked": distance}
