"""Criss-cross attention: each place reads from its row and column, twice."""

from functools import partial

import torch
from torch import Tensor, nn

from visattn.attention import criss_cross_attention, criss_cross_weights, with_places
from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.readout import AddedAttention
from visattn.blocks.taps import PairwiseTap


class CrissCross(AddedAttention):
    r"""Criss-cross attention: each place reads from its row and column, twice.

    ``h = x + gamma sum_j softmax_j(q_i . k_j) v_j``, j over the H + W - 1 places of the row and the
    column of i, with q and k 1x1 convolutions to C / 8 channels and v one to C; then the same
    again, by the same weights, of h. After two loops each place has read from all. The scores are
    not scaled.

    In CCNet it stands between two convolutions, which are not part of it here.

    Args:
        channels: C of the map.
        reduction: Queries and keys have ``C // reduction`` channels, at least 1.
        loops: How often, with the same weights.
        init: ``"paper"`` or ``"identity"``, the same here: gamma starts at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, query and key grid (H, W), through all
        loops: the product of their weights.

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in CrissCross(256).parameters())
        82241

    Source: Huang et al., CCNet: Criss-Cross Attention for Semantic Segmentation, arXiv:1811.11721.
    """

    def __init__(
        self, channels: int, *, reduction: int = 8, loops: int = 2, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers("CrissCross", channels=channels, reduction=reduction, loops=loops)
        width = max(1, channels // reduction)
        self.loops = loops
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.tap = PairwiseTap(partial(criss_cross_weights, width=width))

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads, loop after loop."""
        size = (x.shape[2], x.shape[3])
        seen: list[Tensor] = []
        for loop in range(self.loops):
            query, key, value = (
                layer(x).movedim(1, 3) for layer in (self.query, self.key, self.value)
            )
            seen = [_one_head(key), *seen]
            if loop == self.loops - 1:
                places = with_places(_one_head(query), size=size)
                self.tap(places, with_places(*seen, size=size), size, size)
            seen = [_one_head(query), *seen]
            read = criss_cross_attention(query, key, value).movedim(3, 1)
            x = x + self.gamma.to(read.dtype) * read
        return x

    def extra_repr(self) -> str:
        """The loops, for printing."""
        return f"loops={self.loops}"


def _one_head(x: Tensor) -> Tensor:
    """(N, H, W, D) to (N, 1, H * W, D)."""
    return x.flatten(1, 2).unsqueeze(1)
