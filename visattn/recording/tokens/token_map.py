"""The attention of a transformer's layer, any row of which is computed on demand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import final

import torch
from torch import Tensor

from visattn.recording.attention_map import AttentionMap
from visattn.recording.tokens.layout import Layout
from visattn.recording.tokens.scores import Leaf, Scores

_NUMBERS = 2**22
"""So many attention weights are held at a time while all rows are gone through."""

Combine = Callable[[Tensor, Tensor | None], Tensor]
"""Weights and the gradients with respect to them to what is summed."""


@final
@dataclass(frozen=True, eq=False)
class TokenMap(AttentionMap):
    """Attention between the tokens of one layer in one pass; its rows are computed on demand.

    Tokens are counted alike for every network: first those that have no place in the picture (class
    token, registers), then the places row by row, wherever windows and shifts had put them. Weights
    of padding are left out.

    Attributes:
        scores: The weights as an expression of queries and keys.
        layout: Where the network's own tokens belong.
        value: The values that were read, (..., S, E); None unless the recording keeps the graph.
        context: What was read, as the network went on with it; None likewise.
        order: The context's axes in the order (..., T, E).
    """

    scores: Scores
    layout: Layout
    value: Leaf | None = None
    context: Tensor | None = None
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for side, name in ((self.layout.queries, "query"), (self.layout.keys, "key")):
            object.__setattr__(self, f"{name}_size", side.size)
            object.__setattr__(self, f"{name}_prefix", side.prefix)

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.layout.order.shape[1]

    @property
    def images(self) -> int:
        """Number of pictures."""
        return self.layout.order.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the rows are computed."""
        return self.scores.device

    @property
    def held(self) -> bool:
        """Whether the weights are kept as the network computed them, all of them.

        That is so where it does more to its scores than can be followed.
        """
        return self.scores.lost

    def rows(self, tokens: int | Sequence[int], *, head: int | None = None) -> Tensor:
        """See `AttentionMap.rows`."""
        chosen = self._checked(tokens, head=head)
        own = self.layout.queries.own[torch.tensor(chosen)]  # window and number there
        numbers, place = own[:, 1].unique(return_inverse=True)
        found = self._weights(numbers, head=head)[:, :, own[:, 0], place]
        columns = self.layout.keys.token[own[:, 0]].to(found.device)
        whole = found.new_zeros(*found.shape[:-1], self.layout.keys.count + 1)
        return whole.scatter_add(-1, columns.expand(found.shape), found)[..., :-1]

    def received(self, *, head: int | None = None) -> Tensor:
        """See `AttentionMap.received`; class token and registers are among the queries."""
        self._checked((), head=head)
        count = self.layout.queries.count
        even = torch.full((self.images, count), 1 / count, device=self.device)
        return self.on_places(self.folded(even, head=head))

    @torch.no_grad()
    def folded(
        self,
        shares: Tensor,
        *,
        combine: Combine | None = None,
        slope: Tensor | None = None,
        head: int | None = None,
    ) -> Tensor:
        """Rows summed with shares, a few at a time, so that all of them are never held.

        Args:
            shares: (N, T), a factor for each query token.
            combine: Weights, and the gradients with respect to them, to what is summed; the weights
                if None.
            slope: The gradient with respect to the context, from which those of the weights follow.
            head: One head; the mean over the heads if None.

        Returns:
            (N, S), a sum for each key token.
        """
        number = self.layout.queries.token.shape[1]
        keys = self.layout.keys
        per_number = prod(self.scores.shape) // max(1, self.scores.count)
        step = max(1, _NUMBERS // max(1, per_number))
        padded = torch.cat([shares, shares.new_zeros(len(shares), 1)], 1)
        total = shares.new_zeros(len(shares), keys.count + 1)
        columns = keys.token.flatten().to(self.device)
        for start in range(0, number, step):
            some = torch.arange(start, min(start + step, number))
            weights = self._weights(some, head=head)
            slopes = None if slope is None else self._slopes(slope, some, head=head)
            kept = weights if combine is None else combine(weights, slopes)
            factor = padded[:, self.layout.queries.token[:, some].to(self.device)]
            part = (kept.mean(1) * factor.unsqueeze(-1).to(kept.dtype)).sum(2).flatten(1)
            total = total.index_add(1, columns, part.to(total.dtype))
        return total[:, :-1]

    def reads(self, slope: Tensor) -> Tensor:
        """How much is read from each query token, (N, T): alike where the gradient isn't 0."""
        seen = slope.permute(self.order).abs().sum(-1).flatten(0, -2)  # leading axes, T
        found = seen[self.layout.order.to(seen.device)].sum(1).flatten(1) > 0
        own = self.layout.queries.own
        window = self.layout.queries.token.shape[1]
        read = found[:, (own[:, 0] * window + own[:, 1]).to(seen.device)].to(seen.dtype)
        return read / read.sum(1, keepdim=True).clamp(min=1)

    def _weights(self, numbers: Tensor, *, head: int | None) -> Tensor:
        """(N, heads, windows, len(numbers), S) in the network's own order of tokens."""
        with torch.autocast(self.device.type, enabled=False):
            found = self.scores.rows(numbers.to(self.device))
        return self._ordered(found, head=head)

    def _slopes(self, slope: Tensor, numbers: Tensor, *, head: int | None) -> Tensor:
        """The gradients with respect to the weights, which follow from that of the context."""
        if self.value is None:
            raise ValueError("The recording kept no graph: record with graph=True.")
        turned = slope.permute(self.order).index_select(-2, numbers.to(self.device))
        value = self.value.read()
        found = turned.to(value.dtype) @ value.mT
        lead = self.scores.shape[:-2]
        return self._ordered(found.expand(*lead, *found.shape[-2:]), head=head)

    def _ordered(self, found: Tensor, *, head: int | None) -> Tensor:
        order = self.layout.order if head is None else self.layout.order[:, head : head + 1]
        return found.reshape(-1, *found.shape[-2:])[order.to(found.device)]
