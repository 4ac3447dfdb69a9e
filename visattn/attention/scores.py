"""Scores: how well a query and a key fit, before anything is normalised.

A score is a function of query (..., T, D) and key (..., S, E) with values (..., T, S). The classes
have two halves: ``keys`` does what concerns the keys alone, once a sequence, and ``compare`` the
rest, once a step of a decoder.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention.checks import check_widths

ScoreFunction = Callable[[Tensor, Tensor], Tensor]
"""Maps query (..., T, D) and key (..., S, E) to scores (..., T, S)."""


def dot_scores(query: Tensor, key: Tensor, *, scale: float | None = None) -> Tensor:
    """``scale * query key^T``.

    Args:
        query: (..., T, D).
        key: (..., S, D).
        scale: ``1 / sqrt(D)`` if None; 1 for the plain dot product.

    Returns:
        (..., T, S).

    Raises:
        ValueError: The widths differ.

    Example:
        >>> dot_scores(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), scale=1.0)
        tensor([[11.]])
    """
    check_widths(query, key)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return (query * factor) @ key.transpose(-2, -1)


def cosine_scores(query: Tensor, key: Tensor, *, strength: Tensor | float = 1.0) -> Tensor:
    r"""``strength * cos(query, key)``, whatever the lengths of the vectors.

    Args:
        query: (..., T, D); a vector of zeros has a cosine of 0 with everything.
        key: (..., S, D).
        strength: Factor on the cosines, one number or (..., T), one for each query.

    Returns:
        (..., T, S), in [-strength, strength].

    Example:
        >>> cosine_scores(torch.tensor([[2.0, 0.0]]), torch.eye(2), strength=5.0)
        tensor([[5., 0.]])
    """
    cosines = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
    return cosines * (strength.unsqueeze(-1) if isinstance(strength, Tensor) else strength)


def additive_scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """``vector . tanh(query + key)`` for every pair.

    Args:
        query: (..., T, H), projected.
        key: (..., S, H), projected.
        vector: (H,).

    Returns:
        (..., T, S). A tensor of T x S x H is built on the way.

    Example:
        >>> additive_scores(torch.zeros(3, 4), torch.zeros(5, 4), torch.ones(4)).shape
        torch.Size([3, 5])

    Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate,
    arXiv:1409.0473.
    """
    return torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3)) @ vector


class Score(nn.Module, ABC):
    """What every score offers; ``score(query, key)`` is ``compare(query, keys(key))``.

    Example:
        >>> class Distance(Score):
        ...     def keys(self, key):
        ...         return key
        ...     def compare(self, query, keys):
        ...         return -torch.cdist(query, keys)
        >>> Distance()(torch.zeros(1, 2, 3), torch.ones(1, 4, 3)).shape
        torch.Size([1, 2, 4])
    """

    @abstractmethod
    def keys(self, key: Tensor) -> Tensor:
        """The keys (..., S, E) as ``compare`` wants them."""

    @abstractmethod
    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (..., T, S) of queries (..., T, D) with what ``keys`` gave."""

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., T, S) of query (..., T, D) and key (..., S, E)."""
        return self.compare(query, self.keys(key))


@final
class DotScore(Score):
    r"""``scale * query . key``; query and key have the same width.

    Args:
        scale: Factor; ``1 / sqrt(D)`` (the scaled dot product) if None, 1 for the plain one.

    Example:
        >>> DotScore()(torch.ones(1, 4), torch.ones(3, 4))
        tensor([[2., 2., 2.]])

    Source: Luong et al., arXiv:1508.04025; scaled: Vaswani et al., arXiv:1706.03762.
    """

    def __init__(self, *, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def keys(self, key: Tensor) -> Tensor:
        """The keys as they are."""
        return key

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The dot products."""
        return dot_scores(query, keys, scale=self.scale)


@final
class CosineScore(Score):
    r"""``strength * cos(query, key)``, the score of reading a memory by content.

    With `softmax` it is the content-based read of the differentiable neural computer,
    ``softmax_s(strength cos(query, memory_s))``. The greater the strength, the nearer the read is
    to the one slot that is most alike.

    Args:
        strength: Factor on the cosines, above 0.

    Raises:
        ValueError: The strength isn't above 0.

    Example:
        >>> from visattn.attention import attend
        >>> memory = torch.eye(3)
        >>> found = attend(7 * memory[1:2], memory, score=CosineScore(strength=20.0))
        >>> found.context.round(decimals=3)
        tensor([[0., 1., 0.]])

    Source: Graves et al., Hybrid computing using a neural network with dynamic external memory,
    Nature 538, 2016. There the controller gives a strength with each query: `cosine_scores`.
    """

    def __init__(self, *, strength: float) -> None:
        super().__init__()
        if strength <= 0:
            raise ValueError(f"strength must be above 0, got {strength}")
        self.strength = strength

    def keys(self, key: Tensor) -> Tensor:
        """The keys, of length 1."""
        return F.normalize(key, dim=-1)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Cosines times the strength."""
        return self.strength * F.normalize(query, dim=-1) @ keys.transpose(-2, -1)


@final
class GeneralScore(Score):
    """``query^T W key``, for a query and a key of any two widths.

    Args:
        query_channels: D.
        key_channels: E.

    Example:
        >>> GeneralScore(4, 6)(torch.randn(2, 4), torch.randn(3, 6)).shape
        torch.Size([2, 3])

    Source: "general" of Luong et al., Effective Approaches to Attention-based Neural Machine
    Translation, arXiv:1508.04025.
    """

    def __init__(self, query_channels: int, key_channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(key_channels, query_channels, bias=False)

    def keys(self, key: Tensor) -> Tensor:
        """``W key``."""
        return self.weight(key)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """``query . (W key)``."""
        return dot_scores(query, keys, scale=1.0)


@final
class ProjectedDotScore(Score):
    r"""``(W_q query) . (W_k key) / sqrt(width)``: the score of query-key-value attention.

    Args:
        query_channels: D.
        key_channels: E.
        width: Of the projected queries and keys.

    Example:
        >>> ProjectedDotScore(4, 6, width=8)(torch.randn(2, 4), torch.randn(3, 6)).shape
        torch.Size([2, 3])

    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762.
    """

    def __init__(self, query_channels: int, key_channels: int, *, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_channels, width, bias=False)
        self.key = nn.Linear(key_channels, width, bias=False)

    def keys(self, key: Tensor) -> Tensor:
        """``W_k key``."""
        return self.key(key)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scaled dot products with ``W_q query``."""
        return dot_scores(self.query(query), keys)


@final
class AdditiveScore(Score):
    """``v . tanh(W query + U key + b)``.

    It is also called concat, since ``W query + U key`` is ``[W U]`` times ``[query; key]``.

    Args:
        query_channels: D.
        key_channels: E.
        hidden: Width of W, U and v.

    Example:
        >>> AdditiveScore(4, 6, hidden=8)(torch.randn(2, 4), torch.randn(3, 6)).shape
        torch.Size([2, 3])

    Source: Bahdanau et al., arXiv:1409.0473 (without b); concat of Luong et al., arXiv:1508.04025.
    """

    def __init__(self, query_channels: int, key_channels: int, *, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_channels, hidden)
        self.key = nn.Linear(key_channels, hidden, bias=False)
        self.vector = nn.Parameter(torch.empty(hidden).uniform_(-1, 1) / math.sqrt(hidden))

    def keys(self, key: Tensor) -> Tensor:
        """``U key``."""
        return self.key(key)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """``v . tanh(W query + b + U key)``."""
        return additive_scores(self.query(query), keys, self.vector)


@final
class LocationScore(Score):
    """``W query``, one number for each place: what stands at the places doesn't matter.

    Args:
        query_channels: D.
        length: How many places there are at most.

    Raises:
        ValueError: There are more keys than ``length``.

    Example:
        >>> LocationScore(4, length=10)(torch.randn(2, 4), torch.randn(3, 6)).shape
        torch.Size([2, 3])

    Source: "location" of Luong et al., arXiv:1508.04025.
    """

    def __init__(self, query_channels: int, *, length: int) -> None:
        super().__init__()
        self.length = length
        self.weight = nn.Linear(query_channels, length)

    def keys(self, key: Tensor) -> Tensor:
        """The keys as they are; only how many there are is used."""
        if key.shape[-2] > self.length:
            raise ValueError(
                f"LocationScore knows {self.length} places, the source has {key.shape[-2]}. Build"
                " it with a greater length."
            )
        return key

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The first S of the numbers."""
        return self.weight(query)[..., : keys.shape[-2]]
