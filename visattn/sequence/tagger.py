"""A tag for each word, by self-attention."""

from typing import Literal, NamedTuple, final, get_args

import torch
from torch import Tensor, nn

from visattn.attention import (
    LearnedPositions,
    MultiHeadAttention,
    RelativeBias,
    length_mask,
    sine_positions,
)
from visattn.basics.suggestions import check_name
from visattn.sequence.vocabulary import PAD

PositionName = Literal["none", "sine", "learned", "relative"]


class Tagged(NamedTuple):
    """What a tagger found.

    Attributes:
        logits: (N, S, tags).
        weights: (N, S, S), where each word looked, the mean over the heads.

    Example:
        >>> tagger = SelfAttentionTagger(9, tags=4)
        >>> found: Tagged = tagger(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
        >>> found.logits.shape, found.weights.shape
        (torch.Size([1, 3, 4]), torch.Size([1, 3, 3]))
    """

    logits: Tensor
    weights: Tensor


@final
class SelfAttentionTagger(nn.Module):
    """Words look at each other once, and each is given a tag.

    Nothing is recurrent: without position encoding a sentence is a bag of words.

    Args:
        words: Size of the vocabulary.
        tags: Number of tags.
        channels: Width.
        heads: Number of heads.
        positions: ``"none"``, ``"sine"`` and ``"learned"`` (added to the words), or ``"relative"``
            (added to the scores).
        max_length: Longest sentence, for learned positions.

    Raises:
        ValueError: There are no positions of that name.

    Example:
        >>> model = SelfAttentionTagger(9, tags=3, positions="relative")
        >>> found = model(torch.tensor([[3, 4, 5, 0]]), torch.tensor([3]))
        >>> found.logits.shape, found.weights.shape
        (torch.Size([1, 4, 3]), torch.Size([1, 4, 4]))
    """

    def __init__(
        self,
        words: int,
        *,
        tags: int,
        channels: int = 32,
        heads: int = 1,
        positions: PositionName = "sine",
        max_length: int = 64,
    ) -> None:
        super().__init__()
        check_name("positions", positions, names=get_args(PositionName))
        self.positions = positions
        self.embedding = nn.Embedding(words, channels, padding_idx=PAD)
        self.learned = (
            LearnedPositions(channels, length=max_length) if positions == "learned" else None
        )
        self.relative = RelativeBias(heads, reach=16) if positions == "relative" else None
        self.attention = MultiHeadAttention(channels, heads=heads)
        self.out = nn.Sequential(
            nn.Linear(2 * channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, tags)
        )

    def forward(self, words: Tensor, lengths: Tensor) -> Tagged:
        """Tag padded sentences (N, S) of ``lengths`` (N,)."""
        size = words.shape[1]
        x = self.embedding(words)
        if self.positions == "sine":
            x = x + sine_positions(size, x.shape[-1]).to(x)
        elif self.learned is not None:
            x = self.learned(x)
        bias = None if self.relative is None else self.relative(size, size)
        found = self.attention(x, mask=length_mask(lengths, size), bias=bias)
        logits = self.out(torch.cat((x, found.context), -1))
        return Tagged(logits, found.weights.mean(1))
