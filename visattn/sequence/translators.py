"""From a sentence to a sentence: an encoder and a decoder, or an encoder alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention import (
    AdditiveScore,
    Attention,
    DotScore,
    GeneralScore,
    LocationScore,
    MultiHeadAttention,
    ProjectedDotScore,
    attend,
    length_mask,
    sine_positions,
)
from visattn.basics.suggestions import check_name
from visattn.sequence.decoder import Decoded, Decoder
from visattn.sequence.encoder import CellName, Encoder
from visattn.sequence.vocabulary import END, PAD

AttentionName = Literal[
    "none",
    "dot",
    "qkv",
    "general",
    "additive",
    "location",
    "fully_connected",
    "encoder_dot",
    "encoder_qkv",
]


class SequenceModel(nn.Module, ABC):
    """What every translator offers."""

    @abstractmethod
    def forward(
        self, source: Tensor, lengths: Tensor, target: Tensor, *, forcing: float = 1.0
    ) -> Decoded:
        """Predict each word of ``target`` (N, T), from ``source`` (N, S) of ``lengths`` (N,)."""

    @abstractmethod
    def greedy(self, source: Tensor, lengths: Tensor, *, max_length: int) -> Decoded:
        """Translate, the likeliest word at every step."""


@final
class EncoderDecoder(SequenceModel):
    """A recurrent encoder and a recurrent decoder with attention, or without.

    Args:
        encoder: Words to states.
        decoder: States to words.

    Example:
        >>> model: EncoderDecoder = build_translator("dot", source_words=9, target_words=7)
        >>> found = model.greedy(torch.tensor([[1, 2, 3]]), torch.tensor([3]), max_length=4)
        >>> len(found.tokens), found.tokens.shape[1] <= 4  # until it says the end
        (1, True)
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, source: Tensor, lengths: Tensor, target: Tensor, *, forcing: float = 1.0
    ) -> Decoded:
        """Source (N, S), its lengths (N,) and target (N, T); see `Decoder.forward`."""
        said: Decoded = self.decoder(self.encoder(source, lengths), target, forcing=forcing)
        return said

    @torch.no_grad()
    def greedy(self, source: Tensor, lengths: Tensor, *, max_length: int) -> Decoded:
        """See `Decoder.greedy`."""
        return self.decoder.greedy(self.encoder(source, lengths), max_length=max_length)


@final
class EncoderOnly(SequenceModel):
    """Self-attention over the source, and a word of the target at each of its places.

    There is no decoder: all words are said at once, so that the words before have no say. The
    source is given ``spare`` more places, for a target that is longer.

    Args:
        encoder: Words to states.
        words: Size of the target's vocabulary.
        hidden: Width of the states.
        projected: Queries, keys and values projected, with ``heads`` heads ("QKV"); otherwise the
            states themselves are all three, so that the weights are the softmax of their
            autocorrelation ("dot").
        heads: Number of heads, of the projected kind.
        spare: Places after the last word.

    Example:
        >>> model: EncoderOnly = build_translator("encoder_dot", source_words=9, target_words=7)
        >>> found = model.greedy(torch.tensor([[1, 2, 3]]), torch.tensor([3]), max_length=4)
        >>> len(found.tokens), found.tokens.shape[1] <= 4  # until it says the end
        (1, True)
    """

    def __init__(
        self,
        encoder: Encoder,
        words: int,
        *,
        hidden: int,
        projected: bool,
        heads: int = 4,
        spare: int = 2,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.spare = spare
        self.attention = MultiHeadAttention(hidden, heads=heads) if projected else None
        self.out = nn.Sequential(
            nn.Linear(2 * hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, words)
        )

    def forward(
        self, source: Tensor, lengths: Tensor, target: Tensor, *, forcing: float = 1.0
    ) -> Decoded:
        """Predict every word; ``forcing`` changes nothing, since no word is fed back."""
        logits, weights = self._said(source, lengths)
        size = target.shape[1]
        missing = size - logits.shape[1]
        if missing > 0:
            raise ValueError(
                f"the target has {size} places, the source with its spare ones"
                f" {logits.shape[1]}: build EncoderOnly with spare={self.spare + missing}"
            )
        return Decoded(logits[:, :size], logits[:, :size].argmax(-1), weights[:, :size])

    @torch.no_grad()
    def greedy(self, source: Tensor, lengths: Tensor, *, max_length: int) -> Decoded:
        """Translate; nothing after the first end."""
        logits, weights = self._said(source, lengths)
        tokens = logits.argmax(-1)
        end = tokens == END
        place = torch.arange(end.shape[1], device=source.device)
        after = (end.cumsum(1) > end) | (place >= lengths.unsqueeze(1) + self.spare)
        said = (logits, tokens.masked_fill(after, PAD), weights)
        return Decoded(*(found[:, :max_length] for found in said))

    def _said(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of all words at once, and weights (N, S + spare, S)."""
        size = source.shape[1]
        wide = F.pad(source, (0, self.spare), value=PAD)
        spare = torch.arange(size + self.spare, device=source.device) - lengths.unsqueeze(1)
        wide = wide.masked_fill((spare >= 0) & (spare < self.spare), END)
        states = self.encoder(wide, lengths + self.spare).states
        width = states.shape[-1]
        states = states + sine_positions(wide.shape[1], width).to(states)
        mask = length_mask(lengths + self.spare, wide.shape[1])
        found: Any
        if self.attention is None:
            found = attend(states, states, mask=mask)
            weights = found.weights
        else:
            found = self.attention(states, mask=mask)
            weights = found.weights.mean(1)
        return self.out(torch.cat((states, found.context), -1)), weights[..., :size]


def build_translator(
    attention: AttentionName,
    *,
    source_words: int,
    target_words: int,
    embedding: int = 64,
    hidden: int = 128,
    cell: CellName = "lstm",
    bidirectional: bool = True,
    max_source: int = 64,
) -> SequenceModel:
    """A translator by the kind of its attention.

    Args:
        attention: ``"none"``: encoder and decoder, a vector of fixed length between them.
            ``"dot"``, ``"qkv"`` (query, key and value projected), ``"general"``, ``"additive"`` and
            ``"location"``: the same with attention, by that score. ``"fully_connected"``: a layer
            from the last word's vector and the last state to the weights, before the recurrence,
            as in PyTorch's tutorial on translation. ``"encoder_dot"`` and ``"encoder_qkv"``:
            self-attention and no decoder.
        source_words: Size of the source's vocabulary.
        target_words: Size of the target's.
        embedding: Width of the words' vectors.
        hidden: Width of the states, even.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: Whether the encoder reads backwards as well.
        max_source: Longest source that the scores of places can serve.

    Raises:
        ValueError: There is no attention of that name.

    Example:
        >>> model = build_translator("dot", source_words=9, target_words=8, hidden=16)
        >>> said = model.greedy(torch.tensor([[3, 4, 5]]), torch.tensor([3]), max_length=2)
        >>> said.weights[0, 0].shape
        torch.Size([3])
    """
    check_name("attention", attention, names=get_args(AttentionName))
    encoder = Encoder(
        source_words, embedding=embedding, hidden=hidden, cell=cell, bidirectional=bidirectional
    )
    if attention in ("encoder_dot", "encoder_qkv"):
        return EncoderOnly(
            encoder, target_words, hidden=hidden, projected=attention == "encoder_qkv"
        )
    attentions: dict[str, Callable[[], Attention | None]] = {
        "none": lambda: None,
        "dot": lambda: Attention(DotScore(scale=1.0)),
        "qkv": lambda: Attention(
            ProjectedDotScore(hidden, hidden, width=hidden),
            value=nn.Linear(hidden, hidden, bias=False),
        ),
        "general": lambda: Attention(GeneralScore(hidden, hidden)),
        "additive": lambda: Attention(AdditiveScore(hidden, hidden, hidden=hidden)),
        "location": lambda: Attention(LocationScore(hidden, length=max_source)),
        "fully_connected": lambda: Attention(LocationScore(embedding + hidden, length=max_source)),
    }
    decoder = Decoder(
        target_words,
        source_channels=hidden,
        attention=attentions[attention](),
        embedding=embedding,
        hidden=hidden,
        cell=cell,
        query="input" if attention == "fully_connected" else "state",
    )
    return EncoderDecoder(encoder, decoder)
