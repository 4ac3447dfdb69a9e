"""A recurrent decoder that reads from a source with any attention, or with none."""

from typing import Literal, NamedTuple, final, get_args

import torch
from torch import Tensor, nn

from visattn.attention import Attention, Memory
from visattn.basics.suggestions import check_name
from visattn.sequence.encoder import CellName, Encoded
from visattn.sequence.vocabulary import END, PAD, START

CELLS: dict[str, type[nn.LSTMCell] | type[nn.GRUCell]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
QueryName = Literal["state", "input"]
State = tuple[Tensor, ...]


class Decoded(NamedTuple):
    """What a decoder said.

    Attributes:
        logits: (N, T, words).
        tokens: (N, T), the likeliest word of each step; greedy decoding has padding after the end.
        weights: (N, T, S), where each word looked; None without attention.
        log_probability: (N, T), of sampled places; None if nothing was sampled.
    """

    logits: Tensor
    tokens: Tensor
    weights: Tensor | None = None
    log_probability: Tensor | None = None


class _Step(NamedTuple):
    """One step: what the output layer reads, the recurrent state and what was attended to."""

    features: Tensor
    state: State
    context: Tensor
    weights: Tensor | None
    log_probability: Tensor | None


@final
class Decoder(nn.Module):
    """Writes a sentence word by word.

    Each step takes the last word's vector and the last context (input feeding), updates the state,
    looks at the source with the state as query, and predicts from state and context. With
    ``query="input"`` it looks first, with the last word's vector and the last state as query, and
    the context enters the state in the same step. Without attention the source's summary, from
    which the first state is made, is all that it knows.

    Args:
        words: Size of the vocabulary.
        source_channels: Width of the source's summary.
        attention: How to read from the source; None for not at all.
        context_channels: Width of what is read, ``source_channels`` if None.
        embedding: Width of the words' vectors.
        hidden: Width of the state.
        cell: ``"lstm"`` or ``"gru"``.
        query: ``"state"`` or ``"input"``.

    Raises:
        ValueError: There is no such cell or query, or later the source is of another width.

    Example:
        >>> from visattn.attention import AdditiveScore
        >>> attention = Attention(AdditiveScore(8, 6, hidden=4))
        >>> decoder = Decoder(9, source_channels=6, attention=attention, embedding=5, hidden=8)
        >>> source = Encoded(torch.randn(2, 7, 6), torch.tensor([7, 4]), torch.randn(2, 6))
        >>> said = decoder(source, torch.tensor([[3, 4, 2], [5, 2, 0]]))
        >>> said.logits.shape, said.weights.shape
        (torch.Size([2, 3, 9]), torch.Size([2, 3, 7]))

    Source: Bahdanau et al., arXiv:1409.0473; input feeding: Luong et al., arXiv:1508.04025.
    """

    def __init__(
        self,
        words: int,
        *,
        source_channels: int,
        attention: Attention | None,
        context_channels: int | None = None,
        embedding: int,
        hidden: int,
        cell: CellName = "lstm",
        query: QueryName = "state",
    ) -> None:
        super().__init__()
        check_name("cell", cell, names=CELLS)
        check_name("query", query, names=get_args(QueryName))
        read = source_channels if context_channels is None else context_channels
        self.context_channels = read if attention is not None else 0
        self.query = query
        self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
        self.attention = attention
        self.cell = CELLS[cell](embedding + self.context_channels, hidden)
        self.begin = nn.Linear(source_channels, hidden * (2 if cell == "lstm" else 1))
        self.mix = nn.Linear(hidden + self.context_channels, hidden)
        self.out = nn.Linear(hidden, words)

    def forward(self, source: Encoded, target: Tensor, *, forcing: float = 1.0) -> Decoded:
        """Predict every word of a target, given the words before it.

        Args:
            source: What to read from.
            target: (N, T), numbers, without a sign for the start.
            forcing: Teacher forcing: the probability, for each word of each sentence, that the
                step after it is given the target's word; it is given the predicted one otherwise.

        Returns:
            T steps.

        Raises:
            ValueError: ``forcing`` is no probability.
        """
        if not 0 <= forcing <= 1:
            raise ValueError(f"forcing is a probability, in [0, 1], got {forcing}")
        memory, step = self._start(source)
        token = torch.full_like(target[:, 0], START)
        steps = []
        for place in range(target.shape[1]):
            step = self._step(token, step, memory, place)
            steps.append(step)
            token = target[:, place]
            if forcing < 1:
                given = torch.rand(token.shape, device=token.device) < forcing
                with torch.no_grad():
                    token = torch.where(given, token, self._logits(step.features).argmax(-1))
        return self._joined(steps)

    @torch.no_grad()
    def greedy(self, source: Encoded, *, max_length: int) -> Decoded:
        """Say the likeliest word at every step, up to the end or ``max_length`` words."""
        memory, step = self._start(source)
        token = source.lengths.new_full(source.lengths.shape, START)
        ended = torch.zeros_like(token, dtype=torch.bool)
        steps, tokens = [], []
        for place in range(max_length):
            step = self._step(token, step, memory, place)
            steps.append(step)
            token = self._logits(step.features).argmax(-1).masked_fill(ended, PAD)
            tokens.append(token)
            ended = ended | (token == END)
            if ended.all():
                break
        return self._joined(steps)._replace(tokens=torch.stack(tokens, 1))

    def _start(self, source: Encoded) -> tuple[Memory | None, _Step]:
        """The memory, and what stands before the first step."""
        if source.summary.shape[-1] != self.begin.in_features:
            raise ValueError(
                f"the source's summary must have source_channels={self.begin.in_features}, got"
                f" {source.summary.shape[-1]}: {tuple(source.summary.shape)}"
            )
        begun = torch.tanh(self.begin(source.summary))
        state = begun.chunk(2, -1) if isinstance(self.cell, nn.LSTMCell) else (begun,)
        context = begun.new_zeros(len(begun), self.context_channels)
        memory = None
        if self.attention is not None:
            memory = self.attention.remember(source.states, source.lengths)
            width = memory.values.shape[-1]
            if width != self.context_channels:
                raise ValueError(
                    f"the attention reads vectors of {width} channels, the decoder expects"
                    f" {self.context_channels}: build it with context_channels={width}"
                )
        return memory, _Step(begun, state, context, None, None)

    def _step(self, token: Tensor, last: _Step, memory: Memory | None, place: int) -> _Step:
        embedded = self.embedding(token)
        if self.attention is None or memory is None:
            state = self._update(embedded, last.state)
            return _Step(state[0], state, last.context, None, None)
        if self.query == "input":
            asked = torch.cat((embedded, last.state[0]), -1)
            found = self.attention(asked.unsqueeze(1), memory, start=place)
            state = self._update(torch.cat((embedded, found.context.squeeze(1)), -1), last.state)
        else:
            state = self._update(torch.cat((embedded, last.context), -1), last.state)
            found = self.attention(state[0].unsqueeze(1), memory, start=place)
        context = found.context.squeeze(1)
        features = torch.cat((state[0], context), -1)
        return _Step(features, state, context, found.weights, found.log_probability)

    def _update(self, given: Tensor, state: State) -> State:
        """The recurrent cell, the same for both kinds."""
        if isinstance(self.cell, nn.LSTMCell):
            hidden, cell = self.cell(given, (state[0], state[1]))
            return hidden, cell
        return (self.cell(given, state[0]),)

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.out(torch.tanh(self.mix(features)))
        return logits

    def _joined(self, steps: list[_Step]) -> Decoded:
        """Steps to tensors."""
        logits = self._logits(torch.stack([step.features for step in steps], 1))
        weights = [step.weights for step in steps if step.weights is not None]
        drawn = [step.log_probability for step in steps if step.log_probability is not None]
        return Decoded(
            logits,
            logits.argmax(-1),
            torch.cat(weights, 1) if weights else None,
            torch.cat(drawn, 1) if drawn else None,
        )
