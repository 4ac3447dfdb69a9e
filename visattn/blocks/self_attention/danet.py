"""Dual attention: places read from places and channels from channels, both added."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from visattn.attention.pairwise import even_attention, scaled_softmax
from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.positions import heads_map, map_heads
from visattn.blocks.self_attention.readout import AddedAttention
from visattn.blocks.taps import PairwiseTap

Affinity = Literal["paper", "official"]


class DualAttention(AddedAttention):
    r"""Dual attention: places read from places and channels from channels, both added.

    ``y = x + a P(x) + b C(x)``, a and b trained scalars.

    - ``P_i = sum_j softmax_j(q_i . k_j) v_j``: q and k of C / 8 channels, v of C, unscaled.
    - ``C_c = sum_d softmax_d(x_c . x_d) x_d``: the channels themselves, by their likeness over the
      places. That is the paper (``"paper"``); the official code (``"official"``) takes the softmax
      of the largest likeness less each, so that a channel reads from those that are unlike it.

    In DANet each of the two has convolutions before and after it, and x is in both sums; a block
    needs it once.

    Args:
        channels: C of the map.
        reduction: q and k have ``C // reduction`` channels, at least 1.
        affinity: ``"paper"`` or ``"official"``, as above.
        init: ``"paper"`` or ``"identity"``, the same here: both scalars start at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise`` of the places, query and key grid
        (H, W).

    Raises:
        ValueError: A number is below 1, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in DualAttention(256).parameters())
        82242

    Source: Fu et al., Dual Attention Network for Scene Segmentation, arXiv:1809.02983, and its
    official code.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 8,
        affinity: Affinity = "paper",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_choice("affinity", affinity, get_args(Affinity))
        check_numbers("DualAttention", channels=channels, reduction=reduction)
        width = max(1, channels // reduction)
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.of_places = nn.Parameter(torch.zeros(1))
        self.of_channels = nn.Parameter(torch.zeros(1))
        self.sign = 1.0 if affinity == "paper" else -1.0
        self.tap = PairwiseTap(scaled_softmax(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Add to each value of (N, C, H, W) what its place and its channel read."""
        size = (x.shape[2], x.shape[3])
        query, key, value = (map_heads(f(x), 1) for f in (self.query, self.key, self.value))
        query = self.tap(query, key, size, size)
        places = heads_map(even_attention(query, key, value, scale=1.0), size)
        rows = x.flatten(2).unsqueeze(1)
        read = even_attention(rows, rows, rows, scale=self.sign).squeeze(1).unflatten(2, size)
        of_places, of_channels = self.of_places.to(x.dtype), self.of_channels.to(x.dtype)
        return x + of_places * places.to(x.dtype) + of_channels * read
