"""Polarized self-attention: a channel gate and a spatial gate, each sharpened by a softmax."""

from typing import Literal, get_args

from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.gates import Gate, Init, check_init, zero_

Order = Literal["parallel", "sequential"]


class PolarizedAttention(nn.Module):
    r"""Polarized self-attention: a channel gate and a spatial gate, each sharpened by a softmax.

    With q and v 1x1 convolutions of the map, one pair for each gate,

    - ``c = sigmoid(LN(W sum_i softmax_i(q_i) v_i))``, q of one channel, v of C / 2, W back to C;
    - ``s_i = sigmoid(softmax_c(mean_hw(q)) . v_i)``, q and v of C / 2 channels.

    ``"parallel"``: ``y = x c + x s``, computed as ``x * (c + s)``; ``"sequential"``:
    ``y = x c``, then ``y * s`` with s from ``x c``.

    This is the paper. Its official code has no layer normalisation in the parallel form (a narrow
    MLP in the other), and takes the softmax of the spatial gate over the places instead: in the
    parallel form of the product, so that its gate is nearly 1/2 everywhere on a large map.

    Args:
        channels: C of the map.
        order: ``"parallel"`` or ``"sequential"``, as above.
        init: With ``"identity"`` the layer normalisation and the spatial v start at zero. Gates of
            1/2 do in the sum; in sequence they are ``2 * sigmoid``, see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C) and ``spatial`` (N, H, W), in
        (0, 1), or in (0, 2) with ``"sequential"`` and ``"identity"``.

    Raises:
        ValueError: ``channels`` is below 1, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in PolarizedAttention(256).parameters())
        132481

    Source: Liu et al., Polarized Self-Attention, arXiv:2107.00782, and its official code.
    """

    def __init__(self, channels: int, *, order: Order = "parallel", init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_choice("order", order, get_args(Order))
        check_numbers(channels=channels)
        half = max(1, channels // 2)
        self.order = order
        self.channel_q = nn.Conv2d(channels, 1, 1)
        self.channel_v = nn.Conv2d(channels, half, 1)
        self.channel_up = nn.Conv2d(half, channels, 1)
        self.norm = nn.LayerNorm(channels)
        self.spatial_q = nn.Conv2d(channels, half, 1)
        self.spatial_v = nn.Conv2d(channels, half, 1)
        factor: Init = "paper" if order == "parallel" else init  # in the sum 1/2 + 1/2 is 1
        self.channel = Gate("channel", init=factor)
        self.spatial = Gate("spatial", init=factor)
        if init == "identity":
            zero_(self.norm, self.spatial_v)

    def forward(self, x: Tensor) -> Tensor:
        """Gate channels and places of (N, C, H, W)."""
        channel = self._channel_gate(x)
        if self.order == "parallel":
            return x * (channel + self._spatial_gate(x))
        x = x * channel
        return x * self._spatial_gate(x)

    def _channel_gate(self, x: Tensor) -> Tensor:
        shares = self.channel_q(x).flatten(2).softmax(2).transpose(1, 2)
        context = (self.channel_v(x).flatten(2) @ shares).unsqueeze(3)
        logits = self.norm(self.channel_up(context).flatten(1))
        return self.channel(logits.unsqueeze(2).unsqueeze(3).to(x.dtype))

    def _spatial_gate(self, x: Tensor) -> Tensor:
        shares = self.spatial_q(x).mean((2, 3)).softmax(1).unsqueeze(1)
        logits = shares.to(x.dtype) @ self.spatial_v(x).flatten(2)
        return self.spatial(logits.unflatten(2, x.shape[2:]))

    def extra_repr(self) -> str:
        """The order, for printing."""
        return f"order={self.order!r}"
