"""Attention whose weights are a product of two thin matrices: linear in the number of places."""

import torch.nn.functional as F
from torch import Tensor


def product_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights ``query key^T``, (..., T, S), of shares: queries (..., T, R) and keys (..., S, R)."""
    return query @ key.transpose(-2, -1)


def product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``product_weights(query, key) @ value`` by associativity: R x E numbers, not T x S."""
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
        >>> import torch
        >>> query, key = efficient_features(torch.randn(4, 3), torch.randn(5, 3))
        >>> product_weights(query, key).sum(-1)
        tensor([1.0000, 1.0000, 1.0000, 1.0000])

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
