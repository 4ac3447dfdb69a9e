"""Axial attention: along the columns of a map, then along its rows."""

from functools import partial

from torch import Tensor, nn

from visattn.attention import axial_weights, column_attention, row_attention, with_places
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.positions import Position, absolute_positions
from visattn.blocks.self_attention.readout import AddedAttention, Readout, head_width
from visattn.blocks.taps import PairwiseTap


class Axial(AddedAttention):
    r"""Axial attention: along the columns of a map, then along its rows, added to it.

    ``u_yx = sum_y' softmax_y'(q_yx . k_y'x / sqrt(D)) v_y'x`` with q, k, v from the map, then
    ``z_yx = sum_x' softmax_x'(q'_yx . k'_yx' / sqrt(D)) v'_yx'`` with q', k', v' from u, and
    ``y = x + BN(W z)``. Through a place of its own row each place reads from all places, for
    H + W instead of H W weights a place. Nothing stands between the two steps, so the weight of
    (y', x') is the product of two softmaxes, and that is what a recording shows.

    The papers add relative positions to the scores and, in networks of axial attention alone, leave
    out the other layers; positions here are absolute ones, or none.

    Args:
        channels: C of the map.
        reduction: Queries, keys and values have ``C // reduction`` channels, at least 1.
        heads: Their number, a divisor of that.
        position: ``"none"``, or ``"sine"`` or ``"learned"`` ones added to the map before the
            queries, keys and values.
        norm: BN after the last convolution.
        size: (H, W) of the map, for learned positions; on another map they are interpolated.
        init: ``"paper"`` or ``"identity"``, the same here: what is added starts at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, query and key grid (H, W).

    Raises:
        ValueError: A number is below 1, the heads don't divide the channels, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in Axial(256).parameters())
        180992

    Source: Ho et al., arXiv:1912.12180; columns before rows as in Wang et al., Axial-DeepLab,
    arXiv:2003.07853.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        heads: int = 1,
        position: Position = "none",
        norm: bool = True,
        size: tuple[int, int] = (14, 14),
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        width = head_width("Axial", channels, reduction=reduction, heads=heads)
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.absolute = absolute_positions(position, channels, size=size)
        self.columns = nn.Conv2d(channels, 3 * width, 1, bias=False)
        self.rows = nn.Conv2d(width, 3 * width, 1, bias=False)
        for layer in (self.columns, self.rows):
            nn.init.normal_(layer.weight, std=layer.in_channels**-0.5)
        self.readout = Readout(width, channels, norm=norm)
        self.tap = PairwiseTap(partial(axial_weights, width=width // heads, scale=self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from all places."""
        size = (x.shape[2], x.shape[3])
        query, key, value = self._grids(self.columns(self.absolute(x)))
        read = _map(column_attention(query, key, value, scale=self.scale))
        along = self._grids(self.rows(read))
        asked, *keys = (t.flatten(2, 3) for t in (along[0], along[1], query, key))
        self.tap(with_places(asked, size=size), with_places(*keys, size=size), size, size)
        return x + self.readout(_map(row_attention(*along, scale=self.scale)))

    def _grids(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values side by side, (N, 3 heads D, H, W), to (N, heads, H, W, D)."""
        query, key, value = x.unflatten(1, (3 * self.heads, -1)).movedim(2, 4).chunk(3, 1)
        return query, key, value

    def extra_repr(self) -> str:
        """The heads, for printing."""
        return f"heads={self.heads}"


def _map(x: Tensor) -> Tensor:
    """(N, heads, H, W, D) to (N, heads * D, H, W)."""
    return x.movedim(4, 2).flatten(1, 2)
