"""Latents: a few learned vectors read the map, think, and the pixels read from them."""

import torch
from torch import Tensor, nn

from visattn.attention import (
    MultiHeadAttention,
    merge_heads,
    product_weights,
    softmax_weights,
    split_heads,
)
from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.positions import (
    Position,
    absolute_positions,
    heads_map,
    map_heads,
)
from visattn.blocks.self_attention.readout import AddedAttention, Readout, head_width
from visattn.blocks.taps import PairwiseTap


class Latents(AddedAttention):
    r"""Latents: a few learned vectors read the map, think, and the pixels read from them.

    L vectors l, the same for every image, at first. With the weights of the latents over the places
    ``a_lj = softmax_j(q_l . k_j / sqrt(D))`` and of the places over the latents
    ``b_il = softmax_l(q'_i . k'_l / sqrt(D))``,

    1. read: ``z_l = l + W sum_j a_lj v_j``;
    2. think, ``depth`` times: ``z = z + MHA(LN(z))``, then ``z = z + MLP(LN(z))``;
    3. answer: ``y_i = x_i + BN(W' sum_l b_il v'_l)``, k' and v' from ``LN(z)``.

    The cost is L H W instead of (H W)^2. The recorded weight of place j for place i is
    ``sum_l b_il a_lj``: what i reads from the latents that read j. What the latents tell each other
    in step 2 is not in it.

    Args:
        channels: C of the map.
        latents: L.
        reduction: The latents have ``C // reduction`` channels, at least 1.
        depth: Self-attention and MLP layers among the latents; 0 for none.
        heads, position, norm, size, init: As in `Axial`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, query and key grid (H, W).

    Raises:
        ValueError: A number is out of its range, the heads don't divide the channels, or a name is
            unknown.

    Example:
        >>> x = torch.randn(2, 16, 5, 7)
        >>> torch.equal(Latents(16)(x), x)
        True

    Source: Jaegle et al., Perceiver, arXiv:2103.03206, where only the latents go on; read back by
    the places as in Perceiver IO, arXiv:2107.14795.
    """

    def __init__(
        self,
        channels: int,
        *,
        latents: int = 16,
        reduction: int = 2,
        heads: int = 1,
        depth: int = 1,
        position: Position = "none",
        norm: bool = True,
        size: tuple[int, int] = (14, 14),
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers("Latents", latents=latents)
        check_numbers("Latents", least=0, depth=depth)
        width = head_width("Latents", channels, reduction=reduction, heads=heads)
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.absolute = absolute_positions(position, channels, size=size)
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.of_places = nn.Conv2d(channels, 3 * width, 1)
        self.ask = nn.Linear(width, width)
        self.taken = nn.Linear(width, width)
        self.layers = nn.ModuleList(LatentLayer(width, heads=heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.offer = nn.Linear(width, 2 * width)
        self.readout = Readout(width, channels, norm=norm)
        self.tap = PairwiseTap(product_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from the latents."""
        size = (x.shape[2], x.shape[3])
        joint = self.of_places(self.absolute(x))
        key, value, query = map_heads(joint, 3 * self.heads).chunk(3, 1)
        asking = split_heads(self.ask(self.latents), self.heads)
        seen = softmax_weights(asking, key, scale=self.scale)
        latents = self.latents + self.taken(merge_heads(seen @ value))
        for layer in self.layers:
            latents = layer(latents)
        offered = split_heads(self.offer(self.norm(latents)), 2 * self.heads)
        latent_key, latent_value = offered.chunk(2, 1)
        read = softmax_weights(query, latent_key, scale=self.scale)
        read = self.tap(read, seen.transpose(2, 3), size, size)
        return x + self.readout(heads_map(read @ latent_value, size))

    def extra_repr(self) -> str:
        """The latents and heads, for printing."""
        return f"latents={len(self.latents)}, heads={self.heads}"


class LatentLayer(nn.Module):
    """Self-attention and an MLP of twice the width, each after a layer norm, with a shortcut."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads=heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Let the latents (N, L, width) read each other."""
        latents = latents + self.attention(self.norm(latents), need_weights=False).context
        return latents + self.mlp(latents)
