"""Pairwise functions of query and key, and what they read, as the image blocks use them.

Everything takes ``query`` (..., T, D), ``key`` (..., S, D) and ``value`` (..., S, E), with any
leading axes (batch, heads), and gives weights (..., T, S), where ``weights[..., t, s]`` is how much
target t takes from source s, or what is read, (..., T, E). A pairwise function is a plain function
of query and key, so that single rows of the weights can be had without the rest.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.attention.normalisers import masked_softmax
from visattn.attention.scores import dot_scores
from visattn.basics.leaves import leaf_function

PairwiseFunction = Callable[[Tensor, Tensor], Tensor]
"""Maps query (..., T, D) and key (..., S, D) to weights (..., T, S)."""


@leaf_function
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
        >>> softmax_weights(torch.zeros(1, 4), torch.randn(2, 4))
        tensor([[0.5000, 0.5000]])

    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762.
    """
    return masked_softmax(dot_scores(query, key, scale=scale), mask)


def scaled_softmax(scale: float) -> PairwiseFunction:
    """`softmax_weights` with its scale fixed; picklable."""
    return partial(softmax_weights, scale=scale)


def dot_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``query key^T / S``, of any sign, not summing to 1.

    Shapes are (..., T, D) and (..., S, D) to (..., T, S).

    Source: the dot-product form of Wang et al., Non-local Neural Networks, arXiv:1711.07971.
    """
    return query @ key.transpose(-2, -1) / key.shape[-2]


def relu_sum_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``relu(query + key) / S``, not negative, of scalar queries and keys, D = 1.

    Source: the concatenation form of Wang et al., arXiv:1711.07971: ``relu(w^T [theta; phi])`` is
    ``relu(w_theta . theta + w_phi . phi)``, the sum of one scalar for each place.
    """
    return F.relu(query + key.transpose(-2, -1)) / key.shape[-2]


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    r"""``softmax(scale * query key^T + bias) value``, without the weights.

    Nothing of size T x S is kept where PyTorch has a fused kernel for the device and layout.

    Args:
        query: (..., T, D), at least three axes.
        key: (..., S, D).
        value: (..., S, E).
        scale: Factor on the scores; ``1 / sqrt(D)`` if None.
        mask: Boolean, broadcastable to (..., T, S); True keeps. A row without any True gives 0
            and finite gradients.
        bias: Added to the scores, broadcastable to (..., T, S), finite.
        dropout: Share of the weights that are dropped.

    Returns:
        (..., T, E).

    Example:
        >>> query, key, value = torch.randn(3, 2, 5, 8).unbind()
        >>> nothing = torch.zeros(5, 5, dtype=torch.bool)
        >>> fused_attention(query, key, value, mask=nothing).abs().max().item()
        0.0
    """
    empty: Tensor | None = None
    if mask is not None:
        mask = torch.atleast_2d(mask)
        empty = ~mask.any(-1, keepdim=True)
        kept = mask | empty
        bias = kept if bias is None else bias.masked_fill(~kept, -math.inf)
    context = F.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, scale=scale, dropout_p=dropout
    )
    return context if empty is None else context.masked_fill(empty, 0.0)


@leaf_function
def even_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, mask: Tensor | None = None
) -> Tensor:
    """`fused_attention` of queries and values of different widths.

    PyTorch's fused kernels want rows of one width, in one piece: the narrower ones get zeros.
    """
    width = value.shape[-1]
    more = query.shape[-1] - width
    if more > 0:
        value = F.pad(value, (0, more))
    elif more < 0:
        query, key = F.pad(query, (0, -more)), F.pad(key, (0, -more))
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    return fused_attention(query, key, value, scale=scale, mask=mask)[..., :width]


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
        >>> query, key, value = torch.randn(3, 2, 5, 8).unbind()
        >>> expected = softmax_weights(query, key) @ value
        >>> torch.allclose(softmax_attention(query, key, value), expected, atol=1e-6)
        True
    """
    return fused_attention(query, key, value, scale=scale, mask=mask)


def dot_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``dot_weights(query, key) @ value`` by associativity: nothing of size T x S is built.

    ``(query key^T) value = query (key^T value)`` costs D x E numbers instead of T x S.

    Shapes are (..., T, D), (..., S, D) and (..., S, E) to (..., T, E).

    Example:
        >>> query, key, value = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 2)
        >>> weights = dot_weights(query, key)
        >>> torch.allclose(dot_attention(query, key, value), weights @ value, atol=1e-6)
        True
    """
    return query @ (key.transpose(-2, -1) @ value / key.shape[-2])


@leaf_function
def relu_sum_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``relu_sum_weights(query, key) @ value`` by sorting: nothing of size T x S is built.

    ``sum_s relu(a + b_s) v_s`` runs over the keys with ``b_s > -a`` alone. With the keys sorted
    from high to low these are the first k, so prefix sums of ``v`` and ``b v`` give the answer:
    ``a * sum_{s<k} v_s + sum_{s<k} b_s v_s``. Time O((T + S) log S), memory O(S E). The prefix sums
    are taken in double precision where the device has it.

    Example:
        >>> query, key, value = torch.randn(3, 1), torch.randn(5, 1), torch.randn(5, 2)
        >>> weights = relu_sum_weights(query, key)
        >>> torch.allclose(relu_sum_attention(query, key, value), weights @ value, atol=1e-6)
        True
    """
    ordered, order = key.squeeze(-1).sort(dim=-1, descending=True)
    picked = order.unsqueeze(-1).expand(*order.shape, value.shape[-1])
    sorted_value = value.expand(*order.shape, value.shape[-1]).gather(-2, picked)
    positive = torch.searchsorted(-ordered.detach(), query.detach().squeeze(-1).contiguous())
    last = positive.unsqueeze(-1).expand(*positive.shape, value.shape[-1])
    values = _prefix_sums(sorted_value).gather(-2, last)
    weighted = _prefix_sums(sorted_value * ordered.unsqueeze(-1)).gather(-2, last)
    return (query * values + weighted) / key.shape[-2]


def product_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``query key^T``, (..., T, S), of shares: queries (..., T, R) and keys (..., S, R)."""
    return query @ key.transpose(-2, -1)


def product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``product_weights(query, key) @ value`` by associativity: R x E numbers, not T x S.

    Shapes are (..., T, R), (..., S, R) and (..., S, E) to (..., T, E).

    Example:
        >>> query, key = kernel_features(torch.randn(3, 4), torch.randn(5, 4))
        >>> product_attention(query, key, torch.ones(5, 1)).flatten()
        tensor([1.0000, 1.0000, 1.0000])
    """
    return query @ (key.transpose(-2, -1) @ value)


def efficient_features(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of each query over its channels, and of each channel of the keys over the places.

    Each channel of the keys is a map that sums to 1, and a query mixes these maps: the rows of
    ``query key^T`` sum to 1.

    Args:
        query: (..., T, D).
        key: (..., S, D).

    Returns:
        Both in the same shapes, positive.

    Example:
        >>> query, key = efficient_features(torch.randn(4, 3), torch.randn(5, 3))
        >>> torch.allclose(product_weights(query, key).sum(-1), torch.ones(4))
        True

    Source: Shen et al., Efficient Attention, arXiv:1812.01243.
    """
    return query.softmax(-1), key.softmax(-2)


def kernel_features(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """``phi(q_t) / sum_s phi(q_t) . phi(k_s)`` and ``phi(k_s)`` with ``phi(x) = elu(x) + 1``.

    Args:
        query: (..., T, D).
        key: (..., S, D).

    Returns:
        Both in the same shapes, positive; the rows of ``query key^T`` sum to 1.

    Source: Katharopoulos et al., Transformers are RNNs, arXiv:2006.16236.
    """
    query, key = F.elu(query) + 1, F.elu(key) + 1
    # A mean, and S again below: the sum over many places would overflow half precision.
    total = query @ key.mean(-2).unsqueeze(-1)
    return query / (total + 1e-6), key / key.shape[-2]


def _prefix_sums(terms: Tensor) -> Tensor:
    """(..., S, E) to (..., S + 1, E): row k holds the sum of the first k rows."""
    wide = torch.float32 if terms.device.type == "mps" else torch.float64
    return F.pad(terms.to(wide).cumsum(-2), (0, 0, 1, 0)).to(terms.dtype)
