"""A tagger by self-attention, trained by Lightning."""

from typing import final

import torch.nn.functional as F
from torch import Tensor

from visattn.sequence import PAD, PositionName, SelfAttentionTagger
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.split_data import Batch


@final
class TaggingModule(SequenceModule):
    """Whether each noun of a sentence is called good or bad.

    Logged are ``train/loss``, ``val/nouns`` and for each test split ``nouns`` (share of the nouns
    whose tag is right), ``pointing`` (share of the nouns whose greatest weight lies on their own
    adjective) and ``sentences`` (share of sentences with all tags right).

    Args:
        positions: ``"none"``, ``"sine"``, ``"learned"`` or ``"relative"``.
        words: Size of the vocabulary; on the command line it comes from the data.
        tags: Number of tags; likewise.
        channels: Width.
        heads: Number of heads.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Example:
        >>> TaggingModule("none", words=20, tags=3).model.positions
        'none'
    """

    validated = "nouns"

    def __init__(
        self,
        positions: PositionName = "sine",
        *,
        words: int,
        tags: int,
        channels: int = 64,
        heads: int = 1,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        self.save_hyperparameters()
        self.model = SelfAttentionTagger(
            words, tags=tags, channels=channels, heads=heads, positions=positions
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the tags."""
        there = batch["words"] != PAD
        logits = self.model(batch["words"], batch["lengths"]).logits
        loss = F.cross_entropy(logits[there], batch["tags"][there])
        return self.logged(loss, count=len(logits))

    def right(self, batch: Batch) -> Tensor:
        """Which nouns have the right tag."""
        return self.measures(batch)["nouns"]

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Tags, and where the nouns look."""
        found = self.model(batch["words"], batch["lengths"])
        right = found.logits.argmax(-1) == batch["tags"]
        nouns = batch["tags"] > 0
        return {
            "nouns": right[nouns],
            "pointing": (found.weights.argmax(-1) == batch["origins"])[nouns],
            "sentences": (right | (batch["words"] == PAD)).all(1),
        }
