"""A class for a sentence, with attention over its words or without."""

from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from visattn.attention import AdditiveScore, Attention
from visattn.sequence.encoder import CellName, Encoder


class Classified(NamedTuple):
    """What a sentence classifier found.

    Attributes:
        logits: (N, classes).
        weights: (N, S), how much each word counted; None without attention.

    Example:
        >>> model = SentenceClassifier(9, classes=2)
        >>> found: Classified = model(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
        >>> found.weights.shape
        torch.Size([1, 3])
    """

    logits: Tensor
    weights: Tensor | None = None


@final
class SentenceClassifier(nn.Module):
    """A recurrent encoder, a weighted mean of its states, a class.

    The query is one learned vector, the same for all sentences. Without attention the last states
    of the encoder take the place of the mean.

    Args:
        words: Size of the vocabulary.
        classes: Number of classes.
        attention: Whether there is attention.
        embedding: Width of the words' vectors.
        hidden: Width of the states, even.
        cell: ``"lstm"`` or ``"gru"``.

    Example:
        >>> model = SentenceClassifier(9, classes=2)
        >>> found = model(torch.tensor([[3, 4, 5]]), torch.tensor([3]))
        >>> found.logits.shape, found.weights.shape
        (torch.Size([1, 2]), torch.Size([1, 3]))

    Source: Yang et al., Hierarchical Attention Networks for Document Classification, 2016.
    """

    def __init__(
        self,
        words: int,
        *,
        classes: int,
        attention: bool = True,
        embedding: int = 32,
        hidden: int = 64,
        cell: CellName = "gru",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(words, embedding=embedding, hidden=hidden, cell=cell)
        self.query: nn.Parameter | None = None
        self.attention: Attention | None = None
        if attention:
            self.query = nn.Parameter(torch.zeros(1, 1, hidden))
            self.attention = Attention(AdditiveScore(hidden, hidden, hidden=hidden))
        self.out = nn.Linear(hidden, classes)

    def forward(self, words: Tensor, lengths: Tensor) -> Classified:
        """Classify padded sentences (N, S) of ``lengths`` (N,)."""
        encoded = self.encoder(words, lengths)
        if self.attention is None or self.query is None:
            return Classified(self.out(encoded.summary))
        memory = self.attention.remember(encoded.states, lengths)
        found = self.attention(self.query.expand(len(words), -1, -1), memory)
        return Classified(self.out(found.context.squeeze(1)), found.weights.squeeze(1))
