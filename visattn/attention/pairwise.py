"""Pairwise functions of query and key, and what they read, as the image blocks use them.

Everything takes ``query`` (..., T, D), ``key`` (..., S, D) and ``value`` (..., S, E), with any
leading axes (batch, heads), and gives weights (..., T, S), where ``weights[..., t, s]`` is how much
target t takes from source s, or what is read, (..., T, E). A pairwise function is a plain function
of query and key, so that single rows of the weights can be had without the rest.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.attention.fused import fused_attention
from visattn.attention.normalisers import masked_softmax
from visattn.attention.scores import dot_scores

PairwiseFunction = Callable[[Tensor, Tensor], Tensor]
"""Maps query (..., T, D) and key (..., S, D) to weights (..., T, S)."""


def softmax_weights(
    query: Tensor, key: Tensor, *, scale: float | None = None, mask: Tensor | None = None
) -> Tensor:
    r"""Weights ``softmax(scale * query key^T)`` over the keys.

    Args:
        query: (..., T, D).
        key: (..., S, D).
        scale: Factor on the scores; ``1 / sqrt(D)`` if None.
        mask: Boolean, broadcastable to (..., T, S); True keeps. A row without any True gives
            weights of 0 everywhere and finite gradients.

    Returns:
        (..., T, S), not negative, rows summing to 1 (or 0 where the mask keeps nothing).

    Example:
        >>> import torch
        >>> softmax_weights(torch.zeros(1, 4), torch.randn(2, 4))
        tensor([[0.5000, 0.5000]])

    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762.
    """
    return masked_softmax(dot_scores(query, key, scale=scale), mask)


def dot_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``query key^T / S``, of any sign, not summing to 1.

    Source: the dot-product form of Wang et al., Non-local Neural Networks, arXiv:1711.07971.
    """
    return query @ key.transpose(-2, -1) / key.shape[-2]


def relu_sum_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``relu(query + key) / S``, not negative, of scalar queries and keys, D = 1.

    Source: the concatenation form of Wang et al., arXiv:1711.07971: ``relu(w^T [theta; phi])`` is
    ``relu(w_theta . theta + w_phi . phi)``, the sum of one scalar for each place.
    """
    return F.relu(query + key.transpose(-2, -1)) / key.shape[-2]


def softmax_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Weighted mean of the values, ``softmax_weights(query, key) @ value``, by the fused kernel.

    See `fused_attention`, which takes a bias and dropout, too.

    Example:
        >>> import torch
        >>> query, key, value = torch.randn(3, 2, 5, 8).unbind()
        >>> expected = softmax_weights(query, key) @ value
        >>> torch.allclose(softmax_attention(query, key, value), expected, atol=1e-6)
        True
    """
    return fused_attention(query, key, value, scale=scale, mask=mask)


def dot_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``dot_weights(query, key) @ value`` by associativity: nothing of size T x S is built.

    ``(query key^T) value = query (key^T value)`` costs D x E numbers instead of T x S.
    """
    return query @ (key.transpose(-2, -1) @ value / key.shape[-2])


def relu_sum_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``relu_sum_weights(query, key) @ value`` by sorting: nothing of size T x S is built.

    ``sum_s relu(a + b_s) v_s`` runs over the keys with ``b_s > -a`` alone. With the keys sorted
    from high to low these are the first k, so prefix sums of ``v`` and ``b v`` give the answer:
    ``a * sum_{s<k} v_s + sum_{s<k} b_s v_s``. Time O((T + S) log S), memory O(S E). The prefix sums
    are taken in double precision where the device has it.
    """
    ordered, order = key.squeeze(-1).sort(dim=-1, descending=True)
    picked = order.unsqueeze(-1).expand(*order.shape, value.shape[-1])
    sorted_value = value.expand(*order.shape, value.shape[-1]).gather(-2, picked)
    positive = torch.searchsorted(-ordered.detach(), query.detach().squeeze(-1).contiguous())
    last = positive.unsqueeze(-1).expand(*positive.shape, value.shape[-1])
    values = _prefix_sums(sorted_value).gather(-2, last)
    weighted = _prefix_sums(sorted_value * ordered.unsqueeze(-1)).gather(-2, last)
    return (query * values + weighted) / key.shape[-2]


def _prefix_sums(terms: Tensor) -> Tensor:
    """(..., S, E) to (..., S + 1, E): row k holds the sum of the first k rows."""
    wide = torch.float32 if terms.device.type == "mps" else torch.float64
    return F.pad(terms.to(wide).cumsum(-2), (0, 0, 1, 0)).to(terms.dtype)


def scaled_softmax(scale: float) -> PairwiseFunction:
    """`softmax_weights` with its scale fixed; picklable."""
    return partial(softmax_weights, scale=scale)
