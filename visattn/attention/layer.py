"""Attention as a layer: a score, a normaliser, and a memory that is prepared once."""

from typing import NamedTuple, final

from torch import Tensor, nn

from visattn.attention.core import Attended, attend
from visattn.attention.masks import both, length_mask
from visattn.attention.normalisers import Normaliser, softmax
from visattn.attention.scores import DotScore, Score
from visattn.attention.windows import LocalWindow


class Memory(NamedTuple):
    """What a decoder reads from, prepared once for all its steps.

    Attributes:
        keys: (N, S, E), as the score compares them.
        values: (N, S, V), what is read.
        lengths: (N,), how many of the S are there.
        mask: (N, 1, S), the same as a mask; True keeps.

    Example:
        >>> import torch
        >>> layer = Attention(DotScore())
        >>> memory: Memory = layer.remember(torch.randn(2, 5, 8), torch.tensor([5, 3]))
        >>> memory.mask[1, 0].tolist()
        [True, True, True, False, False]
    """

    keys: Tensor
    values: Tensor
    lengths: Tensor
    mask: Tensor


@final
class Attention(nn.Module):
    """A score, a normaliser and, for local attention, a window.

    ``layer(query, layer.remember(source, lengths))``: a decoder calls ``remember`` once and the
    layer at every step.

    Args:
        score: How well a query fits a key.
        value: What is read from a source; the source itself if None.
        normaliser: `softmax`, `argmax`, `sample` or one's own.
        window: Local attention; global if None.

    Shapes:
        query (N, T, D) and a source (N, S, E) to a context (N, T, V) and weights (N, T, S).

    Example:
        >>> import torch
        >>> from visattn.attention import AdditiveScore
        >>> layer = Attention(AdditiveScore(4, 6, hidden=8))
        >>> memory = layer.remember(torch.randn(2, 5, 6), torch.tensor([5, 3]))
        >>> found = layer(torch.randn(2, 1, 4), memory)
        >>> found.context.shape, found.weights[1, 0, 3:]
        (torch.Size([2, 1, 6]), tensor([0., 0.], grad_fn=<SliceBackward0>))
    """

    def __init__(
        self,
        score: Score,
        *,
        value: nn.Module | None = None,
        normaliser: Normaliser = softmax,
        window: LocalWindow | None = None,
    ) -> None:
        super().__init__()
        self.score = score
        self.value = value
        self.normaliser = normaliser
        self.window = window

    def remember(self, source: Tensor, lengths: Tensor) -> Memory:
        """Prepare a padded source (N, S, E) of ``lengths`` (N,)."""
        values = source if self.value is None else self.value(source)
        mask = length_mask(lengths, source.shape[-2])
        return Memory(self.score.keys(source), values, lengths, mask)

    def forward(
        self, query: Tensor, memory: Memory, *, start: int = 0, need_weights: bool = True
    ) -> Attended:
        """Read (N, T, V) from the memory.

        Args:
            query: (N, T, D).
            memory: What `remember` made.
            start: Which target the first query is, for a window that moves with it.
            need_weights: Return weights and scores, too. Without them, a `DotScore` with `softmax`
                runs in PyTorch's fused kernel, with a window or without.
        """
        mask: Tensor | None = memory.mask
        bias = None
        if self.window is not None:
            window = self.window(query, memory.lengths, memory.keys.shape[-2], start=start)
            mask, bias = both(mask, window.mask), window.bias
        return attend(
            query,
            memory.keys,
            memory.values,
            score=self.score if isinstance(self.score, DotScore) else self.score.compare,
            normaliser=self.normaliser,
            mask=mask,
            bias=bias,
            need_weights=need_weights,
        )
