"""Non-local block: self-attention over the places of a map, added to it."""

from typing import ClassVar, Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention.pairwise import (
    dot_attention,
    dot_weights,
    even_attention,
    relu_sum_attention,
    relu_sum_weights,
    scaled_softmax,
)
from visattn.basics.checks import check_choice, check_numbers
from visattn.basics.leaves import leaf_function
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Init, check_init, zero_
from visattn.blocks.self_attention.readout import AddedAttention
from visattn.blocks.taps import PairwiseTap

Pairwise = Literal["embedded_gaussian", "gaussian", "dot", "concatenation"]
UNSCALED = {
    "dot": (dot_weights, dot_attention),
    "concatenation": (relu_sum_weights, relu_sum_attention),
}
"""The functions that divide by the number of keys, their weights and what is read by them."""


class NonLocal(AddedAttention):
    r"""Non-local block: each place reads from all places.

    ``y_i = x_i + BN(W sum_j f(x_i, x_j) g(x_j))``. With theta, phi and g 1x1 convolutions to C / 2
    channels, the pairwise weights are

    - ``"embedded_gaussian"``: ``softmax_j(s theta(x_i) . phi(x_j))``;
    - ``"gaussian"``: ``softmax_j(s x_i . x_j)``, without theta and phi;
    - ``"dot"``: ``theta(x_i) . phi(x_j) / S``, S the number of keys;
    - ``"concatenation"``: ``relu(w . [theta(x_i), phi(x_j)]) / S``.

    None of the four builds the S x S weights: the first two use PyTorch's fused kernel, the third
    associativity, the fourth sorting and prefix sums.

    The scale s: the paper has none, and unscaled scores overflow half precision. The default is
    ``1 / sqrt(width of theta)``, as in mmcv; timm divides by ``sqrt(C)``.

    Args:
        channels: C of the map.
        reduction: theta, phi and g have ``C // reduction`` channels, at least 1.
        pairwise: One of the four functions above.
        scale: ``"query"``, 1 / sqrt(C // reduction); ``"channels"``, 1 / sqrt(C) as timm;
            ``"none"``, 1 as the paper. For the two Gaussian functions only.
        subsample: Keys and values from a 2 x 2 max-pooled map, a quarter of the work. Maps of one
            row or column are not pooled along it.
        norm: BN after the last convolution.
        init: ``"paper"`` or ``"identity"``, the same here: the BN weight starts at zero already in
            the paper, and without BN the last convolution does.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, query grid (H, W), key grid (H, W) or
        (H // 2, W // 2).

    Raises:
        ValueError: A number is below 1, a name is unknown, or ``scale`` is given for a function
            that has none.

    Example:
        >>> sum(p.numel() for p in NonLocal(256).parameters())
        132224

    Source: Wang et al., Non-local Neural Networks, arXiv:1711.07971.
    """

    timm_names: ClassVar[dict[str, str]] = {
        "t.": "theta.",
        "p.": "phi.",
        "g.": "g.",
        "z.": "out.",
        "norm.": "bn.",
    }

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        pairwise: Pairwise = "embedded_gaussian",
        scale: Literal["query", "channels", "none"] | None = None,
        subsample: bool = False,
        norm: bool = True,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers("NonLocal", channels=channels, reduction=reduction)
        check_choice("pairwise", pairwise, get_args(Pairwise))
        width = max(1, channels // reduction)
        self.subsample = subsample
        plain, joint = pairwise == "gaussian", pairwise == "concatenation"
        self.theta = None if plain else nn.Conv2d(channels, width, 1)
        self.phi = None if plain else nn.Conv2d(channels, width, 1)
        self.g = nn.Conv2d(channels, width, 1)
        self.mix = nn.Linear(2 * width, 1, bias=False) if joint else None
        self.scale = _scale(pairwise, scale, width=width, channels=channels)
        self.pairwise = pairwise
        self.out = nn.Conv2d(width, channels, 1)
        self.bn = SafeBatchNorm2d(channels) if norm else None
        zero_(self.out if self.bn is None else self.bn)
        weights = UNSCALED[pairwise][0] if self.scale is None else scaled_softmax(self.scale)
        self.tap = PairwiseTap(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from all places."""
        source = self._pooled(x)
        query, key = self._query_and_key(x, source)
        size, source_size = (x.shape[2], x.shape[3]), (source.shape[2], source.shape[3])
        query = self.tap(query, key, size, source_size)
        context = self._attend(query, key, _places(self.g(source)))
        context = context.squeeze(1).transpose(1, 2).unflatten(2, size)
        context = self.out(context)
        return x + (context if self.bn is None else self.bn(context))

    def _pooled(self, x: Tensor) -> Tensor:
        """The map that keys and values come from."""
        return _halved(x) if self.subsample else x

    def _query_and_key(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (N, 1, T, D) and keys (N, 1, S, D); D is 1 for the concatenation."""
        if self.theta is None or self.phi is None:
            return _places(x), _places(source)
        query, key = _places(self.theta(x)), _places(self.phi(source))
        if self.mix is None:
            return query, key
        of_query, of_key = self.mix.weight.chunk(2, 1)
        return F.linear(query, of_query), F.linear(key, of_key)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Context (N, 1, T, D) for each query."""
        if self.scale is not None:
            return even_attention(query, key, value, scale=self.scale)
        return UNSCALED[self.pairwise][1](query, key, value)

    def extra_repr(self) -> str:
        """The pairwise function and its scale, for printing."""
        return f"pairwise={self.pairwise!r}, scale={self.scale}, subsample={self.subsample}"


def _scale(pairwise: Pairwise, scale: str | None, *, width: int, channels: int) -> float | None:
    """The factor on the scores of a Gaussian function, None for the other two."""
    if pairwise in UNSCALED:
        if scale is not None:
            raise ValueError(
                f"scale is for the Gaussian functions; {pairwise!r} divides by the number of keys."
                f" Leave scale out, got {scale!r}."
            )
        return None
    query_width = channels if pairwise == "gaussian" else width
    factors = {"query": query_width**-0.5, "channels": channels**-0.5, "none": 1.0}
    check_choice("scale", scale or "query", tuple(factors))
    return factors[scale or "query"]


@leaf_function
def _halved(x: Tensor) -> Tensor:
    """The maxima of 2 x 2 places, or of 2 along the one axis that there is."""
    return F.max_pool2d(x, [min(2, x.shape[2]), min(2, x.shape[3])])


def _places(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, 1, H * W, C) with contiguous rows, which the fused kernels need."""
    return x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)
