"""Linear attention: every place reads from all, at a cost linear in their number."""

from typing import Literal, get_args

from torch import Tensor, nn

from visattn.attention import (
    efficient_features,
    kernel_features,
    product_attention,
    product_weights,
)
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.positions import heads_map, map_heads
from visattn.blocks.self_attention.readout import AddedAttention, Readout, head_width
from visattn.blocks.taps import PairwiseTap

Features = Literal["softmax", "elu"]


class LinearAttention(AddedAttention):
    r"""Linear attention: every place reads from all, at a cost linear in their number.

    ``y_i = x_i + BN(W sum_j f(q_i) . g(k_j) v_j)``, computed as ``f(q_i) (sum_j g(k_j) v_j^T)``,
    with q, k and v from one 1x1 convolution and, by ``features``,

    - ``"softmax"``: f the softmax over the channels of a query, g the softmax of each channel over
      all places (efficient attention);
    - ``"elu"``: ``phi(q_i) . phi(k_j) / sum_s phi(q_i) . phi(k_s)`` with ``phi = elu + 1`` (the
      linear transformer).

    The weights are not negative and sum to 1 over j, as a softmax's do, but their rank is at most
    the width of a head: the maps are broader than a softmax's.

    Args:
        channels, reduction, heads, norm, init: As in `Axial`.
        features: One of the two above.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, query and key grid (H, W).

    Raises:
        ValueError: A number is below 1, the heads don't divide the channels, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in LinearAttention(256).parameters())
        132224

    Source: Shen et al., Efficient Attention, arXiv:1812.01243; Katharopoulos et al., Transformers
    are RNNs, arXiv:2006.16236.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        heads: int = 1,
        features: Features = "softmax",
        norm: bool = True,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        if features not in get_args(Features):
            raise ValueError(f"features must be one of {get_args(Features)}, got {features!r}.")
        width = head_width("LinearAttention", channels, reduction=reduction, heads=heads)
        self.heads = heads
        self.features = features
        self.qkv = nn.Conv2d(channels, 3 * width, 1)
        self.readout = Readout(width, channels, norm=norm)
        self.tap = PairwiseTap(product_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from all places."""
        size = (x.shape[2], x.shape[3])
        query, key, value = map_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)
        shares = efficient_features if self.features == "softmax" else kernel_features
        query, key = shares(query, key)
        query = self.tap(query, key, size, size)
        return x + self.readout(heads_map(product_attention(query, key, value), size))

    def extra_repr(self) -> str:
        """The heads and the features, for printing."""
        return f"heads={self.heads}, features={self.features!r}"
