"""Several heads: attention in parallel, each in a part of the channels."""

from typing import final

from torch import Tensor, nn

from visattn.attention.core import Attended, attend
from visattn.basics.leaves import leaf_function, leaf_module


@leaf_function
def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, L, heads * D) to (N, heads, L, D).

    Raises:
        ValueError: The channels can't be shared out among the heads.

    Example:
        >>> import torch
        >>> split_heads(torch.zeros(2, 5, 12), 3).shape
        torch.Size([2, 3, 5, 4])
    """
    if x.shape[-1] % heads:
        raise ValueError(f"{x.shape[-1]} channels can't be shared out among {heads} heads")
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """(N, heads, L, D) to (N, L, heads * D), the inverse of `split_heads`.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 5, 12)
        >>> torch.equal(merge_heads(split_heads(x, 3)), x)
        True
    """
    return x.transpose(-3, -2).flatten(-2)


@final
@leaf_module
class MultiHeadAttention(nn.Module):
    r"""Query, key and value projected, attended to head by head, joined and projected.

    ``[head_1 ... head_h] W_o`` with ``head_i = softmax((q W_q)_i (k W_k)_i^T / sqrt(D)) (v W_v)_i``
    and D = channels / heads. It is ``nn.MultiheadAttention`` with other conventions: the mask says
    what to keep, a row without anything gives the bias of the last layer rather than NaN, weights
    are given for every head and before dropout.

    Args:
        channels: Width of queries and output.
        heads: Their number; divides ``channels``.
        key_channels: Width of the keys; ``channels`` if None.
        value_channels: Width of the values; that of the keys if None.
        bias: Whether the four projections have one.
        dropout: On the weights, in training.

    Shapes:
        query (N, T, channels), key (N, S, key_channels), value (N, S, value_channels) to a context
        (N, T, channels) and weights (N, heads, T, S).

    Raises:
        ValueError: ``heads`` doesn't divide ``channels``.

    Example:
        >>> import torch
        >>> layer = MultiHeadAttention(8, heads=2)
        >>> found = layer(torch.randn(3, 5, 8), torch.randn(3, 7, 8))
        >>> found.context.shape, found.weights.shape
        (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 7]))

    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{channels} channels can't be shared out among {heads} heads")
        key_channels = channels if key_channels is None else key_channels
        value_channels = key_channels if value_channels is None else value_channels
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(channels, channels, bias=bias)
        self.key = nn.Linear(key_channels, channels, bias=bias)
        self.value = nn.Linear(value_channels, channels, bias=bias)
        self.out = nn.Linear(channels, channels, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        need_weights: bool = True,
    ) -> Attended:
        """Attend; self-attention if there is no key.

        Args:
            query: (N, T, channels).
            key: (N, S, key_channels); the query if None.
            value: (N, S, value_channels); the key if None.
            mask: Boolean, (N, T, S), (N, 1, S) or (T, S); or with an axis for the heads,
                (N, heads, T, S). True keeps.
            bias: Added to the scores: (heads, T, S), (T, S) or (N, heads, T, S).
            need_weights: Return weights and scores, (N, heads, T, S).
        """
        key = query if key is None else key
        value = key if value is None else value
        if mask is not None and mask.ndim == 3:
            mask = mask.unsqueeze(1)
        found = attend(
            *(
                split_heads(layer(x), self.heads)
                for layer, x in ((self.query, query), (self.key, key), (self.value, value))
            ),
            mask=mask,
            bias=bias,
            dropout=self.dropout if self.training else 0.0,
            need_weights=need_weights,
        )
        return found._replace(context=self.out(merge_heads(found.context)))
