"""Softmax attention by PyTorch's fused kernels, with this package's masks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


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
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=scale, dropout_p=dropout
        )
    mask = torch.atleast_2d(mask)
    empty = ~mask.any(-1, keepdim=True)
    kept = mask | empty
    added = kept if bias is None else bias.masked_fill(~kept, -math.inf)
    context = F.scaled_dot_product_attention(
        query, key, value, attn_mask=added, scale=scale, dropout_p=dropout
    )
    return context.masked_fill(empty, 0.0)
