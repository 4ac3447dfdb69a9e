"""Attention in one function: score, normalise, weighted mean."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from visattn.attention.checks import check_added, check_value, check_widths, scores_shape
from visattn.attention.normalisers import Normaliser, Weights, softmax
from visattn.attention.pairwise import fused_attention
from visattn.attention.scores import DotScore, ScoreFunction, dot_scores


class Attended(NamedTuple):
    """What attention found.

    Attributes:
        context: (..., T, E), the weighted mean of the values.
        weights: (..., T, S), before dropout; None if they weren't asked for.
        scores: (..., T, S), bias included, before the mask; None with the weights.
        log_probability: (..., T), of sampled sources; None if nothing was sampled.
    """

    context: Tensor
    weights: Tensor | None = None
    scores: Tensor | None = None
    log_probability: Tensor | None = None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor | None = None,
    *,
    score: ScoreFunction | None = None,
    normaliser: Normaliser = softmax,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    need_weights: bool = True,
) -> Attended:
    r"""Read from the values where the keys fit the queries.

    ``context = normaliser(score(query, key) + bias) value``. There are two axes: which sources are
    looked at (all, or a window by ``mask`` and ``bias``), and how (soft, or hard by argmax or by
    sampling). It doesn't matter in which order the pairs of key and value come; where it should,
    add a position encoding to the keys.

    Args:
        query: (..., T, D).
        key: (..., S, D), or of another width if the score can compare them.
        value: (..., S, E); the keys if None.
        score: Function of query and key; the scaled dot product if None.
        normaliser: Function of scores and mask: `softmax`, `argmax`, `sample` or one's own.
        mask: Boolean, broadcastable to (..., T, S); True keeps. A row without any True gives a
            context of 0 and finite gradients. Two axes are read as (T, S): give a padding mask of
            (N, S) as ``mask[:, None, :]``, or make it by `length_mask`. If T happens to equal N,
            nothing tells the two apart.
        bias: Added to the scores, broadcastable to (..., T, S), finite; axes as those of the mask.
        dropout: Share of the weights that are dropped; give 0 in evaluation.
        need_weights: Return weights and scores, too. Without them, soft dot-product attention runs
            in PyTorch's fused kernel.

    Returns:
        Context, weights, scores and, for sampled weights, the log-probability.

    Raises:
        ValueError: Shapes don't fit: mask and bias must not make more scores than query and key
            give, the widths of a dot product must be equal, leading axes equal or 1.
        TypeError: The mask isn't boolean.

    Example:
        >>> import torch
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> key = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> value = torch.tensor([[2.0], [4.0], [9.0]])
        >>> found = attend(1000 * query, key, value)
        >>> found.weights, found.context
        (tensor([[0.5000, 0.5000, 0.0000]]), tensor([[3.]]))

    Source: Bahdanau et al., arXiv:1409.0473; Vaswani et al., arXiv:1706.03762.
    """
    value = key if value is None else value
    shape = scores_shape(query, key)
    check_value(value, key=key, scores=shape)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
    plain = score is None or isinstance(score, DotScore)
    if plain and not need_weights and normaliser is softmax:
        check_widths(query, key)
        check_added(shape, mask=mask, bias=bias)
        scale = score.scale if isinstance(score, DotScore) else None
        context = fused_attention(
            query, key, value, scale=scale, mask=mask, bias=bias, dropout=dropout
        )
        return Attended(context)
    scores, found = attention_weights(
        query, key, score=score, normaliser=normaliser, mask=mask, bias=bias
    )
    context = weighted_sum(F.dropout(found.weights, dropout), value)
    if not need_weights:
        return Attended(context, log_probability=found.log_probability)
    return Attended(context, found.weights, scores, found.log_probability)


def attention_weights(
    query: Tensor,
    key: Tensor,
    *,
    score: ScoreFunction | None = None,
    normaliser: Normaliser = softmax,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Weights]:
    """The first half of `attend`: scores (..., T, S) and what the normaliser makes of them.

    Raises:
        ValueError: Shapes that don't fit, as in `attend`.

    Example:
        >>> import torch
        >>> scores, weights = attention_weights(torch.randn(3, 4), torch.randn(5, 4))
        >>> scores.shape, weights.weights.sum(-1)
        (torch.Size([3, 5]), tensor([1.0000, 1.0000, 1.0000]))
    """
    shape = scores_shape(query, key)
    check_added(shape, mask=mask, bias=bias)
    scores = dot_scores(query, key) if score is None else score(query, key)
    if scores.shape[-2:] != shape[-2:]:
        raise ValueError(
            f"the score must give (..., targets, sources) = (..., {shape[-2]}, {shape[-1]}),"
            f" got {tuple(scores.shape)}"
        )
    if bias is not None:
        scores = scores + bias
    return scores, normaliser(scores, mask)


def weighted_sum(weights: Tensor, value: Tensor) -> Tensor:
    """The second half of `attend`: ``weights value``, (..., T, S) and (..., S, E) to (..., T, E).

    Example:
        >>> import torch
        >>> weighted_sum(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0], [3.0]]))
        tensor([[2.]])
    """
    return weights @ value
